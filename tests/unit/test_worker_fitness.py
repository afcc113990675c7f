"""What a worker can run now, by its store and by what has failed."""

import shutil
from pathlib import Path

import pytest

from clock_fixtures import HeldClock
from seqd.models.store import ModelStore
from seqd.worker.fitness import FIRST_WAIT_S, Fitness
from seqd_schemas import UnfitCode
from store_builders import publish

ROUTES = ("classify.echo", "train.echo")


@pytest.fixture
def clock():
    return HeldClock()


@pytest.fixture
def root(tmp_path):
    for version in (1, 2):
        (tmp_path / "models" / "echo" / str(version)).mkdir(parents=True)
    return tmp_path / "models"


def a_fitness(root: Path, **options) -> Fitness:
    return Fitness(ROUTES, ModelStore(root, {}), **options)


def codes(fitness: Fitness) -> list[tuple[int | None, UnfitCode]]:
    return [(one.version, one.code) for one in fitness.unfit(1_000_000)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", '{"best": 1}'),
        ("labels.json", "{"),
        ("labels.json", None),
        ("history.jsonl", "{}\n"),  # written behind the labels
    ],
)
def test_labels_that_have_changed_are_noticed_once_also_by_a_worker_that_claims_all_the_time(
    clock, root, name, content
):
    (root / "echo" / "labels.json").write_text('{"production": 2}')
    fitness = a_fitness(root, clock=clock)
    fitness.refresh(0.0)

    file = root / "echo" / name
    file.unlink() if content is None else file.write_text(content)
    clock.now_s += 2
    fitness.queues()

    assert [fitness.refresh(), fitness.refresh(0.0)] == [True, False]


def test_the_wait_doubles_with_each_failure_until_something_has_worked(clock, root):
    fitness = a_fitness(root, clock=clock)

    waits = []
    for _ in range(9):
        waits.append(fitness.mark("echo", 2, UnfitCode.BREAKER_OPEN, "it raised"))
        fitness.reopen("echo", 2)
    fitness.worked("echo", 2)

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert fitness.mark("echo", 2, UnfitCode.BREAKER_OPEN, "it raised") == 0.5


def test_a_sick_device_leaves_every_queue(clock, root):
    fitness = a_fitness(root, clock=clock)

    fitness.mark("echo", 1, UnfitCode.DEVICE_FAULT, "CUDA error")

    assert fitness.queues() == ()
    assert fitness.versions() == {"echo": ()}


def test_trainings_that_failed_are_tried_again_when_they_are_due_and_unfit_until_one_works(
    clock, root
):
    fitness = a_fitness(root, clock=clock)
    fitness.mark("echo", None, UnfitCode.UNWRITABLE, "the disk is full")

    assert "train.echo" not in fitness.queues()
    clock.now_s += FIRST_WAIT_S
    assert "train.echo" in fitness.queues()
    assert codes(fitness) == [(None, UnfitCode.UNWRITABLE)]
    fitness.worked("echo", None)
    assert codes(fitness) == []


def test_a_store_that_is_away_takes_all_with_it_but_what_is_in_memory(clock, root):
    fitness = a_fitness(root, clock=clock, is_loaded=lambda name, version: version == 1)
    root.rename(root.with_name("away"))

    assert fitness.refresh(0.0)
    assert fitness.versions() == {"echo": (1,)}
    assert codes(fitness) == [(2, UnfitCode.UNREADABLE)]
    (entry,) = fitness.unfit(1_000_000)
    assert entry.message == f"{root / 'echo'} is not there any more, and all versions in it"
    root.with_name("away").rename(root)
    assert fitness.refresh(0.0)
    assert fitness.versions() == {"echo": (1, 2)}
    assert codes(fitness) == []
    shutil.rmtree(root)


def test_a_version_that_failed_is_left_until_it_is_due_and_has_worked(clock, root):
    fitness = a_fitness(root, clock=clock)

    fitness.mark("echo", 2, UnfitCode.DAMAGED, "a file is damaged")

    assert "classify.echo@2" not in fitness.queues()
    assert fitness.versions() == {"echo": (1,)}
    assert codes(fitness) == [(2, UnfitCode.DAMAGED)]
    assert fitness.due() == []
    clock.now_s += FIRST_WAIT_S
    assert fitness.due() == [("echo", 2)]
    fitness.mark("echo", 2, UnfitCode.DAMAGED, "it is damaged still")
    (entry,) = fitness.unfit(now_ms=1_000_000)
    assert entry.since_ms == 1_000_000 - 1_000 * FIRST_WAIT_S  # since the first failure
    fitness.reopen("echo", 2)
    assert "classify.echo@2" in fitness.queues()
    assert codes(fitness) == []


def test_a_version_that_was_removed_is_no_fault(clock, root):
    fitness = a_fitness(root, clock=clock)
    fitness.mark("echo", 2, UnfitCode.DAMAGED, "a file is damaged")
    (root / "echo" / "2").rmdir()

    assert fitness.refresh(0.0)
    assert fitness.versions() == {"echo": (1,)}
    assert codes(fitness) == []


@pytest.fixture
def named(tmp_path):
    """A store with `echo@1`, two versions of `topics`, made with `echo`, and one of `lstm`."""
    store = ModelStore(tmp_path / "models", {})
    for model, plugin in (("echo", ""), ("topics", "echo"), ("topics", "echo"), ("moods", "lstm")):
        publish(store, model, plugin)
    return store


OF_ROUTES = {"classify.echo", "train.echo"}
TOPICS = {"classify.echo:topics@1", "classify.echo:topics@2"}


def test_a_named_model_is_claimed_by_its_plugins_route_until_it_is_away_or_removed(
    clock, named, tmp_path
):
    fitness, folder, aside = (
        Fitness(ROUTES, named, clock=clock),
        named.folder_of("topics"),
        tmp_path / "aside",
    )

    def claimed() -> set[str]:
        fitness.refresh(0.0)
        return set(fitness.queues()) - OF_ROUTES

    there = claimed()
    folder.rename(aside)
    away, is_away = claimed(), fitness.is_away()
    unfit = [(one.model, one.version, one.code) for one in fitness.unfit(1_000_000)]
    aside.rename(folder)
    back, is_away_still = claimed(), fitness.is_away()
    for version in (1, 2):
        shutil.rmtree(folder / str(version))
    removed = claimed()

    assert there == back == {"classify.echo@1", *TOPICS}
    assert away == removed == {"classify.echo@1"}
    assert (is_away, is_away_still) == (True, False)
    assert unfit == [("topics", version, UnfitCode.UNREADABLE) for version in (1, 2)]
    assert fitness.versions() == {"echo": (1,)}
    assert fitness.unfit(1_000_000) == ()


def test_items_of_a_model_that_is_not_served_are_left_and_its_trainings_are_not(clock, named):
    served = {"topics"}
    fitness = Fitness(ROUTES, named, is_served=lambda name: name in served, clock=clock)
    fitness.refresh(0.0)

    topics_alone, left_out = fitness.queues(), fitness.left_out()
    served.symmetric_difference_update({"echo", "topics"})
    before_the_change = fitness.queues()
    fitness.placement_has_changed()

    assert set(topics_alone) == {*TOPICS, "train.echo"}
    assert left_out == ("echo",)
    assert before_the_change == topics_alone
    assert set(fitness.queues()) == {*OF_ROUTES, "classify.echo@1"}
    assert fitness.left_out() == ("topics",)
    assert fitness.versions() == {"echo": (1,), "topics": (1, 2)}
