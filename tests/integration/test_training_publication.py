"""A job that ends between its version's publication and its commit leaves the store as it was.

The steps of `seqd.worker.publication` are taken one by one, so that the job can end in between;
the ledger and the store are real.
"""

import json
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType

import pytest

from builders import a_train_job
from ledger_fixtures import Scene
from plugin_builders import a_registry_of
from seqd.analysis.curves import LearningCurve
from seqd.errors import InvalidRequest, LeaseLost, RedisUnreachable, UnknownJob
from seqd.hookspecs import LabelledRecord, TrainedModel
from seqd.inputs import ListDataset
from seqd.ledger.checkpoints import CheckpointRecord
from seqd.ledger.units import Unit
from seqd.ledger.work import Renewal
from seqd.slots import parse_slot
from seqd.store import ModelStore
from seqd.worker import publication
from seqd.worker.checkpoints import lineage_of
from seqd.worker.contexts import WorkerTrainContext
from seqd.worker.drain import DrainFlag
from seqd.worker.identity import identify
from seqd.worker.leases import LeaseKeeper
from seqd.worker.leftovers import sweep
from seqd.worker.model_cache import ModelCache
from seqd.worker.publication import Publication
from seqd.worker.runs import Run
from seqd.worker.training_data import TrainingData
from seqd.worker.workbench import Workbench
from seqd_schemas import FileSource, JobState, ModelManifest, TrainJob
from worker_fixtures import PLUGIN

pytestmark = pytest.mark.processes

ROUTE = ("train.echo",)


def light_plugin() -> ModuleType:
    spec = spec_from_file_location("seqd_light", PLUGIN / "seqd_light.py")
    assert spec is not None and spec.loader is not None
    light = module_from_spec(spec)
    spec.loader.exec_module(light)
    return light


class Bench:
    """A worker's tools on a scene, and the steps of a publication."""

    def __init__(self, scene: Scene, folder) -> None:
        self.scene = scene
        self.settings = scene.settings.model_copy(update={"data_dir": folder})
        self.store = ModelStore(self.settings.store_dir, {})
        self._light = light_plugin()
        registry = a_registry_of([("light", self._light)])
        identity = identify(parse_slot("cpu:0"), "worker-a")
        bench = Workbench(
            identity=identity,
            routes=ROUTE,
            ledger=scene.ledger,
            registry=registry,
            store=self.store,
            cache=ModelCache(registry, self.store, identity.device, 0),
            leases=LeaseKeeper(scene.ledger, 10.0, 600.0),
            drain=DrainFlag(self.settings, identity.name),
            max_attempts=3,
        )
        self.publication = Publication(bench, 1.0)
        self._bench = bench

    def claim(self, job: TrainJob) -> Unit:
        self.scene.submit(job, version=None)
        return self.scene.claim_unit(routes=ROUTE)

    def publish(self, job: TrainJob, unit: Unit) -> ModelManifest:
        """Do what a training does when it is through, up to the commit."""
        data = TrainingData(ListDataset([LabelledRecord("a", "b")], "one record"), None)
        context = WorkerTrainContext(
            device=self._bench.identity.device,
            folder=self.store.new_folder(job.model, unit.job_id),
            checkpoints=None,  # type: ignore[arg-type] # nothing is trained here
            curve=LearningCurve(),
            _data=data,
            _unit=unit,
            _publish=lambda event: None,
            _stop=lambda: False,
        )
        (context.folder / "echo.json").write_text(json.dumps({"records": 1}))
        parameters = self._light.TrainParameters()
        trained = TrainedModel(metrics={"loss": 0.5})
        return self.publication.publish(
            Run(job, unit), parameters, trained, context, data.fingerprint()
        )

    def lineage_of(self, job: TrainJob, job_id: str) -> list[str]:
        return lineage_of(job, job_id, self.scene.ledger.jobs, self.scene.ledger.checkpoints)

    def shows(self) -> tuple[list[int], dict[str, int]]:
        return self.store.numbers("echo"), self.store.labels("echo")

    def state_of(self, job_id: str) -> JobState:
        return self.scene.record(job_id).state


@pytest.fixture
def bench(scene: Scene, tmp_path) -> Bench:
    return Bench(scene, tmp_path)


def an_echo_job(**changes) -> TrainJob:
    return a_train_job(model="echo", preset=None, parameters={}, **changes)


def complete(bench: Bench, **changes) -> None:
    job = an_echo_job(**changes)
    unit = bench.claim(job)
    bench.publication.commit(Run(job, unit), bench.publish(job, unit), 1.0)
    assert bench.publication.settle(Run(job, unit))


def test_a_completed_training_is_confirmed(bench: Bench):
    complete(bench, labels=("production",))

    assert bench.shows() == ([1], {"production": 1, "latest": 1})
    assert bench.store.announced() == []


def test_a_redis_that_is_away_when_a_training_is_done_is_waited_for(bench: Bench, monkeypatch):
    job = an_echo_job()
    unit = bench.claim(job)
    work, fleet = bench.scene.ledger.work, bench.scene.ledger.fleet
    renew = work.renew

    def be_away(*arguments: object) -> None:
        monkeypatch.setattr(work, "renew", be_back)
        raise RedisUnreachable("away")

    def be_back(units: list[Unit]) -> list[Renewal]:
        monkeypatch.undo()
        return renew(units)

    monkeypatch.setattr(publication, "OUTAGE_WAIT_S", 0.0)
    monkeypatch.setattr(work, "renew", be_away)
    monkeypatch.setattr(fleet, "now_ms", be_away)
    manifest = bench.publish(job, unit)

    assert bench.store.numbers("echo") == [manifest.version]


@pytest.mark.parametrize("labels", [(), ("production",), ("production", "candidate")])
def test_a_cancel_between_publication_and_commit_takes_the_version_back(
    bench: Bench, monkeypatch, labels
):
    complete(bench, labels=("production",))
    before = bench.shows()
    job = an_echo_job(labels=labels)
    unit = bench.claim(job)

    manifest = bench.publish(job, unit)
    commits, labels_meanwhile = bench.scene.ledger.commits, {}
    commit = commits.training

    def commit_after_a_cancel(*arguments):
        labels_meanwhile.update(bench.store.labels("echo"))
        bench.scene.ledger.control.cancel(unit.job_id)
        return commit(*arguments)

    monkeypatch.setattr(commits, "training", commit_after_a_cancel)
    bench.publication.commit(Run(job, unit), manifest, 1.0)
    completed = bench.publication.settle(Run(job, unit))

    assert not completed
    assert all(labels_meanwhile[label] == manifest.version for label in labels)
    assert bench.shows() == before
    assert bench.scene.ledger.fleet.catalog()["echo"].labels == {"production": 1, "latest": 1}


def test_a_version_that_the_next_attempt_takes_over_is_not_taken_back(bench: Bench):
    job = an_echo_job(labels=("production",))
    zombie = bench.claim(job)
    manifest = bench.publish(job, zombie)
    bench.scene.ledger.work.put_back(zombie)
    holder = bench.scene.claim_unit("worker-b", routes=ROUTE)

    # The zombie's commit is fenced, before and after the other attempt has committed.
    with pytest.raises(LeaseLost):
        bench.publication.commit(Run(job, zombie), manifest, 1.0)
    assert not bench.publication.settle(Run(job, zombie))
    taken_over = bench.publication.take_up(Run(job, holder))
    assert taken_over == manifest
    bench.publication.commit(Run(job, holder), taken_over, 1.0)
    with pytest.raises(LeaseLost):
        bench.publication.commit(Run(job, zombie), manifest, 1.0)
    settled = [bench.publication.settle(Run(job, unit)) for unit in (zombie, holder)]

    assert settled == [True, True]
    assert bench.state_of(holder.job_id) is JobState.COMPLETED
    assert bench.shows() == ([1], {"production": 1, "latest": 1})


def complete_by_another(bench: Bench, job: TrainJob, frozen: Unit) -> None:
    """Let the next attempt complete the job, and an operator roll the label back to version 1."""
    bench.scene.ledger.work.put_back(frozen)
    holder = bench.scene.claim_unit("worker-b", routes=ROUTE)
    version = bench.publication.take_up(Run(job, holder)) or bench.publish(job, holder)
    bench.publication.commit(Run(job, holder), version, 1.0)
    assert bench.publication.settle(Run(job, holder))
    assert bench.store.labels("echo") == {"production": 2, "latest": 2}
    bench.store.set_label("echo", "production", 1)


@pytest.mark.parametrize("frozen_before", ["announce", "publish", "move_labels"])
def test_a_worker_frozen_anywhere_in_the_publication_leaves_a_label_where_an_operator_put_it(
    bench: Bench, monkeypatch, frozen_before
):
    complete(bench, labels=("production",))
    job = an_echo_job(labels=("production",))
    zombie = bench.claim(job)
    step = getattr(bench.store, frozen_before)

    def freeze_and_thaw(*arguments: object) -> object:
        monkeypatch.undo()
        complete_by_another(bench, job, zombie)
        return step(*arguments)

    monkeypatch.setattr(bench.store, frozen_before, freeze_and_thaw)
    with pytest.raises(LeaseLost, match="has ended, or another worker has it"):
        bench.publication.commit(Run(job, zombie), bench.publish(job, zombie), 1.0)

    assert bench.publication.settle(Run(job, zombie))
    assert bench.shows() == ([1, 2], {"production": 1, "latest": 2})
    assert bench.store.announced() == []


def test_a_worker_that_wakes_up_while_the_next_one_trains_publishes_nothing(
    bench: Bench, monkeypatch
):
    job = an_echo_job(labels=("production",))
    zombie = bench.claim(job)
    publish = bench.store.publish

    def freeze_and_thaw(*arguments):
        monkeypatch.undo()
        bench.scene.ledger.work.put_back(zombie)
        holder = bench.scene.claim_unit("worker-b", routes=ROUTE)
        assert bench.publication.take_up(Run(job, holder)) is None
        return publish(*arguments)

    monkeypatch.setattr(bench.store, "publish", freeze_and_thaw)
    with pytest.raises(LeaseLost):
        bench.publish(job, zombie)

    assert bench.store.numbers("echo") == []


def test_a_late_attempt_that_announces_itself_does_not_keep_the_holder_out(
    bench: Bench, monkeypatch
):
    job = an_echo_job(labels=("production",))
    zombie = bench.claim(job)
    bench.scene.ledger.work.put_back(zombie)
    holder = bench.scene.claim_unit("worker-b", routes=ROUTE)
    manifest = bench.publish(job, holder)
    move_labels = bench.store.move_labels

    def move_after_the_zombie(*arguments):
        monkeypatch.undo()
        with pytest.raises(LeaseLost):
            bench.publish(job, zombie)
        move_labels(*arguments)

    monkeypatch.setattr(bench.store, "move_labels", move_after_the_zombie)
    bench.publication.commit(Run(job, holder), manifest, 1.0)

    assert bench.publication.settle(Run(job, holder))
    assert bench.shows() == ([1], {"production": 1, "latest": 1})


def test_a_job_cancelled_after_its_worker_died_with_its_version_published_is_swept(bench: Bench):
    complete(bench, labels=("production",))
    before = bench.shows()
    job = an_echo_job(labels=("production",))
    unit = bench.claim(job)
    manifest = bench.publish(job, unit)
    bench.store.announce("echo", unit.job_id, "attempt-1")
    bench.store.move_labels("echo", job.labels, manifest.version, unit.job_id, "attempt-1")

    # Killed here, and cancelled with no worker up.
    bench.scene.ledger.control.cancel(unit.job_id)
    withdrawn = sweep(bench.settings.data_dir, bench.store, bench.state_of, 0.0)

    assert withdrawn == [f"echo@{manifest.version}"]
    assert bench.shows() == before


def test_a_training_goes_on_from_a_whole_row_of_jobs(bench: Bench):
    first = bench.scene.submit(an_echo_job(), version=None)
    bench.scene.ledger.control.cancel(first)
    job = an_echo_job(continues=first)
    second = bench.scene.submit(job, version=None)
    bench.scene.ledger.control.cancel(second)
    last = an_echo_job(continues=second)

    assert bench.lineage_of(last, "third") == ["third", second, first]


def checkpoint_of(bench: Bench, **changes) -> str:
    """Cancel a training that has a checkpoint."""
    unit = bench.claim(an_echo_job(**changes))
    bench.scene.ledger.checkpoints.commit(unit, CheckpointRecord("000001-000001-ab", "0" * 64))
    bench.scene.ledger.control.cancel(unit.job_id)
    return unit.job_id


def test_a_training_with_a_checkpoint_of_its_own_outlives_the_job_that_it_went_on_from(
    bench: Bench,
):
    first = checkpoint_of(bench)
    second = checkpoint_of(bench, continues=first)
    bench.scene.ledger.control.remove(first)
    last = an_echo_job(continues=second)

    assert bench.lineage_of(an_echo_job(continues=first), second) == [second]
    assert bench.lineage_of(last, "third") == ["third", second]


def test_a_request_that_differs_cannot_go_on_from_a_checkpoint(bench: Bench):
    first = bench.scene.submit(an_echo_job(), version=None)
    other = FileSource(path="/data/other.jsonl")
    job = an_echo_job(continues=first).model_copy(
        update={"parameters": {"epochs": 9}, "source": other}
    )

    with pytest.raises(InvalidRequest) as raised:
        bench.lineage_of(job, "second")

    assert str(raised.value) == (
        f"This training cannot go on from job {first}: the two differ in parameters and source, "
        "and a checkpoint fits the same request only. Ask for the same. Hand the training in "
        "again without `continues`, and it begins anew."
    )


def test_a_job_that_is_not_kept_any_more_cannot_be_gone_on_from(bench: Bench):
    with pytest.raises(UnknownJob) as raised:
        bench.lineage_of(an_echo_job(continues="gone"), "second")

    assert str(raised.value) == (
        "Job gone, which this training goes on from, is not kept any more. Hand the training in "
        "again without `continues`, and it begins anew."
    )
