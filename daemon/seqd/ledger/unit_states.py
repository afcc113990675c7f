"""Where the units of a job stand: who holds them, which were tried again, which back off.

A read looks at `MAX_COUNTED` fields of each hash at most and names `MAX_LISTED` units, so that a
job of a million items costs what a job of a few thousand does.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from seqd.ledger.exchange import Command, Exchange, StreamEntry, hash_fields, ms_of, pipeline
from seqd.ledger.jobs import read_events
from seqd.ledger.units import Death
from seqd_schemas import JobState, Keys

if TYPE_CHECKING:
    from seqd.ledger.fleet import Fleet
    from seqd_schemas import Event

#: Units of a job that are counted at most.
MAX_COUNTED: Final = 10_000

#: Units that are named, of those in hand and of those that were tried again.
MAX_LISTED: Final = 20

#: Units that have crashed or were released, of which it is looked up whether they back off.
MAX_LOOKED_UP: Final = 1_000

#: Last events of a job among which its last progress, a worker's death, and when it was paused, are
#: looked for.
LAST_EVENTS: Final = 100

#: Workers whose leases are looked at, and leases of each: of more these stand for all.
MAX_WORKERS: Final = 64
MAX_LEASES: Final = 64

#: Jobs whose tenants are looked up, and tenants of a queue that are counted.
MAX_JOBS: Final = 200
MAX_TENANTS: Final = 1_000

#: Tenants of whom it is read how much they have waiting.
MAX_ACCOUNTS: Final = 100

_DEATH: Final = " death"


@dataclass(frozen=True, slots=True)
class HeldUnit:
    """A unit under a lease."""

    unit: str
    worker: str
    attempt: int
    #: Seconds until its lease runs out, unless the worker renews it; None where that is not known.
    lease_left_s: float | None


@dataclass(frozen=True, slots=True)
class TriedUnit:
    """A unit that was claimed more than once, released by a worker, or held by one that died."""

    unit: str
    #: Times that it was claimed.
    attempts: int
    #: Times that a worker died or went silent with it since it made progress last.
    crashes: int
    #: Times that a worker that was not fit for it released it, and the last that did.
    released: int
    released_by: str | None
    #: How the last worker died with it, where that was noted.
    death: Death | None
    #: Seconds until it is claimable again; None of one that does not back off.
    due_in_s: float | None
    #: Worker that holds it now.
    held_by: str | None


@dataclass(frozen=True, slots=True)
class UnitStates:
    """The units of a job at one moment."""

    now_ms: int
    #: Of the job; None where that is gone.
    state: JobState | None
    #: Units of the job so far, and those that are done; None of a small one that has ended.
    known: int | None
    done: int | None
    #: Units under a lease, by worker, and the first of them.
    workers: Mapping[str, int]
    held: tuple[HeldUnit, ...]
    claimable: int
    #: Units that are claimable again later, as far as looked up, and seconds until the first is.
    backing_off: int
    next_due_s: float | None
    #: Times that its units were claimed.
    attempts: int
    #: Units that were claimed more than once, and those with most attempts.
    tried_again: int
    tried: tuple[TriedUnit, ...]
    crashes: int
    #: True where more units were claimed than are counted.
    is_partial: bool
    #: Seconds since the client that uploads its input was heard of; None where nobody uploads.
    upload_silent_s: float | None
    #: What an upload was last asked to wait for: `workers`, `tenant` or `memory`; '' for nothing.
    upload_waits: str
    #: Units of it that may be in hand at once; None where there is no limit.
    max_units: int | None
    queue: str | None
    #: Items of its file that are not read yet, estimated.
    unread_items: int
    is_ingest_open: bool
    events: "tuple[Event, ...]"

    @property
    def in_hand(self) -> int:
        """Number of units under a lease."""
        return sum(self.workers.values())


def unit_states_of(keys: Keys, job_id: str) -> Exchange[UnitStates]:
    """Read where the units of a job stand.

    What is done, waits or is in hand comes in one round trip, or the figures would not add up.
    """
    fields = ("state", "units", "units_done", "max_units", "queue", "unread", "upload_waits")
    replies = yield from pipeline(
        (
            Command(("TIME",)),
            Command(("HGETALL", keys.leases(job_id))),
            Command(("ZCARD", keys.todo(job_id))),
            Command(("ZSCORE", keys.uploads(), job_id)),
            Command(("HMGET", keys.job(job_id), *fields)),
            Command(("XREVRANGE", keys.events(job_id), "+", "-", "COUNT", LAST_EVENTS)),
            Command(("ZSCORE", keys.todo(job_id), "ingest")),
        )
    )
    time, found, claimable, uploaded, row, entries, todo_ingest = replies
    leases = cast(dict[bytes, bytes], found)
    now_ms = ms_of(time)
    state, known, done, max_units, queue, unread, upload_waits = cast(list[bytes | None], row)
    claims, is_partial = yield from hash_fields(keys.attempts(job_id), MAX_COUNTED)
    crashes, _ = yield from hash_fields(keys.crashes(job_id), MAX_COUNTED)
    faults, _ = yield from hash_fields(keys.faults(job_id), MAX_COUNTED)
    held = {_text(unit): _holder(lease) for unit, lease in leases.items()}
    named = sorted(held, key=lambda unit: (-held[unit][0], _order(unit)))[:MAX_LISTED]
    troubled = _troubled(held, crashes, faults)
    ends = yield from _timers(keys, job_id, [*named, *troubled])
    waits = {unit: (ends[unit] - now_ms) / 1000 for unit in troubled if unit in ends}
    tried = _tried(held, claims, crashes, faults, waits)
    return UnitStates(
        now_ms=now_ms,
        state=None if state is None else JobState(_text(state)),
        known=None if known is None else whole_number(known),
        done=None if done is None else whole_number(done),
        workers=dict(Counter(worker for _, worker in held.values())),
        held=tuple(_held_unit(unit, held[unit], ends.get(unit), now_ms) for unit in named),
        claimable=cast(int, claimable),
        backing_off=len(waits),
        next_due_s=max(0.0, min(waits.values())) if waits else None,
        attempts=sum(map(whole_number, claims.values())),
        tried_again=len(
            {unit.partition(b":")[0] for unit, count in claims.items() if whole_number(count) > 1}
        ),
        tried=tuple(tried),
        crashes=sum(map(whole_number, crashes.values())),
        is_partial=is_partial,
        upload_silent_s=_since(cast(float | None, uploaded), now_ms),
        upload_waits="" if upload_waits is None else _text(upload_waits),
        max_units=whole_number(max_units) or None if max_units else None,
        queue=None if queue is None else _text(queue),
        unread_items=whole_number(unread) if unread else 0,
        is_ingest_open=todo_ingest is not None or "ingest" in held or "ingest" in waits,
        events=tuple(read_events(cast(list[StreamEntry], entries))),
    )


@dataclass(frozen=True, slots=True)
class Holdings:
    """What workers hold, of all jobs."""

    #: Units by job, of each worker that holds any.
    units: Mapping[str, Mapping[str, int]]
    #: Tenants by job, as far as looked up.
    tenants: Mapping[str, str]


def holdings_of(keys: Keys, fleet: "Fleet", workers: Sequence[str]) -> Exchange[Holdings]:
    """Read whose jobs workers have in hand; looks at `MAX_WORKERS` of them."""
    held = yield from fleet.held.steps(workers[:MAX_WORKERS], MAX_LEASES)
    units = {
        name: dict(Counter(member.rpartition(" ")[0] for member in one.members))
        for name, one in held.items()
    }
    jobs = sorted({job_id for own in units.values() for job_id in own})[:MAX_JOBS]
    tenants = (Command(("HGET", keys.job(job_id), "tenant")) for job_id in jobs)
    found = cast(list[bytes | None], (yield from pipeline(tenants)))
    return Holdings(
        units, {job: _text(name) for job, name in zip(jobs, found, strict=True) if name}
    )


def tenants_waiting(keys: Keys, queue: str, priority: str) -> Exchange[list[str]]:
    """Return the tenants with claimable units in a queue, the next one first."""
    listed = Command(("ZRANGE", keys.queue(queue, priority), 0, MAX_TENANTS - 1))
    (names,) = yield from pipeline((listed,))
    return [_text(name) for name in cast(list[bytes], names)]


def accounts_of(keys: Keys, tenants: Sequence[str]) -> Exchange[dict[str, tuple[int, int]]]:
    """Return the open jobs of tenants and the items of these that are not done, by tenant.

    Looks at the first `MAX_ACCOUNTS` of them.
    """
    names = tenants[:MAX_ACCOUNTS]
    asked = (Command(("HMGET", keys.tenant(name), "jobs", "items")) for name in names)
    rows = cast(list[list[bytes | None]], (yield from pipeline(asked)))
    return {
        name: (whole_number(jobs or b""), whole_number(items or b""))
        for name, (jobs, items) in zip(names, rows, strict=True)
    }


def tried_unit(keys: Keys, job_id: str, unit: str, now_ms: int) -> Exchange[TriedUnit]:
    """Return how often one unit was tried, why more than once, and who holds it."""
    replies = yield from pipeline(
        (
            Command(("HGET", keys.leases(job_id), unit)),
            Command(("HGET", keys.attempts(job_id), unit)),
            Command(("HGET", keys.crashes(job_id), unit)),
            Command(("HMGET", keys.faults(job_id), unit, f"{unit}{_DEATH}")),
            Command(("ZSCORE", keys.timers(), f"{job_id} {unit}")),
        )
    )
    lease, attempts, crashes = (cast(bytes | None, reply) or b"" for reply in replies[:3])
    fault, death = (value or b"" for value in cast(list[bytes | None], replies[3]))
    end_ms = cast(float | None, replies[4])
    due_in_s = None if lease or end_ms is None else (end_ms - now_ms) / 1000
    held_by = _holder(lease)[1] if lease else None
    return _tried_unit(unit, attempts, crashes, (fault, death), due_in_s, held_by)


def first_blobs(
    keys: Keys, job_id: str, unit: int
) -> Exchange[tuple[list[str], bytes | None, bytes | None]]:
    """Return the parts of a unit, and its first row of results and its input, where it has them.

    Of one that was not split the parts are its own name; of another it has neither.
    """
    name = str(unit)
    replies = yield from pipeline(
        (
            Command(("HGET", keys.parts(job_id), name)),
            Command(("HGET", keys.output(job_id), name)),
            Command(("HGET", keys.input(job_id), name)),
        )
    )
    parts, row, blob = cast(list[bytes | None], replies)
    return [name] if parts is None else _text(parts).split(), row, blob


def whole_number(count: bytes) -> int:
    """Return a count; 0 for what somebody has written over it."""
    return int(count) if count.isdigit() and len(count) <= 15 else 0


def _timers(keys: Keys, job_id: str, units: Sequence[str]) -> Exchange[dict[str, float]]:
    """Return when the lease or the back-off of units ends, in milliseconds, of those that have."""
    if not units:
        return {}
    members = (f"{job_id} {unit}" for unit in units)
    (scores,) = yield from pipeline((Command(("ZMSCORE", keys.timers(), *members)),))
    found = zip(units, cast(list[float | None], scores), strict=True)
    return {unit: float(score) for unit, score in found if score is not None}


def _troubled(
    held: Mapping[str, object], crashes: Mapping[bytes, bytes], faults: Mapping[bytes, bytes]
) -> list[str]:
    """Return the units that nobody holds and that may back off, the first of them."""
    names = {_text(unit).removesuffix(_DEATH) for unit in (*crashes, *faults)}
    return sorted(names - held.keys(), key=_order)[:MAX_LOOKED_UP]


def _tried(
    held: Mapping[str, tuple[int, str]],
    claims: Mapping[bytes, bytes],
    crashes: Mapping[bytes, bytes],
    faults: Mapping[bytes, bytes],
    waits: Mapping[str, float],
) -> Iterable[TriedUnit]:
    """Return the units that were tried more than once, those with most attempts first."""
    counts = {_text(unit): whole_number(count) for unit, count in claims.items()}
    names = {unit for unit, count in counts.items() if count > 1}
    names |= {_text(unit).removesuffix(_DEATH) for unit in (*crashes, *faults)}
    chosen = sorted(names, key=lambda unit: (-counts.get(unit, 0), _order(unit)))[:MAX_LISTED]
    for unit in chosen:
        name = unit.encode()
        attempts, crashed = claims.get(name, b""), crashes.get(name, b"")
        noted = faults.get(name, b""), faults.get(f"{unit}{_DEATH}".encode(), b"")
        held_by = held[unit][1] if unit in held else None
        yield _tried_unit(unit, attempts, crashed, noted, waits.get(unit), held_by)


def _tried_unit(
    unit: str,
    attempts: bytes,
    crashes: bytes,
    noted: tuple[bytes, bytes],
    due_in_s: float | None,
    held_by: str | None,
) -> TriedUnit:
    """Return what is known of one unit; `noted` are its faults, and how its last worker died."""
    released, by = _released(noted[0])
    return TriedUnit(
        unit,
        attempts=whole_number(attempts),
        crashes=whole_number(crashes),
        released=released,
        released_by=by,
        death=Death.parse(_text(noted[1])),
        due_in_s=None if due_in_s is None else max(0.0, due_in_s),
        held_by=held_by,
    )


def _released(fault: bytes) -> tuple[int, str | None]:
    """Return how often a unit was released, and by whom last, of `COUNT MILLISECONDS WORKER`."""
    count, _, rest = fault.partition(b" ")
    worker = rest.partition(b" ")[2]
    return (whole_number(count), _text(worker)) if worker else (0, None)


def _held_unit(unit: str, holder: tuple[int, str], end_ms: float | None, now_ms: int) -> HeldUnit:
    left_s = None if end_ms is None else (end_ms - now_ms) / 1000
    return HeldUnit(unit, holder[1], holder[0], left_s)


def _holder(lease: bytes) -> tuple[int, str]:
    """Return attempt and worker of `ATTEMPT WORKER`."""
    attempt, _, worker = lease.partition(b" ")
    return whole_number(attempt), _text(worker)


def _since(at_ms: float | None, now_ms: int) -> float | None:
    return None if at_ms is None else max(0.0, (now_ms - float(at_ms)) / 1000)


def _order(unit: str) -> tuple[int, str]:
    number = unit.partition(":")[0]
    return (int(number) if number.isdecimal() and len(number) < 16 else -1, unit)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
