"""What the fleet can run, by what its workers publish, and the jobs that none of them can."""

from types import SimpleNamespace
from typing import Any

import pytest

from builders import a_catalog_entry, a_worker_status
from clock_fixtures import HeldClock
from seqd.models.catalog import lacks_any, with_versions_elsewhere
from seqd.worker.background import Unserved
from seqd_schemas import (
    CatalogEntry,
    Failure,
    UnfitCode,
    UnfitVersion,
    VersionSummary,
    WorkerState,
    WorkerStatus,
)

QUEUE = "classify.echo@2"


def a_worker(name: str = "w1", versions: tuple[int, ...] = (1, 2), **fields) -> WorkerStatus:
    update = {
        "worker": name,
        "tasks": ("classify", "train"),
        "versions": {"echo": versions},
        "state": WorkerState.READY,
        **fields,
    }
    return a_worker_status().model_copy(update=update)


def an_unfit(code: UnfitCode, version: int | None = 2) -> UnfitVersion:
    return UnfitVersion(model="echo", version=version, code=code, message=f"so {code}.", since_ms=1)


class Fleet:
    """Stands for the ledger: workers, open jobs with their queues, and what is failed."""

    def __init__(self, *workers: WorkerStatus, jobs: tuple[tuple[str, str], ...]) -> None:
        self.workers = list(workers)
        self.jobs = list(jobs)
        self.failed: dict[str, Failure] = {}
        self.asked: list[int] = []

    def ledger(self) -> Any:
        fleet = SimpleNamespace(workers=lambda: self.workers)
        control = SimpleNamespace(open_queues=self._open, fail=self.failed.__setitem__)
        return SimpleNamespace(fleet=fleet, control=control)

    def _open(self, first: int, most: int) -> list[tuple[str, str]]:
        self.asked.append(first)
        return self.jobs[first : first + most]


@pytest.fixture
def clock():
    return HeldClock()


def test_it_waits_for_the_grace_where_one_of_the_reasons_may_pass(clock):
    fleet = Fleet(
        a_worker("w1", (1,), unfit=(an_unfit(UnfitCode.DAMAGED),)),
        a_worker("w2", (1,)),
        jobs=(("j1", QUEUE),),
    )
    unserved = Unserved(fleet.ledger(), 120.0, clock=clock)

    unserved.run_once()
    clock.now_s += 119
    unserved.run_once()
    assert fleet.failed == {}
    clock.now_s += 1
    unserved.run_once()

    assert "w2: missing: its store has no such version (it can run 1)" in fleet.failed["j1"].message


@pytest.mark.parametrize(
    "workers",
    [
        (),
        (a_worker(versions=(1,), tasks=("train",)),),
        (a_worker(versions=(1,), state=WorkerState.DRAINING),),
        (a_worker("w1", (1,)), a_worker("w2")),
        (a_worker("w1", (1,)), a_worker("w2", state=WorkerState.STARTING)),
    ],
    ids=["none is up", "none takes it", "one drains", "one can", "one that starts may"],
)
def test_it_waits_for_ever_otherwise(clock, workers):
    fleet = Fleet(*workers, jobs=(("j1", QUEUE), ("j2", "train.echo")))
    unserved = Unserved(fleet.ledger(), 1.0, clock=clock)

    for _ in range(3):
        unserved.run_once()
        clock.now_s += 10

    assert fleet.failed == {}


def versions_of(entry: CatalogEntry) -> list[int]:
    return [one.version for one in entry.versions]


def an_entry(*versions: int, **labels: int) -> CatalogEntry:
    summaries = tuple(VersionSummary(version=one, created_at_ms=1, metrics={}) for one in versions)
    labels = {"latest": versions[-1], **labels} if versions else {}
    return a_catalog_entry().model_copy(
        update={"model": "echo", "versions": summaries, "labels": labels}
    )


def test_an_entry_keeps_the_versions_that_another_worker_can_run_and_that_do_not_go():
    mine, published = an_entry(1, 2, production=1), an_entry(1, 3, 4, production=3, best=3)
    other = [a_worker(versions=(1, 3))]

    entry = with_versions_elsewhere(mine, published, other)

    assert versions_of(entry) == [1, 2, 3]
    assert entry.labels == {"latest": 3, "production": 1, "best": 3}
    assert versions_of(with_versions_elsewhere(mine, published, other, retiring={3})) == [1, 2]
    assert with_versions_elsewhere(mine, None, other) is mine
    assert with_versions_elsewhere(an_entry(1, 2), an_entry(1, 2, 4), other) == an_entry(1, 2)


def test_a_starter_that_serves_here_takes_nothing_out_of_service_that_another_store_has():
    mine, published = an_entry(0, production=0), an_entry(0, 1, production=1)

    beside = with_versions_elsewhere(mine, published, [a_worker(versions=(0, 1))])
    rolled_back = with_versions_elsewhere(
        an_entry(0, 1, production=0), published, [a_worker(versions=(0, 1))]
    )

    assert beside.labels == {"latest": 1, "production": 1}
    assert rolled_back.labels["production"] == 0


def test_where_nothing_is_in_service_elsewhere_a_starter_that_cannot_be_read_here_still_is():
    mine = an_entry().model_copy(update={"labels": {"production": 0}})
    published = an_entry(1)

    entry = with_versions_elsewhere(mine, published, [a_worker(versions=(1,))])

    assert entry.labels == {"latest": 1, "production": 0}


@pytest.mark.parametrize(
    ("mine", "lacks"), [({"echo": (1, 2)}, False), ({"echo": (3,)}, True), ({"new": (1,)}, True)]
)
def test_a_worker_notices_that_a_version_of_its_own_is_not_published(mine, lacks):
    assert lacks_any({"echo": an_entry(1, 2)}, mine) is lacks
