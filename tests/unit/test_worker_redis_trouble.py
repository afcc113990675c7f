"""Redis goes away for a moment while a worker works: no job may be blamed for it.

The ledger is a stand-in that fails at a chosen call, since a real server cannot be made to
go away between two calls of one unit.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from builders import a_chunk, some_results
from seqd.errors import RedisFull, RedisRefused, RedisUnreachable
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, MiscountedResults, Renewal
from seqd.settings import Settings
from seqd.worker.computing import UnitItems
from seqd.worker.context import WorkerContext
from seqd.worker.items import ItemRunner
from seqd.worker.leases import LeaseKeeper
from seqd.worker.training import train
from seqd_schemas import Log

TROUBLES = [RedisUnreachable("away"), RedisFull("full"), RedisRefused("refused")]


class Ledger:
    """Fails at one call, and notes the calls that would end a job."""

    def __init__(self, failing: str, error: Exception) -> None:
        self.blamed: list[str] = []
        self._failing, self._error = failing, error
        self.jobs = self.submissions = self.work = self.fleet = self.ingests = self

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object, **named: object) -> Any:
            if name == self._failing:
                raise self._error
            if name == "fail_job":
                self.blamed.append(name)
            return SimpleNamespace(units=0, unit_items=8)

        return call


def a_unit(**changes: object) -> Unit:
    unit = Unit(job_id="j1", name="0", attempt=1, crashes=0, blob=b"", started_job=False)
    return replace(unit, **changes)  # type: ignore[arg-type]


def a_context(ledger: Ledger, registry: Any = None) -> WorkerContext:
    tools: dict[str, Any] = dict.fromkeys(("identity", "routes", "store", "cache", "fitness"))
    return WorkerContext(
        ledger=ledger,  # type: ignore[arg-type]
        registry=registry,
        leases=SimpleNamespace(  # type: ignore[arg-type]
            should_end=lambda: False,
            given_up=lambda unit: None,
            committed=lambda unit, outcome: None,
        ),
        drain=SimpleNamespace(is_raised=lambda: False),  # type: ignore[arg-type]
        max_attempts=3,
        **tools,
    )


def test_only_the_ledgers_own_word_says_that_a_chunk_was_replaced():
    ledger = Ledger("none", ValueError())
    miscounted = MiscountedResults("seqd: 2 results for unit 0, which has 3 items")
    ledger.commit_batch = lambda finished, plugin_version: [miscounted, CommitOutcome.COMPLETED]
    finished: list[str] = []
    ledger.get = lambda job_id: job_id
    context = a_context(ledger, SimpleNamespace(notify_job_finished=finished.append))
    units = [UnitItems(a_unit(job_id=job_id), a_chunk(2)) for job_id in ("replaced", "sound")]

    ItemRunner(context)._commit([(items, some_results(2)) for items in units])

    assert ledger.blamed == ["fail_job"]
    assert finished == ["replaced", "sound"]


@pytest.mark.parametrize("error", TROUBLES, ids=lambda error: type(error).__name__)
def test_news_of_a_training_that_cannot_be_published_ends_no_training(error, caplog):
    told: list[Log] = []
    registry = SimpleNamespace(notify_job_progress=told.append)
    context = a_context(Ledger("publish", error), registry)
    news = Log(job_id="j1", at_ms=0, level="info", message="learnt")

    train.TrainingRunner(context, Settings())._publish_event(a_unit(name="train"), news)

    assert told == [news]
    # An outage has its own lines in the log.
    lines = [] if isinstance(error, RedisUnreachable) else [error]
    assert caplog.messages == [f"event=log of training job=j1 is lost: {line}" for line in lines]


def test_a_late_answer_about_an_earlier_claim_costs_no_later_one_its_lease():
    keeper: LeaseKeeper
    later = a_unit(attempt=2)

    class Renewing:
        """Loses the first claim, and answers when the unit has been claimed again."""

        def __init__(self) -> None:
            self.work = self

        def renew(self, units: list[Unit]) -> list[Renewal]:
            with keeper.holding([later]):
                answered.append(keeper.should_end())
            keeper._units = (later,)
            return [Renewal.LOST for _ in units]

    answered: list[bool] = []
    keeper = LeaseKeeper(Renewing(), heartbeat_s=10, max_silent_s=60)  # type: ignore[arg-type]
    with keeper.holding([a_unit(attempt=1)]):
        keeper._renew()
        lost = keeper.should_end()

    assert (answered, lost) == ([False], False)
