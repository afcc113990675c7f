"""What a worker can run now, by its store and by what has failed."""

import shutil
from pathlib import Path

import pytest

from seqd.models.store import ModelStore
from seqd.worker import fitness as module
from seqd.worker.fitness import Fitness
from seqd_schemas import UnfitCode

ROUTES = ("classify.echo", "train.echo")


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
def root(tmp_path: Path) -> Path:
    for version in (1, 2):
        (tmp_path / "models" / "echo" / str(version)).mkdir(parents=True)
    return tmp_path / "models"


def a_fitness(root: Path, **options) -> Fitness:
    return Fitness(ROUTES, ModelStore(root, {}), **options)


def codes(fitness: Fitness) -> list[tuple[int | None, UnfitCode]]:
    return [(one.version, one.code) for one in fitness.unfit(1_000_000)]


@pytest.mark.parametrize("content", ['{"best": 1}', "{", None])
def test_labels_that_have_changed_are_noticed_once_also_by_a_worker_that_claims_all_the_time(
    clock: Clock, root: Path, content: str | None
):
    labels = root / "echo" / "labels.json"
    labels.write_text('{"production": 2}')
    fitness = a_fitness(root)
    fitness.refresh(0.0)

    labels.unlink() if content is None else labels.write_text(content)
    clock.now_s += 2
    fitness.queues()

    assert [fitness.refresh(), fitness.refresh(0.0)] == [True, False]


def test_the_wait_doubles_with_each_failure_until_something_has_worked(clock: Clock, root: Path):
    fitness = a_fitness(root)

    waits = []
    for _ in range(9):
        waits.append(fitness.mark("echo", 2, UnfitCode.BREAKER_OPEN, "it raised"))
        fitness.reopen("echo", 2)
    fitness.worked("echo", 2)

    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert fitness.mark("echo", 2, UnfitCode.BREAKER_OPEN, "it raised") == 0.5


def test_a_sick_device_leaves_every_queue(clock: Clock, root: Path):
    fitness = a_fitness(root)

    fitness.mark("echo", 1, UnfitCode.DEVICE_FAULT, "CUDA error")

    assert fitness.queues() == ()
    assert fitness.versions() == {"echo": ()}


def test_trainings_that_failed_are_tried_again_when_they_are_due_and_unfit_until_one_works(
    clock: Clock, root: Path
):
    fitness = a_fitness(root)
    fitness.mark("echo", None, UnfitCode.UNWRITABLE, "the disk is full")

    assert "train.echo" not in fitness.queues()
    clock.now_s += module.FIRST_WAIT_S
    assert "train.echo" in fitness.queues()
    assert codes(fitness) == [(None, UnfitCode.UNWRITABLE)]
    fitness.worked("echo", None)
    assert codes(fitness) == []


def test_a_store_that_is_away_takes_all_with_it_but_what_is_in_memory(clock: Clock, root: Path):
    fitness = a_fitness(root, is_loaded=lambda name, version: version == 1)
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


def test_a_version_that_failed_is_left_until_it_is_due_and_has_worked(clock: Clock, root: Path):
    fitness = a_fitness(root)

    fitness.mark("echo", 2, UnfitCode.DAMAGED, "a file is damaged")

    assert "classify.echo@2" not in fitness.queues()
    assert fitness.versions() == {"echo": (1,)}
    assert codes(fitness) == [(2, UnfitCode.DAMAGED)]
    assert fitness.due() == []
    clock.now_s += module.FIRST_WAIT_S
    assert fitness.due() == [("echo", 2)]
    fitness.reopen("echo", 2)
    assert "classify.echo@2" in fitness.queues()
    assert codes(fitness) == []


def test_a_version_that_was_removed_is_no_fault(clock: Clock, root: Path):
    fitness = a_fitness(root)
    fitness.mark("echo", 2, UnfitCode.DAMAGED, "a file is damaged")
    (root / "echo" / "2").rmdir()

    assert fitness.refresh(0.0)
    assert fitness.versions() == {"echo": (1,)}
    assert codes(fitness) == []
