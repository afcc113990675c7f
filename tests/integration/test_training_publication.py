"""What trainings leave in the store, whatever ends them between publication and commit.

The steps of `seqd.worker.training` are taken one by one, so that a job can end in between, and two
trainings of a sweep in every order that two workers could take them in; the ledger and the store
are real.
"""

import json
from pathlib import Path

import pytest

from builders import a_sweep_job, a_train_job
from ledger_fixtures import Environment
from plugin_builders import a_registry_of
from seqd.analysis.curves import LearningCurve
from seqd.analysis.sweeps import combinations_of, training_of
from seqd.errors import InvalidRequest, LeaseLost, UnknownJob
from seqd.hookspecs import LabelledRecord, TrainedModel
from seqd.inputs.datasets import ListDataset
from seqd.ledger.blobs import unpack_items
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome
from seqd.local.slots import parse_slot
from seqd.models.store import ModelStore
from seqd.worker.context import ModelCache, WorkerContext, identify
from seqd.worker.drain import DrainFlag
from seqd.worker.fitness import Fitness
from seqd.worker.ingest import Ingest
from seqd.worker.leases import LeaseKeeper
from seqd.worker.training.checkpoints import lineage_of
from seqd.worker.training.publish import Publisher, Trained, TrainingCommit, collect_garbage
from seqd.worker.training.run import (
    Run,
    TrainingData,
    TrainingPlan,
    WorkerTrainContext,
    state_of_run,
)
from seqd.worker.training.sweeps import BestLabels
from seqd_schemas import (
    FileSource,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
    ModelManifest,
    ServiceChange,
    SweepJob,
    TrainedVersion,
    TrainJob,
)
from worker_fixtures import light_plugin

pytestmark = pytest.mark.processes

ROUTE = ("train.echo",)
#: A label of a sweep: not `production`, which the first version of a model gets at once.
LABEL = "best"


class Steps:
    """A worker's context, and the steps of a publication."""

    def __init__(self, environment: Environment, folder: Path) -> None:
        self.environment = environment
        self.settings = environment.settings.model_copy(update={"data_dir": folder})
        self.store = ModelStore(self.settings.store_dir, {})
        self._light = light_plugin()
        registry = a_registry_of([("light", self._light)])
        identity = identify(parse_slot("cpu:0"), "worker-a")
        self.context = WorkerContext(
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
        self.publisher = Publisher(self.context)

    def claim(self, job: TrainJob) -> Run:
        self.environment.submit(job, version=None)
        return Run(job, self.environment.claim_unit(routes=ROUTE))

    def publish(self, run: Run, accuracy: float = 0.5) -> ModelManifest:
        """Do what a training does when it is through, up to the commit."""
        data = TrainingData(ListDataset([LabelledRecord("a", "b")], "one record"), None)
        context = WorkerTrainContext(
            device=self.context.identity.device,
            folder=self.store.new_folder("echo", run.id),
            checkpoints=None,  # type: ignore[arg-type] # nothing is trained here
            curve=LearningCurve(),
            _run=run,
            _data=data,
            _publish=lambda event: None,
            _stop=lambda: False,
        )
        (context.folder / "echo.json").write_text(json.dumps({"records": 1}))
        parameters = self._light.TrainParameters()
        trained = TrainedModel(metrics={"validation_accuracy": accuracy})
        model = self.context.registry.model("echo")
        plan = TrainingPlan(run, "echo", model, parameters, data)
        draft = self.publisher.draft(plan, trained, context)
        return self.publisher.publish(run, context.folder, draft)

    def commit(self, run: Run, manifest: ModelManifest) -> None:
        commit = TrainingCommit(self.context, self.publisher, run)
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
def steps(environment: Environment, tmp_path: Path) -> Steps:
    return Steps(environment, tmp_path)


def an_echo_job(**changes) -> TrainJob:
    return a_train_job(model="echo", preset=None, parameters={}, **changes)


def complete(steps: Steps, **changes) -> None:
    job = an_echo_job(**changes)
    run = steps.claim(job)
    steps.commit(run, steps.publish(run))
    assert steps.publisher.finalize(run)


@pytest.mark.parametrize("labels", [(), ("production",), ("production", "candidate")])
def test_a_cancel_between_publication_and_commit_rolls_the_version_back(
    steps: Steps, monkeypatch, labels
):
    complete(steps, labels=("production",))
    before = steps.shows()
    run = steps.claim(an_echo_job(labels=labels))

    manifest = steps.publish(run)
    work, labels_meanwhile = steps.environment.ledger.work, {}
    commit = work.commit_training

    def commit_after_a_cancel(*arguments):
        labels_meanwhile.update(steps.store.labels("echo"))
        steps.environment.ledger.control.cancel(run.id)
        return commit(*arguments)

    monkeypatch.setattr(work, "commit_training", commit_after_a_cancel)
    steps.commit(run, manifest)
    completed = steps.publisher.finalize(run)

    assert not completed
    assert all(labels_meanwhile[label] == manifest.version for label in labels)
    assert steps.shows() == before
    assert steps.environment.ledger.fleet.catalog()["echo"].labels == {"production": 1, "latest": 1}


def test_a_version_that_the_next_attempt_adopts_is_not_rolled_back(steps: Steps):
    job = an_echo_job(labels=("production",))
    zombie = steps.claim(job)
    manifest = steps.publish(zombie)
    steps.environment.ledger.work.release_unit(zombie.unit)
    holder = Run(job, steps.environment.claim_unit("worker-b", routes=ROUTE))

    # The zombie's commit is fenced, before and after the other attempt has committed.
    with pytest.raises(LeaseLost):
        steps.commit(zombie, manifest)
    assert not steps.publisher.finalize(zombie)
    adopted = steps.publisher.adopt(holder)
    assert adopted == manifest
    steps.commit(holder, adopted)
    with pytest.raises(LeaseLost):
        steps.commit(zombie, manifest)
    finalized = [steps.publisher.finalize(run) for run in (zombie, holder)]

    assert finalized == [True, True]
    assert steps.state_of(holder.id) is JobState.COMPLETED
    assert steps.shows() == ([1], {"production": 1, "latest": 1})


def complete_by_another(steps: Steps, frozen: Run) -> None:
    """Let the next attempt complete the job, and an operator roll the label back to version 1."""
    steps.environment.ledger.work.release_unit(frozen.unit)
    holder = Run(frozen.job, steps.environment.claim_unit("worker-b", routes=ROUTE))
    steps.commit(holder, steps.publisher.adopt(holder) or steps.publish(holder))
    assert steps.publisher.finalize(holder)
    assert steps.store.labels("echo") == {"production": 2, "latest": 2}
    steps.store.set_label("echo", "production", 1)


@pytest.mark.parametrize("frozen_before", ["begin_publish", "publish", "move_labels"])
def test_a_worker_frozen_anywhere_in_the_publication_leaves_a_label_where_an_operator_put_it(
    steps: Steps, monkeypatch, frozen_before
):
    complete(steps, labels=("production",))
    zombie = steps.claim(an_echo_job(labels=("production",)))
    step = getattr(steps.store, frozen_before)

    def freeze_and_thaw(*arguments: object) -> object:
        monkeypatch.undo()
        complete_by_another(steps, zombie)
        return step(*arguments)

    monkeypatch.setattr(steps.store, frozen_before, freeze_and_thaw)
    with pytest.raises(LeaseLost, match="has ended, or another worker has it"):
        steps.commit(zombie, steps.publish(zombie))

    assert steps.publisher.finalize(zombie)
    assert steps.shows() == ([1, 2], {"production": 1, "latest": 2})
    assert steps.store.begun() == []


def test_a_version_whose_job_is_cancelled_after_its_worker_died_is_rolled_back(steps: Steps):
    complete(steps, labels=("production",))
    before = steps.shows()
    job = an_echo_job(labels=("production",))
    run = steps.claim(job)
    manifest = steps.publish(run)
    steps.store.begin_publish("echo", run.id, "attempt-1")
    steps.store.move_labels("echo", job.labels, manifest.version, run.id, "attempt-1")

    # Killed here, and cancelled with no worker up.
    steps.environment.ledger.control.cancel(run.id)
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


class Sweep:
    """A sweep of two on a worker, and what its trainings made."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.publish, self.store = steps.publish, steps.store
        self.finalize = steps.publisher.finalize
        self.begin()

    def begin(self, **changes: object) -> None:
        """Hand a sweep in, and claim its combinations."""
        environment = self.steps.environment
        self.job: SweepJob = a_sweep_job(
            model="echo", grid={"accuracy": [0.1, 0.2]}, labels=(LABEL,), **changes
        )
        self.job_id = environment.submit(self.job, version=None, unit_items=1)
        ingest = environment.claim(routes=ROUTE)
        assert ingest is not None
        Ingest(self.steps.context, self.steps.settings).run(ingest)
        self.runs = [
            self._run(environment.claim_unit(routes=ROUTE)) for _ in combinations_of(self.job)
        ]

    def labels(self) -> BestLabels:
        return BestLabels(self.steps.context, self.steps.publisher, self.job, self.job_id)

    def commit(self, run: Run, manifest: ModelManifest | None) -> CommitOutcome:
        """Commit a version, or that there is none."""
        assert run.name is not None
        if manifest is None:
            error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="It broke.")
            result: ItemSuccess | ItemFailure = ItemFailure(custom_id=run.name, error=error)
        else:
            output = TrainedVersion(
                model="echo",
                version=manifest.version,
                parameters={},
                metrics=manifest.metrics,
                seconds=1.0,
            )
            result = ItemSuccess(custom_id=run.name, output=output)
        chunk = unpack_items(run.unit.blob)
        work = self.steps.environment.ledger.work
        return work.commit(run.unit, [result], chunk, fenced=True)

    def cancel(self) -> None:
        self.steps.environment.ledger.control.cancel(self.job_id)

    def label(self) -> int | None:
        """Return the version that the label is at."""
        return self.store.labels("echo").get(LABEL)

    def in_service(self) -> int | None:
        """Return the version that the bare name means."""
        return self.store.labels("echo").get("production")

    def _run(self, unit: Unit) -> Run:
        combination = combinations_of(self.job)[int(unit.name)]
        return Run(training_of(self.job, combination), unit, self.job, combination.name)


@pytest.fixture
def sweep(steps: Steps) -> Sweep:
    return Sweep(steps)


@pytest.mark.parametrize("accuracies", [(0.9, 0.8), (0.8, 0.9)])
def test_two_that_end_at_once_label_the_better_one_before_either_commits(sweep: Sweep, accuracies):
    versions = [
        sweep.publish(run, accuracy) for run, accuracy in zip(sweep.runs, accuracies, strict=True)
    ]

    for run, version in zip(sweep.runs, versions, strict=True):
        sweep.labels().move_if_last(run, version)

    better = max(versions, key=lambda version: version.metrics["validation_accuracy"])
    assert sweep.label() == better.version
    assert sweep.in_service() == better.version  # of a model that had none before the sweep
    outcomes = [sweep.commit(*made) for made in zip(sweep.runs, versions, strict=True)]
    assert outcomes == ["committed", "completed"]
    assert [sweep.finalize(run) for run in sweep.runs] == [True, True]
    assert (sweep.label(), sweep.in_service()) == (better.version, better.version)
    assert sweep.store.begun() == []


def test_no_label_moves_while_a_combination_is_still_to_come(sweep: Sweep):
    version = sweep.publish(sweep.runs[0], 0.9)

    sweep.labels().move_if_last(sweep.runs[0], version)

    assert sweep.label() is None
    assert sweep.in_service() == version.version


def test_where_the_last_one_failed_in_that_moment_the_end_moves_the_label(sweep: Sweep):
    fine, broken = sweep.runs
    sweep.labels().move_if_last(broken, None)
    version = sweep.publish(fine, 0.9)
    sweep.labels().move_if_last(fine, version)
    before = sweep.label()
    sweep.commit(broken, None)
    assert sweep.commit(fine, version) == "completed"

    sweep.labels().move_at_end()

    assert (before, sweep.label()) == (None, version.version)


@pytest.mark.parametrize("accuracy", [0.8, 0.95])
def test_a_retry_labels_the_best_of_the_whole_before_it_commits(sweep: Sweep, accuracy: float):
    fine, broken = sweep.runs
    earlier = sweep.publish(fine, 0.9)
    sweep.commit(fine, earlier)
    sweep.commit(broken, None)
    sweep.begin(continues=sweep.job_id, only=(broken.name,))
    (retried,) = sweep.runs
    later = sweep.publish(retried, accuracy)

    sweep.labels().move_if_last(retried, later)

    assert sweep.label() == (later if accuracy > 0.9 else earlier).version


@pytest.mark.parametrize("accuracies", [(0.9, 0.8), (0.8, 0.9)])
def test_a_cancel_between_labels_and_commits_puts_all_back(sweep: Sweep, accuracies):
    made = []
    for run, accuracy in zip(sweep.runs, accuracies, strict=True):
        made.append((run, sweep.publish(run, accuracy)))
        sweep.labels().move_if_last(*made[-1])
    labelled = sweep.label()

    sweep.cancel()
    outcomes = [sweep.commit(*one) for one in made]
    for run in sweep.runs:
        assert not sweep.finalize(run)

    assert labelled == made[accuracies.index(0.9)][1].version
    assert outcomes == ["ended", "ended"]
    assert (sweep.store.numbers("echo"), sweep.store.labels("echo")) == ([], {})


def test_a_cancel_after_the_first_commit_keeps_what_was_committed(sweep: Sweep):
    kept, undone = sweep.runs
    versions = [sweep.publish(kept, 0.8), sweep.publish(undone, 0.9)]
    sweep.commit(kept, versions[0])
    sweep.finalize(kept)
    sweep.labels().move_if_last(undone, versions[1])

    sweep.cancel()
    sweep.commit(undone, versions[1])
    for run in sweep.runs:
        sweep.finalize(run)

    jobs = sweep.steps.environment.ledger.jobs
    assert [state_of_run(run.id, jobs) for run in sweep.runs] == [
        JobState.COMPLETED,
        JobState.CANCELLED,
    ]
    assert sweep.store.find_by_run("echo", kept.id) == versions[0]
    assert sweep.store.find_by_run("echo", undone.id) is None
    assert (sweep.label(), sweep.in_service()) == (None, versions[0].version)


def test_a_version_that_somebody_has_put_in_service_meanwhile_stays_there(sweep: Sweep):
    first, second = sweep.runs
    better, chosen = sweep.publish(first, 0.9), sweep.publish(second, 0.8)
    change = ServiceChange(
        at_ms=1, by="me@a.host", from_version=better.version, to_version=chosen.version
    )
    sweep.store.put_in_service("echo", change)

    sweep.labels().move_if_last(second, chosen)
    sweep.commit(first, better)
    sweep.commit(second, chosen)
    sweep.labels().move_at_end()

    assert (sweep.label(), sweep.in_service()) == (better.version, chosen.version)


def test_a_training_of_a_sweep_that_nobody_knows_has_no_state(environment: Environment):
    assert state_of_run("gone.3", environment.ledger.jobs) is None
