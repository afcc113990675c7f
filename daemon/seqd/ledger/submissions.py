"""Hands jobs in: the whole job in one step, or its input chunk by chunk.

Called by `seqd.client`, by the worker that takes the inbox over, and by the one that reads a
job's file. Checks nothing about models or parameters; `seqd.admission` has done that.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from redis.exceptions import ResponseError

from seqd.analysis.sweeps import combinations_of
from seqd.errors import REDIS_ERRORS, IdempotencyConflict, JobDamaged, SeqdError
from seqd.ledger.blobs import json_of, pack, pack_json
from seqd.ledger.scripts import Argument, Reply, Scripts, as_bytes, as_int, as_list, as_text
from seqd_schemas import (
    Failure,
    FileSource,
    GenerateJob,
    InlineSource,
    ItemChunk,
    Job,
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


@dataclass(frozen=True, slots=True)
class Accepted:
    """A job in the ledger. `created` is False when it had been there already."""

    job_id: str
    created: bool


class Alike:
    """What jobs share that differ in nothing but their items; worked out once for all of them."""

    def __init__(self, job: Job, version: int | None, unit_items: int, client: str) -> None:
        """`client` is the mailbox that is told when one of them has ended."""
        self.job = job
        self._digest = hashlib.sha256(_canonical(job))
        self.fields = [*_fields(job, version, unit_items), "client", client]

    def row(self, job_id: str, chunk: ItemChunk) -> list[Argument]:
        """Give what `submit.lua` takes for a job with this input, which is all of it."""
        content = chunk.model_dump_json().encode()
        digest = self._digest.copy()
        digest.update(content)
        head: list[Argument] = [job_id, digest.hexdigest(), "", pack_json(content)]
        return [*head, len(chunk.items), "0", 1, ""]


def new_job_id() -> str:
    """Make an identifier that sorts by time: 11 hex digits of milliseconds, 10 at random."""
    return f"{int(time.time() * 1000):011x}{secrets.token_hex(5)}"


def digest_of(job: Job, head: ItemChunk | TextChunk | None = None) -> str:
    """Give the fingerprint by which a repeated request is told from a different one.

    `head` is the first chunk of an upload, which the request itself does not hold.
    """
    digest = hashlib.sha256(_canonical(job))
    if head is not None:
        digest.update(head.model_dump_json().encode())
    return digest.hexdigest()


def inline_chunk(job: Job) -> ItemChunk | None:
    """Give the only unit of a job that brings its items along, None for other jobs."""
    if isinstance(job.source, InlineSource):
        return ItemChunk(first_index=0, items=job.source.items)
    return None


class Submissions:
    """Hands jobs in."""

    def __init__(self, scripts: Scripts, settings: "Settings", ring: Callable[[str], None]) -> None:
        self._scripts = scripts
        self._settings = settings
        self._ring = ring

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

        `sealed` says that `chunk` is the whole input. `head` is what an upload begins with, if
        not with `chunk`. Raises IdempotencyConflict when the identifier or the idempotency key
        stands for another request, or for an upload that begins otherwise; QuotaExceeded and
        RedisFull, both with `retry_after_s`; WrongState when it cannot go on from the job that
        it names.
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
            self._ring(route_of(task_of(job.kind), job.model.split("@")[0]))
        return accepted

    def submit_each(
        self, alike: Alike, inputs: Iterable[tuple[str, ItemChunk]]
    ) -> list[Accepted | SeqdError]:
        """Write jobs that differ in nothing but their items, many in one step.

        `inputs` has an identifier and the whole input for each. Jobs do not depend on each other:
        what `submit` would raise of one stands in its place. Where Redis is away or full, that
        stands for all that were not written before; sent again, each of them is made once.
        """
        outcomes: list[Accepted | SeqdError] = []
        trouble: SeqdError | None = None
        for batch in _batches(alike, inputs):
            if trouble is None:
                try:
                    outcomes += self._submit_batch(alike, batch)
                    continue
                except REDIS_ERRORS as error:
                    trouble = error
            outcomes += [trouble] * len(batch)
        return outcomes

    def _submit_batch(
        self, alike: Alike, batch: Sequence[Sequence[Argument]]
    ) -> list[Accepted | SeqdError]:
        rows = [part for row in batch for part in row]
        reply = as_list(self._scripts.call("submit", len(alike.fields), *alike.fields, *rows))
        answers = [as_list(answer) for answer in reply]
        if any(as_text(answer[0]) == "created" and as_int(answer[2]) for answer in answers):
            self._ring(route_of(task_of(alike.job.kind), alike.job.model.split("@")[0]))
        return [
            self._outcome(alike.job, str(row[0]), str(row[1]), answer)
            for row, answer in zip(batch, answers, strict=True)
        ]

    def _outcome(
        self, job: Job, job_id: str, digest: str, answer: list[Reply]
    ) -> Accepted | SeqdError:
        try:
            if as_text(answer[0]) == "error":
                self._scripts.raise_error(as_text(answer[1]))
            accepted, _ = _accepted(job, job_id, digest, answer)
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
            self._ring(route_of(task_of(job.kind), job.model.split("@")[0]))
        outcome = as_text(reply[0])
        if outcome == "differs":
            raise IdempotencyConflict(
                f"Unit {unit} of job {job_id} is there already, with other items. Send the same "
                "items again, or hand them in as another job."
            )
        if outcome not in ("added", "full", "too_large", "behind"):
            return "ended"
        return outcome  # type: ignore[return-value] # one of these, by the line above

    def seal(self, job: Job, job_id: str, units: int, *, intake_attempt: int | None = None) -> bool:
        """Declare the input complete after `units` units; False when the job had ended.

        Raises UploadLost when the ledger has fewer units: Redis has lost some.
        """
        attempt = "" if intake_attempt is None else intake_attempt
        reply = as_list(self._scripts.call("seal", job_id, units, attempt))
        if as_int(reply[1]):
            self._ring(route_of(task_of(job.kind), job.model.split("@")[0]))
        if as_bytes(reply[0]) == b"behind":
            from seqd.ledger.refusals import lost_units

            raise lost_units(job_id, units)
        return as_bytes(reply[0]) == b"sealed"

    def reject(self, job_id: str, failure: Failure) -> None:
        """Answer a request that cannot become a job, in the stream that its producer watches."""
        self._scripts.call("reject", job_id, failure.model_dump_json(), REJECTION_TTL_S)

    def _idempotency_key(self, job: Job) -> str:
        if job.idempotency_key is None:
            return ""
        return self._settings.keys.idempotency(job.tenant, job.idempotency_key)


def _canonical(job: Job) -> bytes:
    text = json.dumps(job.model_dump(mode="json"), sort_keys=True)
    return text.encode("utf-8", "surrogatepass")


def _batches(
    alike: Alike, inputs: Iterable[tuple[str, ItemChunk]]
) -> Iterator[list[list[Argument]]]:
    """Cut into what goes into one step: few and small enough that Redis is not held up."""
    held, size = list[list[Argument]](), 0
    for job_id, chunk in inputs:
        row = alike.row(job_id, chunk)
        blob = len(cast(bytes, row[3]))
        if held and (len(held) == SUBMIT_JOBS or size + blob > SUBMIT_BYTES):
            yield held
            held, size = [], 0
        held.append(row)
        size += blob
    if held:
        yield held


def _accepted(job: Job, job_id: str, digest: str, reply: list[Reply]) -> tuple[Accepted, bool]:
    """Read what `submit.lua` says of one job, and whether a bell is due; raises its refusal."""
    outcome = as_text(reply[0])
    if outcome == "refused":
        from seqd.ledger.refusals import refusal

        raise refusal(job, reply[1:])
    if outcome == "exists":
        known = Accepted(as_text(reply[1]), created=False)
        if as_text(reply[2]) != digest:
            raise IdempotencyConflict(_conflict(job, job_id, known.job_id))
        return known, False
    return Accepted(job_id, created=True), as_int(reply[2]) == 1


def _first_unit(job: Job, chunk: ItemChunk | None, sealed: bool) -> tuple[str, int, bool]:
    """Name the unit that a job starts with, its number of items, and whether it is all."""
    if chunk is not None:
        return "0", len(chunk.items), sealed or isinstance(job.source, InlineSource)
    if isinstance(job, TrainJob):
        if isinstance(job.source, UploadSource) and not _inherits(job):
            return "", 0, False
        return "train", 1, True
    if isinstance(job.source, FileSource) or isinstance(job, SweepJob):
        # Of a sweep it writes the combinations out, whoever handed it in.
        return "intake", 0, False
    return "", 0, sealed


def _inherits(job: Job) -> bool:
    """True for a training that goes on from another with the data that was uploaded for it."""
    is_upload = isinstance(job.source, UploadSource)
    return isinstance(job, TrainJob) and is_upload and job.continues is not None


def _fields(job: Job, version: int | None, unit_items: int) -> list[Argument]:
    model = job.model.split("@")[0]
    # A label is part of it until it is resolved: two labels may mean two versions.
    meant = job.model if version is None else f"{model}@{version}"
    like = [job.kind, meant, job.parameters, job.priority, unit_items]
    if isinstance(job, GenerateJob) and job.stream:
        like.append("stream")  # a claim streams as a whole, or not at all
    group = hashlib.sha256(json.dumps(like, sort_keys=True).encode()).hexdigest()[:16]
    fields: list[Argument] = ["spec", _without_items(job).model_dump_json(), "kind", job.kind]
    fields += ["model", model, "tenant", job.tenant, "priority", job.priority.value]
    fields += [
        "route",
        route_of(task_of(job.kind), model),
        "group",
        group,
        "unit_items",
        unit_items,
    ]
    fields += ["ttl", job.results_ttl_s]
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
    """Leave inline items out of the stored request: they stand in the first unit already."""
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
