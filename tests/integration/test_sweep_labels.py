"""Which version of a sweep gets its labels, when two end at once or the sweep is cancelled then.

The steps of `seqd.worker.sweeps` are taken one by one, in every order that two workers could take
them in; the ledger and the store are real.
"""

import json

import pytest

from builders import a_sweep_job
from ledger_fixtures import Scene
from seqd.analysis.curves import LearningCurve
from seqd.analysis.sweeps import combinations_of, training_of
from seqd.hookspecs import LabelledRecord, PluginParameters, TrainedModel
from seqd.inputs import ListDataset
from seqd.ledger.blobs import unpack_items
from seqd.ledger.commits import CommitOutcome
from seqd.ledger.units import Unit
from seqd.registry import Registry
from seqd.settings import Settings
from seqd.slots import parse_slot
from seqd.store import ModelStore
from seqd.worker.contexts import WorkerTrainContext
from seqd.worker.drain import DrainFlag
from seqd.worker.identity import identify
from seqd.worker.intake import Intake
from seqd.worker.leases import LeaseKeeper
from seqd.worker.model_cache import ModelCache
from seqd.worker.publication import Publication
from seqd.worker.runs import Run, state_of_run
from seqd.worker.sweeps import BestLabels
from seqd.worker.training_data import TrainingData
from seqd.worker.workbench import Workbench
from seqd_schemas import (
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
    ModelManifest,
    SweepJob,
    TrainedVersion,
)

pytestmark = pytest.mark.processes

ROUTE = ("train.markov",)
LABEL = "production"


class Bench:
    """A worker's tools on a scene, a sweep of two, and what its trainings made."""

    def __init__(self, scene: Scene, settings: Settings) -> None:
        self.scene = scene
        self.store = ModelStore(settings.store_dir, {})
        registry = Registry.load(settings)
        identity = identify(parse_slot("train@cpu"), "worker-a")
        self._bench = Workbench(
            identity=identity,
            routes=ROUTE,
            ledger=scene.ledger,
            registry=registry,
            store=self.store,
            cache=ModelCache(registry, self.store, identity.device, 0),
            leases=LeaseKeeper(scene.ledger, 10.0, 600.0),
            drain=DrainFlag(settings, identity.name),
            max_attempts=3,
        )
        self.publication = Publication(self._bench, 1.0)
        self.job: SweepJob = a_sweep_job(
            model="markov", grid={"lower_case": [True, False]}, labels=(LABEL,)
        )
        self.job_id = scene.submit(self.job, version=None, unit_items=1)
        intake = scene.claim(routes=ROUTE)
        assert intake is not None
        Intake(self._bench, settings).run(intake)
        self.runs = [self._run(scene.claim_unit(routes=ROUTE)) for _ in range(2)]

    def labels(self) -> BestLabels:
        return BestLabels(self._bench, self.publication, self.job, self.job_id)

    def publish(self, run: Run, accuracy: float) -> ModelManifest:
        """Do what a training does up to its publication."""
        data = TrainingData(ListDataset([LabelledRecord("a", "b")], "one record"), None)
        context = WorkerTrainContext(
            device=self._bench.identity.device,
            folder=self.store.new_folder("markov", run.id),
            checkpoints=None,  # type: ignore[arg-type] # nothing is trained here
            curve=LearningCurve(),
            _data=data,
            _unit=run.unit,
            _publish=lambda event: None,
            _stop=lambda: False,
        )
        (context.folder / "chain.json").write_text(json.dumps({}))
        trained = TrainedModel(metrics={"validation_accuracy": accuracy})
        parameters = PluginParameters()
        return self.publication.publish(run, parameters, trained, context, data.fingerprint())

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
        return self.scene.ledger.commits.one(run.unit, [result], chunk, fenced=True)

    def label(self) -> int | None:
        """Give the version that the label is at."""
        return self.store.labels("markov").get(LABEL)

    def _run(self, unit: Unit) -> Run:
        combination = combinations_of(self.job)[int(unit.name)]
        return Run(training_of(self.job, combination), unit, self.job, combination.name)


@pytest.fixture
def bench(scene: Scene, tmp_path) -> Bench:
    return Bench(scene, scene.settings.model_copy(update={"data_dir": tmp_path}))


@pytest.mark.parametrize("accuracies", [(0.9, 0.8), (0.8, 0.9)])
def test_two_that_end_at_once_label_the_better_one_before_either_commits(bench: Bench, accuracies):
    versions = [
        bench.publish(run, accuracy) for run, accuracy in zip(bench.runs, accuracies, strict=True)
    ]

    for run, version in zip(bench.runs, versions, strict=True):
        bench.labels().move_if_last(run, version)

    better = max(versions, key=lambda version: version.metrics["validation_accuracy"])
    assert bench.label() == better.version
    outcomes = [bench.commit(*made) for made in zip(bench.runs, versions, strict=True)]
    assert outcomes == ["committed", "completed"]
    assert [bench.publication.settle(run) for run in bench.runs] == [True, True]
    assert bench.label() == better.version
    assert bench.store.announced() == []


def test_no_label_moves_while_a_combination_is_still_to_come(bench: Bench):
    version = bench.publish(bench.runs[0], 0.9)

    bench.labels().move_if_last(bench.runs[0], version)

    assert bench.label() is None


def test_where_the_last_one_failed_in_that_moment_the_end_moves_the_label(bench: Bench):
    fine, broken = bench.runs
    bench.labels().move_if_last(broken, None)
    version = bench.publish(fine, 0.9)
    bench.labels().move_if_last(fine, version)
    before = bench.label()
    bench.commit(broken, None)
    assert bench.commit(fine, version) == "completed"

    bench.labels().move_at_end()

    assert (before, bench.label()) == (None, version.version)


def test_a_cancel_between_labels_and_commits_puts_all_back(bench: Bench):
    old = bench.store.numbers("markov")
    worse, better = bench.runs
    made = []
    for run, accuracy in ((better, 0.9), (worse, 0.8)):
        made.append((run, bench.publish(run, accuracy)))
        bench.labels().move_if_last(*made[-1])
    labelled = bench.label()

    bench.scene.ledger.control.cancel(bench.job_id)
    outcomes = [bench.commit(*one) for one in made]
    for run in bench.runs:
        assert not bench.publication.settle(run)

    assert labelled == made[0][1].version
    assert outcomes == ["ended", "ended"]
    assert (bench.store.numbers("markov"), bench.label()) == (old, None)


def test_a_cancel_after_the_first_commit_keeps_what_was_committed(bench: Bench):
    kept, undone = bench.runs
    versions = [bench.publish(kept, 0.8), bench.publish(undone, 0.9)]
    bench.commit(kept, versions[0])
    bench.publication.settle(kept)
    bench.labels().move_if_last(undone, versions[1])

    bench.scene.ledger.control.cancel(bench.job_id)
    bench.commit(undone, versions[1])
    for run in bench.runs:
        bench.publication.settle(run)

    jobs = bench.scene.ledger.jobs
    assert [state_of_run(run.id, jobs) for run in bench.runs] == [
        JobState.COMPLETED,
        JobState.CANCELLED,
    ]
    assert bench.store.find_by_run("markov", kept.id) == versions[0]
    assert bench.store.find_by_run("markov", undone.id) is None
    assert bench.label() is None


def test_a_training_of_a_sweep_that_nobody_knows_has_no_state(scene: Scene):
    assert state_of_run("gone.3", scene.ledger.jobs) is None
