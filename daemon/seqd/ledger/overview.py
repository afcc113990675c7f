"""Reads the whole fleet for whoever watches it: queues, workers, jobs, failures, the server.

A read costs by queues and workers; of jobs and of dead letters a bounded number is read, the
newest, and the rest is counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from seqd.ledger.exchange import Command, Exchange, permitted, pipeline
from seqd.ledger.minutes import Figures
from seqd.queue_states import queue_states
from seqd.scaling import work_left
from seqd_schemas import Keys

if TYPE_CHECKING:
    from seqd.ledger.inbox import InboxState, RedisMemory
    from seqd.ledger.ledger import LedgerParts
    from seqd.queue_states import QueueState
    from seqd.scaling import RouteWork
    from seqd_schemas import (
        CatalogEntry,
        CordonRule,
        FailureRecord,
        JobRecord,
        ModelPause,
        WorkerStatus,
    )

#: Open jobs that are read, and dead letters, the newest.
MAX_JOBS: Final = 200
MAX_FAILURES: Final = 100


@dataclass(frozen=True, slots=True)
class FleetOverview:
    """The fleet at one moment."""

    #: On the server's clock.
    at_ms: int
    queues: "list[QueueState]"
    #: What is left by task and model, of the moment at which the jobs were read.
    work_left: "list[RouteWork]"
    #: Those that are up, sorted by name.
    workers: "list[WorkerStatus]"
    #: The models that workers have published.
    catalog: "Mapping[str, CatalogEntry]"
    #: Units that each of them holds, if it holds any.
    units_in_hand: Mapping[str, int]
    #: Workers of the last day that are not heard of any more, and when they were.
    silent: Mapping[str, int]
    #: Those that are up by their parents alone, and for how many seconds they report nothing.
    unheard: Mapping[str, float]
    #: The newest open jobs, newest first.
    jobs: "list[JobRecord]"
    #: The newest dead letters, newest first, and how many there are; None where the user may not
    #: read them.
    failures: "list[FailureRecord] | None"
    failure_count: int | None
    open_jobs: int
    uploading_jobs: int
    #: Models that are paused or disabled, by their names.
    pauses: "Mapping[str, ModelPause]"
    #: Operators' rules on workers, the oldest first; None where the user may not read them.
    rules: "list[CordonRule] | None"
    inbox: "InboxState"
    #: None where the user may not read it.
    memory: "RedisMemory | None"
    #: Why Redis takes no writes just now, so that workers look silent; None where it does.
    no_writes: str | None

    @property
    def items_per_s(self) -> float:
        """Items a second of all queues, of about the last minute."""
        return sum(one.rate_per_s or 0.0 for one in self.queues)

    @property
    def errors_per_min(self) -> float:
        """Items a minute that failed, of all queues."""
        return 60 * sum(one.errors_per_s or 0.0 for one in self.queues)

    @property
    def figures(self) -> Figures:
        """The same, and what waits and who is busy: what is noted of a minute."""
        return Figures(
            items_per_s=round(self.items_per_s, 3),
            errors_per_min=round(self.errors_per_min, 3),
            waiting_items=sum(one.waiting_items for one in self.queues),
            busy_workers=len(self.units_in_hand),
        )


def fleet_overview(ledger: "LedgerParts") -> Exchange[FleetOverview]:
    """Return the fleet as it is now, without dead letters and rates that the user may not read."""
    fleet = yield from workers_overview(ledger)
    workers = fleet.workers
    numbers = yield from _numbers(ledger.keys)
    names = [one.worker for one in workers]
    jobs, left = yield from ledger.jobs.newest_open_and_left.steps(MAX_JOBS)
    facts = yield from ledger.queues.facts.steps(workers, fleet.catalog, left)
    return replace(
        fleet,
        queues=queue_states(facts),
        work_left=work_left(facts.work, facts.rates, workers, facts.known),
        units_in_hand=(yield from ledger.fleet.units_in_hand.steps(names)),
        jobs=jobs,
        open_jobs=_whole(numbers[0]),
        uploading_jobs=_whole(numbers[1]),
    )


def workers_overview(ledger: "LedgerParts") -> Exchange[FleetOverview]:
    """Return the same without jobs and queues, which are most of the work with many workers."""
    workers = yield from ledger.fleet.workers.steps()
    return FleetOverview(
        at_ms=(yield from ledger.fleet.now_ms.steps()),
        queues=[],
        work_left=[],
        workers=workers,
        catalog=(yield from ledger.fleet.catalog.steps()),
        units_in_hand={},
        silent=(
            yield from ledger.fleet.silent_workers.steps(frozenset(one.worker for one in workers))
        ),
        unheard=(yield from ledger.fleet.unheard.steps(workers)),
        jobs=[],
        failures=(yield from permitted(ledger.failures.newest.steps(MAX_FAILURES), None)),
        failure_count=(yield from permitted(ledger.failures.count.steps(), None)),
        open_jobs=0,
        uploading_jobs=0,
        pauses=(yield from ledger.model_pauses.all.steps()),
        rules=(yield from permitted(ledger.cordons.rules.steps(), None)),
        inbox=(yield from ledger.inbox.state.steps()),
        memory=(yield from ledger.inbox.memory.steps()),
        no_writes=(yield from ledger.writing.refusal.steps()),
    )


def _numbers(keys: Keys) -> Exchange[list[object]]:
    """Return what the server counts; an error in the place of what the user may not read."""
    asked = (
        Command(("ZCARD", keys.open_jobs())),
        Command(("ZCARD", keys.uploads())),
    )
    return list((yield from pipeline(asked, raises=False)))


def _whole(reply: object) -> int:
    return reply if isinstance(reply, int) else 0
