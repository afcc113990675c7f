"""A ledger with many jobs and large ones, and a client that tells what each script's call costs.

What clients and workers do is done by the ledger itself. Jobs of 100,000 units are made of prepared
keys, which are what the ledger would have written, since making each unit by itself takes minutes.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from redis import Redis

from builders import a_chunk, a_classify_job, some_results
from seqd.admission import Admitted
from seqd.ledger import Ledger
from seqd.ledger.blobs import pack, pack_results
from seqd.ledger.scripts import source_of
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.work import Claim, Finished
from seqd.settings import Settings
from seqd_schemas import Job, Keys, queue_of, route_of

#: The table of scripts, without what they share.
SCRIPTS = sorted(
    file.name.removesuffix(".lua")
    for file in (resources.files("seqd.ledger") / "lua").iterdir()
    if file.name.endswith(".lua")
)

#: Items of a unit of a large job.
UNIT_ITEMS = 10
#: Units of it that one command of the preparation writes.
_AT_ONCE = 5_000

HOUR_MS = 3_600_000
ROUTE = route_of("classify", "imdb_lstm")


class Cost(NamedTuple):
    """What one call of a script cost the server."""

    script: str
    #: By the server's own clock, and by the time that its thread was on a processor.
    ms: float
    cpu_ms: float
    #: Commands that the script called.
    commands: int


class WatchedRedis(Redis):
    """A client that notes what each script that it calls costs the server.

    Nobody else may use the server meanwhile.
    """

    #: Of the scripts, by their digests; none before the watch begins.
    _names: Mapping[str, str] = MappingProxyType({})

    def watch(self, server_pid: int | None) -> None:
        """Begin; without the server's process its processor time is not known."""
        self.costs = list[Cost]()
        self._names = {self.script_load(source_of(name)): name for name in SCRIPTS}
        self._schedstat = Path(f"/proc/{server_pid}/schedstat") if server_pid else None

    def execute_command(self, *words: Any, **options: Any) -> Any:
        """Look at the server's statistics around the call of a script."""
        if not self._names or words[0] != "EVALSHA":
            return super().execute_command(*words, **options)
        before, cpu_before = self._statistics(), self._cpu_ms()
        try:
            return super().execute_command(*words, **options)
        finally:
            cpu_ms = self._cpu_ms() - cpu_before
            after = self._statistics()
            us = after["evalsha"]["usec"] - before.get("evalsha", {"usec": 0})["usec"]
            calls = _calls(after) - _calls(before) - 2  # INFO and EVALSHA
            self.costs.append(Cost(self._names[words[1]], us / 1000, cpu_ms, calls))

    def _statistics(self) -> dict[str, dict[str, int]]:
        rows = self.info("commandstats")
        return {name.removeprefix("cmdstat_"): row for name, row in rows.items()}

    def _cpu_ms(self) -> float:
        return int(self._schedstat.read_text().split()[0]) / 1e6 if self._schedstat else 0.0


def _calls(statistics: Mapping[str, Mapping[str, int]]) -> int:
    return sum(row["calls"] for row in statistics.values())


@dataclass
class World:
    """A ledger of `jobs` jobs, and what large jobs of `units` units are made of."""

    redis: Redis
    watched_redis: WatchedRedis
    settings: Settings
    jobs: int
    units: int
    #: What prepares, and what is watched: the same ledger.
    ledger: Ledger = field(init=False)
    watched: Ledger = field(init=False)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _large: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.redis, self.settings)
        self.watched = Ledger(self.watched_redis, self.settings)

    @property
    def keys(self) -> Keys:
        return self.settings.keys

    def fill(self) -> None:
        """Make the jobs: several tenants, classes and versions; queued, running and ended."""
        self.ledger.fleet.publish_limits(self.settings)
        self._prepare_large()
        for tenant, priority, version in itertools.product(
            ("north", "south", "east"), ("interactive", "normal", "bulk"), (1, 2, 3)
        ):
            request = a_classify_job(tenant=tenant, priority=priority, expires_in_s=86_400)
            self.small_jobs(self.jobs // 54, request, version=version)
        for priority in ("interactive", "normal", "bulk"):
            request = a_classify_job(tenant="past", priority=priority)
            self.small_jobs(self.jobs // 6, request, version=99)
        self.complete_all(99)

    def number(self) -> int:
        """Return a number that nothing else has: for names and versions of a case's own."""
        return 1_000 + next(self._numbers)

    def small_jobs(
        self,
        count: int,
        request: Job | None = None,
        *,
        version: int | None,
        unit_items: int = 1_024,
        items: int = 1,
    ) -> list[str]:
        """Hand in jobs of one unit, and one item, each; return their identifiers."""
        template = BatchTemplate(request or a_classify_job(), Admitted(version, unit_items), "")
        chunk, first = a_chunk(items), self.number()
        names = [f"small-{first}-{n}" for n in range(count)]
        self.ledger.submissions.submit_each(template, ((name, chunk) for name in names))
        return names

    def claim(self, *, version: int, worker: str = "worker") -> Claim | None:
        return self.ledger.work.claim(worker, [queue_of(ROUTE, version)])

    def claimed(self, version: int, *, watched: bool = False) -> Claim:
        """Claim what there is of a version."""
        ledger = self.watched if watched else self.ledger
        claim = ledger.work.claim("worker", [queue_of(ROUTE, version)])
        assert claim is not None
        return claim

    def complete(self, claim: Claim, *, watched: bool = False, items: int = 1) -> None:
        """Commit units of one item each, or of `items`."""
        ledger = self.watched if watched else self.ledger
        ledger.work.commit_batch(Finished(unit, some_results(items)) for unit in claim.units)

    def complete_all(self, version: int) -> None:
        """Claim and commit all jobs of one item of a version."""
        while claim := self.claim(version=version):
            self.complete(claim)

    def overdue(self, names: Sequence[str]) -> None:
        """Let the time of jobs run out."""
        for some in _parts(names):
            with self.redis.pipeline(transaction=False) as pipe:
                pipe.zadd(self.keys.deadlines(), dict.fromkeys(some, 1))
                for name in some:
                    pipe.hset(self.keys.job(name), "expires_at", 1)
                pipe.execute()

    def large_job(
        self,
        request: Job | None = None,
        *,
        version: int | None = None,
        unit_items: int = 65_536,
        parts: Sequence[str] = ("todo", "in", "sizes", "digests"),
        leased: int = 0,
        worker: str = "worker",
        **fields: object,
    ) -> str:
        """Make a sealed job of all the units; `leased` of them are held by a worker.

        `parts` are those of its keys that it has, `fields` are changed in its hash at the end.
        """
        name, version = f"large-{self.number()}", version or self.number()
        request = request or a_classify_job(expires_in_s=86_400)
        chunk = a_chunk(UNIT_ITEMS)
        self.ledger.submissions.submit(
            request, Admitted(version, unit_items), job_id=name, chunk=chunk
        )
        self._large.append(name)
        key, total = self.keys.job(name), self.units * UNIT_ITEMS
        blob_bytes = len(pack(chunk))
        self.redis.delete(*(f"{key}:{part}" for part in ("todo", "in", "sizes", "digests")))
        for part in parts:
            self.redis.copy(self._source(part), f"{key}:{part}", replace=True)
        whole = {"sealed": 1, "units": self.units, "total": total}
        whole |= {"pending_bytes": blob_bytes * self.units if "in" in parts else 0}
        self.redis.hset(key, mapping={**whole, **fields})
        self.redis.zrem(self.keys.uploads(), name)
        account = self.keys.tenant(request.tenant)
        self.redis.hincrby(account, "items", total - UNIT_ITEMS)
        self.redis.hincrby(account, "bytes", blob_bytes * self.units)
        self._lease(name, leased, worker)
        return name

    def _lease(self, name: str, leased: int, worker: str) -> None:
        key = self.keys.job(name)
        later_ms = self.ledger.fleet.now_ms() + HOUR_MS
        for units in _parts([str(unit) for unit in range(leased)]):
            members = [f"{name} {unit}" for unit in units]
            self.redis.zrem(f"{key}:todo", *units)
            self.redis.hset(f"{key}:leases", mapping=dict.fromkeys(units, f"1 {worker}"))
            self.redis.hset(f"{key}:attempts", mapping=dict.fromkeys(units, 1))
            self.redis.zadd(self.keys.timers(), dict.fromkeys(members, later_ms))
            self.redis.sadd(self.keys.worker_leases(worker), *members)
        if leased:
            self.redis.hset(key, mapping={"state": "running", "started": later_ms - HOUR_MS})

    @contextmanager
    def short_of_memory(self) -> Iterator[None]:
        """Let the scripts find that Redis has no memory for new work."""
        self.redis.set(self.keys.memory(), "short")
        try:
            yield
        finally:
            self.redis.delete(self.keys.memory())

    def clear_up(self) -> None:
        """Cancel and remove the large jobs that a case has made and left."""
        for name in self._large:
            self.redis.hset(self.keys.job(name), "held_by", "nobody")
            self.redis.unlink(self.keys.job(name))
            for part in [*_CONTENTS, *_OTHER_PARTS]:
                self.redis.unlink(f"{self.keys.job(name)}:{part}")
            self.redis.zrem(self.keys.open_jobs(), name)
            self.redis.zrem(self.keys.deadlines(), name)
        self._large = []

    def _source(self, part: str) -> str:
        return f"prepared:{part}"

    def _prepare_large(self) -> None:
        for part, content in _CONTENTS.items():
            for units in _parts([str(unit) for unit in range(self.units)]):
                content(self.redis, self._source(part), units)


def _parts(names: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(names), _AT_ONCE):
        yield names[first : first + _AT_ONCE]


def _write_hash(value: str | int | bytes, redis: Redis, key: str, units: Sequence[str]) -> None:
    redis.hset(key, mapping=dict.fromkeys(units, value))


def _write_ranks(redis: Redis, key: str, units: Sequence[str]) -> None:
    redis.zadd(key, {unit: int(unit) for unit in units})


#: Keys of a job beside those.
_OTHER_PARTS = ("leases", "events", "deltas", "crashes", "parts", "faults", "ranges", "ahead")

#: What the keys of a large job hold.
_CONTENTS: dict[str, Callable[[Redis, str, Sequence[str]], None]] = {
    "todo": _write_ranks,
    "in": partial(_write_hash, pack(a_chunk(UNIT_ITEMS))),
    "sizes": partial(_write_hash, UNIT_ITEMS),
    "digests": partial(_write_hash, "0" * 64),
    "attempts": partial(_write_hash, 1),
    "crashes": partial(_write_hash, 1),
    "out": partial(_write_hash, pack_results(some_results(UNIT_ITEMS))[0]),
    "failed": partial(_write_hash, pack(a_chunk(UNIT_ITEMS))),
}
PARTS = tuple(_CONTENTS)
