"""A ledger on a real server, and the steps that its tests are told in; a pytest plugin.

environment       a ledger on Redis and then on Valkey, whose wakeups are recorded
disturbed         an exchange that reads while the ledger changes
Environment       its steps: submit, claim one unit, commit it, wait until leases run out
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

import pytest
from redis import Redis

from builders import a_chunk, a_classify_job, a_training_result, some_results
from redis_fixtures import Server
from seqd.admission import Admitted
from seqd.batch.held_job import HeldJob
from seqd.client import JobHandle
from seqd.client.job import JobSteps
from seqd.ledger import Ledger, connect
from seqd.ledger.blobs import PartReference, unpack_items, unpack_results
from seqd.ledger.exchange import Exchange
from seqd.ledger.fleet import Fleet
from seqd.ledger.minutes import Figures
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim, CommitOutcome
from seqd.settings import Settings
from seqd_schemas import (
    CatalogEntry,
    Item,
    ItemChunk,
    Job,
    JobRecord,
    Keys,
    queue_of,
)

CLASSIFY = "classify.imdb_lstm"
GENERATE = "generate.markov"
TRAIN = "train.imdb_lstm"
ROUTES = (CLASSIFY, GENERATE, TRAIN)

T = TypeVar("T")

#: Versions that the workers of these tests can load.
VERSIONS = range(6)

#: A millisecond: it has run out by the time that anybody looks.
BRIEFLY_S = 0.001

DEADLINE_S = 120.0


def failed_items(ledger: Ledger, job_id: str) -> Iterator[Item]:
    """Yield an ended job's items that a retry sends again, a unit of them at a time."""
    for unit in ledger.jobs.retryable_units(job_id):
        for entry in unpack_items(ledger.jobs.retryable_input(job_id, unit)).items:
            if isinstance(entry, Item):
                yield entry


def note_minute(
    ledger: Ledger, at_ms: int, waiting_items: int, busy_workers: int, rate: float = 2.5
) -> None:
    """Note figures of the fleet for the minute of a moment."""
    ledger.minutes.note(at_ms, Figures(rate, 0.5, waiting_items, busy_workers))


def disturbed(steps: Exchange[T], between: Callable[[], object]) -> Exchange[T]:
    """Return an exchange that does the same, and has something happen behind each of its reads."""
    try:
        asked = next(steps)
        while True:
            reply = yield asked
            between()
            asked = steps.send(reply)
    except StopIteration as end:
        return cast(T, end.value)


@dataclass
class Environment:
    """A ledger, and what happened to it."""

    ledger: Ledger
    redis: Redis
    settings: Settings
    #: Routes of the wakeups that were taken out of Redis.
    told: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def keys(self) -> Keys:
        return self.settings.keys

    @property
    def notified(self) -> list[str]:
        """Routes to which wakeups were sent since this list was last cleared.

        They are taken out of Redis for it, as a worker does.
        """
        start = self.keys.wakeup("")
        for key in sorted(self.redis.keys(f"{start}*")):
            while self.redis.rpop(key):
                self.told.append(key.decode().removeprefix(start))
        return self.told

    def handle(self, job_id: str) -> JobHandle:
        """Return a client's handle on a job."""
        return JobHandle(self.ledger.transport, JobSteps(self.ledger, job_id))

    def submit(
        self,
        job: Job | None = None,
        *,
        job_id: str | None = None,
        version: int | None = 3,
        unit_items: int = 2,
        chunk: ItemChunk | None = None,
        sealed: bool = False,
        owner: str = "",
    ) -> str:
        """Hand a job in, and give its identifier."""
        name = job_id or f"job-{next(self._numbers)}"
        accepted = self.ledger.submissions.submit(
            job or a_classify_job(),
            Admitted(version, unit_items),
            job_id=name,
            chunk=chunk,
            sealed=sealed,
            owner=owner,
        )
        return accepted.job_id

    def submit_units(self, units: int, job: Job | None = None, **changes: object) -> str:
        """Hand in a sealed job of so many units of two items each."""
        job = job or a_classify_job()
        job_id = self.submit(job, chunk=a_chunk(), sealed=units == 1, **changes)  # type: ignore[arg-type]
        for unit in range(1, units):
            self.append(job_id, unit, job=job)
        if units > 1:
            assert self.ledger.submissions.seal(job, job_id, units)
        return job_id

    def append(
        self,
        job_id: str,
        unit: int,
        *,
        job: Job | None = None,
        items: int = 2,
        owner: str = "",
        digest: str = "",
    ) -> str:
        """Add a unit of items."""
        chunk = a_chunk(items, first=2 * unit)
        return self.ledger.submissions.append(
            job or a_classify_job(), job_id, unit, chunk, owner=owner, digest=digest
        )

    def run_elsewhere(self, record: JobRecord) -> HeldJob:
        """Hand in the job of a record, which this process has another engine run."""
        return HeldJob(self.handle(record.job_id), record)

    def claim(self, worker: str = "worker-a", routes: tuple[str, ...] = ROUTES) -> Claim | None:
        """Take what is due."""
        return self.ledger.work.claim(worker, queues_of(routes))

    def claim_unit(self, worker: str = "worker-a", routes: tuple[str, ...] = ROUTES) -> Unit:
        """Take what is due, which is one unit."""
        claim = self.claim(worker, routes)
        assert claim is not None, "nothing is claimable"
        assert len(claim.units) == 1
        return claim.units[0]

    def claim_names(self, worker: str = "worker-a") -> list[tuple[str, str]]:
        """Take what is due; returns the jobs and names of the units."""
        claim = self.claim(worker)
        return [] if claim is None else [(unit.job_id, unit.name) for unit in claim.units]

    def commit(self, unit: Unit, *, label: str = "like", errored: int = 0) -> CommitOutcome:
        """Commit two results; the items of those that are errors are kept."""
        results = some_results(first=2 * int(unit.name), label=label, errored=errored)
        return self.ledger.work.commit(unit, results, unpack_items(unit.blob))

    def complete_training(self, unit: Unit) -> CommitOutcome:
        """Commit the version that a training made."""
        return self.ledger.work.commit_training(unit, a_training_result())

    def labels(self, job_id: str, unit: int) -> list[str]:
        """Return the labels that are committed for a unit."""
        blob = self.ledger.jobs.outputs(job_id, [unit])[0]
        assert blob is not None, f"unit {unit} is not committed"
        return [result.output.label for result in unpack_results(blob)]  # type: ignore[union-attr]

    def record(self, job_id: str) -> JobRecord:
        return self.ledger.jobs.get(job_id)

    def events(self, job_id: str) -> list[str]:
        """Return the names of a job's events."""
        return [event.event for event in self.ledger.jobs.events(job_id, longest_wait_s=0)]

    @contextmanager
    def on(self, server: Server) -> "Iterator[Environment]":
        """Open an environment with the same settings on another server."""
        settings = self.settings.model_copy(update={"redis_url": server.url})
        with connect(server.url, retries=0) as redis:
            yield open_environment(redis, settings)

    def with_settings(self, **changes: object) -> "Environment":
        """The same ledger as a worker with other settings sees it."""
        settings = self.settings.model_copy(update=changes)
        ledger = Ledger(self.redis, settings)
        return Environment(ledger, self.redis, settings, self.told, self._numbers)

    def publish_limits(self, **limits: object) -> None:
        """Publish the limits that an operator has set, as a worker does when it boots."""
        self.ledger.fleet.publish_limits(self.with_settings(**limits).settings)

    @contextmanager
    def full_redis(self, most_bytes: int = 1) -> Iterator[None]:
        """Let Redis have no more memory than this in the block."""
        self.redis.config_set("maxmemory", most_bytes)
        try:
            yield
        finally:
            self.redis.config_set("maxmemory", 0)
            self.redis.delete(self.keys.memory())

    def expire_due(self) -> int:
        """Wait until the next lease or back-off has run out, and have it looked at."""
        score = self.redis.zrange(self.keys.timers(), 0, 0, withscores=True)[0][1]
        self.wait_for_clock(int(score))
        return self.ledger.work.expire()

    def wait_for_clock(self, at_ms: int) -> None:
        """Wait until the server's clock has passed a time."""
        deadline = time.monotonic() + DEADLINE_S
        while self.ledger.fleet.now_ms() <= at_ms:
            assert time.monotonic() < deadline, f"{at_ms} ms is too far away to wait for"


def a_part(unit: int, items: int = 2, **errors: int) -> PartReference:
    """Where the results of a unit are, some of them errors, by code."""
    return PartReference(
        name=f"part-{unit:08d}.jsonl",
        size_bytes=10,
        sha256="0" * 64,
        first_index=2 * unit,
        items=items,
        checksum=1,
        errors=errors,
    )


def queues_of(routes: tuple[str, ...]) -> list[str]:
    """Return the queues of the routes, with every version that these tests know and with none."""
    return [queue_of(route, version) for route in routes for version in (None, *VERSIONS)]


def open_environment(redis: Redis, settings: Settings) -> Environment:
    """Make an environment on a connection."""
    return Environment(Ledger(redis, settings), redis, settings)


@pytest.fixture
def environment(any_settings: Settings) -> Iterator[Environment]:
    assert any_settings.redis_url is not None
    with connect(any_settings.redis_url) as redis:
        yield open_environment(redis, any_settings)


def publish_entries(fleet: Fleet, entries: Iterable[CatalogEntry]) -> None:
    """Publish what a worker would, whatever is published already."""
    assert fleet.publish_catalog(entries, fleet.catalog_rows())
