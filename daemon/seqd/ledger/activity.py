"""What goes on in a job: who works on it, how often its units were taken up, how fast it goes."""

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from seqd.kinds import KINDS
from seqd.ledger.exchange import Command, Exchange, StreamEntry, command, pipeline
from seqd.ledger.jobs import read_events
from seqd_schemas import JobRecord, Keys

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd_schemas import Log

#: Units of a job that are counted at most.
MAX_COUNTED: Final = 10_000

#: Events of a job, the last ones, among which a worker's death is looked for.
MOST_EVENTS: Final = 100

_SCAN_COUNT: Final = 1_000


@dataclass(frozen=True, slots=True)
class JobActivity:
    """What goes on in a job at one moment."""

    #: Workers that hold units of it now, and how many each.
    workers: "Mapping[str, int]"
    #: The worker that claimed its first unit, where the event is kept that says so.
    first_worker: str | None
    #: Times that its units were claimed so far; 0 where that is not kept any more.
    attempts: int
    #: Units that were claimed more than once.
    units_tried_again: int
    #: Times that a worker died or went silent with one of them; of a completed job 0.
    crashes: int
    #: True where more units than `MAX_COUNTED` were claimed: these are counted of so many alone.
    is_partial: bool
    #: Items done a second, from its start to its end or to now; None before its start.
    rate_per_s: float | None
    #: The last event that tells of a worker's death, where it is among the last `MOST_EVENTS`.
    last_death: "Log | None" = None

    def as_json(self) -> dict[str, object]:
        """Return it as a program reads it."""
        death = self.last_death
        return {
            "workers": dict(self.workers),
            "first_worker": self.first_worker,
            "attempts": self.attempts,
            "units_tried_again": self.units_tried_again,
            "crashes": self.crashes,
            "is_partial": self.is_partial,
            "rate_per_s": self.rate_per_s,
            "last_death": None if death is None else death.model_dump(mode="json"),
        }


def activity_of(keys: Keys, record: JobRecord) -> Exchange[JobActivity]:
    """Read what goes on in a job; looks at `MAX_COUNTED` of its units."""
    job_id = record.job_id
    first, last, now, carried = yield from pipeline(
        (
            Command(("XRANGE", keys.events(job_id), "-", "+", "COUNT", 3)),
            Command(("XREVRANGE", keys.events(job_id), "+", "-", "COUNT", MOST_EVENTS)),
            Command(("TIME",)),
            Command(("HGET", keys.job(job_id), "carried")),
        )
    )
    leases, _ = yield from counted_fields(keys.leases(job_id))
    claims, is_partial = yield from counted_fields(keys.attempts(job_id))
    crashes, _ = yield from counted_fields(keys.crashes(job_id))
    counts = {unit: whole_number(count) for unit, count in claims.items()}
    return JobActivity(
        workers=dict(Counter(_worker_of(lease) for lease in leases.values())),
        first_worker=_first_worker(cast(list[StreamEntry], first)),
        attempts=sum(counts.values()) - whole_number(cast(bytes | None, carried) or b"0"),
        units_tried_again=len({unit.partition(b":")[0] for unit, n in counts.items() if n > 1}),
        crashes=sum(map(whole_number, crashes.values())),
        is_partial=is_partial,
        rate_per_s=_rate(record, cast(tuple[int, int], now)),
        last_death=_last_death(cast(list[StreamEntry], last)),
    )


def counted_fields(key: str) -> Exchange[tuple[dict[bytes, bytes], bool]]:
    """Return the fields of a hash, and whether there may be more than were read."""
    fields: dict[bytes, bytes] = {}
    cursor = 0
    while len(fields) < MAX_COUNTED:
        reply = yield from command("HSCAN", key, cursor, "COUNT", _SCAN_COUNT)
        cursor, part = cast(tuple[int, dict[bytes, bytes]], reply)
        fields |= part
        if cursor == 0:
            return fields, False
    return fields, True


def whole_number(count: bytes) -> int:
    """Return a count; 0 for what somebody has written over it."""
    return int(count) if count.isdigit() and len(count) <= 15 else 0


def _worker_of(lease: bytes) -> str:
    """Return the worker of `ATTEMPT WORKER`."""
    return lease.partition(b" ")[2].decode(errors="replace")


def _first_worker(entries: list[StreamEntry]) -> str | None:
    for event in read_events(entries):
        if event.event == "started":
            return event.worker
    return None


def _last_death(entries: list[StreamEntry]) -> "Log | None":
    """Return the first event of a worker's death; `entries` are the latest first."""
    for event in read_events(entries):
        if event.event == "log" and event.cause is not None:
            return event
    return None


def _rate(record: JobRecord, now: tuple[int, int]) -> float | None:
    if record.started_at_ms is None or not KINDS[record.kind].has_items:
        return None
    ended_at_ms = record.ended_at_ms or now[0] * 1000 + now[1] // 1000
    seconds = (ended_at_ms - record.started_at_ms) / 1000
    return record.counts.done / seconds if seconds > 0 else None
