"""The work that is left, as the ledger has it: items by queue, rates of slots, who holds what.

A read costs by queues and workers, however many jobs are open: the scripts keep the items of each
queue, and a bounded number of open jobs is read. `seqd.scaling` makes seconds of it, and
`seqd.queue_states` how each queue stands.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

from seqd.kinds import TRAIN
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    StreamEntry,
    Whole,
    command,
    exchange,
    open_jobs,
    permitted,
    pipeline,
    script,
)
from seqd.ledger.jobs import items_left
from seqd.ledger.model_pauses import ModelPauses, pause_told, paused_models
from seqd.ledger.scripts import HELD_STATES, as_int
from seqd.queue_states import (
    JobRow,
    QueueFacts,
    QueueState,
    WorkDone,
    queue_states,
    tenant_states,
)
from seqd.scaling import QueueWork, Rate, RouteWork, work_left
from seqd_schemas import JobState, QueueName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd.ledger.fleet import Fleet
    from seqd.ledger.units import Unit
    from seqd_schemas import CatalogEntry, WorkerStatus

#: Busy seconds after which what was measured before counts for 1/e; of a single measurement that is
#: longer, such as a training, five times as many.
FADE_S = 300.0

#: The state of a job that nobody has begun, as its hash has it.
_QUEUED = JobState.QUEUED.value.encode()

#: Leases of one worker that are looked at; of more, these stand for all.
LEASES_LOOKED_AT = 16

#: Open jobs, the oldest, among which the first is looked for that nobody has begun.
OLDEST_JOBS = 500

#: Last events of a training among which the one is that says how long it will take.
_LAST_EVENTS = 8


@dataclass(slots=True)
class _Held:
    """What workers hold of one queue."""

    items: float = 0.0
    #: Those of them whose jobs are paused.
    paused_items: float = 0.0
    units: float = 0.0
    workers: int = 0
    reported: int = 0
    reported_s: float = 0.0


class WithFleet(Whole, Protocol):
    """A ledger with its fleet."""

    fleet: "Fleet"


class Backlog(Part):
    """Counts what is left, and keeps the rates by which it becomes seconds."""

    def __init__(self, ledger: WithFleet) -> None:
        super().__init__(ledger)
        self._fleet = ledger.fleet

    @exchange
    def note_rate(self, queue: str, items: int, seconds: float, errors: int = 0) -> Exchange[None]:
        """Note that a slot was busy for `seconds` with a queue, and did so many items of it.

        `errors` of them have an error.
        """
        fade_s = max(FADE_S, 5 * seconds)
        yield from script("note_rate", queue, items, f"{seconds:.6f}", fade_s, errors)

    @exchange
    def note_unread(self, unit: "Unit", items: int) -> Exchange[bool]:
        """Note how many items of a job's file are not read yet; False when `unit` is not ours."""
        return as_int((yield from script("note_unread", unit.job_id, unit.attempt, items))) == 1

    @exchange
    def routes(self, workers: "list[WorkerStatus]") -> Exchange[list[RouteWork]]:
        """Return what is left by task and model, of all that the catalog has."""
        catalog = yield from self._fleet.catalog.steps()
        known = [(task, model) for model, entry in catalog.items() for task in entry.all_tasks]
        queues = yield from self.queues.steps()
        rates = yield from self.rates.steps()
        return work_left(queues, rates, workers, known)

    @exchange
    def rates(self) -> Exchange[dict[str, Rate]]:
        """Return the rates that were measured, by queue."""
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self._keys.rates())))
        rates = {}
        for queue, row in rows.items():
            items, seconds, at_ms = row.split()
            rates[queue.decode()] = Rate(float(items), float(seconds), int(at_ms))
        return rates

    @exchange
    def queues(self, left: "Mapping[str, int] | None" = None) -> Exchange[list[QueueWork]]:
        """Return what is left by queue; queues with nothing left are not among them.

        `left` are the items of each, where they were read already.
        """
        if left is None:
            left = items_left((yield from command("HGETALL", self._keys.work_left())))
        items = dict(left)
        now_ms = yield from self._fleet.now_ms.steps()
        held = yield from self._held(now_ms)
        for queue, of_queue in held.items():
            # A paused job counts nothing in Redis, and what is in hand of it is done all the same.
            if in_hand := round(of_queue.paused_items):
                items[queue] = items.get(queue, 0) + in_hand
        if not items:
            return []
        paused = yield from paused_models(self._keys)
        waits = yield from self._oldest_waits(now_ms)
        held_up = dict.fromkeys(items, 0)
        for queue, count in items.items():
            _, model, version = QueueName.parse(queue)
            if version is not None and model in paused:
                # Nobody may go on with what waits, so no worker is needed for it.
                items[queue] = min(count, round(held[queue].items))
                held_up[queue] = count - items[queue]
        return [
            QueueWork(
                queue,
                count,
                leased_items=round(held[queue].items),
                leased_units=round(held[queue].units),
                busy_workers=held[queue].workers,
                reported=held[queue].reported,
                reported_s=held[queue].reported_s,
                oldest_wait_s=waits.get(queue),
                held_up_items=held_up[queue],
                paused_leased_items=round(held[queue].paused_items),
            )
            for queue, count in items.items()
        ]

    def _held(self, now_ms: int) -> Exchange[defaultdict[str, _Held]]:
        """Return what workers hold, by queue; also those that died, until their leases run out."""
        names = cast(list[bytes], (yield from command("ZRANGE", self._keys.workers(), 0, -1)))
        known = [name.decode(errors="replace") for name in names]
        samples = (yield from self._fleet.held.steps(known, LEASES_LOOKED_AT)).values()
        members = [member.rpartition(" ") for sample in samples for member in sample.members]
        asked = []
        for job_id, _, unit in members:
            fields = ("queue", "total", "units", "sealed", "state")
            asked.append(Command(("HMGET", self._keys.job(job_id), *fields)))
            asked.append(Command(("HGET", self._keys.sizes(job_id), unit)))
            if unit == TRAIN:
                last = ("+", "-", "COUNT", _LAST_EVENTS)
                asked.append(Command(("XREVRANGE", self._keys.events(job_id), *last)))
        replies = iter((yield from pipeline(asked)))
        held: defaultdict[str, _Held] = defaultdict(_Held)
        for sample in samples:
            queues = set()
            for member in sample.members:
                unit = member.rpartition(" ")[2]
                row, size = cast(list[bytes | None], next(replies)), next(replies)
                events = next(replies) if unit == TRAIN else []
                if row[0] is None:
                    continue
                queue = row[0].decode()
                queues.add(queue)
                of_queue, stands_for = held[queue], sample.units / len(sample.members)
                of_queue.units += stands_for
                items = _items_of(unit, row, cast(bytes | None, size)) * stands_for
                of_queue.items += items
                of_queue.paused_items += items if row[4] in HELD_STATES else 0
                left_s = _seconds_left(events, now_ms)
                if left_s is not None:
                    of_queue.reported += 1
                    of_queue.reported_s += left_s
            for queue in queues:
                held[queue].workers += 1
        return held

    def _oldest_waits(self, now_ms: int) -> Exchange[dict[str, float]]:
        """Return by queue the seconds since its oldest job was made that nobody has begun."""
        fields = ("queue", "state", "created")
        waits: dict[str, float] = {}
        for _, row in (yield from open_jobs(self._keys, 0, OLDEST_JOBS, fields)):
            queue, state, created = row
            if queue is not None and created is not None and state == _QUEUED:
                wait_s = max(0.0, (now_ms - int(created)) / 1000)
                waits[queue.decode()] = max(wait_s, waits.get(queue.decode(), 0.0))
        return waits


def _items_of(unit: str, row: list[bytes | None], size: bytes | None) -> int:
    """Return the items of a unit in hand; the ingest of a file is none of them."""
    if unit == "ingest":
        return 0
    if unit == TRAIN:
        return 1
    if size is None and row[2:4] == [b"1", b"1"]:
        size = row[1]  # the only unit of a sealed job
    return int(size or 0)


def _seconds_left(events: object, now_ms: int) -> float | None:
    """Return how long a training says that it will take from now; None where it says nothing."""
    for _, fields in cast(list[StreamEntry], events):
        event = json.loads(fields[b"e"])
        if event["event"] == "step" and event.get("eta_s") is not None:
            return max(0.0, float(event["eta_s"]) - (now_ms - int(event["at_ms"])) / 1000)
    return None


#: Open jobs, the oldest, that are looked at: for what is paused, and for what each tenant has.
LOOKED_AT: Final = 500
LOOKED_AT_BY_TENANT: Final = 5_000

_FIELDS: Final = (
    "queue", "tenant", "state", "created", "total", "succeeded", "errored", "cancelled", "expired",
)  # fmt: skip


class _WithBacklog(WithFleet, Protocol):
    backlog: Backlog
    model_pauses: ModelPauses


class Queues(Part):
    """Reads how each queue stands: what waits of it, how fast it goes, who can run it."""

    def __init__(self, ledger: _WithBacklog) -> None:
        super().__init__(ledger)
        self._fleet, self._backlog = ledger.fleet, ledger.backlog
        self._model_pauses = ledger.model_pauses

    @exchange
    def states(self, *, by_tenant: bool = False) -> Exchange[list[QueueState]]:
        """Return the state of each task and model, those of the catalog without work too, sorted.

        By tenant there is one for each that has jobs among the oldest `LOOKED_AT_BY_TENANT` open
        ones.
        """
        workers = yield from self._fleet.workers.steps()
        catalog = yield from self._fleet.catalog.steps()
        jobs = LOOKED_AT_BY_TENANT if by_tenant else LOOKED_AT
        facts = yield from self.facts.steps(workers, catalog, jobs=jobs)
        return tenant_states(facts) if by_tenant else queue_states(facts)

    @exchange
    def facts(
        self,
        workers: "list[WorkerStatus]",
        catalog: "Mapping[str, CatalogEntry]",
        left: "Mapping[str, int] | None" = None,
        jobs: int = LOOKED_AT,
    ) -> Exchange[QueueFacts]:
        """Return what states are made of, by so many of the oldest open jobs.

        `left` are the items that are left by queue, where they were read already.
        """
        work = yield from self._backlog.queues.steps(left)
        rates = yield from permitted(self._backlog.rates.steps(), {})
        pauses = yield from self._model_pauses.all.steps()
        return QueueFacts(
            now_ms=(yield from self._fleet.now_ms.steps()),
            work=work,
            rates=rates,
            done=(yield from permitted(self._done(), {})),
            workers=workers,
            jobs=(yield from self._jobs(jobs)),
            known=[(task, model) for model, entry in catalog.items() for task in entry.all_tasks],
            pauses={model: pause_told(pause) for model, pause in pauses.items()},
            unheard=(yield from self._fleet.unheard.steps(workers)),
        )

    def _done(self) -> Exchange[dict[str, WorkDone]]:
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self._keys.work_done())))
        found = {}
        for queue, row in rows.items():
            items, errors, recent, recent_errors, since, at = row.split()
            found[queue.decode()] = WorkDone(
                int(items), int(errors), float(recent), float(recent_errors), int(since), int(at)
            )
        return found

    def _jobs(self, most: int) -> Exchange[list[JobRow]]:
        """Return the oldest open jobs."""
        rows = yield from open_jobs(self._keys, 0, most, _FIELDS)
        # One that another engine runs is in no queue.
        found = ((one, row) for one, row in rows if row[0] and None not in row)
        return [_job_row(one, cast(list[bytes], row)) for one, row in found]


def _job_row(job_id: str, row: list[bytes]) -> JobRow:
    queue, tenant, state = (value.decode() for value in row[:3])
    created_ms, total, *ended = map(int, row[3:])
    return JobRow(job_id, queue, tenant, JobState(state), created_ms, total - sum(ended))
