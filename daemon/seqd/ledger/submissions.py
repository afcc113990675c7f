"""Submitting jobs: whole jobs in one step, or one job's input chunk by chunk.

Checks nothing about models or parameters, which `seqd.admission` has done. What the ledger refuses
becomes an error that says what to do; the limits are the operator's, and workers publish them when
they boot.

The job's hash has the request as JSON in its field `spec`. A field of it that the Lua scripts need
is also a field of the hash, which `_fields` writes.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from redis.exceptions import ResponseError

from seqd.analysis.sweeps import combinations_of
from seqd.errors import (
    REDIS_ERRORS,
    IdempotencyConflict,
    JobDamaged,
    QuotaExceeded,
    RedisFull,
    SeqdError,
    UploadLost,
    WrongState,
)
from seqd.ledger.blobs import json_of, pack, pack_json
from seqd.ledger.redis import trouble_of
from seqd.ledger.scripts import Argument, Notify, Reply, Scripts, as_bytes, as_int, as_list, as_text
from seqd_schemas import (
    Failure,
    FileSource,
    GenerateJob,
    InlineSource,
    ItemChunk,
    Job,
    ModelReference,
    SweepJob,
    TextChunk,
    TrainJob,
    UploadSource,
    route_of,
    task_of,
)

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Jobs, and bytes of their input, that one step writes at most: about 3 ms of the server's time.
SUBMIT_JOBS = 64
SUBMIT_BYTES = 1_048_576

AppendOutcome = Literal["added", "full", "too_large", "behind", "ended"]

#: Seconds for which the inbox's refusal of a request is kept.
REJECTION_TTL_S = 24 * 3600

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
class Accepted:
    """A job in the ledger. `created` is False when it had been there already."""

    job_id: str
    created: bool


class BatchTemplate:
    """What jobs share that differ in their items alone; computed once for all of them."""

    def __init__(self, job: Job, version: int | None, unit_items: int, client: str) -> None:
        """`client` names the completion stream to which the end of each job is appended."""
        self.job = job
        self._digest = hashlib.sha256(_canonical(job))
        self.fields = [*_fields(job, version, unit_items), "client", client]

    def row(self, job_id: str, chunk: ItemChunk) -> list[Argument]:
        """Return the arguments of `submit.lua` for a job whose whole input is `chunk`."""
        content = chunk.model_dump_json().encode()
        digest = self._digest.copy()
        digest.update(content)
        head: list[Argument] = [job_id, digest.hexdigest(), "", pack_json(content)]
        return [*head, len(chunk.items), "0", 1, ""]


class Submissions:
    """Submits jobs."""

    def __init__(self, scripts: Scripts, settings: "Settings", notify: Notify) -> None:
        self._scripts = scripts
        self._settings = settings
        self._notify = notify

    def submit(
        self,
        job: Job,
        *,
        job_id: str,
        version: int | None,
        unit_items: int,
        chunk: ItemChunk | None = None,
        sealed: bool = False,
        head: ItemChunk | TextChunk | None = None,
    ) -> Accepted:
        """Write a job into the ledger, with its first unit of items where there is one.

        `sealed` says that `chunk` is the whole input. `head` is the first chunk of an upload that
        is not written yet. Raises IdempotencyConflict when the identifier or the idempotency key
        stands for another request, or for an upload that begins otherwise; QuotaExceeded and
        RedisFull, both with `retry_after_s`; WrongState when the job that it continues does not
        allow that.
        """
        digest = digest_of(job, chunk or head)
        chunk = chunk or inline_chunk(job)
        unit, size, sealed = _first_unit(job, chunk, sealed)
        blob = b"" if chunk is None else pack(chunk)
        row: list[Argument] = [job_id, digest, self._idempotency_key(job), blob, size, unit]
        row += [int(sealed), job.continues or ""]
        fields = _fields(job, version, unit_items)
        (reply,) = as_list(self._scripts.call("submit", len(fields), *fields, *row))
        accepted, is_due = _accepted(job, job_id, digest, as_list(reply))
        if is_due:
            self._notify(_route(job))
        return accepted

    def submit_each(
        self, template: BatchTemplate, inputs: Iterable[tuple[str, ItemChunk]]
    ) -> list[Accepted | SeqdError]:
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
                    outcomes += self._submit_batch(template, batch)
                    continue
                except REDIS_ERRORS as error:
                    redis_error = error
            outcomes += [redis_error] * len(batch)
        return outcomes

    def _submit_batch(
        self, template: BatchTemplate, batch: Sequence[Sequence[Argument]]
    ) -> list[Accepted | SeqdError]:
        rows = [part for row in batch for part in row]
        head = (len(template.fields), *template.fields)
        attempts = self._scripts.attempts()
        is_due = False
        while True:
            reply = as_list(self._scripts.call("submit", *head, *rows))
            replies = [as_list(part) for part in reply]
            is_due |= any(as_text(part[0]) == "created" and as_int(part[2]) for part in replies)
            refused = next((text for part in replies if (text := _passing_error(part))), "")
            # All of them again: those that are there are not made twice.
            if not refused or not self._scripts.again(attempts, refused):
                break
        if is_due:
            self._notify(_route(template.job))
        return [
            self._outcome(template.job, str(row[0]), str(row[1]), part)
            for row, part in zip(batch, replies, strict=True)
        ]

    def _outcome(
        self, job: Job, job_id: str, digest: str, reply: list[Reply]
    ) -> Accepted | SeqdError:
        try:
            if as_text(reply[0]) == "error":
                self._scripts.raise_error(as_text(reply[1]))
            accepted, _ = _accepted(job, job_id, digest, reply)
        except SeqdError as error:
            return error
        except ResponseError as error:
            return JobDamaged(f"Redis holds something else of job {job_id}: {error}")
        return accepted

    def append(
        self, job: Job, job_id: str, unit: int, chunk: ItemChunk | TextChunk
    ) -> AppendOutcome:
        """Add unit number `unit`; sent twice it adds one. `full` asks to come again later.

        Raises IdempotencyConflict when that unit was added before with other content.
        """
        size = len(chunk.items) if isinstance(chunk, ItemChunk) else len(chunk.texts)
        most, content = self._settings.max_pending_bytes, json_of(chunk)
        blob, digest = pack_json(content), hashlib.sha256(content).hexdigest()[:16]
        reply = as_list(self._scripts.call("append", job_id, unit, blob, size, most, digest))
        if as_int(reply[1]):
            self._notify(_route(job))
        outcome = as_text(reply[0])
        if outcome == "differs":
            raise IdempotencyConflict(
                f"Unit {unit} of job {job_id} is there already, with other items. Send the same "
                "items again, or hand them in as another job."
            )
        if outcome not in ("added", "full", "too_large", "behind"):
            return "ended"
        return outcome  # type: ignore[return-value] # one of these, by the line above

    def seal(self, job: Job, job_id: str, units: int, *, ingest_attempt: int | None = None) -> bool:
        """Declare the input complete after `units` units; False when the job had ended.

        With `ingest_attempt` only that attempt of the unit `ingest` may. Raises UploadLost when the
        ledger has fewer units: Redis has lost some.
        """
        attempt = "" if ingest_attempt is None else ingest_attempt
        reply = as_list(self._scripts.call("seal", job_id, units, attempt))
        if as_int(reply[1]):
            self._notify(_route(job))
        outcome = as_bytes(reply[0])
        if outcome == b"behind":
            raise lost_units(job_id, units)
        return outcome == b"sealed"

    def reject(self, job_id: str, failure: Failure) -> None:
        """Refuse a request from the inbox, in the event stream that its producer reads."""
        self._scripts.call("reject", job_id, failure.model_dump_json(), REJECTION_TTL_S)

    def _idempotency_key(self, job: Job) -> str:
        if job.idempotency_key is None:
            return ""
        return self._settings.keys.idempotency(job.tenant, job.idempotency_key)


def _passing_error(reply: list[Reply]) -> str:
    """Return why a job was refused just now, where the reason passes by itself; '' else."""
    reason = as_text(reply[1]) if as_text(reply[0]) == "error" else ""
    return reason if reason and trouble_of(ResponseError(reason)) else ""


def new_job_id() -> str:
    """Return a new identifier that sorts by time: 11 hex digits of milliseconds, 10 at random."""
    return f"{int(time.time() * 1000):011x}{secrets.token_hex(5)}"


def digest_of(job: Job, head: ItemChunk | TextChunk | None = None) -> str:
    """Return the SHA-256 that tells a repeated request from a different one.

    `head` is the first chunk of an upload, which the request itself does not hold.
    """
    digest = hashlib.sha256(_canonical(job))
    if head is not None:
        digest.update(head.model_dump_json().encode())
    return digest.hexdigest()


def inline_chunk(job: Job) -> ItemChunk | None:
    """Return the only unit of a job that brings its items along, None for other jobs."""
    if isinstance(job.source, InlineSource):
        return ItemChunk(first_index=0, items=job.source.items)
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
        return _memory_short()
    if reason == "incomplete":
        return WrongState(
            f"Training {job.continues} cannot be continued: its data was not uploaded completely "
            "before it ended, or is not kept any more. Hand the training in again with all of it."
        )
    if reason == "continues":
        return _unfit(job, state=as_text(reply[1]), other=as_text(reply[2]))
    return _over_quota(job.tenant, reason, waiting=as_int(reply[1]), allowed=as_int(reply[2]))


def _canonical(job: Job) -> bytes:
    text = json.dumps(job.model_dump(mode="json"), sort_keys=True)
    return text.encode("utf-8", "surrogatepass")


def _route(job: Job) -> str:
    return route_of(task_of(job.kind), ModelReference.parse(job.model).name)


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


def _accepted(job: Job, job_id: str, digest: str, reply: list[Reply]) -> tuple[Accepted, bool]:
    """Return the job that `submit.lua` names, and whether a wakeup is due. Raises its refusal."""
    outcome = as_text(reply[0])
    if outcome == "refused":
        raise refusal(job, reply[1:])
    if outcome == "exists":
        known = Accepted(as_text(reply[1]), created=False)
        if as_text(reply[2]) != digest:
            raise IdempotencyConflict(_conflict(job, job_id, known.job_id))
        return known, False
    return Accepted(job_id, created=True), as_int(reply[2]) == 1


def _first_unit(job: Job, chunk: ItemChunk | None, sealed: bool) -> tuple[str, int, bool]:
    """Return the name of a job's first unit, its number of items, and whether it is all."""
    if chunk is not None:
        return "0", len(chunk.items), sealed or isinstance(job.source, InlineSource)
    if isinstance(job, TrainJob):
        if isinstance(job.source, UploadSource) and not _inherits(job):
            return "", 0, False
        return "train", 1, True
    if isinstance(job.source, FileSource) or isinstance(job, SweepJob):
        # Of a sweep it writes the combinations of the grid.
        return "ingest", 0, False
    return "", 0, sealed


def _inherits(job: Job) -> bool:
    """Return True for a training that continues another with the data that was uploaded for it."""
    is_upload = isinstance(job.source, UploadSource)
    return isinstance(job, TrainJob) and is_upload and job.continues is not None


def _fields(job: Job, version: int | None, unit_items: int) -> list[Argument]:
    """Return field and value pairs of the job's hash; `submit.lua` adds state and counts."""
    model = ModelReference.parse(job.model).name
    route = route_of(task_of(job.kind), model)
    # A label is part of it until it is resolved: two labels may mean two versions.
    resolved = job.model if version is None else str(ModelReference(model, version))
    group_by = [job.kind, resolved, job.parameters, job.priority, unit_items]
    if isinstance(job, GenerateJob) and job.stream:
        group_by.append("stream")  # a claim streams as a whole, or not at all
    group = hashlib.sha256(json.dumps(group_by, sort_keys=True).encode()).hexdigest()[:16]
    fields: list[Argument] = ["spec", _without_items(job).model_dump_json(), "kind", job.kind]
    fields += ["model", model, "tenant", job.tenant, "priority", job.priority.value]
    fields += ["route", route, "group", group, "unit_items", unit_items, "ttl", job.results_ttl_s]
    if job.expires_in_s is not None:
        fields += ["expires_in", job.expires_in_s]
    if job.max_running_units is not None:
        fields += ["max_units", job.max_running_units]
    if version is not None:
        fields += ["version", version]
    if _inherits(job):
        fields += ["inherits", 1]
    if isinstance(job.source, UploadSource) and job.source.expected_items is not None:
        fields += ["expected", job.source.expected_items]
    if isinstance(job, SweepJob):
        fields += ["expected", len(combinations_of(job))]
    return fields


def _without_items(job: Job) -> Job:
    """Return the request without inline items, which stand in the first unit."""
    if not isinstance(job.source, InlineSource):
        return job
    source = UploadSource(expected_items=len(job.source.items))
    return job.model_copy(update={"source": source})


def _conflict(job: Job, job_id: str, known_id: str) -> str:
    key = job.idempotency_key
    name = f"identifier {job_id!r}" if known_id == job_id else f"idempotency key {key!r}"
    return (
        f"The {name} already stands for job {known_id}, which asks for something else. Send the "
        "same request again, or choose another one."
    )


def _memory_short() -> RedisFull:
    error = RedisFull(
        "Redis has used up the share of its maxmemory that new jobs may take "
        "(SEQD_MAX_MEMORY_SHARE of the workers). Nothing was written. Raise maxmemory, wait until "
        f"old jobs have outlived their results_ttl_s, or try again in {MEMORY_RETRY_S:g} s."
    )
    error.retry_after_s = MEMORY_RETRY_S
    return error


def _over_quota(tenant: str, reason: str, *, waiting: int, allowed: int) -> QuotaExceeded:
    one, several, setting = _QUOTAS[reason]
    what = one if waiting == 1 else several
    return QuotaExceeded(
        f"Tenant {tenant!r} has {waiting:,} {what}; allowed: {allowed:,} ({setting} of the "
        f"workers). Nothing was written. Try again in {QUOTA_RETRY_S:g} s, when some are done.",
        QUOTA_RETRY_S,
    )


def _unfit(job: Job, *, state: str, other: str) -> WrongState:
    ended = job.continues
    if not state:
        return WrongState(f"There is no job {ended!r} to continue; it is not kept (any more).")
    if other:
        was_continued = f"Job {ended} was already continued by job {other}."
        if job.kind == "train":
            return WrongState(f"{was_continued} Resume that one: seqd jobs resume {other}")
        return WrongState(
            f"{was_continued} Retry that one: seqd jobs retry {other}; then all results: seqd jobs "
            f"results {ended} --merged"
        )
    if job.kind == "train" and state == "completed":
        return WrongState(
            f"Training {ended} is completed: there is nothing left to continue. Train anew, "
            "without `continues`."
        )
    return WrongState(
        f"Job {ended} is {state}; only a job that has ended can be continued. Wait for its end, "
        "or cancel it."
    )
