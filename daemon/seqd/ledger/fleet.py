"""What workers publish: their records, the catalog of models, the operator's limits. Also locks.

A worker's record has a time to live, so a worker that is gone drops out by itself. The catalog has
none: a job may be submitted while no worker is up. `seqd.worker.background` removes from it what
none of the workers that are up serves.
"""

import hashlib
import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic, time
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import ValidationError

from seqd.formats import LAYOUT, refuse_other_format
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    Signal,
    Until,
    Whole,
    command,
    exchange,
    pipeline,
    script,
    server_ms,
)
from seqd.ledger.scripts import as_int
from seqd.ledger.writing import Writing
from seqd.validation import fault_sentence
from seqd_schemas import ModelReference, from_stored, task_of, to_stored

if TYPE_CHECKING:
    from pydantic import JsonValue

    from seqd.settings import Settings
    from seqd_schemas import CatalogEntry, Job, WireModel, WorkerStatus

log = logging.getLogger(__name__)

_Record = TypeVar("_Record", bound="WireModel")

#: Catalog entries that are cached as they were read, outdated ones among them.
MAX_ENTRIES = 256

#: Milliseconds for which it is kept who a worker was that is not heard of any more.
MAX_SILENT_MS = 24 * 3_600 * 1_000

#: Workers that are listed at most of those that are not heard of any more.
MAX_SILENT = 1_000

#: Seconds for which a task waits for what another one reads, before it reads itself.
READ_BY_OTHERS_S = 2.0

#: Units of a worker among which its jobs are counted.
MAX_COUNTED = 1_000


def clock_offset_ms(asked_ms: float, took_ms: float, server_ms: int) -> int:
    """Return by how much this machine's clock is ahead of the server's; negative: behind.

    `asked_ms` is this clock's time as the server was asked, who read its own within `took_ms`. Only
    what none of these moments explains counts: a slow network makes no clock look wrong.
    """
    if asked_ms > server_ms:
        return int(asked_ms - server_ms)
    return min(0, int(asked_ms + took_ms - server_ms))


@dataclass(frozen=True, slots=True)
class Held:
    """What a worker holds."""

    units: int
    #: Some of them, as `JOB UNIT`.
    members: list[str]


class Fleet(Part):
    """Worker records, the catalog of models, the limits, and locks of periodic tasks."""

    def __init__(self, ledger: Whole) -> None:
        super().__init__(ledger)
        self._entries: dict[bytes, list[CatalogEntry]] = {}
        #: Those records that `workers` read last, by their bytes: most are the same a second later.
        self._statuses: dict[bytes, list[WorkerStatus]] = {}
        #: What `workers` returned last, and when.
        self._recent: tuple[float, list[WorkerStatus]] = (float("-inf"), [])
        self._is_reading = False
        self._is_read = Signal()
        #: A worker's record stays for three heartbeats, unless it is kept.
        self._ttl_ms = max(1, int(ledger.settings.heartbeat_s * 3_000))

    @exchange
    def now_ms(self) -> Exchange[int]:
        """Return the time on the server's clock in milliseconds."""
        return (yield from server_ms())

    @exchange
    def clock(self) -> Exchange[tuple[int, int]]:
        """Return the time on the server's clock, and how far this machine's is ahead, in ms."""
        asked_ms, began_s = time() * 1_000, monotonic()
        now_ms = yield from self.now_ms.steps()
        return now_ms, clock_offset_ms(asked_ms, (monotonic() - began_s) * 1_000, now_ms)

    @exchange
    def publish_worker(self, status: "WorkerStatus", ttl_s: float = 0.0) -> Exchange[None]:
        """Write a worker's record; it stays for three heartbeats, or `ttl_s` where that is more.

        What is in it of the worker itself stays for a day, for who looks where it has gone.
        """
        key, names = self._keys.worker(status.worker), self._keys.workers()
        ttl_ms = max(self._ttl_ms, int(ttl_s * 1_000))
        last, kept = self._keys.worker_last(status.worker), to_stored(_without_models(status))
        yield from pipeline(
            (
                Command(("SET", key, to_stored(status), "PX", ttl_ms)),
                Command(("SET", last, kept, "PX", MAX_SILENT_MS)),
                Command(("ZADD", names, status.seen_at_ms, status.worker)),
            )
        )

    @exchange
    def keep_worker(self, worker: str) -> Exchange[None]:
        """Have a worker's record stay for three heartbeats more, as it is; one that is gone is not.

        Works when Redis is full.
        """
        yield from command("PEXPIRE", self._keys.worker(worker), self._ttl_ms)

    @exchange
    def note_stopped(self, worker: str, pid: int) -> Exchange[None]:
        """Have a worker's record say that a signal has stopped one of its processes.

        It stays for three heartbeats more; one that is gone is not made anew.
        """
        (row,) = yield from self._records([worker.encode()])
        if row is None:
            return
        from seqd_schemas import WorkerState, WorkerStatus

        now_ms = yield from self.now_ms.steps()
        update = {"stopped_pid": pid, "state": WorkerState.DRAINING, "seen_at_ms": now_ms}
        for status in readable(WorkerStatus, [row]):
            yield from self.publish_worker.steps(status.model_copy(update=update))

    @exchange
    def forget_worker(self, worker: str) -> Exchange[None]:
        """Delete the records of a worker that has stopped."""
        yield from pipeline(
            (
                Command(("DEL", self._keys.worker(worker))),
                Command(("DEL", self._keys.worker_last(worker))),
                Command(("ZREM", self._keys.workers(), worker)),
            )
        )

    @exchange
    def note_gone(self, worker: str) -> Exchange[None]:
        """Count a worker as silent at once; what it said last stays, for the one in its place."""
        yield from command("DEL", self._keys.worker(worker))

    @exchange
    def workers(self) -> "Exchange[list[WorkerStatus]]":
        """Return the workers that are up, sorted by name."""
        names = yield from self._names()
        rows = yield from self._records(names)
        if not names:
            return []
        from seqd_schemas import WorkerStatus

        known, self._statuses = self._statuses, {}
        for row in rows:
            if row is not None:
                found = known[row] if row in known else readable(WorkerStatus, [row])
                self._statuses[row] = found
        records = [one for found in self._statuses.values() for one in found]
        return sorted(records, key=lambda status: status.worker)

    @exchange
    def unheard(self, workers: "Sequence[WorkerStatus]") -> Exchange[dict[str, float]]:
        """Return who of those that are up has missed three heartbeats, and for how many seconds.

        Their parents keep their records: what they say may be old. One that starts is left out,
        and so are all while Redis takes no writes.
        """
        if not workers:
            return {}
        from seqd_schemas import WorkerState

        now_ms = yield from self.now_ms.steps()
        begun = (one for one in workers if one.state is not WorkerState.STARTING)
        ages_ms = {one.worker: now_ms - one.seen_at_ms for one in begun}
        ages_s = {name: age_ms / 1000 for name, age_ms in ages_ms.items() if age_ms > self._ttl_ms}
        takes_writes = not ages_s or (yield from Writing(self._ledger).refusal.steps()) is None
        return ages_s if takes_writes else {}

    @exchange
    def last_of_place(self, worker: str) -> "Exchange[list[WorkerStatus]]":
        """Return what workers of a worker's place said last that have not ended in order.

        Those are of its name, or of its slot and host where that is `SLOT@HOST-NONCE`; the latest
        last. One that is up is among them.
        """
        from seqd.serving import place_of

        names = yield from self._names()
        texts = [name.decode(errors="replace") for name in names]
        place = place_of(worker)
        records = yield from self.last_records.steps([n for n in texts if place_of(n) == place])
        return sorted(records.values(), key=lambda status: status.seen_at_ms)

    @exchange
    def silent_workers(self, up: Collection[str] = ()) -> Exchange[dict[str, int]]:
        """Return the workers of the last day that are not heard of any more, and when they were.

        One that ended in order is not among them, nor one that is known to be `up`. At most
        `MAX_SILENT`, the last ones.
        """
        last = ("ZREVRANGE", self._keys.workers(), 0, MAX_SILENT - 1, "WITHSCORES")
        found = cast(list[bytes], (yield from command(*last)))  # names and scores in turn
        scored = zip(found[::2], map(float, found[1::2]), strict=True)
        rows = [(name, seen) for name, seen in scored if name.decode() not in up]
        records = yield from self._records([name for name, _ in rows])
        pairs = zip(rows, records, strict=True)
        return {name.decode(): int(seen) for (name, seen), record in pairs if record is None}

    @exchange
    def last_records(self, workers: "Iterable[str]") -> "Exchange[dict[str, WorkerStatus]]":
        """Return what workers said last, by name, without plugins, models and versions.

        It is kept for a day, also of workers that are not heard of any more; of those that ended in
        order there is none.
        """
        names = list(workers)
        if not names:
            return {}
        from seqd_schemas import WorkerStatus

        keys = [self._keys.worker_last(name) for name in names]
        rows = cast(list[bytes | None], (yield from command("MGET", *keys)))
        found = readable(WorkerStatus, [row for row in rows if row is not None])
        return {status.worker: status for status in found}

    @exchange
    def held(self, workers: "Iterable[str]", most: int) -> Exchange[dict[str, Held]]:
        """Return, by worker that holds any, how many units, and at most so many of them."""
        names = list(workers)
        keys = [self._keys.worker_leases(name) for name in names]
        replies = yield from pipeline(Command(("SRANDMEMBER", key, most)) for key in keys)
        samples = dict(zip(names, cast(list[list[bytes]], replies), strict=True))
        # Where fewer came than were asked for, that is all: most workers hold a few or none.
        more = [name for name, sample in samples.items() if len(sample) == most]
        units = yield from self.units_in_hand.steps(more)
        return {
            name: Held(
                max(units.get(name, 0), len(sample)),
                [one.decode(errors="replace") for one in sample],
            )
            for name, sample in samples.items()
            if sample
        }

    @exchange
    def units_in_hand(self, workers: "Iterable[str]") -> Exchange[dict[str, int]]:
        """Return how many units workers hold, by name; who holds none is left out."""
        names = list(workers)
        asked = (Command(("SCARD", self._keys.worker_leases(name))) for name in names)
        counts = cast(list[int], (yield from pipeline(asked)))
        return {name: units for name, units in zip(names, counts, strict=True) if units}

    @exchange
    def in_hand(self, workers: "Iterable[str]") -> Exchange[dict[str, tuple[int, int]]]:
        """Return, by worker, how many jobs it holds units of, and how many units.

        Jobs are counted among `MAX_COUNTED` of its units. Who holds none is left out.
        """
        held = yield from self.held.steps(workers, MAX_COUNTED)
        return {
            name: (len({member.partition(" ")[0] for member in one.members}), one.units)
            for name, one in held.items()
        }

    @exchange
    def recent_workers(self, max_age_s: float) -> "Exchange[list[WorkerStatus]]":
        """Return what `workers` does, or did within the last `max_age_s` seconds."""
        read_s, workers = self._recent
        if monotonic() - read_s <= max_age_s:
            return workers
        if self._is_reading:
            # Thousands of tasks may ask at once: one of them reads for all.
            if read_s < 0:
                yield Until(self._is_read, lambda: not self._is_reading, READ_BY_OTHERS_S)
            read_s, workers = self._recent
            if read_s > 0:
                return workers
        self._is_reading = True
        try:
            workers = yield from self.workers.steps()
            self._recent = (monotonic(), workers)
        finally:
            self._is_reading = False
            self._is_read.notify_all()
        return workers

    @exchange
    def prune(self) -> Exchange[None]:
        """Delete names of workers that have not been seen for a day."""
        day_ago_ms = (yield from self.now_ms.steps()) - MAX_SILENT_MS
        yield from command("ZREMRANGEBYSCORE", self._keys.workers(), "-inf", day_ago_ms)

    @exchange
    def take_lock(self, name: str, holder: str, ttl_s: float) -> Exchange[bool]:
        """Take or keep a periodic task's lock for `ttl_s` seconds; False when another holds it."""
        return as_int((yield from script("take_lock", name, holder, int(ttl_s * 1000)))) == 1

    @exchange
    def check_format(self) -> Exchange[None]:
        """Raise OtherFormat where what is stored has a format that this release cannot read."""
        found = cast(bytes | None, (yield from command("GET", self._keys.format())))
        if found is None:
            if not (yield from command("HGETALL", self._keys.catalog())):
                return  # nothing is there yet
            # Again: a worker that has published meanwhile has written the format in front.
            found = cast(bytes | None, (yield from command("GET", self._keys.format())))
        text = (found or b"").decode(errors="replace")
        place, instead = (
            f"Redis, under the prefix {self._keys.prefix!r},",
            "Set SEQD_PREFIX to another",
        )
        refuse_other_format(text, place, instead, LAYOUT)

    @exchange
    def publish_catalog(
        self, entries: "Iterable[CatalogEntry]", read: Mapping[str, bytes]
    ) -> Exchange[bool]:
        """Write catalog entries over those that `catalog_rows` has `read`, and the format.

        Returns False where another has published one of them since, and none is written. Each says
        what one item may make the model write: a client reads it without another call.
        """
        limit = {"max_output_characters": self._ledger.settings.max_output_characters}
        schemas, written = list[Command](), list[str | bytes]()
        for entry in entries:
            for task in entry.run_tasks.values():
                shapes = json.dumps({"input": task.input, "result": task.result})
                digest = task.digest or ""
                schemas.append(Command(("HSET", self._keys.task_schemas(), digest, shapes)))
            before = read.get(entry.model)
            stored = to_stored(entry.model_copy(update=limit))
            written += [entry.model, "" if before is None else _digest(before), stored]
        yield from pipeline([Command(("SET", self._keys.format(), LAYOUT, "NX")), *schemas])
        return as_int((yield from script("publish_catalog", *written))) == 1

    @exchange
    def schemas_of_task(self, digest: str) -> "Exchange[dict[str, JsonValue]]":
        """Return the JSON Schemas `input` and `result` that a job was accepted with, by digest.

        Empty where Redis has lost them, until a worker that has them publishes again.
        """
        found = yield from command("HGET", self._keys.task_schemas(), digest)
        return {} if found is None else cast("dict[str, JsonValue]", json.loads(cast(bytes, found)))

    @exchange
    def publish_limits(self, settings: "Settings") -> Exchange[None]:
        """Write the limits on tenants and jobs, which hold for every client at once."""
        limits: dict[str, object] = {
            "tenant_jobs": settings.max_tenant_jobs,
            "tenant_items": settings.max_tenant_items,
            "tenant_bytes": settings.max_tenant_bytes,
            "memory_share": settings.max_memory_share,
            "job_units": settings.max_job_units,
            "tenant_kept_bytes": settings.max_tenant_kept_bytes,
            "results_ttl_s": settings.max_results_ttl_s,
            "kept_s": settings.min_kept_s,
            "inbox_entries": settings.max_inbox_entries,
            "failures": settings.max_failures,
            "failures_ttl_s": settings.failures_ttl_s,
        }
        pairs = [part for name, value in limits.items() for part in (name, str(value))]
        yield from command("HSET", self._keys.limits(), *pairs)

    @exchange
    def published_models(self) -> Exchange[frozenset[str]]:
        """Return the names of the models in the catalog."""
        names = cast(list[bytes], (yield from command("HKEYS", self._keys.catalog())))
        return frozenset(name.decode(errors="replace") for name in names)

    @exchange
    def remove_published(self, models: Collection[str], older_than_ms: int) -> Exchange[list[str]]:
        """Remove models from the catalog that were published before a time; return their names.

        A worker that publishes one of them at this very moment does so again within
        `SEQD_RECONCILE_S`.
        """
        names = sorted(models)
        rows = yield from command("HMGET", self._keys.catalog(), *names)
        recent = {
            entry.model
            for row in cast(list[bytes | None], rows)
            if row is not None
            for entry in self._entry(row)
            if entry.published_at_ms >= older_than_ms
        }
        old = [name for name in names if name not in recent]
        if old:
            yield from command("HDEL", self._keys.catalog(), *old)
        return old

    @exchange
    def catalog(self) -> "Exchange[dict[str, CatalogEntry]]":
        """Return the models that workers have published, sorted by name."""
        return self.entries_in((yield from self.catalog_rows.steps()))

    @exchange
    def catalog_rows(self) -> Exchange[dict[str, bytes]]:
        """Return what workers have published of each model, as it is stored."""
        rows = cast(dict[bytes, bytes], (yield from command("HGETALL", self._keys.catalog())))
        return {name.decode(errors="replace"): row for name, row in rows.items()}

    def entries_in(self, rows: Mapping[str, bytes]) -> "dict[str, CatalogEntry]":
        """Return the entries of `catalog_rows`, sorted by name."""
        entries = [entry for row in rows.values() for entry in self._entry(row)]
        return {entry.model: entry for entry in sorted(entries, key=lambda entry: entry.model)}

    @exchange
    def published(self, model: str) -> "Exchange[CatalogEntry | None]":
        """Return what workers have published of a model; None of one that there is not."""
        row = cast(bytes | None, (yield from command("HGET", self._keys.catalog(), model)))
        return next(iter([] if row is None else self._entry(row)), None)

    @exchange
    def catalog_for(self, job: "Job") -> "Exchange[dict[str, CatalogEntry]]":
        """Return the entry of a job's model; the whole catalog where that cannot do the job."""
        name = ModelReference.parse(job.model).name
        entry = yield from self.published.steps(name)
        if entry is not None and task_of(job) in entry.all_tasks:
            return {name: entry}
        return (yield from self.catalog.steps())

    def _names(self) -> Exchange[list[bytes]]:
        return cast(list[bytes], (yield from command("ZRANGE", self._keys.workers(), 0, -1)))

    def _records(self, names: Sequence[bytes]) -> Exchange[list[bytes | None]]:
        if not names:
            return []
        keys = [self._keys.worker(name.decode()) for name in names]
        return cast(list[bytes | None], (yield from command("MGET", *keys)))

    def _entry(self, row: bytes) -> "list[CatalogEntry]":
        """Return an entry, or none; cached, since a client reads the same bytes for each job."""
        from seqd_schemas import CatalogEntry

        if row not in self._entries:
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            self._entries[row] = readable(CatalogEntry, [row])
        return self._entries[row]


def _without_models(status: "WorkerStatus") -> "WorkerStatus":
    """Return a record without what makes it large, and says nothing of a worker that is gone."""
    return status.model_copy(
        update={
            "run_tasks": {},
            "models_loaded": (),
            "loaded_bytes": {},
            "left_out": (),
            "plugins": (),
            "versions": {},
            "unfit": (),
        }
    )


def readable(kind: type[_Record], rows: Iterable[bytes]) -> list[_Record]:
    """Return records; those of a later version, or written by hand, are left out with a warning."""
    records = []
    for row in rows:
        try:
            records.append(from_stored(kind, row))
        except ValidationError as error:
            fault = fault_sentence(error, whole="the whole", shows_value=False)
            log.warning("a %s in Redis was left out: %s", kind.__name__, fault)
    return records


def _digest(row: bytes) -> str:
    return hashlib.sha1(row).hexdigest()  # noqa: S324 - as Redis has it
