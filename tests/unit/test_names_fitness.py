"""The queues of a worker whose store has named models: they come, go, and go away for a while."""

import shutil
from pathlib import Path

import pytest

from seqd.models.store import ModelStore
from seqd.worker import fitness as module
from seqd.worker.context import queues_of
from seqd.worker.fitness import Fitness
from seqd_schemas import UnfitCode
from store_builders import publish

ROUTES = ("classify.echo", "generate.echo", "train.echo")
OF_ROUTES = {"classify.echo", "generate.echo", "train.echo", "train.echo:echo"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "monotonic", clock)
    return clock


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A store with two versions of `topics`, made with `echo`, and a model of another plugin."""
    store = ModelStore(tmp_path / "models", {})
    for model, plugin in (("topics", "echo"), ("topics", "echo"), ("moods", "lstm")):
        publish(store, model, plugin)
    return store


def named(fitness: Fitness) -> list[str]:
    """Return the queues of versions of named models, after a look at the store."""
    fitness.refresh(0.0)
    return [queue for queue in fitness.queues() if queue not in OF_ROUTES]


BOTH = [
    "classify.echo:topics@1",
    "classify.echo:topics@2",
    "generate.echo:topics@1",
    "generate.echo:topics@2",
]


def test_a_worker_claims_from_the_queues_of_models_that_are_made_with_its_plugins(
    clock: Clock, store: ModelStore
):
    fitness = Fitness(ROUTES, store)

    assert named(fitness) == BOTH
    assert set(fitness.queues()) - set(BOTH) == OF_ROUTES
    assert fitness.versions() == {"echo": (), "topics": (1, 2)}
    assert set(queues_of(ROUTES, store)) == {*BOTH, *OF_ROUTES}


def test_a_model_whose_versions_are_all_removed_leaves_its_queues_and_the_status(
    clock: Clock, store: ModelStore
):
    fitness = Fitness(ROUTES, store)
    before = named(fitness)

    for version in (1, 2):
        shutil.rmtree(store.folder_of("topics") / str(version))

    assert (before, named(fitness)) == (BOTH, [])
    assert fitness.versions() == {"echo": ()}
    assert fitness.unfit(1_000_000) == ()


def test_a_folder_that_is_away_takes_its_queues_with_it_and_brings_them_back(
    clock: Clock, store: ModelStore, tmp_path: Path
):
    fitness = Fitness(ROUTES, store)
    before = named(fitness)

    shutil.move(store.folder_of("topics"), tmp_path / "aside")
    away, is_away = named(fitness), fitness.is_away()
    unfit = [(one.model, one.version, one.code) for one in fitness.unfit(1_000_000)]
    shutil.move(tmp_path / "aside", store.folder_of("topics"))

    assert (before, away, is_away) == (BOTH, [], True)
    assert unfit == [("topics", 1, UnfitCode.UNREADABLE), ("topics", 2, UnfitCode.UNREADABLE)]
    assert (named(fitness), fitness.is_away()) == (BOTH, False)


def test_items_of_a_model_that_is_not_served_are_left_and_its_trainings_are_not(
    clock: Clock, store: ModelStore
):
    publish(store, "echo")
    served = {"topics"}
    fitness = Fitness(ROUTES, store, is_served=lambda name: name in served)
    fitness.refresh(0.0)

    topics_alone, left_out = fitness.queues(), fitness.left_out()
    served.symmetric_difference_update({"echo", "topics"})
    before_the_change = fitness.queues()
    fitness.placement_has_changed()

    assert set(topics_alone) == {*BOTH, "train.echo", "train.echo:echo"}
    assert left_out == ("echo",)
    assert before_the_change == topics_alone
    assert set(fitness.queues()) == {*OF_ROUTES, "classify.echo@1", "generate.echo@1"}
    assert fitness.left_out() == ("topics",)
    assert fitness.versions() == {"echo": (1,), "topics": (1, 2)}
