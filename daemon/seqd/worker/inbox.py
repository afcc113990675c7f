"""The inbox: a stream to which any language submits a job by one XADD, and gets one answer.

The worker that reconciles waits for entries; the others help where its round finds some.

The answer stands in the stream of answers, found by the entry's stream id, and, of a job, in the
job's own event stream. An entry that is added twice makes one job, since the producer chose its
identifier. What cannot become a job is rejected with the reason.
"""

import logging
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Final

from pydantic import TypeAdapter, ValidationError

from seqd.admission import Admitted, admit
from seqd.errors import (
    AlreadySubmitted,
    IdempotencyConflict,
    InvalidRequest,
    RedisRefused,
    RedisUnreachable,
    SeqdError,
    UnknownModel,
    failure_of,
    wire_text,
)
from seqd.inputs.duplicates import refuse_duplicates
from seqd.ledger import Ledger
from seqd.ledger.inbox import BLOCK_MS, Entry
from seqd.ledger.jobs import JOB
from seqd.ledger.submissions import memory_short
from seqd.serving import unpublished_told
from seqd.settings import Settings
from seqd.validation import fault_sentence, listed, shown
from seqd.worker.background import PeriodicTask
from seqd_schemas import (
    MAX_JOB_BYTES,
    CatalogEntry,
    Failure,
    InlineSource,
    Item,
    Job,
    JobId,
    ModelReference,
    RecordsSource,
    RunJob,
    has_upload,
)

log = logging.getLogger(__name__)

#: Seconds between two searches for entries that another worker has read and not answered.
CLAIM_EVERY_S: Final = 2.0
#: How often a round refuses entries beyond the limit, 64 at a time, before it takes others over.
MOST_REFUSALS: Final = 20

#: Seconds for which what workers say of their plugins is taken as it was read.
_WORKERS_AGE_S: Final = 2.0

_FIELDS: Final = (b"id", b"job")
_JOB_ID: TypeAdapter[str] = TypeAdapter(JobId)


class Inbox(PeriodicTask):
    """Answers the entries of the inbox: each becomes a job, or is rejected."""

    blocks = True

    def __init__(self, ledger: Ledger, settings: Settings, worker: str) -> None:
        super().__init__("inbox", settings.reconcile_s)
        self._ledger = ledger
        self._worker = worker
        self._claimed_at = float("-inf")
        #: True until it is known that this worker has answered all that it has read.
        self._has_own = True
        #: True while no other worker is known to wait for entries, and while there is something to
        #: read.
        self._leads = self._is_due = True

    def note_round(self, entries: int, is_led: bool) -> None:
        """Note how many entries there are, and whether another worker waits for them."""
        self._leads = not is_led
        self._is_due = entries > 0

    def run_once(self) -> None:
        """Answer what was read and not answered, or else what is new; waits up to half a second."""
        if not (self._leads or self._is_due):
            self._closed.wait(BLOCK_MS / 1_000)
            return
        entries = self._read(BLOCK_MS if self._leads else None)
        if not entries:
            self._is_due = False
            return
        catalog = self._ledger.fleet.catalog()
        if not catalog:
            log.warning("Redis has lost the catalog of models; the inbox waits for it")
            self._closed.wait(self._pause_s)
            return
        self._answer_all(entries, catalog)

    def make_room(self) -> None:
        """Answer entries as long as Redis is short of memory; none where it has enough.

        A full Redis lets no worker begin, and it may be the inbox that has filled it, before any
        worker has published the share that new work may take.
        """
        answered, share = 0, self._ledger.settings.max_memory_share
        while self._ledger.inbox.memory_is_short(share) and (entries := self._read(None)):
            self._answer_all(entries, self._ledger.fleet.catalog())
            answered += len(entries)
        if answered:
            log.warning("Redis was short of memory; answered first: inbox entries=%d", answered)

    def _answer_all(self, entries: list[Entry], catalog: Mapping[str, CatalogEntry]) -> None:
        self._refuse_excess()
        for entry in entries:
            self._answer(entry, catalog)

    def _read(self, block_ms: int | None) -> list[Entry]:
        inbox = self._ledger.inbox
        if monotonic() - self._claimed_at >= CLAIM_EVERY_S:
            self._claimed_at = monotonic()
            self._has_own |= inbox.claim_idle(self._worker)
        entries = inbox.read_own(self._worker) if self._has_own else []
        entries = entries or inbox.read_new(self._worker, block_ms)
        self._has_own = bool(entries)
        return entries

    def _refuse_excess(self) -> None:
        refused = 0
        for _ in range(MOST_REFUSALS):
            more = self._ledger.inbox.refuse_excess()
            if not more:
                break
            refused += more
        if refused:
            log.warning("the inbox is full: rejected entries=%d, the newest", refused)

    def _answer(self, entry: Entry, catalog: Mapping[str, CatalogEntry]) -> None:
        job_id: str | None = None
        try:
            job_id = _id_of(entry)
            self._submit(entry, job_id, catalog)
        except (RedisUnreachable, RedisRefused):
            raise  # The entry stays, and is read again.
        except SeqdError as error:
            log.info("inbox entry=%s id=%.80r rejected: %s", entry.id, entry.given_id, error)
            existing = None
            if isinstance(error, IdempotencyConflict | AlreadySubmitted):
                existing = error.existing_job_id
            self._ledger.inbox.reject(entry, job_id, failure_of(error), existing)
        except Exception as error:
            # A fault of ours, which an entry that stays would repeat in front of all others.
            log.exception("inbox entry=%s id=%.80r", entry.id, entry.given_id)
            message = wire_text(f"{type(error).__name__}: {error}")
            self._ledger.inbox.reject(
                entry, job_id, Failure(code="internal", message=message), None
            )

    def _submit(self, entry: Entry, job_id: str, catalog: Mapping[str, CatalogEntry]) -> None:
        if set(entry.fields) != set(_FIELDS):
            raise InvalidRequest(
                f"The entry has the fields {_names_of(entry)}; allowed: `id`, the identifier that "
                "you choose for the job, and `job`, the job as JSON. Both are needed, and no other."
            )
        job = read_job(entry.fields[b"job"])
        if not catalog:  # A full Redis takes none.
            raise memory_short()
        admitted = self._admitted(job, catalog)
        accepted = self._ledger.submissions.submit(job, admitted, job_id=job_id, entry=entry)
        if accepted.job_id != job_id:
            raise AlreadySubmitted(
                f"The idempotency key {job.idempotency_key!r} already stands for job "
                f"{accepted.job_id}, which asks for the same. Follow that job's stream.",
                accepted.job_id,
            )
        if not accepted.created:
            self._ledger.inbox.accept_again(entry, job_id)

    def _admitted(self, job: Job, catalog: Mapping[str, CatalogEntry]) -> Admitted:
        """Return how a job runs; an UnknownModel says what workers say of their plugins, too."""
        try:
            return admit(job, catalog)
        except UnknownModel as error:
            name = ModelReference.parse(job.model).name
            if name in catalog:
                raise  # it is a version that there is not
            workers = self._ledger.fleet.recent_workers(_WORKERS_AGE_S)
            raise UnknownModel(f"{error}{unpublished_told(workers)}") from None


def _id_of(entry: Entry) -> str:
    """Return the identifier that an entry chose for its job; raises InvalidRequest."""
    given = entry.fields.get(b"id")
    if given is None:
        raise InvalidRequest(
            f"The entry has no field `id`; its fields: {_names_of(entry)}. It has two: `id`, the "
            "identifier that you choose for the job, and `job`, the job as JSON."
        )
    try:
        return _JOB_ID.validate_python(given.decode("utf-8", "replace"))
    except ValidationError:
        raise InvalidRequest(
            f"The field `id` is {shown(entry.given_id)}; allowed: 1 to 64 letters, digits, `_` and "
            "`-`, the first a letter or digit."
        ) from None


def _names_of(entry: Entry) -> str:
    return listed(shown(name[:80].decode("utf-8", "replace")) for name in entry.fields)


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
    if has_upload(job):
        sources = "`inline`, `records`" if isinstance(job, RunJob) else "`inline`"
        raise InvalidRequest(
            "A job in the inbox cannot have an `upload` source, since nobody would upload. "
            f"Allowed: {sources}, or `file` with a path that the workers can read."
        )
    if isinstance(job.source, InlineSource):
        entries: Iterable[Item] = job.source.items
    elif isinstance(job.source, RecordsSource):
        entries = (record.as_item() for record in job.source.items)
    else:
        return job
    for _ in refuse_duplicates(entries):
        pass
    return job
