"""The same operations on a real server, through the client and the worker's protocol.

The only module of the model that imports `seqd.ledger` and reads raw keys.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from datetime import date
from inspect import signature
from typing import cast

from redis import Redis

from builders import a_catalog_entry, a_failure, an_epoch
from clock_fixtures import ClockServer
from ledger_fixtures import publish_entries
from model.claiming import GivenClaim, GivenUnit, Served
from model.jobs import Claimed, Event, Result
from model.ledger import Limits
from model.many import Done, Taken
from seqd.admission import Admitted
from seqd.client import Client, JobHandle, JobOptions
from seqd.errors import JobsRefused
from seqd.ledger import Ledger, connect
from seqd.ledger.blobs import (
    PackedChunk,
    pack_line,
    pack_results,
    split_chunk,
    unpack_items,
    unpack_results,
)
from seqd.ledger.digests import InputDigest
from seqd.ledger.jobs import StreamPosition
from seqd.ledger.ranges import IngestPosition, Range, ReadUnit, TakenRange
from seqd.ledger.units import Death, Unit
from seqd.ledger.work import CheckpointRecord, Finished
from seqd.settings import Settings
from seqd_schemas import (
    ClassifyJob,
    DeathCause,
    Failure,
    FileSource,
    Item,
    ItemChunk,
    Job,
    JobRecord,
    JobState,
    Keys,
    NamedSource,
    TaskSchema,
    TenantRecord,
    TextDeltas,
    TrainingResult,
    TrainJob,
    VersionSummary,
    queue_of,
    route_of,
    to_stored,
)
from tcp_proxy import TcpProxy

#: Models, by the items that a unit of theirs holds.
MODELS = {"imdb_lstm": 4, "words": 2}
VERSION = 3

#: All that a worker can run: kinds of jobs, each with a model.
SERVED: Served = (("classify", "imdb_lstm"), ("classify", "words"), ("train", "imdb_lstm"))

#: A share of memory that is always used up.
TOO_LITTLE = 1e-9

WORKERS = ("worker-a", "worker-b", "worker-c")

#: Keys that belong to no job, and those that tell of jobs whose time has passed.
STAY = (
    "catalog|format|limits|limits:.*|weights|paused_models|audit|events|failures|usage:.*|memory",
    "durability-mark|evicted|evictions|jobs:small|client:.*|wakeup\\..*",
    "worker:[^:]*:(classes|deltas)",
)
OF_PAST = ("tenant:.*|tenants|kept|template:.*",)

#: Keys beside those of jobs that go by themselves, should nobody come back to them.
MORTAL = "worker:.*|usage:.*|memory|tenant:[^:]*:ended:.*"

PARAMETERS = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"loud": {"type": "boolean"}},
}


class Sizes:
    """How many bytes things take in Redis."""

    def of_input(self, chunk: ItemChunk) -> int:
        """Return the bytes of a unit's input."""
        return len(PackedChunk(chunk).blob)

    def of_results(self, results: Sequence[Result]) -> int:
        """Return the bytes of a unit's results."""
        return sum(map(len, pack_results(results)))

    def of_request(self, request: Job) -> int:
        """Return the bytes of a request."""
        return len(to_stored(request).encode())


@dataclass(frozen=True)
class _Side:
    """A client and a worker on one connection."""

    client: Client
    ledger: Ledger


class Adapter:
    """One real ledger. Each walk begins on an empty server, at the same time."""

    def __init__(self, server: ClockServer, proxy: TcpProxy, settings: Settings) -> None:
        self._server = server
        self._proxy = proxy
        self._settings = settings
        self._redis: Redis = connect(server.url)
        self._redis.config_set("maxmemory", "1gb")
        self._direct, self._lossy = self._side(server.url), self._side(proxy.url)
        self._side_now = self._direct

    def _side(self, url: str) -> _Side:
        settings = self._settings.model_copy(update={"redis_url": url})
        return _Side(Client(settings=settings), Ledger(connect(url), settings))

    def begin(self, now_ms: int, limits: Limits) -> None:
        """Empty the server, set its clock, and publish what workers publish."""
        self._redis.flushall()
        self._server.hold(now_ms)
        entries = [
            a_catalog_entry(
                model=model,
                tasks={
                    "classify": TaskSchema(parameters=PARAMETERS, unit_items=unit_items),
                    "train": TaskSchema(parameters=PARAMETERS, unit_items=1),
                },
                datasets=("keras:imdb",),
                versions=(VersionSummary(version=VERSION, created_at_ms=1, metrics={}),),
                labels={"production": VERSION},
            )
            for model, unit_items in MODELS.items()
        ]
        publish_entries(self._direct.ledger.fleet, entries)
        self.publish_limits(limits)

    def publish_limits(self, limits: Limits) -> None:
        """Publish the operator's limits, as a worker does that boots."""
        changes = {
            "max_tenant_jobs": limits.tenant_jobs,
            "max_tenant_items": limits.tenant_items,
            "max_tenant_bytes": limits.tenant_bytes,
            "max_tenant_kept_bytes": limits.tenant_kept_bytes,
            "max_results_ttl_s": limits.results_ttl_s,
            "max_job_units": limits.job_units,
            "max_memory_share": TOO_LITTLE if limits.is_short else 0.8,
        }
        self._direct.ledger.fleet.publish_limits(self._settings.model_copy(update=changes))
        self._redis.delete(self._settings.keys.memory())  # what was known for a moment

    def hold(self, now_ms: int) -> None:
        """Set the server's clock."""
        self._server.hold(now_ms)

    def close(self) -> None:
        """Close all connections."""
        for side in (self._direct, self._lossy):
            side.client.close()
            side.ledger.redis.close()
        self._redis.close()

    @contextmanager
    def replies_lost(self, count: int) -> Iterator[None]:
        """Lose the first replies of scripts in the block: who asked sends its request again."""
        if count:
            self._side_now = self._lossy
            self._proxy.drop_next_replies(count, to=b"EVALSHA")
        try:
            yield
        finally:
            self._proxy.drop_next_replies(0)
            self._side_now = self._direct

    @property
    def client(self) -> Client:
        """The client."""
        return self._side_now.client

    def job(self, job_id: str) -> JobHandle:
        """Return a handle on a job."""
        return self.client.job(job_id)

    # What clients do.

    def classify(self, request: ClassifyJob, items: Sequence[Item], job_id: str) -> str:
        """Hand a job in with all of its items; return the identifier of the one that stands."""
        handle = self.client.classify(
            list(items),
            model=request.model,
            **_options(request) | {"job_id": job_id, "idempotency_key": request.idempotency_key},
        )
        handle.uploaded()
        return handle.job_id

    def classify_each(
        self, request: ClassifyJob, items: Sequence[Item], job_ids: Sequence[str]
    ) -> list[str]:
        """Hand in jobs of one item each; return their identifiers, and codes of refusals."""
        try:
            self.client.classify_each(
                list(items), model=request.model, job_ids=job_ids, **_options(request)
            )
        except JobsRefused as error:
            return [error.refused[one].code if one in error.refused else one for one in job_ids]
        return list(job_ids)

    def retry(self, job_id: str) -> str:
        """Hand an ended job's failed items in again."""
        handle = self.client.retry(job_id)
        handle.uploaded()
        return handle.job_id

    def act_on_many(self, action: str, tenant: str | None) -> Done:
        """Do something to all jobs of a tenant, or to all."""
        act = getattr(self.client, f"{action}_jobs")
        done = act(every=True) if tenant is None else act(tenant=tenant)
        return Done(done.acted_on, done.refused)

    def count_jobs(self, action: str, tenant: str | None) -> int:
        """Return on how many jobs an action would act."""
        chosen: dict[str, object] = {"every": True} if tenant is None else {"tenant": tenant}
        return self.client.count_jobs(action, **chosen).jobs  # type: ignore[arg-type]

    def pause_model(self, model: str, *, disables: bool) -> None:
        """Pause or disable a model."""
        act = self.client.disable_model if disables else self.client.pause_model
        act(model)

    def train(self, request: TrainJob, job_id: str) -> str:
        """Hand a training in."""
        assert isinstance(request.source, NamedSource)
        handle = self.client.train(
            request.source,
            model=request.model,
            tenant=request.tenant,
            results_ttl_s=request.results_ttl_s,
            expires_in_s=request.expires_in_s,
            durable=False,
            job_id=job_id,
        )
        return handle.job_id

    def list_jobs(self, tenant: str | None, states: Iterable[JobState]) -> list[str]:
        """Return the jobs of a tenant, or of all, in one of these states."""
        found = self.client.jobs(limit=1_000, states=sorted(states), tenant=tenant)
        return [record.job_id for record in found]

    def begin_upload(
        self, request: Job, items: Sequence[Item], job_id: str, unit_items: int, owner: str
    ) -> str:
        """Hand a job in whose input comes unit by unit."""
        chunk = ItemChunk(first_index=0, items=tuple(items)) if items else None
        accepted = self._side_now.ledger.submissions.submit(
            request,
            Admitted(VERSION, unit_items),
            job_id=job_id,
            chunk=chunk,
            sealed=False,
            owner=owner,
        )
        return accepted.job_id

    def append(
        self,
        request: Job,
        job_id: str,
        number: int,
        items: Sequence[Item],
        first: int,
        owner: str,
    ) -> str:
        """Add a unit to an upload: those of its items from the first on."""
        chunk = ItemChunk(first_index=first, items=tuple(items[first:]))
        digest = _digest(request, items)
        submissions = self._side_now.ledger.submissions
        return submissions.append(request, job_id, number, chunk, owner=owner, digest=digest)

    def seal(
        self, request: Job, job_id: str, units: int, items: Sequence[Item], owner: str
    ) -> bool:
        """Say that an upload is complete, with these items."""
        submissions, digest = self._side_now.ledger.submissions, _digest(request, items)
        return submissions.seal(request, job_id, units, owner=owner, digest=digest)

    def follow(
        self,
        request: Job,
        job_id: str,
        number: int,
        items: Sequence[Item],
        token: str,
        silence_s: float,
    ) -> str:
        """Compare a unit with that of an upload, or take the upload over."""
        submissions, digest = self._side_now.ledger.submissions, _digest(request, items)
        return submissions.follow(job_id, number, digest, token, silence_s).outcome

    def heartbeat(self, job_id: str, token: str) -> bool:
        """Show that the client of an upload is alive."""
        return self._side_now.ledger.submissions.heartbeat(job_id, token)

    def fail_upload(self, job_id: str, failure: Failure, token: str) -> bool:
        """Fail a job whose input broke off."""
        return self._side_now.ledger.control.fail_upload(job_id, failure, token)

    def fail_abandoned(self, silence_s: float, now_ms: int) -> None:
        """Fail uploads of clients that have been silent for so long."""
        self._side_now.ledger.control.fail_abandoned(silence_s, now_ms)

    def steer(self, job_id: str, act: str) -> JobState | None:
        """Do something to a job, such as to cancel it; return its state afterwards."""
        if act == "fail":
            return self._side_now.ledger.control.fail(job_id, a_failure())
        handle = self.job(job_id)
        acts = {
            "cancel": handle.cancel,
            "pause": handle.pause,
            "resume": handle.resume,
            "remove": handle.remove,
        }
        return acts[act]()

    # What those do that read files.

    def classify_file(self, request: ClassifyJob, job_id: str) -> str:
        """Hand a job in whose items stand in a file."""
        assert isinstance(request.source, FileSource)
        options = _options(request) | {"job_id": job_id}
        return self.client.classify(request.source, model=request.model, **options).job_id

    def append_of_file(self, request: Job, claimed: Claimed, number: int, chunk: ItemChunk) -> str:
        """Add a unit of a file to its job, and note where the next one begins."""
        end = chunk.first_index + len(chunk.items)
        return self._side_now.ledger.submissions.append(
            request,
            claimed.job_id,
            number,
            chunk,
            ingest_attempt=claimed.attempt,
            position=_place(number + 1, end).to_stored(),
        )

    def seal_file(self, request: Job, claimed: Claimed, units: int) -> bool:
        """Say that a file has no more."""
        submissions = self._side_now.ledger.submissions
        return submissions.seal(request, claimed.job_id, units, ingest_attempt=claimed.attempt)

    def position(self, job_id: str) -> tuple[int, int] | None:
        """Return how far a file was read: units and entries."""
        found = self._side_now.ledger.ingests.position(job_id)
        return None if found is None else (found.units, found.entries)

    def keep(self, claimed: Claimed) -> bool:
        """Release an ingest, and keep it for its worker."""
        return self._side_now.ledger.ingests.keep(_unit(claimed))

    def resume_ingest(self, claimed: Claimed) -> Claimed | bool:
        """Lease an ingest again."""
        found = self._side_now.ledger.ingests.resume(_unit(claimed), claimed.worker)
        return found if isinstance(found, bool) else replace(claimed, attempt=found.attempt)

    def note_unread(self, claimed: Claimed, items: int) -> bool:
        """Note how many items of a file are not read yet."""
        return self._side_now.ledger.backlog.note_unread(_unit(claimed), items)

    def offer(self, claimed: Claimed, ranges: Sequence[tuple[int, int]], *, anew: bool) -> bool:
        """Offer ranges of a file."""
        rows = [Range(_place(first, first), units) for first, units in ranges]
        return self._side_now.ledger.ranges.offer(_unit(claimed), rows, anew=anew)

    def take_range(self, worker: str, served: Served, own: str = "") -> tuple[str, int, int] | None:
        """Take a range."""
        ranges = self._side_now.ledger.ranges
        found = ranges.take_of(own, worker) if own else ranges.take(worker, queues_of(served))
        if found is None:
            return None
        return found.job_id, found.range.begins.units, found.range.units

    def release_range(self, job_id: str, first: int, worker: str) -> None:
        """Let another take a range."""
        self._side_now.ledger.ranges.release(_taken(job_id, first), worker)

    def put(self, job_id: str, first: int, worker: str, number: int, chunk: ItemChunk) -> str:
        """Put a unit of a range where the ingest finds it."""
        begins, ends = _place(number, chunk.first_index), _place(number + 1, chunk.first_index)
        unit, blob = ReadUnit(begins, ends), PackedChunk(chunk).blob
        return self._side_now.ledger.ranges.put(_taken(job_id, first), worker, unit, blob, b"ids")

    def append_ahead(self, request: Job, claimed: Claimed, number: int, size: int) -> str:
        """Add a unit that was read ahead."""
        return self._side_now.ledger.submissions.append(
            request,
            claimed.job_id,
            number,
            None,
            ingest_attempt=claimed.attempt,
            position=_place(number + 1, 0).to_stored(),
            ahead_items=size,
        )

    # What workers do.

    def claim(self, worker: str, served: Served) -> GivenClaim | None:
        """Take a wakeup, and the next units that a worker can run."""
        for kind, model in served:
            if self._redis.rpop(self._settings.keys.wakeup(route_of(kind, model))):
                break
        claim = self._side_now.ledger.work.claim(worker, queues_of(served))
        if claim is None:
            return None
        return GivenClaim(claim.job, claim.version, tuple(_given(unit) for unit in claim.units))

    def leases(self, job_ids: Iterable[str]) -> dict[tuple[str, str], tuple[int, str]]:
        """Return who holds which units: the attempt and the worker."""
        keys, found = self._settings.keys, {}
        for job_id in job_ids:
            rows = cast("dict[bytes, bytes]", self._redis.hgetall(keys.leases(job_id)))
            for unit, lease in rows.items():
                attempt, _, worker = lease.decode().partition(" ")
                found[job_id, unit.decode()] = (int(attempt), worker)
        return found

    def renew(self, claims: Sequence[Claimed]) -> list[str]:
        """Keep leases."""
        outcomes = self._side_now.ledger.work.renew([_unit(one) for one in claims])
        return [outcome.name for outcome in outcomes]

    def commit(
        self, claimed: Claimed, results: Sequence[Result], *, fenced: bool, plugin: str
    ) -> str:
        """Record the results of a unit."""
        chunk = ItemChunk(first_index=claimed.first_index, items=claimed.items)
        work = self._side_now.ledger.work
        outcome = work.commit(_unit(claimed), results, chunk, fenced=fenced, plugin_version=plugin)
        return outcome.value

    def commit_several(
        self, rows: Sequence[tuple[Claimed, Sequence[Result]]], *, plugin: str
    ) -> list[str]:
        """Record the results of several units in one step."""
        finished = [
            Finished(
                _unit(claimed),
                results,
                ItemChunk(first_index=claimed.first_index, items=claimed.items),
            )
            for claimed, results in rows
        ]
        outcomes = self._side_now.ledger.work.commit_batch(finished, plugin)
        return [str(outcome) for outcome in outcomes]

    def commit_training(self, claimed: Claimed, result: TrainingResult, plugin: str) -> str:
        """Record the version that a training made."""
        work = self._side_now.ledger.work
        return work.commit_training(_unit(claimed), result, plugin_version=plugin).value

    def size_of_training(self, result: TrainingResult) -> int:
        """Return the bytes of the record of a version."""
        return len(pack_line(to_stored(result)))

    def checkpoint(self, claimed: Claimed, name: str) -> list[str]:
        """Commit a checkpoint of a training."""
        record = CheckpointRecord(name, "0" * 64)
        return self._side_now.ledger.checkpoints.commit(_unit(claimed), record)

    def publish_epoch(self, claimed: Claimed, epoch: int) -> None:
        """Publish that an epoch is over."""
        event = an_epoch(claimed.job_id, epoch=epoch)
        self._side_now.ledger.work.publish(_unit(claimed), event)

    def size_of_deltas(self, deltas: TextDeltas) -> int:
        """Return the bytes of text deltas as they are stored."""
        return len(to_stored(deltas))

    def publish_deltas(self, claimed: Claimed, entries: Sequence[TextDeltas]) -> list[bool]:
        """Publish text deltas of a unit."""
        unit = _unit(claimed)
        rows = [(unit, entry) for entry in entries]
        return self._side_now.ledger.work.publish_deltas(claimed.worker, rows)

    def delta_sizes(self, job_id: str) -> list[int]:
        """Return the bytes of the text deltas that are kept."""
        begin = StreamPosition("0-0", "0-0")
        found, _ = self._side_now.ledger.jobs.deltas(job_id, begin, longest_wait_s=0)
        return [self.size_of_deltas(deltas) for deltas in found]

    def keys_for_ever(self, job_id: str) -> list[str]:
        """Return the keys of a job that have no time to live."""
        return self._for_ever(self._settings.keys.job(job_id))

    def names_for_ever(self) -> set[str]:
        """Return the keys that have no time to live, and should have one."""
        prefix = f"{self._settings.prefix}:"
        names = {name.removeprefix(prefix) for name in self._for_ever(prefix)}
        return {name for name in names if re.fullmatch(MORTAL, name)}

    def unnamed_keys(self) -> list[str]:
        """Return the keys that are none of those which the schemas name."""
        keys = self._settings.keys
        found = [key.decode() for key in self._redis.scan_iter(f"{keys.prefix}:*", count=1_000)]
        names = _patterns_of(keys)
        return [key for key in found if not any(name.fullmatch(key) for name in names)]

    def _for_ever(self, start: str) -> list[str]:
        script = """
        local found = {}
        for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do
          if redis.call('TTL', key) == -1 then found[#found + 1] = key end
        end
        return found
        """
        found = self._redis.eval(script, 0, start)
        return [name.decode() for name in found]

    def fail_job(self, claimed: Claimed, failure: Failure) -> bool:
        """End the whole job as failed, if the unit is still held."""
        return self._side_now.ledger.work.fail_job(_unit(claimed), failure)

    def release_unit(
        self, claimed: Claimed, *, wait_s: float, crashed: bool, faulted_by: str
    ) -> bool:
        """Release a unit."""
        work = self._side_now.ledger.work
        return work.release_unit(
            _unit(claimed), wait_s=wait_s, crashed=crashed, faulted_by=faulted_by
        )

    def release_worker(self, worker: str, *, crashed: bool, death: str) -> None:
        """Release all that a worker holds, and say how it died."""
        how = Death(DeathCause.SIGNAL, death) if death else None
        self._side_now.ledger.work.release_worker(worker, crashed=crashed, death=how)

    def renew_worker(self, worker: str, said: str) -> None:
        """Keep all leases of a worker that stands still."""
        self._side_now.ledger.work.renew_worker(worker, said)

    def are_ranges_offered(self) -> bool:
        """Return what the last claim said that found nothing."""
        return self._side_now.ledger.work.are_ranges_offered

    def split(self, claimed: Claimed) -> bool:
        """Replace a unit by two halves of it."""
        parts = split_chunk(ItemChunk(first_index=claimed.first_index, items=claimed.items))
        return parts is not None and self._side_now.ledger.work.split(_unit(claimed), parts)

    def expire(self) -> int:
        """Do what time has made due."""
        return self._side_now.ledger.work.expire()

    def evict(self) -> int:
        """Remove ended jobs where there is no room, and what time has made of accounts."""
        return self._side_now.ledger.retention.evict()

    def take_ended(self, job_ids: Sequence[str], *, cancels: bool) -> list[Taken]:
        """Take jobs that have ended, with their results; some may be cancelled for it."""
        rows = self._side_now.ledger.jobs.take_ended(list(job_ids), cancels=cancels)
        return [
            (
                row.state,
                row.is_kept,
                None if row.blob is None else tuple(unpack_results(row.blob)),
                None if row.failure is None else row.failure.code,
            )
            for row in rows
        ]

    # What can be seen.

    def records(self) -> list[JobRecord]:
        """Return all jobs that are kept, the newest first."""
        return list(self.client.jobs(limit=1_000))

    def results(self, job_id: str, offset: int, limit: int) -> list[Result]:
        """Return a page of results."""
        return list(self.job(job_id).results(wait=False, offset=offset, limit=limit))

    def events(self, job_id: str) -> list[object]:
        """Return the events of a job that are there."""
        return list(self._side_now.ledger.jobs.events(job_id, longest_wait_s=0))

    def work_left(self) -> dict[str, int]:
        """Return the items that are left, by queue."""
        queues = self._side_now.ledger.backlog.queues()
        return {work.queue: work.items for work in queues if work.items}

    def account(self, tenant: str) -> TenantRecord:
        """Return how a tenant stands."""
        return self._side_now.ledger.tenants.record(tenant)

    def wakeups(self) -> dict[str, int]:
        """Return how many wakeups wait, by route."""
        routes = [route_of(kind, model) for kind, model in SERVED]
        return {route: self._redis.llen(self._settings.keys.wakeup(route)) for route in routes}

    def failures(self, due: Sequence[Event]) -> list[Event]:
        """Return what is due of the dead letters, the newest first."""
        found = self.client.failures(limit=1_000)
        assert len(found) == len(due), f"there are {len(found)} dead letters, due are {len(due)}"
        return [
            {name: getattr(record, name) for name in expected}
            for record, expected in zip(found, reversed(due), strict=True)
        ]

    def usage(self) -> dict[tuple[int, str, str], int]:
        """Return what tenants have used, by day and kind."""
        used: dict[tuple[int, str, str], int] = {}
        for one in self.client.tenant_usage():
            day = (date.fromisoformat(one.day) - date(1970, 1, 1)).days
            counts = {"items": one.items, "trainings": one.trainings}
            used |= {(day, one.tenant, what): count for what, count in counts.items() if count}
        return used

    def evictions(self) -> int:
        """Return how many jobs had to make room."""
        found = self.client.evictions()
        return found.tenant_kept_bytes + found.memory

    def names_that_stay(self, *, has_past: bool) -> set[str]:
        """Return the keys that should not be there when all jobs are removed.

        `has_past`: of jobs whose time to live has passed, accounts may still tell.
        """
        ledger, keys = self._direct.ledger, self._settings.keys
        ledger.jobs.forget_expired()
        held = [unit for one in WORKERS for unit in self._redis.smembers(keys.worker_leases(one))]
        # An ingest that was kept for a worker may be named until that one is released.
        strays = {unit.decode() for unit in held if not unit.endswith(b" ingest")}
        for worker in WORKERS:
            ledger.work.release_worker(worker, crashed=False)
        prefix = f"{self._settings.prefix}:"
        found = cast("list[bytes]", self._redis.keys(f"{prefix}*"))
        names = {name.decode().removeprefix(prefix) for name in found}
        of_no_job = (*STAY, *OF_PAST) if has_past else STAY
        return strays | {name for name in names if not re.fullmatch("|".join(of_no_job), name)}


def _patterns_of(keys: Keys) -> list[re.Pattern[str]]:
    """Return for each method of Keys the pattern of the names that it can make."""
    # Not inspect.getmembers: on some 3.11 it trips over `__weakref__` of a slotted dataclass.
    patterns = []
    for name in [name for name in dir(keys) if not name.startswith("_") and name != "prefix"]:
        method = getattr(keys, name)
        marks = ["MARK"] * len(signature(method).parameters)
        patterns.append(re.compile(re.escape(method(*marks)).replace("MARK", "[^{}]+")))
    return patterns


def _digest(request: Job, items: Sequence[Item]) -> str:
    """Return the digest of a request with so much of its input."""
    digest = InputDigest(request)
    digest.add(PackedChunk(ItemChunk(first_index=0, items=tuple(items))))
    return digest.hex()


def _options(request: ClassifyJob) -> JobOptions:
    return {
        "parameters": request.parameters,
        "priority": request.priority,
        "tenant": request.tenant,
        "metadata": request.metadata,
        "results_ttl_s": request.results_ttl_s,
        "expires_in_s": request.expires_in_s,
        "max_running_units": request.max_running_units,
        "durable": False,
    }


def queues_of(served: Served) -> list[str]:
    """Return the queues of a worker."""
    return [
        queue_of(route_of(kind, model), None if kind == "train" else VERSION)
        for kind, model in served
    ]


def _place(units: int, entries: int) -> IngestPosition:
    return IngestPosition(units, entries, 0, 0, 0, 0, 0)


def _taken(job_id: str, first: int) -> TakenRange:
    return TakenRange(job_id, b"", 1, Range(_place(first, first), 1))


def _given(unit: Unit) -> GivenUnit:
    empty = ItemChunk(first_index=0, items=())
    chunk = unpack_items(unit.blob) if unit.blob else empty
    return GivenUnit(
        unit.job_id,
        unit.name,
        unit.attempt,
        unit.crashes,
        tuple(entry for entry in chunk.items if isinstance(entry, Item)),
        chunk.first_index,
        unit.started_job,
        unit.job_age_s,
        None if unit.faults is None else astuple(unit.faults),
        "" if unit.death is None else unit.death.message,
    )


def _unit(claimed: Claimed) -> Unit:
    return Unit(
        job_id=claimed.job_id,
        name=claimed.name,
        attempt=claimed.attempt,
        crashes=0,
        blob=b"",
        started_job=False,
        worker=claimed.worker,
    )
