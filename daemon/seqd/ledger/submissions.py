"""Submitting jobs: whole jobs in one step, or one job's input chunk by chunk.

Checks nothing about models or parameters, which `seqd.admission` has done. What the ledger refuses
becomes an error that says what to do; the limits are the operator's, and workers publish them when
they boot.

The job's hash has the request as JSON in its field `spec`. A field of it that the Lua scripts need
is also a field of the hash, which `_fields` writes.

An idempotency key, and an identifier, stand for a request with all of its input. Input that comes
unit by unit is owned by one upload, whose token is in the field `owner`; who sends the same request
again follows that upload and compares, and takes over where its client has died.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from seqd.analysis.sweeps import combinations_of
from seqd.errors import (
    REDIS_ERRORS,
    IdempotencyConflict,
    IdInUse,
    InvalidRequest,
    NotAllowed,
    QuotaExceeded,
    RedisFull,
    SeqdError,
    UploadLost,
    WrongState,
)
from seqd.kinds import TRAIN
from seqd.ledger.blobs import PackedChunk, UnitReference
from seqd.ledger.digests import InputDigest
from seqd.ledger.exchange import (
    Argument,
    Exchange,
    Part,
    Reply,
    exchange,
    script,
)
from seqd.ledger.scripts import as_bytes, as_int, as_list, as_text
from seqd.ledger.units import Unit
from seqd_schemas import (
    FileSource,
    InlineSource,
    ItemChunk,
    Job,
    ModelReference,
    RecordsSource,
    RunJob,
    SweepJob,
    TextChunk,
    TrainJob,
    UploadSource,
    has_upload,
    output_folder_of,
    own_options,
    queue_of,
    route_of,
    task_of,
    to_stored,
)

if TYPE_CHECKING:
    from seqd.admission import Admitted
    from seqd.ledger.inbox import Entry

#: Jobs, and bytes of their input, that one step writes at most: about 3 ms of the server's time.
SUBMIT_JOBS = 64
SUBMIT_BYTES = 1_048_576

#: Characters of the digest of a template, which nobody has a reason to forge.
TEMPLATE_DIGEST_CHARS = 16

AppendOutcome = Literal[
    "added", "full", "short", "too_large", "behind", "missing", "not_owner", "ended"
]
FollowOutcome = Literal[
    "same", "differs", "wait", "taken", "complete", "ended", "behind", "unknown"
]

#: Seconds after which another try may succeed. Memory is freed when results reach their time to
#: live or workers catch up, a quota with each unit that is done.
MEMORY_RETRY_S: Final = 30.0
QUOTA_RETRY_S: Final = 5.0

_QUOTAS: Final = {
    "tenant_jobs": ("open job", "open jobs", "SEQD_MAX_TENANT_JOBS"),
    "tenant_items": ("item waiting", "items waiting", "SEQD_MAX_TENANT_ITEMS"),
    "tenant_bytes": ("byte of input waiting", "bytes of input waiting", "SEQD_MAX_TENANT_BYTES"),
}


@dataclass(frozen=True, slots=True)
class Existing:
    """A job that has some of its input, or all, with which the sender's is still to be compared."""

    #: Most items of a unit, by which its input was cut.
    unit_items: int
    #: True when no more input comes: it is complete, or the job has ended.
    has_all: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job in the ledger. `created` is False when it had been there already."""

    job_id: str
    created: bool
    #: Set where the request is the same as that of a job that is there, and the input is not known
    #: to be: an `Upload` has to compare it.
    existing: Existing | None = None


@dataclass(frozen=True, slots=True)
class Followed:
    """What `Submissions.follow` found."""

    outcome: FollowOutcome
    #: Digest of the request and of the input that the job has: set for `complete` and `ended`.
    digest: str = ""
    #: Number of units that it has: set for `ended`.
    units: int = 0


class BatchTemplate:
    """What jobs share that differ in their items alone; computed once for all of them."""

    def __init__(
        self,
        job: Job,
        admitted: "Admitted",
        client: str,
    ) -> None:
        """`client` names the completion stream to which the end of each job is appended."""
        self.job = job
        self._digest = InputDigest(job)
        self.fields = [*_fields(job, admitted), "client", client]

    def row(self, job_id: str, chunk: ItemChunk) -> list[Argument]:
        """Return the arguments of `submit.lua` for a job whose whole input is `chunk`."""
        packed = PackedChunk(chunk)
        digest = self._digest.hex_with(packed)
        return [job_id, digest, "", packed.blob, packed.size, "0", 1, ""]


class Submissions(Part):
    """Submits jobs."""

    @exchange
    def submit(
        self,
        job: Job,
        admitted: "Admitted",
        *,
        job_id: str,
        chunk: ItemChunk | PackedChunk | None = None,
        sealed: bool = False,
        owner: str = "",
        entry: "Entry | None" = None,
        client: str = "",
    ) -> Exchange[Accepted]:
        """Write a job into the ledger, with its first unit of items where there is one.

        `sealed` says that `chunk` is the whole input; else `owner` is the token of the upload that
        brings the rest. A caller that gives one can compare its input with that of a job that is
        there already, which `Accepted.existing` asks for. `entry` is the entry of the inbox that
        asks for the job: it is removed and answered in the same step, if the job is created.
        `client` names the completion stream to which its end is appended.

        Raises IdempotencyConflict when the identifier (IdInUse) or the idempotency key stands for
        something else, or for an upload under way and the caller gave no token; QuotaExceeded and
        RedisFull, both with `retry_after_s`; WrongState when the job that it continues does not
        allow that.
        """
        chunk = chunk or inline_chunk(job)
        packed = PackedChunk(chunk) if isinstance(chunk, ItemChunk) else chunk
        unit, size, sealed = _first_unit(job, packed, sealed)
        is_whole = sealed or unit == "ingest"
        digests = _digests(job, packed, is_whole=is_whole, can_compare=owner != "")
        blob = b"" if packed is None else packed.blob
        key = job.idempotency_key and self._keys.idempotency(job.tenant, job.idempotency_key)
        row: list[Argument] = [job_id, digests.stored, key or "", blob, size, unit]
        row += [int(sealed), job.continues or ""]
        fields = _fields(job, admitted)
        fields += ["client", client] if client else []
        if owner and not is_whole:
            fields += ["owner", owner]
            fields += [] if packed is None else ["input_digest", digests.so_far]
        name = "submit"
        if entry is not None:
            name, row = "take_entry", [*row, *entry.arguments(job_id)]
        (reply,) = as_list((yield from script(name, len(fields), *fields, *row)))
        return _accepted(job, job_id, digests, as_list(reply))

    @exchange
    def begin_elsewhere(
        self, job: Job, admitted: "Admitted", *, job_id: str, units: int, items: int, holder: str
    ) -> Exchange[Unit]:
        """Write a job that another engine runs, all of whose units are known; return its ingest.

        It stands in no queue. `holder` names the process that runs it, which commits each unit by
        its number, and has the lease of the ingest until the last: where that runs out, the job
        fails. Raises what `submit` does.
        """
        digests = _digests(job, None, is_whole=True, can_compare=False)
        lease_ms = int(self._ledger.settings.lease_s * 1000)
        fields = [*_fields(job, admitted), "queue", "", "units", units]
        fields += ["holder", holder, "lease_ms", lease_ms]
        row: list[Argument] = [job_id, digests.stored, "", b"", items, "ingest", 1, ""]
        (reply,) = as_list((yield from script("submit", len(fields), *fields, *row)))
        _accepted(job, job_id, digests, as_list(reply))
        return Unit(job_id, "ingest", 1, 0, b"", started_job=True, worker=holder)

    @exchange
    def submit_each(
        self, template: BatchTemplate, inputs: Iterable[tuple[str, ItemChunk]]
    ) -> Exchange[list[Accepted | SeqdError]]:
        """Write jobs that differ in their items alone, many in one step.

        `inputs` has an identifier and the whole input for each. Jobs do not depend on each other:
        the error that `submit` would raise for one is its outcome. Where Redis is away or full,
        that is the outcome of all that were not written before; sent again, each is made once.
        """
        outcomes: list[Accepted | SeqdError] = []
        redis_error: SeqdError | None = None
        for batch in _batches(template, inputs):
            if redis_error is None:
                try:
                    outcomes += yield from self._submit_batch(template, batch)
                    continue
                except REDIS_ERRORS as error:
                    redis_error = error
            outcomes += [redis_error] * len(batch)
        return outcomes

    def _submit_batch(
        self, template: BatchTemplate, batch: Sequence[Sequence[Argument]]
    ) -> Exchange[list[Accepted | SeqdError]]:
        rows = [part for row in batch for part in row]
        fields = template.fields
        called = yield from script("submit", len(fields), *fields, *rows)
        replies = [as_list(part) for part in as_list(called)]
        return [
            _outcome(template.job, str(row[0]), str(row[1]), reply)
            for row, reply in zip(batch, replies, strict=True)
        ]

    @exchange
    def append(
        self,
        job: Job,
        job_id: str,
        unit: int,
        chunk: ItemChunk | TextChunk | PackedChunk | UnitReference | None,
        *,
        digest: str = "",
        owner: str = "",
        ingest_attempt: int | None = None,
        position: str = "",
        ahead_items: int = 0,
    ) -> Exchange[AppendOutcome]:
        """Add unit number `unit`; sent twice it adds one.

        Without a `chunk`, it is one of `ahead_items` that was read ahead: `missing` where it is not
        there. `full` asks to come again later, and so does `short` where it is memory that lacks.

        Only the upload with the token `owner` may, or with `ingest_attempt` that attempt of the
        unit `ingest`. `digest` is that of the request and of all input up to and with this unit.
        `position` is where in its file an ingest goes on behind the unit; see `Ingests`.

        Raises InvalidRequest where the results of the job would be more than its tenant may keep.
        """
        blob, size = b"", ahead_items
        if chunk is not None:
            packed = PackedChunk(chunk) if isinstance(chunk, ItemChunk | TextChunk) else chunk
            blob, size = packed.blob, packed.size
        attempt = "" if ingest_attempt is None else ingest_attempt
        most = self._ledger.settings.max_pending_bytes
        arguments = (job_id, unit, blob, size, most, digest, owner, attempt, position)
        reply = as_list((yield from script("append", *arguments)))
        if reply[0] == b"over_kept":
            raise over_kept(job.tenant, reply[1:])
        return cast(AppendOutcome, as_text(reply[0]))

    @exchange
    def seal(
        self,
        job: Job,
        job_id: str,
        units: int,
        *,
        digest: str = "",
        owner: str = "",
        ingest_attempt: int | None = None,
    ) -> Exchange[bool]:
        """Declare the input complete after `units` units; False when the caller may not any more.

        Only the upload with the token `owner` may, or with `ingest_attempt` that attempt of the
        unit `ingest`. `digest` is that of the request and of all input. Raises UploadLost when the
        ledger has fewer units: Redis has lost some.
        """
        attempt = "" if ingest_attempt is None else ingest_attempt
        outcome = as_text((yield from script("seal", job_id, units, digest, owner, attempt)))
        if outcome == "behind":
            raise lost_units(job_id, units)
        return outcome == "sealed"

    @exchange
    def follow(
        self, job_id: str, unit: int, digest: str, owner: str, silence_s: float
    ) -> Exchange[Followed]:
        """Compare a unit with that of the job, or own the job from here on: `taken`.

        `digest` is that of the request and of all input up to and with this unit, '' at the end of
        an input of `unit` units. The upload with the token `owner` takes a job over whose own has
        shown no sign of life for `silence_s`.
        """
        silence_ms = int(silence_s * 1000)
        reply = as_list((yield from script("follow", job_id, unit, digest, owner, silence_ms)))
        outcome = cast(FollowOutcome, as_text(reply[0]))
        if outcome == "complete":
            return Followed(outcome, digest=as_text(reply[1]))
        if outcome == "ended":
            return Followed(outcome, units=as_int(reply[1]), digest=as_text(reply[2]))
        return Followed(outcome)

    @exchange
    def heartbeat(self, job_id: str, owner: str) -> Exchange[bool]:
        """Show that the client of an upload is alive; False when it does not own the job."""
        return as_int((yield from script("heartbeat", job_id, owner))) == 1


def _outcome(job: Job, job_id: str, digest: str, reply: list[Reply]) -> Accepted | SeqdError:
    if reply[0] == b"created":  # nearly always
        return Accepted(job_id, created=True)
    try:
        return _accepted(job, job_id, _Digests("", digest, is_whole=True), reply)
    except SeqdError as error:
        return error


def new_job_id() -> str:
    """Return a new identifier that sorts by time: 11 hex digits of milliseconds, 10 at random."""
    return f"{int(time.time() * 1000):011x}{secrets.token_hex(5)}"


def new_token() -> str:
    """Return a new token, by which the ledger knows an upload."""
    return secrets.token_hex(8)


def inline_chunk(job: Job) -> ItemChunk | None:
    """Return the only unit of a job that brings its items along, None for other jobs."""
    if isinstance(job.source, InlineSource):
        return ItemChunk(first_index=0, items=job.source.items)
    if isinstance(job.source, RecordsSource):
        items = tuple(record.as_item() for record in job.source.items)
        return ItemChunk.model_construct(type="items", first_index=0, items=items)
    return None


def lost_units(job_id: str, unit: int) -> UploadLost:
    """Return the error for units in front of `unit` that Redis had acknowledged and lost."""
    return UploadLost(
        f"Redis has lost units of job {job_id} in front of unit {unit}, which it had acknowledged: "
        "it crashed before they were on its disk. Hand the job in again; what was done stays "
        "readable."
    )


def refusal(job: Job, reply: list[Reply]) -> SeqdError:
    """Return the error for what `submit.lua` replied after `refused`."""
    reason = as_text(reply[0])
    if reason == "memory":
        return memory_short()
    if reason == "disabled":
        from seqd.ledger.model_pauses import disabled

        return disabled(as_bytes(reply[1]))
    if reason == "incomplete":
        return WrongState(
            f"Training {job.continues} cannot be continued: its data was not uploaded completely "
            "before it ended, or is not kept any more. Hand the training in again with all of it."
        )
    if reason == "results_ttl_s":
        whose = _whose(job.tenant, "SEQD_MAX_RESULTS_TTL_S", is_own=as_int(reply[3]) == 1)
        return InvalidRequest(
            f"results_ttl_s is {as_int(reply[1]):,}; allowed: at most {as_int(reply[2]):,} "
            f"({whose}). Fetch the results within that time."
        )
    if reason == "kept_bytes":
        return over_kept(job.tenant, reply[1:], is_all=True)
    if reason == "priority":
        allowed = as_text(reply[1]).replace(" ", ", ")
        return NotAllowed(
            f"Tenant {job.tenant!r} may not use the priority {job.priority.value}; allowed: "
            f"{allowed} ({_whose(job.tenant)}). Hand the job in with another priority."
        )
    if reason == "continues":
        return _unfit(job, state=as_text(reply[1]), other=as_text(reply[2]))
    waiting, most, is_own = (as_int(part) for part in reply[1:4])
    return _over_quota(job.tenant, reason, waiting=waiting, allowed=most, is_own=is_own == 1)


def over_kept(tenant: str, numbers: list[Reply], *, is_all: bool = False) -> InvalidRequest:
    """Return the error for a job whose results would be more than its tenant may keep.

    `numbers` are what the scripts say of it: items, bytes of each, allowed, whose limit it is.
    `is_all` says that the job has no more items than these.
    """
    items, each, allowed, is_own = (as_int(number) for number in numbers[:4])
    whose = _whose(tenant, "SEQD_MAX_TENANT_KEPT_BYTES", is_own=is_own == 1)
    return InvalidRequest(
        f"The results of {'' if is_all else 'the first '}{items:,} items take about "
        f"{items * each:,} bytes, {each:,} for each; tenant {tenant!r} may keep "
        f"{allowed:,} of all its jobs ({whose}). Hand in {allowed // each:,} items at most, and "
        "the others when those results are fetched and removed; or raise its share: seqd tenants "
        f"set {tenant} --kept-bytes {items * each if is_all else 'BYTES'}"
    )


def conflict(job: Job, job_id: str, known_id: str, difference: str) -> IdempotencyConflict:
    """Return the error for a request that is not the one that its key, or identifier, stands for.

    `difference` says what job `known_id` does, as `asks for something else`.
    """
    key = job.idempotency_key
    is_by_id = known_id == job_id or key is None
    name = f"identifier {known_id!r}" if is_by_id else f"idempotency key {key!r}"
    error = (IdInUse if is_by_id else IdempotencyConflict)(
        f"The {name} already stands for job {known_id}, which {difference}. Send the same request "
        "again, or choose another one."
    )
    error.existing_job_id = known_id
    return error


def memory_short() -> RedisFull:
    """Return the error for new work on a Redis that is short of memory."""
    cause = (
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers)."
    )
    error = RedisFull(
        f"{cause} Nothing was written. Raise maxmemory, wait until old jobs have outlived their "
        f"results_ttl_s, or try again in {MEMORY_RETRY_S:g} s.",
        cause,
    )
    error.retry_after_s = MEMORY_RETRY_S
    return error


def _route(job: Job, plugin: str | None) -> str:
    return route_of(task_of(job), plugin or ModelReference.parse(job.model).name)


def _batches(
    template: BatchTemplate, inputs: Iterable[tuple[str, ItemChunk]]
) -> Iterator[list[list[Argument]]]:
    """Yield the rows of each call: few and small enough that Redis is not held up."""
    held, size = list[list[Argument]](), 0
    for job_id, chunk in inputs:
        row = template.row(job_id, chunk)
        blob = len(cast(bytes, row[3]))
        if held and (len(held) == SUBMIT_JOBS or size + blob > SUBMIT_BYTES):
            yield held
            held, size = [], 0
        held.append(row)
        size += blob
    if held:
        yield held


@dataclass(frozen=True, slots=True)
class _Digests:
    """What a request is compared by with that of a job that is there."""

    #: Digest of the request without input, and with the input that comes with it.
    of_request: str
    so_far: str
    #: True when no other input comes.
    is_whole: bool
    #: True when the caller can read its input to the end, to compare it.
    can_compare: bool = False

    @property
    def stored(self) -> str:
        """What the field `digest` of a new job holds."""
        return self.so_far if self.is_whole else self.of_request


def _digests(job: Job, first: PackedChunk | None, *, is_whole: bool, can_compare: bool) -> _Digests:
    digest = InputDigest(job)
    of_request = digest.hex()
    if first is not None:
        digest.add(first)
    return _Digests(of_request, digest.hex(), is_whole, can_compare)


def _accepted(job: Job, job_id: str, digests: _Digests, reply: list[Reply]) -> Accepted:
    """Return the job that `submit.lua` names. Raises its refusal."""
    outcome = as_text(reply[0])
    if outcome == "refused":
        raise refusal(job, reply[1:])
    if outcome == "exists":
        return _known(job, job_id, digests, [as_text(part) for part in reply[1:]])
    if outcome == "answered":  # The entry of the inbox, by another worker.
        return Accepted(job_id, created=False)
    return Accepted(job_id, created=True)


def _known(job: Job, job_id: str, digests: _Digests, reply: list[str]) -> Accepted:
    """Return a job that is there, unless it stands for another request or other input."""
    known_id, request, so_far, unit_items, state = reply
    if state == "mine":  # the reply to the caller that made it was lost
        return Accepted(known_id, created=True)
    has_all = state in ("complete", "ended")
    # One with a file has no other input; of one that an upload adds to, more may come.
    mine = digests.so_far if has_all else digests.stored
    is_same = state != "open" and (so_far or request) == mine
    if is_same and (digests.is_whole or not has_all):
        return Accepted(known_id, created=False)
    # From the digest of a job that came as a whole, its request alone cannot be told.
    may_be_same = request == digests.of_request or (state == "complete" and not so_far)
    if not may_be_same or (digests.is_whole and state == "complete"):
        raise conflict(job, job_id, known_id, "asks for something else")
    if not digests.can_compare:
        raise conflict(job, job_id, known_id, "has an input that is being uploaded, or broke off")
    return Accepted(known_id, created=False, existing=Existing(int(unit_items or 1), has_all))


def _first_unit(job: Job, chunk: PackedChunk | None, sealed: bool) -> tuple[str, int, bool]:
    """Return the name of a job's first unit, its number of items, and whether it is all."""
    if chunk is not None:
        return "0", chunk.size, sealed or isinstance(job.source, InlineSource | RecordsSource)
    if isinstance(job, TrainJob):
        if has_upload(job) and not _inherits(job):
            return "", 0, False
        return TRAIN, 1, True
    if isinstance(job.source, FileSource) or isinstance(job, SweepJob):
        # Of a sweep it writes the combinations of the grid.
        return "ingest", 0, False
    return "", 0, sealed


def _inherits(job: Job) -> bool:
    """Return True for a training that continues another with the data that was uploaded for it."""
    return isinstance(job, TrainJob) and has_upload(job) and job.continues is not None


def _queue(job: Job, version: int | None, plugin: str | None) -> str:
    """Return the queue that the job's units wait in."""
    model = ModelReference.parse(job.model).name
    plugin = plugin or model
    if version is None:
        return _route(job, plugin)
    return queue_of(_route(job, plugin), version, model if plugin != model else None)


def _fields(job: Job, admitted: "Admitted") -> list[Argument]:
    """Return field and value pairs of the job's hash; `submit.lua` adds state and counts."""
    version, unit_items, plugin = admitted.version, admitted.unit_items, admitted.plugin
    rollout, task_schema = admitted.rollout, admitted.task_schema
    model = ModelReference.parse(job.model).name
    queue = _queue(job, version, plugin)
    # A label is part of it until it is resolved: two labels may mean two versions.
    resolved = job.model if version is None else str(ModelReference(model, version))
    group_by = [job.kind, resolved, job.parameters, job.priority, unit_items]
    if asked := own_options(job):
        group_by.append(asked)  # a claim is computed, labelled and streamed as a whole
    if rollout is not None:
        group_by.append(to_stored(rollout))
    if isinstance(job, RunJob):
        group_by.append(task_schema.digest if task_schema else None)
    output = output_folder_of(job)
    if output is not None:
        # What a worker reads and writes, it knows by the first job of a claim.
        group_by.append([to_stored(job.source), job.continues])
    group = hashlib.sha256(json.dumps(group_by, sort_keys=True).encode()).hexdigest()[:16]
    fields: list[Argument] = ["spec", to_stored(_without_items(job)), "kind", job.kind]
    fields += ["model", model, "tenant", job.tenant, "priority", job.priority.value]
    fields += ["queue", queue, "group", group, "unit_items", unit_items, "ttl", job.results_ttl_s]
    if version is not None:
        fields += ["version", version]
    if plugin not in (None, model):
        fields += ["plugin", plugin]
    if rollout is not None:
        fields += ["rollout", to_stored(rollout)]
    if task_schema is not None:
        fields += ["task_schema", task_schema.digest]
    if task_schema is not None and task_schema.result_bytes and output is None:
        fields += ["result_bytes", task_schema.result_bytes]
    content = json.dumps([str(field) for field in fields])
    template = hashlib.sha256(content.encode()).hexdigest()[:TEMPLATE_DIGEST_CHARS]
    fields += ["template", template]  # what ended jobs of these fields share: `small_jobs.lua`
    if job.expires_in_s is not None:
        fields += ["expires_in", job.expires_in_s]
    if job.max_running_units is not None:
        fields += ["max_units", job.max_running_units]
    if _inherits(job):
        fields += ["inherits", 1]
    if isinstance(job.source, UploadSource) and job.source.expected_items is not None:
        fields += ["expected", job.source.expected_items]
    if isinstance(job, SweepJob):
        fields += ["expected", len(combinations_of(job))]
    return fields


def _without_items(job: Job) -> Job:
    """Return the request without inline items, which stand in the first unit."""
    if not isinstance(job.source, InlineSource | RecordsSource):
        return job
    source = UploadSource(expected_items=len(job.source.items))
    return job.model_copy(update={"source": source})


def _over_quota(
    tenant: str, reason: str, *, waiting: int, allowed: int, is_own: bool
) -> QuotaExceeded | NotAllowed:
    if allowed == 0:
        return NotAllowed(
            f"Tenant {tenant!r} may hand in no job now ({_whose(tenant)}). Nothing was written. "
            "The operator has to allow it."
        )
    one, several, setting = _QUOTAS[reason]
    what = one if waiting == 1 else several
    return QuotaExceeded(
        f"Tenant {tenant!r} has {waiting:,} {what}; allowed: {allowed:,} "
        f"({_whose(tenant, setting, is_own=is_own)}). Nothing was written. Try again in "
        f"{QUOTA_RETRY_S:g} s, when some are done.",
        QUOTA_RETRY_S,
    )


def _whose(tenant: str, setting: str = "", *, is_own: bool = True) -> str:
    """Return who has set a limit: the workers' settings, or the operator for the tenant alone."""
    return f"seqd tenants show {tenant}" if is_own else f"{setting} of the workers"


def _unfit(job: Job, *, state: str, other: str) -> WrongState:
    ended = job.continues
    if not state:
        return WrongState(f"There is no job {ended!r} to continue; it is not kept (any more).")
    if other:
        was_continued = f"Job {ended} was already continued by job {other}."
        if isinstance(job, TrainJob):
            return WrongState(f"{was_continued} Where that one stops: seqd jobs resume {other}")
        return WrongState(
            f"{was_continued} What that one leaves undone: seqd jobs retry {other}. All results: "
            f"seqd jobs results {ended} --merged"
        )
    if isinstance(job, TrainJob) and state == "completed":
        return WrongState(
            f"Training {ended} is completed: there is nothing left to continue. Train anew, "
            "without `continues`."
        )
    return WrongState(
        f"Job {ended} is {state}; only a job that has ended can be continued. Wait for its end, "
        "or cancel it."
    )
