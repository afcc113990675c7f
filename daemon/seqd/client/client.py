"""The client: submits jobs (`classify`, `generate`, `train`, `sweep` …) and finds those that exist.

Each checks the request against what workers publish, writes it into the ledger, and gives a
handle at once. An input of more than one unit is uploaded by a thread while the job runs.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, Unpack

from seqd.admission import admit
from seqd.client.handle import JobHandle
from seqd.client.requests import (
    JobOptions,
    SweepOptions,
    checked_id,
    inputs_of,
    job_of,
    refusal_of,
    refuse_options_of_one,
    resumption_of,
    retry_of,
    sweep_of,
)
from seqd.client.results import failed_items
from seqd.client.upload import Upload
from seqd.client.waiting import with_waiting
from seqd.errors import (
    IdempotencyConflict,
    InvalidRequest,
    JobOutOfReach,
    RedisUnreachable,
    WrongState,
)
from seqd.inputs.duplicates import refuse_duplicates
from seqd.inputs.items import items_of
from seqd.inputs.training import texts_of
from seqd.ledger import Ledger, connect
from seqd.ledger.blobs import PackedChunk, chunks_of, text_chunks_of
from seqd.ledger.outage import Outage
from seqd.ledger.redis import outage_of, wait_until_durable
from seqd.ledger.submissions import Accepted, BatchTemplate, new_job_id, new_token
from seqd.ledger.wakeup import Wakeup
from seqd.local.redis_access import RedisAccess
from seqd_schemas import (
    FileSource,
    Item,
    ItemChunk,
    Job,
    LabelledText,
    NamedSource,
    ParameterValue,
    RefusedItem,
    SweepJob,
    TextChunk,
    TrainJob,
    UploadSource,
)

if TYPE_CHECKING:
    from datetime import date

    from seqd.client.completion import EndedJob
    from seqd.ledger.inbox import InboxState
    from seqd.ledger.retention import Evictions
    from seqd.scaling import RouteWork
    from seqd.settings import Settings
    from seqd_schemas import (
        CatalogEntry,
        JobRecord,
        TenantLimits,
        TenantRecord,
        TenantUsage,
        WorkerStatus,
    )

#: Longest wait for the server's disk. With `appendfsync everysec` it answers within about one.
DURABLE_WAIT_S = 2.0

Record = str | Mapping[str, object]
Items = Iterable[Record | Item | RefusedItem] | FileSource
T = TypeVar("T")


class Client:
    """A connection to a daemon. Safe to share between threads; use it as a context manager.

    A Redis that goes away is waited for, `SEQD_OUTAGE_S` seconds at most: whatever sends, waits or
    reads goes on where it was, and loses and doubles nothing. One that never answered is not.
    """

    def __init__(self, redis_url: str | None = None, *, settings: "Settings | None" = None) -> None:
        """Find the server; connects on first use.

        Without `redis_url`: SEQD_REDIS_URL, else the server of a running `seqd up`. Raises
        RedisUnreachable when there is neither.
        """
        from seqd.settings import (
            load_settings,  # here: a module that only names `Client` needs none
        )

        self._settings = settings or load_settings()
        if not redis_url:
            from seqd.local.endpoint import redis_url_of

            redis_url = redis_url_of(self._settings)
        outage_s = self._settings.outage_s
        promise = f"waiting for it, for {outage_s:g} s at most (SEQD_OUTAGE_S)" if outage_s else ""
        self._redis = connect(
            redis_url,
            timeout_s=self._settings.redis_timeout_s,
            outage=Outage(limit_s=outage_s, promise=promise),
            access=RedisAccess.of(self._settings),
        )
        self._ledger = Ledger(self._redis, self._settings, Wakeup(redis_url, self._settings).notify)
        #: Names the completion stream, which announces the jobs of this client that have ended.
        self._completions = new_job_id()
        self._lock = Lock()
        self._handles: list[JobHandle] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            # The caller is on its way out; the rest of its input may never come.
            outage_of(self._redis).gives_up = lambda: True
            for handle in self._handles:
                handle.give_up(error)
            with suppress(IdempotencyConflict):  # the caller's own error says why it leaves
                self.close()
            return
        self.close()

    def close(self) -> None:
        """Wait until every upload is complete or its job has ended, then disconnect.

        Leaving the `with` block by an exception does not wait: it fails the jobs whose input
        is not complete, but none that another client had handed in before under the same
        idempotency key. Raises IdempotencyConflict when the input of such a job turned out to be
        another, and no handle has raised that.
        """
        with ExitStack() as stack:
            stack.callback(self._redis.close)
            for handle in self._handles:
                stack.callback(handle.close)

    def classify(
        self,
        items: Items,
        *,
        model: str = "imdb_lstm",
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Classify each text; returns the job at once, before it has run.

        `items` is any iterable of texts, or of records with `text_field` and `id_field` (an
        `id` is taken too, else the position is, as `row-N`); it is read lazily. Or a
        `FileSource` that the workers read themselves. `expected_items` is for the ETA alone.
        A text that cannot be used becomes an error record in its place. `options` are those
        of `JobOptions`.

        Where `idempotency_key` or `job_id` stands for a job that has all of its input, `items` are
        read to their end first, to be compared with it.

        Raises UnknownModel, InvalidParameters or InvalidRequest before anything is sent,
        IdempotencyConflict, and RedisUnreachable (JobOutOfReach where the job may have been
        written), RedisRefused or RedisFull.
        """
        if isinstance(items, FileSource):
            return self._send(job_of("classify", model, options, source=items), options)
        source = UploadSource(expected_items=_expected(items, expected_items))
        job = job_of("classify", model, options, source=source)
        return self._send(job, options, _entries(items, id_field, text_field, job.kind))

    def classify_each(
        self,
        items: Iterable[Record | Item | RefusedItem],
        *,
        model: str = "imdb_lstm",
        id_field: str = "custom_id",
        text_field: str = "text",
        job_ids: Iterable[str] | None = None,
        **options: Unpack[JobOptions],
    ) -> list[JobHandle]:
        """Hand each text in as a job of its own, many in one round trip; returns their handles.

        For a service that has many single texts in hand: each job has its own identifier, events
        and result, is charged alone, and depends on no other. `items` are what `classify` takes,
        in order; all of them are held in memory. `job_ids` has an identifier for each: sent
        again, it makes no second job. `options` hold for every job; `durable` waits for all of
        them at once. `as_completed` gives the results.

        Raises what `classify` does before anything is sent, and JobsRefused when some of the jobs
        were refused: it knows which, why, and which were not.
        """
        refuse_options_of_one(options)
        source = UploadSource(expected_items=1)
        job = job_of("classify", model, options, source=source)
        admitted = admit(job, self._ledger.fleet.catalog())
        entries = items_of(_listed(items), id_field=id_field, text_field=text_field)
        inputs = list(inputs_of(entries, job_ids))
        template = BatchTemplate(job, admitted.version, admitted.unit_items, self._completions)
        outcomes = self._ledger.submissions.submit_each(template, inputs)
        if refusal := refusal_of(inputs, outcomes):
            raise refusal
        durable = self._is_durable(options.get("durable"), is_whole=True)
        return [JobHandle(self._ledger, job_id, durable=durable) for job_id, _ in inputs]

    def as_completed(
        self, jobs: Iterable[JobHandle], timeout_s: float | None = None
    ) -> "Iterator[EndedJob]":
        """Yield each of many jobs as soon as it has ended, with one wait for all of them.

        Quick for jobs that this client's `classify_each` handed in: the results of a completed
        one come with it. Any other job is looked at every two seconds. A job that failed, was
        cancelled or has expired is given like any other: its state says so. Raises TimeoutError
        when not all have ended after `timeout_s` seconds, and UnknownJob for one that is not kept
        (any more).
        """
        from seqd.client.completion import Completion

        return iter(Completion(self._ledger, self._completions, jobs, timeout_s))

    def generate(
        self,
        prompts: Items,
        *,
        model: str = "char_lstm",
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
        stream: bool = False,
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Continue each prompt; takes and raises what `classify` does. A prompt may be empty.

        `stream` lets `JobHandle.stream` give the texts while they are written.
        """
        if isinstance(prompts, FileSource):
            job = job_of("generate", model, options, source=prompts, stream=stream)
            return self._send(job, options)
        source = UploadSource(expected_items=_expected(prompts, expected_items))
        job = job_of("generate", model, options, source=source, stream=stream)
        return self._send(job, options, _entries(prompts, id_field, text_field, job.kind))

    def train(
        self,
        data: Iterable[Record] | FileSource | NamedSource,
        *,
        model: str,
        preset: str | None = None,
        held_out: FileSource | NamedSource | None = None,
        labels: Sequence[str] = (),
        text_field: str = "text",
        label_field: str = "label",
        **options: Unpack[JobOptions],
    ) -> JobHandle:
        """Train a new version of a model; `wait().training` tells which.

        `data` is a file that the workers read, a data set that the plugin knows by name, or an
        iterable of texts or records, which is uploaded and must fit into the ledger. `labels`
        are moved to the new version. Raises what `classify` does; data that cannot be learnt
        from fails the job.
        """
        ours = {"preset": preset, "held_out": held_out, "labels": tuple(labels)}
        if isinstance(data, FileSource | NamedSource):
            return self._send(job_of("train", model, options, source=data, **ours), options)
        job = job_of("train", model, options, source=UploadSource(), **ours)
        texts = texts_of(_listed(data), text_field=text_field, label_field=label_field)
        return self._send(job, options, texts=texts)

    def sweep(
        self,
        data: FileSource | NamedSource,
        *,
        model: str,
        grid: Mapping[str, Sequence[ParameterValue]],
        **options: Unpack[SweepOptions],
    ) -> JobHandle:
        """Train a model once for each combination of the values in `grid`; see `SweepJob`.

        The trainings run side by side, on all slots that train. Each combination is an item, named
        like `embedding_dim=8`; its result has the version that it made, with its figures.
        `options` are those of `SweepOptions`; `labels` are moved to the best version at the end.
        Raises what `train` does, also for a combination that the model does not take, before
        anything is sent; and InvalidRequest for data that would have to be uploaded.
        """
        return self._send(sweep_of(data, model, grid, options), options)

    def retry(self, job_id: str) -> JobHandle:
        """Hand an ended job's failed items in again, as a job that continues it.

        On the same version, with the same parameters. `merged_results` of the first job's
        handle then has the new results in the place of the errors. Items that never held a
        text that could be read are not sent again. Raises WrongState when the job has not ended,
        has nothing to send again, or was already continued.
        """
        record = self.job(job_id).record()
        job = retry_of(record)
        items = failed_items(self._ledger, job_id)
        first = next(items, None)
        if first is None:
            raise WrongState(
                f"No failed item of job {job_id} has a text that could be read: there is nothing "
                "to retry. Mend the input, and hand it in as a new job."
            )
        if isinstance(job, SweepJob):
            only = tuple(item.custom_id for item in chain((first,), items))
            return self._send(job.model_copy(update={"only": only}), {})
        return self._send(job, {}, chain((first,), items))

    def resume(self, job_id: str) -> JobHandle:
        """Let a paused job go on, or continue an ended training from its last checkpoint.

        Gives the handle of that job, or of the new one that continues the training. A job that
        waits or runs stays as it is. Raises WrongState for an ended job of items, as well as for
        a training that completed; a handle's own `resume` gives the state of an ended job instead.
        """
        handle = self.job(job_id)
        record = handle.record()
        if not record.state.is_terminal:
            handle.resume()
            return handle
        return self._send(resumption_of(record), {})

    def job(self, job_id: str) -> JobHandle:
        """Return a handle on any job, whoever handed it in; the job is not looked up yet."""
        return JobHandle(self._ledger, checked_id(job_id))

    def jobs(self, limit: int = 20) -> "list[JobRecord]":
        """Return the newest jobs that are kept, newest first."""
        return with_waiting(self._ledger, self._ledger.jobs.newest(limit))

    def open_jobs(self, limit: int = 20) -> "list[JobRecord]":
        """Return the newest jobs that have not ended, newest first."""
        return with_waiting(self._ledger, self._ledger.jobs.newest_open(limit))

    def quarantined(self) -> int:
        """Return the number of jobs so far whose keys were damaged, and which were put aside."""
        return self._ledger.jobs.quarantined()

    def evictions(self) -> "Evictions":
        """Return how many ended jobs were removed before their time so far, by reason."""
        return self._ledger.retention.evictions()

    def inbox(self) -> "InboxState":
        """Return how many entries wait in the inbox, and how old the oldest is."""
        return self._ledger.inbox.state()

    def work_left(self) -> "list[RouteWork]":
        """Return the work that is left by task and model, in seconds of one slot.

        Leased work is part of it, paused jobs are not. Reading it costs the same however many jobs
        are open.
        """
        return self._ledger.backlog.routes(self._ledger.fleet.workers())

    def tenants(self) -> "list[TenantRecord]":
        """Return the tenants with limits of their own, with work that waits, or that keep most."""
        return self._ledger.tenants.all()

    def tenant(self, name: str) -> "TenantRecord":
        """Return a tenant's limits and what it has in Redis; raises UnknownTenant."""
        return self._ledger.tenants.show(name)

    def set_tenant(
        self,
        name: str,
        limits: "TenantLimits | None" = None,
        *,
        unset: Collection[str] = (),
        evicts: bool = False,
    ) -> "TenantRecord":
        """Set a tenant's limits that are not None, and take those named in `unset` away.

        They hold at once, for all clients and workers. Raises InvalidRequest where there is
        nothing to set, and WrongState where `kept_bytes` are fewer than the tenant keeps now,
        unless it `evicts`: then the oldest of its ended jobs are removed.
        """
        return self._ledger.tenants.set_limits(name, limits, unset=unset, evicts=evicts)

    def tenant_usage(
        self,
        *,
        since: "date | None" = None,
        until: "date | None" = None,
        tenant: str | None = None,
    ) -> "list[TenantUsage]":
        """Return what tenants have used, by day (UTC) and name; all days that are kept by default.

        `since` and `until` are the first and the last day.
        """
        return self._ledger.tenants.usage(since=since, until=until, tenant=tenant)

    def workers(self) -> "list[WorkerStatus]":
        """Return the workers that are up, sorted by name."""
        return self._ledger.fleet.workers()

    def catalog(self) -> "dict[str, CatalogEntry]":
        """Return the models that the fleet can run, by name."""
        return self._ledger.fleet.catalog()

    def _send(
        self,
        job: Job,
        options: JobOptions,
        entries: Iterable[Item | RefusedItem] = (),
        texts: Iterable[LabelledText] = (),
    ) -> JobHandle:
        """Check a job against the catalog, write it into the ledger, and begin its upload."""
        asked_id = checked_id(options.get("job_id") or new_job_id())
        admitted = admit(job, self._ledger.fleet.catalog())
        entries = iter(entries)
        chunks = chain[ItemChunk | TextChunk](
            chunks_of(entries, admitted.unit_items), text_chunks_of(texts)
        )
        head = list(islice(chunks, 2))
        is_upload = isinstance(job.source, UploadSource) and not _has_its_data(job)
        if is_upload and not head:
            raise InvalidRequest("There are no items; at least one is due.")
        first = PackedChunk(head[0]) if head and isinstance(head[0], ItemChunk) else None
        is_whole = first is not None and len(head) == 1
        token = new_token() if is_upload else ""
        with _naming_what_was_sent(asked_id):
            accepted = self._ledger.submissions.submit(
                job,
                job_id=asked_id,
                version=admitted.version,
                unit_items=admitted.unit_items,
                chunk=first,
                sealed=is_whole,
                owner=token,
            )
        upload: Upload | None = None
        if existing := accepted.existing:
            whole = chain(head, chunks)
            if existing.unit_items != admitted.unit_items and first is not None:
                # Cut as the job was, whose worker may have been of another release.
                whole = _cut_anew(head, entries, existing.unit_items)
            upload = self._upload(job, asked_id, accepted, whole, token)
        elif accepted.created and is_upload and not is_whole:
            rest = chain(head[1:] if first else head, chunks)
            upload = self._upload(job, asked_id, accepted, rest, token, sent=first)
        handle = JobHandle(self._ledger, accepted.job_id, upload)
        if upload is not None:
            self._keep(handle)
        # Last, so that the upload is under way meanwhile.
        handle.durable = self._is_durable(options.get("durable"), is_whole=is_whole)
        return handle

    def _is_durable(self, asked: bool | None, *, is_whole: bool) -> bool:
        """Wait until the disk has what was handed in, if that is wanted; see JobOptions."""
        if asked is False or (asked is None and is_whole):
            return False
        return wait_until_durable(self._redis, self._settings.keys, DURABLE_WAIT_S)

    def _upload(
        self,
        job: Job,
        asked_id: str,
        accepted: Accepted,
        chunks: Iterator[ItemChunk | TextChunk],
        token: str,
        *,
        sent: PackedChunk | None = None,
    ) -> Upload | None:
        """Begin to send the input of a new job, or to compare it with that of one that is there.

        Of one that takes no more it is compared at once: None, or IdempotencyConflict.
        """
        upload = Upload(
            self._ledger,
            job,
            accepted.job_id,
            chunks,
            token=token,
            owns=accepted.created,
            silence_s=self._settings.upload_silence_s,
            asked_id="" if accepted.created else asked_id,
        )
        if accepted.existing is not None and accepted.existing.has_all:
            upload.compare_now()
            return None
        if sent is not None:
            upload.skip(sent)
        upload.start()
        return upload

    def _keep(self, handle: JobHandle) -> None:
        with self._lock:
            self._handles = [handle, *(known for known in self._handles if known.is_uploading)]


def _cut_anew(
    head: Sequence[ItemChunk | TextChunk], entries: Iterator[Item | RefusedItem], unit_items: int
) -> "chain[ItemChunk | TextChunk]":
    """Cut an input, of which `head` has been read, into units of another size."""
    read = (entry for chunk in head if isinstance(chunk, ItemChunk) for entry in chunk.items)
    return chain[ItemChunk | TextChunk](chunks_of(chain(read, entries), unit_items))


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
        ) from error


def _has_its_data(job: Job) -> bool:
    """True for a training that continues another: the ledger gives it that one's upload."""
    return isinstance(job, TrainJob) and job.continues is not None


def _entries(
    values: Iterable[Record | Item | RefusedItem], id_field: str, text_field: str, kind: str
) -> Iterator[Item | RefusedItem]:
    return refuse_duplicates(
        items_of(
            _listed(values),
            id_field=id_field,
            text_field=text_field,
            # A text can be continued from nothing; nothing cannot be classified.
            allow_empty=kind == "generate",
        )
    )


def _listed(values: Iterable[T]) -> Iterable[T]:
    """Refuse one string or record: it would be taken for its letters, or its fields' names."""
    if isinstance(values, str | bytes | Mapping):
        raise InvalidRequest(
            f"The items are one {type(values).__name__}; allowed: an iterable of texts or records. "
            "Put it into a list."
        )
    return values


def _expected(values: object, stated: int | None) -> int | None:
    return len(values) if stated is None and isinstance(values, Sequence) else stated
