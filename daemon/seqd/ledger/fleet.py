"""What workers publish: their records, the catalog of models, the operator's limits. Also locks.

A worker's record has a time to live, so a worker that is gone drops out by itself. The catalog has
none: a job may be submitted while no worker is up. `seqd.worker.stale_entries` removes from it what
none of the workers that are up serves.
"""

import logging
from collections.abc import Collection, Iterable
from time import monotonic
from typing import TYPE_CHECKING, TypeVar, cast

from pydantic import ValidationError
from redis import Redis

from seqd.ledger.redis import redis_errors
from seqd.ledger.scripts import Scripts, as_int
from seqd_schemas import from_stored, to_stored

if TYPE_CHECKING:
    from seqd.settings import Settings
    from seqd_schemas import CatalogEntry, WireModel, WorkerStatus

log = logging.getLogger(__name__)

_Record = TypeVar("_Record", bound="WireModel")

#: Catalog entries that are cached as they were read, outdated ones among them.
MAX_ENTRIES = 256

#: Workers that are listed at most of those that are not heard of any more.
MAX_SILENT = 1_000

#: Units of a worker among which its jobs are counted.
MAX_COUNTED = 1_000


def record_ttl_ms(heartbeat_s: float) -> int:
    """Return the time to live of a worker's record: one that missed three heartbeats is gone."""
    return max(1, int(heartbeat_s * 3_000))


class Fleet:
    """Worker records, the catalog of models, the limits, and locks of periodic tasks."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: "Settings") -> None:
        self._redis = redis
        self._scripts = scripts
        self._keys = settings.keys
        self._max_output_characters = settings.max_output_characters
        self._entries: dict[bytes, list[CatalogEntry]] = {}
        #: What `workers` returned last, and when.
        self._recent: tuple[float, list[WorkerStatus]] = (float("-inf"), [])
        self._ttl_ms = record_ttl_ms(settings.heartbeat_s)

    def now_ms(self) -> int:
        """Return the time on the server's clock in milliseconds."""
        with redis_errors(self._redis):
            seconds, micros = self._redis.time()
        return seconds * 1000 + micros // 1000

    def publish_worker(self, status: "WorkerStatus") -> None:
        """Write a worker's record."""
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            key = self._keys.worker(status.worker)
            pipe.set(key, to_stored(status), px=self._ttl_ms)
            pipe.zadd(self._keys.workers(), {status.worker: status.seen_at_ms})
            pipe.execute()

    def forget_worker(self, worker: str) -> None:
        """Delete the record of a worker that has stopped."""
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(self._keys.worker(worker))
            pipe.zrem(self._keys.workers(), worker)
            pipe.execute()

    def workers(self) -> "list[WorkerStatus]":
        """Return the workers that are up, sorted by name."""
        with redis_errors(self._redis):
            names = cast(list[bytes], self._redis.zrange(self._keys.workers(), 0, -1))
            if not names:
                return []
            keys = [self._keys.worker(name.decode()) for name in names]
            rows = cast(list[bytes | None], self._redis.mget(keys))
        from seqd_schemas import WorkerStatus

        records = readable(WorkerStatus, [row for row in rows if row is not None])
        return sorted(records, key=lambda status: status.worker)

    def names_on(self, host: str) -> list[str]:
        """Return the workers of one machine by their names, `SLOT@HOST-NONCE`, up or not.

        Those that were given another name are not among them.
        """
        with redis_errors(self._redis):
            names = cast(list[bytes], self._redis.zrange(self._keys.workers(), 0, -1))
        texts = (name.decode(errors="replace") for name in names)
        return [name for name in texts if name.rpartition("-")[0].endswith(f"@{host}")]

    def silent_workers(self) -> dict[str, int]:
        """Return the workers of the last day that are not heard of any more, and when they were.

        One that ended in order is not among them. At most `MAX_SILENT`, the last ones.
        """
        with redis_errors(self._redis):
            names = self._keys.workers()
            rows = cast(
                list[tuple[bytes, float]],
                self._redis.zrange(names, 0, MAX_SILENT - 1, desc=True, withscores=True),
            )
            if not rows:
                return {}
            keys = [self._keys.worker(name.decode()) for name, _ in rows]
            records = cast(list[bytes | None], self._redis.mget(keys))
        pairs = zip(rows, records, strict=True)
        return {name.decode(): int(seen) for (name, seen), record in pairs if record is None}

    def in_hand(self, workers: "Iterable[str]") -> dict[str, tuple[int, int]]:
        """Return, by worker, how many jobs it holds units of, and how many units.

        Jobs are counted among `MAX_COUNTED` of its units.
        """
        names = list(workers)
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.scard(self._keys.worker_leases(name))
                pipe.srandmember(self._keys.worker_leases(name), MAX_COUNTED)
            replies = pipe.execute()
        held = {}
        for name, units, members in zip(names, replies[::2], replies[1::2], strict=True):
            jobs = {cast(bytes, member).partition(b" ")[0] for member in members}
            held[name] = (len(jobs), int(units))
        return held

    def recent_workers(self, max_age_s: float) -> "list[WorkerStatus]":
        """Return what `workers` does, or did within the last `max_age_s` seconds."""
        read_s, workers = self._recent
        if monotonic() - read_s > max_age_s:
            workers = self.workers()
            self._recent = (monotonic(), workers)
        return workers

    def prune(self) -> None:
        """Delete names of workers that have not been seen for a day."""
        day_ago_ms = self.now_ms() - 24 * 3600 * 1000
        with redis_errors(self._redis):
            self._redis.zremrangebyscore(self._keys.workers(), "-inf", day_ago_ms)

    def take_lock(self, name: str, holder: str, ttl_s: float) -> bool:
        """Take or keep a periodic task's lock for `ttl_s` seconds; False when another holds it."""
        return as_int(self._scripts.call("take_lock", name, holder, int(ttl_s * 1000))) == 1

    def publish_catalog(self, entries: "Iterable[CatalogEntry]") -> None:
        """Write catalog entries; each replaces the one of the same model.

        Each says what one item may make the model write: a client reads it without another call.
        """
        limit = {"max_output_characters": self._max_output_characters}
        with redis_errors(self._redis), self._redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                row = to_stored(entry.model_copy(update=limit))
                pipe.hset(self._keys.catalog(), entry.model, row)
            pipe.execute()

    def publish_limits(self, settings: "Settings") -> None:
        """Write the limits on tenants and jobs, which hold for every client at once."""
        limits = {
            "tenant_jobs": settings.max_tenant_jobs,
            "tenant_items": settings.max_tenant_items,
            "tenant_bytes": settings.max_tenant_bytes,
            "memory_share": settings.max_memory_share,
            "job_units": settings.max_job_units,
            "tenant_kept_bytes": settings.max_tenant_kept_bytes,
            "results_ttl_s": settings.max_results_ttl_s,
            "kept_s": settings.min_kept_s,
            "inbox_entries": settings.max_inbox_entries,
        }
        with redis_errors(self._redis):
            self._redis.hset(self._keys.limits(), mapping={k: str(v) for k, v in limits.items()})

    def is_published(self, models: Collection[str]) -> bool:
        """Return True when the catalog has all of these models; False after Redis has lost it."""
        if not models:
            return True
        with redis_errors(self._redis):
            rows = cast(list[bytes | None], self._redis.hmget(self._keys.catalog(), list(models)))
        return None not in rows

    def published_models(self) -> frozenset[str]:
        """Return the names of the models in the catalog."""
        with redis_errors(self._redis):
            names = cast(list[bytes], self._redis.hkeys(self._keys.catalog()))
        return frozenset(name.decode(errors="replace") for name in names)

    def remove_published(self, models: Collection[str], older_than_ms: int) -> list[str]:
        """Remove models from the catalog that were published before a time; return their names.

        A worker that publishes one of them at this very moment does so again within
        `SEQD_RECONCILE_S`.
        """
        names = sorted(models)
        with redis_errors(self._redis):
            rows = cast(list[bytes | None], self._redis.hmget(self._keys.catalog(), names))
        recent = {
            entry.model
            for row in rows
            if row is not None
            for entry in self._entry(row)
            if entry.published_at_ms >= older_than_ms
        }
        old = [name for name in names if name not in recent]
        if old:
            with redis_errors(self._redis):
                self._redis.hdel(self._keys.catalog(), *old)
        return old

    def catalog(self) -> "dict[str, CatalogEntry]":
        """Return the models that workers have published, sorted by name."""
        with redis_errors(self._redis):
            rows = cast(dict[bytes, bytes], self._redis.hgetall(self._keys.catalog()))
        entries = [entry for row in rows.values() for entry in self._entry(row)]
        return {entry.model: entry for entry in sorted(entries, key=lambda entry: entry.model)}

    def _entry(self, row: bytes) -> "list[CatalogEntry]":
        """Return an entry, or none; cached, since a client reads the same bytes for each job."""
        from seqd_schemas import CatalogEntry

        if row not in self._entries:
            if len(self._entries) >= MAX_ENTRIES:
                self._entries.clear()
            self._entries[row] = readable(CatalogEntry, [row])
        return self._entries[row]


def readable(kind: type[_Record], rows: Iterable[bytes]) -> list[_Record]:
    """Return records; those of a later version, or written by hand, are left out with a warning."""
    records = []
    for row in rows:
        try:
            records.append(from_stored(kind, row))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            log.warning("a %s in Redis was left out: %s", kind.__name__, first["msg"])
    return records
