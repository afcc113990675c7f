"""A job that ends between its version's publication and its commit leaves the store as it was.

The steps of `seqd.worker.training.publish` are taken one by one, so that the job can end in
between; the ledger and the store are real.
"""

import json

import pytest

from builders import a_train_job
from ledger_fixtures import Environment
from plugin_builders import a_registry_of
from seqd.analysis.curves import LearningCurve
from seqd.errors import InvalidRequest, LeaseLost, UnknownJob
from seqd.hookspecs import LabelledRecord, TrainedModel
from seqd.inputs.datasets import ListDataset
from seqd.ledger.units import Unit
from seqd.local.slots import parse_slot
from seqd.models.store import ModelStore
from seqd.worker.context import ModelCache, WorkerContext, identify
from seqd.worker.drain import DrainFlag
from seqd.worker.fitness import Fitness
from seqd.worker.leases import LeaseKeeper
from seqd.worker.training.checkpoints import lineage_of
from seqd.worker.training.garbage import collect_garbage
from seqd.worker.training.publish import Publisher, Trained, TrainingCommit
from seqd.worker.training.run import Run, TrainingData, TrainingPlan, WorkerTrainContext
from seqd_schemas import FileSource, JobState, ModelManifest, TrainJob
from worker_fixtures import light_plugin

pytestmark = pytest.mark.processes

ROUTE = ("train.echo",)


class Steps:
    """A worker's context, and the steps of a publication."""

    def __init__(self, environment: Environment, folder) -> None:
        self.environment = environment
        self.settings = environment.settings.model_copy(update={"data_dir": folder})
        self.store = ModelStore(self.settings.store_dir, {})
        self._light = light_plugin()
        registry = a_registry_of([("light", self._light)])
        identity = identify(parse_slot("cpu:0"), "worker-a")
        self._context = WorkerContext(
            identity=identity,
            routes=ROUTE,
            ledger=environment.ledger,
            registry=registry,
            store=self.store,
            cache=ModelCache(registry, self.store, identity.device, 0),
            leases=LeaseKeeper(environment.ledger, 10.0),
            drain=DrainFlag(self.settings, identity.name),
            max_attempts=3,
            fitness=Fitness(ROUTE, self.store),
        )
        self.publisher = Publisher(self._context)

    def claim(self, job: TrainJob) -> Unit:
        self.environment.submit(job, version=None)
        return self.environment.claim_unit(routes=ROUTE)

    def publish(self, job: TrainJob, unit: Unit) -> ModelManifest:
        """Do what a training does when it is through, up to the commit."""
        data = TrainingData(ListDataset([LabelledRecord("a", "b")], "one record"), None)
        context = WorkerTrainContext(
            device=self._context.identity.device,
            folder=self.store.new_folder(job.model, unit.job_id),
            checkpoints=None,  # type: ignore[arg-type] # nothing is trained here
            curve=LearningCurve(),
            _run=Run(job, unit),
            _data=data,
            _publish=lambda event: None,
            _stop=lambda: False,
        )
        (context.folder / "echo.json").write_text(json.dumps({"records": 1}))
        parameters = self._light.TrainParameters()
        trained = TrainedModel(metrics={"loss": 0.5})
        run = Run(job, unit)
        model = self._context.registry.model("echo")
        plan = TrainingPlan(run, "echo", model, parameters, data)
        draft = self.publisher.draft(plan, trained, context)
        return self.publisher.publish(run, context.folder, draft)

    def commit(self, job: TrainJob, unit: Unit, manifest: ModelManifest) -> None:
        commit = TrainingCommit(self._context, self.publisher, Run(job, unit))
        commit.succeed(Trained(manifest, seconds=1.0, epochs_s=0.0))

    def lineage_of(self, job: TrainJob, job_id: str) -> list[str]:
        return lineage_of(
            job, job_id, self.environment.ledger.jobs, self.environment.ledger.checkpoints
        )

    def shows(self) -> tuple[list[int], dict[str, int]]:
        return self.store.numbers("echo"), self.store.labels("echo")

    def state_of(self, job_id: str) -> JobState:
        return self.environment.record(job_id).state


@pytest.fixture
def steps(environment: Environment, tmp_path) -> Steps:
    return Steps(environment, tmp_path)


def an_echo_job(**changes) -> TrainJob:
    return a_train_job(model="echo", preset=None, parameters={}, **changes)


def complete(steps: Steps, **changes) -> None:
    job = an_echo_job(**changes)
    unit = steps.claim(job)
    steps.commit(job, unit, steps.publish(job, unit))
    assert steps.publisher.finalize(Run(job, unit))


@pytest.mark.parametrize("labels", [(), ("production",), ("production", "candidate")])
def test_a_cancel_between_publication_and_commit_rolls_the_version_back(
    steps: Steps, monkeypatch, labels
):
    complete(steps, labels=("production",))
    before = steps.shows()
    job = an_echo_job(labels=labels)
    unit = steps.claim(job)

    manifest = steps.publish(job, unit)
    work, labels_meanwhile = steps.environment.ledger.work, {}
    commit = work.commit_training

    def commit_after_a_cancel(*arguments):
        labels_meanwhile.update(steps.store.labels("echo"))
        steps.environment.ledger.control.cancel(unit.job_id)
        return commit(*arguments)

    monkeypatch.setattr(work, "commit_training", commit_after_a_cancel)
    steps.commit(job, unit, manifest)
    completed = steps.publisher.finalize(Run(job, unit))

    assert not completed
    assert all(labels_meanwhile[label] == manifest.version for label in labels)
    assert steps.shows() == before
    assert steps.environment.ledger.fleet.catalog()["echo"].labels == {"production": 1, "latest": 1}


def test_a_version_that_the_next_attempt_adopts_is_not_rolled_back(steps: Steps):
    job = an_echo_job(labels=("production",))
    zombie = steps.claim(job)
    manifest = steps.publish(job, zombie)
    steps.environment.ledger.work.release_unit(zombie)
    holder = steps.environment.claim_unit("worker-b", routes=ROUTE)

    # The zombie's commit is fenced, before and after the other attempt has committed.
    with pytest.raises(LeaseLost):
        steps.commit(job, zombie, manifest)
    assert not steps.publisher.finalize(Run(job, zombie))
    adopted = steps.publisher.adopt(Run(job, holder))
    assert adopted == manifest
    steps.commit(job, holder, adopted)
    with pytest.raises(LeaseLost):
        steps.commit(job, zombie, manifest)
    finalized = [steps.publisher.finalize(Run(job, unit)) for unit in (zombie, holder)]

    assert finalized == [True, True]
    assert steps.state_of(holder.job_id) is JobState.COMPLETED
    assert steps.shows() == ([1], {"production": 1, "latest": 1})


def complete_by_another(steps: Steps, job: TrainJob, frozen: Unit) -> None:
    """Let the next attempt complete the job, and an operator roll the label back to version 1."""
    steps.environment.ledger.work.release_unit(frozen)
    holder = steps.environment.claim_unit("worker-b", routes=ROUTE)
    version = steps.publisher.adopt(Run(job, holder)) or steps.publish(job, holder)
    steps.commit(job, holder, version)
    assert steps.publisher.finalize(Run(job, holder))
    assert steps.store.labels("echo") == {"production": 2, "latest": 2}
    steps.store.set_label("echo", "production", 1)


@pytest.mark.parametrize("frozen_before", ["begin_publish", "publish", "move_labels"])
def test_a_worker_frozen_anywhere_in_the_publication_leaves_a_label_where_an_operator_put_it(
    steps: Steps, monkeypatch, frozen_before
):
    complete(steps, labels=("production",))
    job = an_echo_job(labels=("production",))
    zombie = steps.claim(job)
    step = getattr(steps.store, frozen_before)

    def freeze_and_thaw(*arguments: object) -> object:
        monkeypatch.undo()
        complete_by_another(steps, job, zombie)
        return step(*arguments)

    monkeypatch.setattr(steps.store, frozen_before, freeze_and_thaw)
    with pytest.raises(LeaseLost, match="has ended, or another worker has it"):
        steps.commit(job, zombie, steps.publish(job, zombie))

    assert steps.publisher.finalize(Run(job, zombie))
    assert steps.shows() == ([1, 2], {"production": 1, "latest": 2})
    assert steps.store.begun() == []


def test_a_version_whose_job_is_cancelled_after_its_worker_died_is_rolled_back(steps: Steps):
    complete(steps, labels=("production",))
    before = steps.shows()
    job = an_echo_job(labels=("production",))
    unit = steps.claim(job)
    manifest = steps.publish(job, unit)
    steps.store.begin_publish("echo", unit.job_id, "attempt-1")
    steps.store.move_labels("echo", job.labels, manifest.version, unit.job_id, "attempt-1")

    # Killed here, and cancelled with no worker up.
    steps.environment.ledger.control.cancel(unit.job_id)
    rolled_back = collect_garbage(steps.settings.data_dir, steps.store, steps.state_of, 0.0)

    assert rolled_back == [f"echo@{manifest.version}"]
    assert steps.shows() == before


def test_a_request_that_differs_cannot_go_on_from_a_checkpoint(steps: Steps):
    first = steps.environment.submit(an_echo_job(), version=None)
    other = FileSource(path="/data/other.jsonl")
    job = an_echo_job(continues=first).model_copy(
        update={"parameters": {"epochs": 9}, "source": other, "held_out": other}
    )

    with pytest.raises(InvalidRequest) as raised:
        steps.lineage_of(job, "second")

    assert str(raised.value) == (
        f"This training cannot go on from job {first}: the two differ in parameters and source "
        "and held_out, and a checkpoint fits the same request only. Ask for the same. Hand the "
        "training in again without `continues`, and it begins anew."
    )


def test_a_job_that_is_not_kept_any_more_cannot_be_gone_on_from(steps: Steps):
    with pytest.raises(UnknownJob) as raised:
        steps.lineage_of(an_echo_job(continues="gone"), "second")

    assert str(raised.value) == (
        "Job gone, which this training goes on from, is not kept any more. Hand the training in "
        "again without `continues`, and it begins anew."
    )
