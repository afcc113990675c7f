"""Checkpoints as a plugin sees them on a worker: whose are loaded, and what saving may raise."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from builders import a_train_job, an_epoch
from ledger_fixtures import Environment
from s3_fixtures import Bucket
from seqd.analysis.curves import LearningCurve
from seqd.errors import CheckpointDamaged, InvalidData, LeaseLost, StoreUnwritable
from seqd.hookspecs import Device, LabelledRecord
from seqd.inputs.datasets import ListDataset
from seqd.ledger import Ledger, connect
from seqd.ledger.units import Unit
from seqd.ledger.work import CheckpointRecord
from seqd.objects import Objects
from seqd.worker.training.checkpoints import WorkerCheckpoints
from seqd.worker.training.run import Run, TrainingData, WorkerTrainContext, reported_in
from seqd_schemas import Epoch, Event, Sample

pytestmark = pytest.mark.processes


class Training:
    """A claimed training, and what its checkpoints reported to the caller."""

    def __init__(self, environment: Environment, data_dir: Path) -> None:
        self.environment = environment
        self.data_dir = data_dir
        self.reported: list[str] = []
        self.unit = self.claim()

    def claim(self) -> Unit:
        self.environment.submit(a_train_job(), version=None)
        return self.environment.claim_unit()

    def checkpoints(
        self,
        *lineage: str,
        data: str = "d",
        every_s: float = 60.0,
        stop: Callable[[], bool] = lambda: False,
        curve: LearningCurve | None = None,
        objects: Objects | None = None,
    ) -> WorkerCheckpoints:
        return WorkerCheckpoints(
            self.unit,
            [self.unit.job_id, *lineage],
            self.environment.ledger.checkpoints,
            self.data_dir,
            every_s=every_s,
            stop=stop,
            report=self.reported.append,
            data_sha256=lambda: data * 64,
            curve=LearningCurve() if curve is None else curve,
            objects=objects,
        )

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.data_dir / "checkpoints").glob("*/*"))


@pytest.fixture
def training(environment: Environment, tmp_path: Path) -> Training:
    return Training(environment, tmp_path)


def progress_of(checkpoints: WorkerCheckpoints) -> object:
    checkpoint = checkpoints.load()
    return None if checkpoint is None else dict(checkpoint.progress)


def test_the_last_checkpoint_is_loaded_and_only_two_are_kept(training: Training):
    checkpoints = training.checkpoints()
    for step in (1, 2, 3):
        checkpoints.save({}, {"step": step})

    assert progress_of(training.checkpoints()) == {"step": 3}
    assert len(training.names()) == 2
    assert training.reported == ["The training goes on from its last checkpoint."]


def test_data_that_has_changed_since_the_checkpoint_is_refused(training: Training):
    training.checkpoints(data="a").save({}, {"step": 1})

    with pytest.raises(InvalidData) as raised:
        training.checkpoints(data="b").load()

    assert str(raised.value) == (
        f"The training data has changed since the checkpoint: its SHA-256 was {'a' * 64}, and is "
        f"{'b' * 64}. Put the old data back. Hand the training in again without `continues`, "
        "and it begins anew."
    )


def test_to_go_on_from_an_earlier_job_whose_files_are_in_no_store_is_refused(
    training: Training, bucket: Bucket
) -> None:
    earlier, objects = training.unit.job_id, Objects(bucket.url)
    training.checkpoints(objects=objects).save({}, {"step": 1})
    shutil.rmtree(training.data_dir / "checkpoints")
    for name in bucket.names("checkpoints/"):
        objects.remove(name)
    assert training.checkpoints(objects=objects).load() is None  # the job's own
    assert training.reported == [
        "Its checkpoints are on another host, and none is in the store: it begins anew."
    ]
    training.unit = training.claim()

    with pytest.raises(CheckpointDamaged, match="Hand the training in again without `continues`"):
        training.checkpoints(earlier, objects=objects).load()


def test_a_checkpoint_that_comes_too_late_is_refused_and_leaves_no_file(training: Training):
    checkpoints = training.checkpoints()
    checkpoints.save({}, {"step": 1})
    names = training.names()
    training.environment.ledger.control.cancel(training.unit.job_id)

    with pytest.raises(LeaseLost, match="is refused: the job has ended, or another worker has it"):
        checkpoints.save({}, {"step": 2})

    assert training.names() == names
    assert progress_of(training.checkpoints()) == {"step": 1}


def test_a_worker_frozen_while_it_saves_removes_no_checkpoint_of_the_next_attempt(
    training: Training, monkeypatch: pytest.MonkeyPatch
):
    records = training.environment.ledger.checkpoints
    commit = records.commit

    def freeze_before_the_answer(unit: Unit, record: CheckpointRecord) -> list[str]:
        monkeypatch.undo()
        counting = commit(unit, record)
        training.environment.ledger.work.release_unit(unit)
        training.unit = training.environment.claim_unit("worker-b")
        holder = training.checkpoints()
        for step in (2, 3, 4):
            holder.save({}, {"step": step})
        return counting

    monkeypatch.setattr(records, "commit", freeze_before_the_answer)
    training.checkpoints().save({}, {"step": 1})

    assert training.names() == sorted(record.name for record in records.of(training.unit.job_id))
    assert progress_of(training.checkpoints()) == {"step": 4}


def test_a_full_disk_fails_a_training_but_not_its_stop(training: Training):
    (training.data_dir / "checkpoints").write_text("a file in the folder's place")

    with pytest.raises(StoreUnwritable):
        training.checkpoints().save({}, {"step": 1})
    training.checkpoints(stop=lambda: True).save({}, {"step": 1})

    assert training.environment.ledger.checkpoints.of(training.unit.job_id) == []


def test_a_redis_that_is_away_costs_the_checkpoint_and_not_the_training(training: Training):
    training.checkpoints().save({}, {"step": 1})
    reachable = training.environment.ledger
    with connect("redis://127.0.0.1:1", retries=0) as nowhere:
        training.environment.ledger = Ledger(nowhere, training.environment.settings)

        training.checkpoints().save({}, {"step": 2})

    training.environment.ledger = reachable
    assert progress_of(training.checkpoints()) == {"step": 1}


def test_what_earlier_attempts_have_reported_is_not_reported_again(training: Training):
    told: list[Event] = []

    def context(before: list[Event]) -> WorkerTrainContext:
        return WorkerTrainContext(
            device=Device("cpu:0", "cpu"),
            folder=training.data_dir,
            checkpoints=training.checkpoints(),
            curve=LearningCurve(),
            _data=TrainingData(ListDataset([LabelledRecord("a", "b")], "one record"), None),
            _run=Run(a_train_job(), training.unit),
            _publish=told.append,
            _stop=lambda: False,
            _reported=reported_in(before),
        )

    first = context([])
    first.epoch(1, 3, 0.1, loss=0.5)
    first.sample(1, 0.5, "a", "b")
    again = context([an_epoch(training.unit.job_id, epoch=7), *told])
    again.epoch(1, 3, 0.2, loss=0.5)
    again.sample(1, 0.5, "a", "b")
    again.sample(1, 1.0, "a", "c")
    again.epoch(2, 3, 0.2, loss=0.4)

    assert [event.epoch for event in told if isinstance(event, Epoch)] == [1, 2]
    assert [event.temperature for event in told if isinstance(event, Sample)] == [0.5, 1.0]
