"""The inbox: a stream to which any language submits a job by one XADD; answers on the job's stream.

A consumer group delivers each entry to one worker; an entry whose worker died before it had
acknowledged is claimed by another. An entry that is submitted twice makes one job, since the
producer chose its identifier. What cannot become a job gets a `rejected` event with the reason.
"""

import logging
from typing import cast

from pydantic import TypeAdapter, ValidationError
from redis import Redis
from redis.exceptions import ResponseError

from seqd.admission import admit
from seqd.errors import (
    REDIS_ERRORS,
    IdempotencyConflict,
    InvalidRequest,
    UserError,
    failure_of,
    wire_text,
)
from seqd.inputs.duplicates import refuse_duplicates
from seqd.ledger import Ledger, redis_errors
from seqd.ledger.jobs import JOB
from seqd.settings import Settings
from seqd.validation import fault_sentence
from seqd.worker.background import PeriodicTask
from seqd_schemas import INBOX_GROUP, MAX_JOB_BYTES, Failure, InlineSource, Job, JobId, UploadSource

log = logging.getLogger(__name__)

#: Milliseconds after which another worker claims an entry that was not acknowledged.
CLAIM_IDLE_MS = 30_000
#: Entries read at a time, and milliseconds that a read waits for one.
BATCH = 16
BLOCK_MS = 500

_JOB_ID: TypeAdapter[str] = TypeAdapter(JobId)
_Entry = tuple[bytes, dict[bytes, bytes] | None]


class Inbox(PeriodicTask):
    """Submits the entries of the inbox to the ledger."""

    blocks = True

    def __init__(self, redis: Redis, ledger: Ledger, settings: Settings, worker: str) -> None:
        super().__init__("inbox", settings.reconcile_s)
        self._redis = redis
        self._ledger = ledger
        self._key = settings.keys.inbox()
        self._worker = worker

    def run_once(self) -> None:
        """Submit what a dead worker left, or else what is new; waits up to half a second."""
        with redis_errors(self._redis):
            self._make_group()
            entries = self._unacknowledged() or self._new()
        for entry_id, fields in entries:
            if fields is not None:  # else the producer has deleted the entry
                self._submit(fields)
            self._acknowledge(entry_id)

    def _make_group(self) -> None:
        try:
            self._redis.xgroup_create(self._key, INBOX_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _unacknowledged(self) -> list[_Entry]:
        reply = self._redis.xautoclaim(
            self._key, INBOX_GROUP, self._worker, min_idle_time=CLAIM_IDLE_MS, count=BATCH
        )
        return cast(list[_Entry], reply[1])

    def _new(self) -> list[_Entry]:
        reply = self._redis.xreadgroup(
            INBOX_GROUP, self._worker, {self._key: ">"}, count=BATCH, block=BLOCK_MS
        )
        streams = cast(list[tuple[bytes, list[_Entry]]], reply or [])
        return [entry for _, entries in streams for entry in entries]

    def _acknowledge(self, entry_id: bytes) -> None:
        with redis_errors(self._redis), self._redis.pipeline() as pipe:
            pipe.xack(self._key, INBOX_GROUP, entry_id)
            pipe.xdel(self._key, entry_id)
            pipe.execute()

    def _submit(self, fields: dict[bytes, bytes]) -> None:
        raw_id = fields.get(b"id", b"")
        try:
            job_id = _JOB_ID.validate_python(raw_id.decode("utf-8", "replace"))
        except ValidationError:
            log.warning("inbox entry refused: id=%.80r names no stream to answer on", raw_id)
            return
        try:
            job = read_job(fields.get(b"job", b""))
            admitted = admit(job, self._ledger.fleet.catalog())
            accepted = self._ledger.submissions.submit(
                job, job_id=job_id, version=admitted.version, unit_items=admitted.unit_items
            )
            _check_identifier(job, job_id, accepted.job_id)
        except REDIS_ERRORS:
            raise  # The entry stays, and is read again.
        except UserError as error:
            log.info("inbox job=%s rejected: %s", job_id, error)
            self._ledger.submissions.reject(job_id, failure_of(error))
        except Exception as error:
            # A fault of ours, which an entry that stays would repeat in front of all others.
            log.exception("inbox job=%s", job_id)
            message = wire_text(f"{type(error).__name__}: {error}")
            failure = Failure(code="internal", message=message)
            self._ledger.submissions.reject(job_id, failure)


def _check_identifier(job: Job, asked: str, given: str) -> None:
    """Raise IdempotencyConflict for a repeated key; its producer listens on the new stream."""
    if given != asked:
        raise IdempotencyConflict(
            f"The idempotency key {job.idempotency_key!r} already stands for job {given}, which "
            "asks for the same. Follow that job's stream."
        )


def read_job(raw: bytes) -> Job:
    """Return the job of a request, as JSON.

    Raises InvalidRequest, which names the field and what is allowed, or DuplicateCustomId.
    """
    if len(raw) > MAX_JOB_BYTES:
        raise InvalidRequest(
            f"The job has {len(raw)} bytes; allowed: {MAX_JOB_BYTES}. Name a file as its source."
        )
    try:
        job = JOB.validate_json(raw)
    except ValidationError as error:
        fault = fault_sentence(error, whole="the JSON", shows_value=False)
        raise InvalidRequest(
            f"The field `job` is not a job: {fault}. Its JSON Schema is what `seqd schema` writes "
            "as job.schema.json."
        ) from None
    if isinstance(job.source, UploadSource):
        raise InvalidRequest(
            "A job in the inbox cannot have an `upload` source, since nobody would upload. "
            "Allowed: `inline`, or `file` with a path that the workers can read."
        )
    if isinstance(job.source, InlineSource):
        for _ in refuse_duplicates(job.source.items):
            pass
    return job
