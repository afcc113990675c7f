"""Sends a job: checks it against what workers publish, writes it, begins to upload its input."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from time import monotonic
from typing import TYPE_CHECKING

from seqd.admission import Admitted, admit
from seqd.client.job import JobSteps
from seqd.client.requests import JobOptions, checked_id, inputs_of, refusal_of, replay_of, retry_of
from seqd.client.sources import (
    ChosenItems,
    FailedItems,
    Record,
    Source,
    corrections_of,
    refuse_unfailed,
    rules_of,
)
from seqd.client.upload import Upload
from seqd.client.waiting import Announced, Announcements
from seqd.errors import (
    InvalidRequest,
    JobOutOfReach,
    RedisUnreachable,
    SeqdError,
    UnknownModel,
    WrongState,
)
from seqd.inputs.items import ItemRules
from seqd.ledger import LedgerParts
from seqd.ledger.blobs import PackedChunk
from seqd.ledger.exchange import Durable, Exchange, Pause
from seqd.ledger.submissions import Accepted, BatchTemplate, new_job_id, new_token
from seqd_schemas import (
    Failure,
    Item,
    ItemChunk,
    Job,
    JobRecord,
    JobRollout,
    ModelReference,
    RefusedItem,
    SweepJob,
    TextChunk,
    TrainJob,
    has_upload,
    output_folder_of,
)

if TYPE_CHECKING:
    from seqd_schemas import CatalogEntry

#: Seconds for which what workers say of their plugins is taken as it was read.
_WORKERS_AGE_S = 2.0

#: Seconds for which a job waits for workers that are starting, and between two looks at them.
STARTING_WAIT_S = 15.0
_LOOK_S = 0.25

#: Longest wait for the server's disk. With `appendfsync everysec` it answers within about one.
DURABLE_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A job that is in the ledger."""

    steps: JobSteps
    #: True when the server has said that the job is on its disk.
    durable: bool


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends jobs for one client."""

    ledger: LedgerParts
    #: Names the client's completion stream, which `announcements` read.
    completions: str
    announcements: Announcements | None = None

    def send(
        self,
        job: Job,
        options: JobOptions,
        source: Source | None = None,
        rollout: JobRollout | None = None,
    ) -> Exchange[Sent]:
        """Send a job whose input is `source`, where it is uploaded; see `Client.classify`.

        `rollout` is that of the job which this one retries.
        """
        asked_id = checked_id(options.get("job_id") or new_job_id())
        admitted = yield from self._admitted(job, rollout)
        # To a training that continues another the ledger gives that one's upload.
        has_its_data = isinstance(job, TrainJob) and job.continues is not None
        token = new_token() if has_upload(job) and not has_its_data else ""
        head = [] if source is None else (yield from _head_of(source, admitted.unit_items))
        if token and not head:
            raise InvalidRequest("There are no items; at least one is due.")
        first = PackedChunk(head[0]) if head and isinstance(head[0], ItemChunk) else None
        is_whole = first is not None and len(head) == 1
        announced = yield from self._expected(asked_id)
        try:
            with _naming_what_was_sent(asked_id):
                accepted = yield from self.ledger.submissions.submit.steps(
                    job,
                    admitted,
                    job_id=asked_id,
                    chunk=first,
                    sealed=is_whole,
                    owner=token,
                    client=self.completions if self.announcements else "",
                )
            existing, upload = accepted.existing, None
            if source is not None and existing is not None:
                if existing.unit_items != admitted.unit_items and first is not None:
                    # Cut as the job was, whose worker may have been of another release.
                    source.begin(existing.unit_items, head)
                    head = []
                upload = self._upload(job, asked_id, accepted, head, source, token)
                if existing.has_all:
                    yield from upload.compare_now()
                    upload = None
            elif source is not None and accepted.created and token and not is_whole:
                rest = head[1:] if first else head
                upload = self._upload(job, asked_id, accepted, rest, source, token)
                if first is not None:
                    upload.skip(first)
        except GeneratorExit:
            raise
        except BaseException as error:
            if token and not is_whole and not isinstance(error, Exception):
                # Cancelled or interrupted: the job may be there, with nobody to send its input.
                yield from self._fail_what_was_begun(asked_id, token)
            if source is not None:
                yield from source.finish()
            raise
        if upload is not None:
            yield from upload.start()
        # Last, so that the upload is under way meanwhile.
        durable = yield from self._is_durable(options, upload, is_whole=is_whole)
        return Sent(self._steps(job, accepted, upload, announced), durable)

    def send_each(
        self,
        job: Job,
        entries: Iterable[Item | RefusedItem],
        job_ids: Iterable[str] | None,
        options: JobOptions,
    ) -> Exchange[list[Sent]]:
        """Send each entry as a job of its own; see `Client.classify_each`."""
        admitted = yield from self._admitted(job)
        inputs = list(inputs_of(entries, job_ids))
        template = BatchTemplate(job, admitted, self.completions)
        expected = []
        for job_id, _ in inputs:
            expected.append((yield from self._expected(job_id)))
        outcomes = yield from self.ledger.submissions.submit_each.steps(template, inputs)
        if refusal := refusal_of(inputs, outcomes):
            raise refusal
        durable = yield from self._is_durable(options, None, is_whole=True)
        return [
            Sent(self._steps(job, outcome, None, announced), durable)
            for outcome, announced in zip(outcomes, expected, strict=True)
            if isinstance(outcome, Accepted)
        ]

    def _admitted(self, job: Job, rollout: JobRollout | None = None) -> Exchange[Admitted]:
        catalog = yield from self.ledger.fleet.catalog.steps()
        admitted = yield from admission_of(job, self.ledger, catalog, wait_s=STARTING_WAIT_S)
        return admitted if rollout is None else replace(admitted, rollout=rollout)

    def _expected(self, job_id: str) -> Exchange[Announced | None]:
        """Begin to listen for the end of a job, where this client listens for ends."""
        if self.announcements is None:
            return None
        return (yield from self.announcements.expect(job_id))

    def _steps(
        self, job: Job, accepted: Accepted, upload: Upload | None, announced: Announced | None
    ) -> JobSteps:
        """Return the steps of a job; the end of one that was there already is not announced."""
        announced = announced if accepted.created else None
        return JobSteps(self.ledger, accepted.job_id, upload, announced, kind=job.kind)

    def retry(self, record: JobRecord, texts: Mapping[str, Record] | None = None) -> Exchange[Sent]:
        """Send an ended job's failed items again, some with other texts; see `Client.retry`."""
        job, jobs = retry_of(record), self.ledger.jobs
        if output_folder_of(job) is not None:
            if texts is not None:
                raise InvalidRequest(
                    f"Job {record.job_id} has its items in a file that workers read. Leave `items` "
                    "out, and mend the file."
                )
            return (yield from self.send(job, {}, rollout=_kept_rollout(record)))
        corrected = None
        if texts is not None:
            rules = yield from rules_of(self.ledger, job)
            corrected = _corrections(record, job, texts, rules)
        units = yield from jobs.retryable_units.steps(record.job_id)
        items = FailedItems(jobs, record.job_id, units)
        if corrected:
            steps = JobSteps[object](self.ledger, record.job_id)
            yield from refuse_unfailed(record.job_id, steps.all_results(), corrected)
            items = ChosenItems(items, steps.all_results(), corrected=corrected)
        if not (yield from items.find()):
            raise WrongState(
                f"No failed item of job {record.job_id} has a text that could be read: there is "
                "nothing to retry. Mend the input, and hand it in as a new job."
            )
        return (yield from self._send_failed(job, items, _kept_rollout(record)))

    def replay(
        self,
        first: JobRecord,
        last: JobRecord,
        codes: frozenset[str] | None,
        *,
        current_version: bool = False,
        dry_run: bool = False,
    ) -> Exchange[Sent | None]:
        """Send items again that have an error of one of these codes, or any, after all retries.

        They are those of `first`, whose last retry is `last`, which the new job continues. Reads
        all results, unless all failed items are meant of a job without a retry. A `dry_run` looks
        for one that can be sent, and returns None.
        """
        job, jobs = replay_of(first, last, current_version=current_version), self.ledger.jobs
        units = yield from jobs.retryable_units.steps(first.job_id)
        items = FailedItems(jobs, first.job_id, units)
        if codes is not None or first.job_id != last.job_id:
            results = JobSteps[object](self.ledger, first.job_id).merged_results()
            items = ChosenItems(items, results, codes=codes)
        if not (yield from items.find()):
            raise WrongState(
                f"Nothing of job {first.job_id} can be tried again: each item meant has succeeded "
                "since, or had no text that could be read. Mend the input, and hand it in again."
            )
        if dry_run:
            return None
        rollout = None if current_version else _kept_rollout(last)
        return (yield from self._send_failed(job, items, rollout))

    def _send_failed(
        self, job: Job, items: FailedItems, rollout: JobRollout | None
    ) -> Exchange[Sent]:
        if isinstance(job, SweepJob):
            only = yield from items.names()
            return (yield from self.send(job.model_copy(update={"only": only}), {}))
        return (yield from self.send(job, {}, items, rollout))

    def _fail_what_was_begun(self, job_id: str, token: str) -> Exchange[None]:
        """End a job, if it was made, whose input nobody will send."""
        failure = Failure(code="upload_failed", message="Its sender was cancelled as it sent it.")
        with suppress(SeqdError):
            yield from self.ledger.control.fail_upload.steps(job_id, failure, token)

    def _is_durable(
        self, options: JobOptions, upload: Upload | None, *, is_whole: bool
    ) -> Exchange[bool]:
        """Wait until the disk has what was handed in, if that is wanted; see JobOptions."""
        asked = options.get("durable")
        if asked is False or (asked is None and is_whole):
            return False
        try:
            return bool((yield Durable(self.ledger.keys, DURABLE_WAIT_S)))
        except (Exception, GeneratorExit):
            raise
        except BaseException as error:  # cancelled or interrupted: nobody holds the upload
            if upload is not None:
                yield from upload.give_up(error)
            raise

    def _upload(
        self,
        job: Job,
        asked_id: str,
        accepted: Accepted,
        head: list[ItemChunk | TextChunk],
        source: Source,
        token: str,
    ) -> Upload:
        """Return what sends the input of a new job, or compares it with that of one that is."""
        return Upload(
            self.ledger,
            job,
            accepted.job_id,
            source,
            token=token,
            owns=accepted.created,
            silence_s=self.ledger.settings.upload_silence_s,
            head=head,
            asked_id="" if accepted.created else asked_id,
        )


def _kept_rollout(record: JobRecord) -> JobRollout | None:
    """Return the roll-out of a job for its retry: each item stays with the version it was for."""
    rollout = record.rollout
    if rollout is None:
        return None
    return rollout.model_copy(update={"seed": rollout.seed or record.job_id})


def _corrections(
    record: JobRecord, job: Job, texts: Mapping[str, Record], rules: ItemRules
) -> dict[str, Item]:
    if isinstance(job, SweepJob):
        raise InvalidRequest(
            f"Job {record.job_id} is a sweep: its items are combinations, which have no texts. "
            "Leave `items` out."
        )
    return corrections_of(texts, rules)


def _head_of(source: Source, unit_items: int) -> Exchange[list[ItemChunk | TextChunk]]:
    """Begin a source; return its first two chunks, as far as there are so many."""
    source.begin(unit_items)
    head = []
    for _ in range(2):
        chunk = yield from source.next()
        if chunk is None:
            break
        head.append(chunk)
    return head


@contextmanager
def _naming_what_was_sent(job_id: str) -> Iterator[None]:
    """Raise JobOutOfReach for a Redis that went away while a job was written."""
    try:
        yield
    except RedisUnreachable as error:
        raise JobOutOfReach(
            job_id,
            f"{error} It is not known whether job {job_id} was written by then; seqd jobs show "
            f"{job_id} says so. Sent again with that job_id, it is made once.",
        ) from None


def admission_of(
    job: Job, ledger: LedgerParts, catalog: "Mapping[str, CatalogEntry]", *, wait_s: float = 0.0
) -> Exchange[Admitted]:
    """Return how a job runs; see `admit`.

    For a model that no worker publishes it waits `wait_s` seconds at most, while a worker is
    starting. The UnknownModel then names that worker, or the plugins that are broken on workers: it
    may be of one of these.
    """
    try:
        return admit(job, catalog)
    except UnknownModel as error:
        if ModelReference.parse(job.model).name in catalog:
            raise  # it is a version that there is not
        refusal = error
    from seqd.serving import starting_told, unpublished_told  # here: for this alone

    deadline_s = monotonic() + wait_s
    workers = yield from ledger.fleet.recent_workers.steps(_WORKERS_AGE_S)
    while starting_told(workers) and monotonic() < deadline_s:
        yield Pause(_LOOK_S)
        workers = yield from ledger.fleet.workers.steps()
        try:
            return admit(job, (yield from ledger.fleet.catalog.steps()))
        except UnknownModel as error:
            refusal = error
    raise UnknownModel(f"{refusal}{unpublished_told(workers)}") from None
