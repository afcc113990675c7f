"""Which version of a sweep gets its labels, when two end at once or the sweep is cancelled then.

The steps of `seqd.worker.training.sweeps` are taken one by one, in every order that two workers
could take them in; the ledger and the store are real.
"""

import json

import pytest

from builders import a_sweep_job
from ledger_fixtures import Environment
from seqd.analysis.curves import LearningCurve
from seqd.analysis.sweeps import combinations_of, training_of
from seqd.hookspecs import LabelledRecord, PluginParameters, TrainedModel
from seqd.inputs.datasets import ListDataset
from seqd.ledger.blobs import unpack_items
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome
from seqd.local.slots import parse_slot
from seqd.models.registry import Registry
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd.worker.context import ModelCache, WorkerContext, identify
from seqd.worker.drain import DrainFlag
from seqd.worker.fitness import Fitness
from seqd.worker.ingest import Ingest
from seqd.worker.leases import LeaseKeeper
from seqd.worker.training.publish import Publisher
from seqd.worker.training.run import (
    Run,
    TrainingData,
    TrainingPlan,
    WorkerTrainContext,
    state_of_run,
)
from seqd.worker.training.sweeps import BestLabels
from seqd_schemas import (
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
    ModelManifest,
    ServiceChange,
    SweepJob,
    TrainedVersion,
)

pytestmark = pytest.mark.processes

ROUTE = ("train.markov",)
#: Not `production`, which the first version of a model gets at once.
LABEL = "best"


class Steps:
    """A worker's context, a sweep of two, and what its trainings made."""

    def __init__(self, environment: Environment, settings: Settings) -> None:
        self.environment = environment
        self._settings = settings
        self.store = ModelStore(settings.store_dir, {})
        registry = Registry.load(settings)
        identity = identify(parse_slot("train@cpu"), "worker-a")
        self._context = WorkerContext(
            identity=identity,
            routes=ROUTE,
            ledger=environment.ledger,
            registry=registry,
            store=self.store,
            cache=ModelCache(registry, self.store, identity.device, 0),
            leases=LeaseKeeper(environment.ledger, 10.0),
            drain=DrainFlag(settings, identity.name),
            max_attempts=3,
            fitness=Fitness(ROUTE, self.store),
        )
        self.publisher = Publisher(self._context)
        self.begin()

    def begin(self, **changes: object) -> None:
        """Hand a sweep in, and claim its combinations."""
        self.job: SweepJob = a_sweep_job(
            model="markov", grid={"lower_case": [True, False]}, labels=(LABEL,), **changes
        )
        self.job_id = self.environment.submit(self.job, version=None, unit_items=1)
        ingest = self.environment.claim(routes=ROUTE)
        assert ingest is not None
        Ingest(self._context, self._settings).run(ingest)
        self.runs = [
            self._run(self.environment.claim_unit(routes=ROUTE)) for _ in combinations_of(self.job)
        ]

    def labels(self) -> BestLabels:
        return BestLabels(self._context, self.publisher, self.job, self.job_id)

    def publish(self, run: Run, accuracy: float) -> ModelManifest:
        """Do what a training does up to its publication."""
        data = TrainingData(ListDataset([LabelledRecord("a", "b")], "one record"), None)
        context = WorkerTrainContext(
            device=self._context.identity.device,
            folder=self.store.new_folder("markov", run.id),
            checkpoints=None,  # type: ignore[arg-type] # nothing is trained here
            curve=LearningCurve(),
            _run=run,
            _data=data,
            _publish=lambda event: None,
            _stop=lambda: False,
        )
        (context.folder / "chain.json").write_text(json.dumps({}))
        trained = TrainedModel(metrics={"validation_accuracy": accuracy})
        parameters = PluginParameters()
        model = self._context.registry.model("markov")
        plan = TrainingPlan(run, "markov", model, parameters, data)
        draft = self.publisher.draft(plan, trained, context)
        return self.publisher.publish(run, context.folder, draft)

    def commit(self, run: Run, manifest: ModelManifest | None) -> CommitOutcome:
        """Commit a version, or that there is none."""
        assert run.name is not None
        if manifest is None:
            error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="It broke.")
            result: ItemSuccess | ItemFailure = ItemFailure(custom_id=run.name, error=error)
        else:
            output = TrainedVersion(
                model="markov",
                version=manifest.version,
                parameters={},
                metrics=manifest.metrics,
                seconds=1.0,
            )
            result = ItemSuccess(custom_id=run.name, output=output)
        chunk = unpack_items(run.unit.blob)
        return self.environment.ledger.work.commit(run.unit, [result], chunk, fenced=True)

    def label(self) -> int | None:
        """Return the version that the label is at."""
        return self.store.labels("markov").get(LABEL)

    def in_service(self) -> int | None:
        """Return the version that the bare name means."""
        return self.store.labels("markov").get("production")

    def _run(self, unit: Unit) -> Run:
        combination = combinations_of(self.job)[int(unit.name)]
        return Run(training_of(self.job, combination), unit, self.job, combination.name)


@pytest.fixture
def steps(environment: Environment, tmp_path) -> Steps:
    return Steps(environment, environment.settings.model_copy(update={"data_dir": tmp_path}))


@pytest.mark.parametrize("accuracies", [(0.9, 0.8), (0.8, 0.9)])
def test_two_that_end_at_once_label_the_better_one_before_either_commits(steps: Steps, accuracies):
    versions = [
        steps.publish(run, accuracy) for run, accuracy in zip(steps.runs, accuracies, strict=True)
    ]

    for run, version in zip(steps.runs, versions, strict=True):
        steps.labels().move_if_last(run, version)

    better = max(versions, key=lambda version: version.metrics["validation_accuracy"])
    assert steps.label() == better.version
    assert steps.in_service() == better.version  # of a model that had none before the sweep
    outcomes = [steps.commit(*made) for made in zip(steps.runs, versions, strict=True)]
    assert outcomes == ["committed", "completed"]
    assert [steps.publisher.finalize(run) for run in steps.runs] == [True, True]
    assert (steps.label(), steps.in_service()) == (better.version, better.version)
    assert steps.store.begun() == []


def test_no_label_moves_while_a_combination_is_still_to_come(steps: Steps):
    version = steps.publish(steps.runs[0], 0.9)

    steps.labels().move_if_last(steps.runs[0], version)

    assert steps.label() is None
    assert steps.in_service() == version.version


def test_where_the_last_one_failed_in_that_moment_the_end_moves_the_label(steps: Steps):
    fine, broken = steps.runs
    steps.labels().move_if_last(broken, None)
    version = steps.publish(fine, 0.9)
    steps.labels().move_if_last(fine, version)
    before = steps.label()
    steps.commit(broken, None)
    assert steps.commit(fine, version) == "completed"

    steps.labels().move_at_end()

    assert (before, steps.label()) == (None, version.version)


@pytest.mark.parametrize("accuracy", [0.8, 0.95])
def test_a_retry_labels_the_best_of_the_whole_before_it_commits(steps: Steps, accuracy: float):
    fine, broken = steps.runs
    earlier = steps.publish(fine, 0.9)
    steps.commit(fine, earlier)
    steps.commit(broken, None)
    steps.begin(continues=steps.job_id, only=(broken.name,))
    (retried,) = steps.runs
    later = steps.publish(retried, accuracy)

    steps.labels().move_if_last(retried, later)

    assert steps.label() == (later if accuracy > 0.9 else earlier).version


@pytest.mark.parametrize("accuracies", [(0.9, 0.8), (0.8, 0.9)])
def test_a_cancel_between_labels_and_commits_puts_all_back(steps: Steps, accuracies):
    made = []
    for run, accuracy in zip(steps.runs, accuracies, strict=True):
        made.append((run, steps.publish(run, accuracy)))
        steps.labels().move_if_last(*made[-1])
    labelled = steps.label()

    steps.environment.ledger.control.cancel(steps.job_id)
    outcomes = [steps.commit(*one) for one in made]
    for run in steps.runs:
        assert not steps.publisher.finalize(run)

    assert labelled == made[accuracies.index(0.9)][1].version
    assert outcomes == ["ended", "ended"]
    assert (steps.store.numbers("markov"), steps.store.labels("markov")) == ([], {})


def test_a_cancel_after_the_first_commit_keeps_what_was_committed(steps: Steps):
    kept, undone = steps.runs
    versions = [steps.publish(kept, 0.8), steps.publish(undone, 0.9)]
    steps.commit(kept, versions[0])
    steps.publisher.finalize(kept)
    steps.labels().move_if_last(undone, versions[1])

    steps.environment.ledger.control.cancel(steps.job_id)
    steps.commit(undone, versions[1])
    for run in steps.runs:
        steps.publisher.finalize(run)

    jobs = steps.environment.ledger.jobs
    assert [state_of_run(run.id, jobs) for run in steps.runs] == [
        JobState.COMPLETED,
        JobState.CANCELLED,
    ]
    assert steps.store.find_by_run("markov", kept.id) == versions[0]
    assert steps.store.find_by_run("markov", undone.id) is None
    assert (steps.label(), steps.in_service()) == (None, versions[0].version)


def test_a_version_that_somebody_has_put_in_service_meanwhile_stays_there(steps: Steps):
    first, second = steps.runs
    better, chosen = steps.publish(first, 0.9), steps.publish(second, 0.8)
    change = ServiceChange(
        at_ms=1, by="me@a.host", from_version=better.version, to_version=chosen.version
    )
    steps.store.put_in_service("markov", change)

    steps.labels().move_if_last(second, chosen)
    steps.commit(first, better)
    steps.commit(second, chosen)
    steps.labels().move_at_end()

    assert (steps.label(), steps.in_service()) == (better.version, chosen.version)


def test_a_training_of_a_sweep_that_nobody_knows_has_no_state(environment: Environment):
    assert state_of_run("gone.3", environment.ledger.jobs) is None
