"""The work that is left, as the ledger has it: items by queue, rates of slots, who holds what.

A read costs by queues and workers, however many jobs are open: the scripts keep the items of each
queue. `seqd.scaling` makes seconds of it.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from redis import Redis

from seqd.ledger.redis import redis_errors
from seqd.ledger.scripts import Scripts, as_int
from seqd.scaling import QueueWork, Rate, RouteWork, work_left
from seqd_schemas import Keys

if TYPE_CHECKING:
    from seqd.ledger.fleet import Fleet
    from seqd.ledger.work import Unit
    from seqd_schemas import WorkerStatus

#: Busy seconds after which what was measured before counts for 1/e; of a single measurement that is
#: longer, such as a training, five times as many.
FADE_S = 300.0

#: Jobs that one call of `recount_work.lua` looks at: about 2 ms.
RECOUNT_JOBS = 500

#: Leases of one worker that are looked at; of more, these stand for all.
LEASES_LOOKED_AT = 16

#: Open jobs, the oldest, among which the first is looked for that nobody has begun.
OLDEST_JOBS = 500

#: Last events of a training among which the one is that says how long it will take.
_LAST_EVENTS = 8


@dataclass(frozen=True, slots=True)
class FleetState:
    """What an exporter reads: the work that is left, the workers, the jobs, the memory."""

    routes: list[RouteWork]
    workers: "list[WorkerStatus]"
    #: Jobs by state: `open`, `uploading` of them, and `quarantined` so far.
    jobs: Mapping[str, int]
    #: Used share of Redis's `maxmemory`; None without one.
    memory_ratio: float | None


@dataclass(slots=True)
class _Held:
    """What workers hold of one queue."""

    items: float = 0.0
    workers: int = 0
    reported: int = 0
    reported_s: float = 0.0


@dataclass(slots=True)
class _Sample:
    """Leases of a worker: how many there are, and some of them."""

    count: int
    members: list[str] = field(default_factory=list)


class Backlog:
    """Counts what is left, and keeps the rates by which it becomes seconds."""

    def __init__(self, redis: Redis, scripts: Scripts, keys: Keys, fleet: "Fleet") -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = keys
        self._fleet = fleet

    def note_rate(self, queue: str, items: int, seconds: float) -> None:
        """Note that a slot was busy for `seconds` with a queue, and did so many items of it."""
        fade_s = max(FADE_S, 5 * seconds)
        self._scripts.call("note_rate", queue, items, f"{seconds:.6f}", fade_s)

    def note_unread(self, unit: "Unit", items: int) -> bool:
        """Note how many items of a job's file are not read yet; False when `unit` is not ours."""
        return as_int(self._scripts.call("note_unread", unit.job_id, unit.attempt, items)) == 1

    def recount(self, *, begins: bool) -> bool:
        """Count what is left anew, a few jobs in each call; True when that is done."""
        reply = self._scripts.call("recount_work", int(begins), RECOUNT_JOBS)
        return as_int(reply) == 1

    def is_any_busy(self, workers: Iterable[str]) -> bool:
        """Return True while one of these workers holds leases."""
        keys = [self._keys.worker_leases(worker) for worker in workers]
        with redis_errors(self._redis):
            return bool(self._redis.exists(*keys))

    def routes(self, workers: "list[WorkerStatus]") -> list[RouteWork]:
        """Return what is left by task and model, of all that the catalog has."""
        known = [
            (str(task), model)
            for model, entry in self._fleet.catalog().items()
            for task in entry.tasks
        ]
        return work_left(self._queues(), self.rates(), workers, known)

    def state(self) -> FleetState:
        """Return what is left, who is up, how many jobs there are, and the memory."""
        workers = self._fleet.workers()
        routes = self.routes(workers)
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            pipe.zcard(self._keys.open_jobs())
            pipe.zcard(self._keys.uploads())
            pipe.get(self._keys.quarantined())
            pipe.info("memory")
            opened, uploading, quarantined, memory = pipe.execute()
        text = bytes(quarantined or b"0")
        jobs = {
            "open": int(opened),
            "uploading": int(uploading),
            "quarantined": int(text) if text.isdigit() else 0,
        }
        most = int(memory.get("maxmemory", 0))
        ratio = int(memory["used_memory"]) / most if most else None
        return FleetState(routes, workers, jobs, ratio)

    def rates(self) -> dict[str, Rate]:
        """Return the rates that were measured, by queue."""
        with redis_errors(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.rates()))
        rates = {}
        for queue, row in rows.items():
            parts = row.decode(errors="replace").split()
            try:
                items, seconds, at_ms = parts
                rates[queue.decode(errors="replace")] = Rate(
                    float(items), float(seconds), int(at_ms)
                )
            except ValueError:
                continue  # written by hand, or by a release that keeps another kind
        return rates

    def _queues(self) -> list[QueueWork]:
        with redis_errors(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.work_left()))
        items = {
            queue.decode(errors="replace"): int(count)
            for queue, count in rows.items()
            if count.isdigit() and count != b"0"
        }
        if not items:
            return []
        now_ms = self._fleet.now_ms()
        held, waits = self._held(now_ms), self._oldest_waits(now_ms)
        return [
            QueueWork(
                queue,
                count,
                leased_items=round(held[queue].items),
                busy_workers=held[queue].workers,
                reported=held[queue].reported,
                reported_s=held[queue].reported_s,
                oldest_wait_s=waits.get(queue),
            )
            for queue, count in items.items()
        ]

    def _held(self, now_ms: int) -> defaultdict[str, _Held]:
        """Return what workers hold, by queue; also those that died, until their leases run out."""
        samples = self._samples()
        members = [member.rpartition(" ") for sample in samples for member in sample.members]
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            for job_id, _, unit in members:
                pipe.hmget(self._keys.job(job_id), "queue", "total", "units", "sealed")
                pipe.hget(self._keys.sizes(job_id), unit)
                if unit == "train":
                    pipe.xrevrange(self._keys.events(job_id), count=_LAST_EVENTS)
            # A damaged job, which the next claim puts into quarantine, stands in its place.
            replies = iter(pipe.execute(raise_on_error=False))
        held: defaultdict[str, _Held] = defaultdict(_Held)
        for sample in samples:
            queues = set()
            for member in sample.members:
                unit = member.rpartition(" ")[2]
                row, size = next(replies), next(replies)
                events = next(replies) if unit == "train" else []
                if not isinstance(row, list) or not isinstance(row[0], bytes):
                    continue
                queue = row[0].decode(errors="replace")
                queues.add(queue)
                of_queue = held[queue]
                of_queue.items += _items_of(unit, row, size) * sample.count / len(sample.members)
                left_s = _seconds_left(events, now_ms)
                if left_s is not None:
                    of_queue.reported += 1
                    of_queue.reported_s += left_s
            for queue in queues:
                held[queue].workers += 1
        return held

    def _samples(self) -> list[_Sample]:
        with redis_errors(self._redis):
            names = cast(list[bytes], self._redis.zrange(self._keys.workers(), 0, -1))
            with self._redis.pipeline(transaction=False) as pipe:
                for name in names:
                    key = self._keys.worker_leases(name.decode(errors="replace"))
                    pipe.scard(key)
                    pipe.srandmember(key, LEASES_LOOKED_AT)
                rows = pipe.execute()
        return [
            _Sample(int(count), [member.decode(errors="replace") for member in some])
            for count, some in zip(rows[::2], rows[1::2], strict=True)
            if count and some
        ]

    def _oldest_waits(self, now_ms: int) -> dict[str, float]:
        """Return by queue the seconds since its oldest job was made that nobody has begun."""
        with redis_errors(self._redis):
            ids = cast(list[bytes], self._redis.zrange(self._keys.open_jobs(), 0, OLDEST_JOBS - 1))
            with self._redis.pipeline(transaction=False) as pipe:
                for job_id in ids:
                    key = self._keys.job(job_id.decode(errors="replace"))
                    pipe.hmget(key, "queue", "state", "created")
                rows = pipe.execute(raise_on_error=False)
        waits: dict[str, float] = {}
        for row in rows:
            queue, state, created = row if isinstance(row, list) else (None, None, None)
            made_ms = created.decode(errors="replace") if isinstance(created, bytes) else ""
            if state == b"queued" and isinstance(queue, bytes) and made_ms.isdigit():
                name = queue.decode(errors="replace")
                wait_s = max(0.0, (now_ms - int(made_ms)) / 1000)
                waits[name] = max(wait_s, waits.get(name, 0.0))
        return waits


def by_state(workers: "list[WorkerStatus]") -> Counter[str]:
    """Return how many workers are in each state."""
    return Counter(str(worker.state) for worker in workers)


def _items_of(unit: str, row: list[bytes | None], size: bytes | None) -> int:
    """Return the items of a unit in hand; the ingest of a file is none of them."""
    if unit == "ingest":
        return 0
    if unit == "train":
        return 1
    if size is None and row[2:] == [b"1", b"1"]:
        size = row[1]  # the only unit of a sealed job
    return int(size) if size is not None and size.isdigit() else 0


def _seconds_left(events: object, now_ms: int) -> float | None:
    """Return how long a training says that it will take from now; None where it says nothing."""
    for _, fields in events if isinstance(events, list) else ():
        try:
            event = json.loads(fields.get(b"e", b"null"))
            if event["event"] == "step" and event.get("eta_s") is not None:
                return max(0.0, float(event["eta_s"]) - (now_ms - int(event["at_ms"])) / 1000)
        except (ValueError, TypeError, KeyError):
            continue  # of a later release, or written by hand
    return None
