"""The calls by which a service hands jobs in: `classify`, `generate`, `train`.

Each checks the request against what workers publish, writes it into the ledger, and gives a
handle at once. An input of more than one unit is uploaded by a thread while the job runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from types import TracebackType
from typing import Self

from pydantic import TypeAdapter, ValidationError

from seqd.admission import Admitted, admit
from seqd.bell import Bell
from seqd.client.handle import JobHandle
from seqd.client.upload import Upload
from seqd.errors import InvalidRequest
from seqd.inputs import items_of, refuse_duplicates
from seqd.inputs.training import texts_of
from seqd.ledger import Ledger, connect
from seqd.ledger.chunking import chunks_of, text_chunks_of
from seqd.ledger.submissions import new_job_id
from seqd.ledger.work import JOB
from seqd.server.endpoint import redis_url_of
from seqd.settings import Settings, load_settings
from seqd_schemas import (
    CatalogEntry,
    FileSource,
    Item,
    ItemChunk,
    Job,
    JobId,
    JobRecord,
    NamedSource,
    ParameterValue,
    Priority,
    RefusedItem,
    TextChunk,
    UploadSource,
    WorkerStatus,
)

Record = str | Mapping[str, object]
Items = Iterable[Record | Item | RefusedItem] | FileSource
_JOB_ID: TypeAdapter[str] = TypeAdapter(JobId)


class Client:
    """A connection to a daemon. Safe to share between threads; use it as a context manager."""

    def __init__(self, redis_url: str | None = None, *, settings: Settings | None = None) -> None:
        """Find the server; connects on first use.

        Without `redis_url`: SEQD_REDIS_URL, else the server of a running `seqd up`. Raises
        RedisUnreachable when there is neither.
        """
        self._settings = settings or load_settings()
        url = redis_url or redis_url_of(self._settings)
        self._redis = connect(url)
        self._ledger = Ledger(self._redis, self._settings, Bell(url, self._settings).ring)
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
            for handle in self._handles:
                handle.give_up(error)
        self.close()

    def close(self) -> None:
        """Wait until every upload is complete or its job has ended, then disconnect.

        Leaving the `with` block by an exception does not wait: it fails the jobs whose input
        is not complete.
        """
        for handle in self._handles:
            handle.close()
        self._redis.close()

    def classify(
        self,
        items: Items,
        *,
        model: str = "imdb_lstm",
        parameters: Mapping[str, ParameterValue] | None = None,
        priority: Priority = Priority.NORMAL,
        tenant: str = "default",
        idempotency_key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        job_id: str | None = None,
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
    ) -> JobHandle:
        """Give each text its label and score.

        `items` is any iterable of texts, or of records with `text_field` and `id_field` (an
        `id` is taken too, else the position is, as `row-N`); it is read lazily. Or a
        `FileSource` that the workers read themselves. `expected_items` is for the ETA alone.
        A text that cannot be used becomes an error record in its place.

        Raises UnknownModel, InvalidParameters or InvalidRequest before anything is sent, and
        RedisUnreachable, RedisRefused or RedisFull.
        """
        request = _request(
            "classify", model, parameters, priority, tenant, idempotency_key, metadata
        )
        return self._submit_items(request, items, job_id, id_field, text_field, expected_items)

    def generate(
        self,
        prompts: Items,
        *,
        model: str = "char_lstm",
        parameters: Mapping[str, ParameterValue] | None = None,
        priority: Priority = Priority.NORMAL,
        tenant: str = "default",
        idempotency_key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        job_id: str | None = None,
        id_field: str = "custom_id",
        text_field: str = "text",
        expected_items: int | None = None,
    ) -> JobHandle:
        """Continue each prompt; takes and raises what `classify` does. A prompt may be empty."""
        request = _request(
            "generate", model, parameters, priority, tenant, idempotency_key, metadata
        )
        return self._submit_items(request, prompts, job_id, id_field, text_field, expected_items)

    def train(
        self,
        data: Iterable[Record] | FileSource | NamedSource,
        *,
        model: str,
        preset: str | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        held_out: FileSource | NamedSource | None = None,
        labels: Sequence[str] = (),
        priority: Priority = Priority.NORMAL,
        tenant: str = "default",
        idempotency_key: str | None = None,
        metadata: Mapping[str, str] | None = None,
        job_id: str | None = None,
        text_field: str = "text",
        label_field: str = "label",
    ) -> JobHandle:
        """Train a new version of a model; `wait().training` tells which.

        `data` is a file that the workers read, a data set that the plugin knows by name, or an
        iterable of texts or records, which is uploaded and must fit into the ledger. `labels`
        are moved to the new version. Raises what `classify` does; data that cannot be learnt
        from fails the job.
        """
        request = _request("train", model, parameters, priority, tenant, idempotency_key, metadata)
        request |= {"preset": preset, "held_out": held_out, "labels": tuple(labels)}
        if isinstance(data, FileSource | NamedSource):
            return self._submit(_job(request | {"source": data}), job_id, iter(()))
        job = _job(request | {"source": UploadSource()})
        texts = texts_of(data, text_field=text_field, label_field=label_field)
        return self._submit(job, job_id, text_chunks_of(texts))

    def job(self, job_id: str) -> JobHandle:
        """Give a handle on any job, whoever handed it in; the job is not looked up yet."""
        return JobHandle(self._ledger, _checked_id(job_id))

    def jobs(self, limit: int = 20) -> list[JobRecord]:
        """Give the newest jobs that are kept, newest first."""
        return self._ledger.jobs.newest(limit)

    def workers(self) -> list[WorkerStatus]:
        """Give the workers that are up, sorted by name."""
        return self._ledger.fleet.workers()

    def catalog(self) -> dict[str, CatalogEntry]:
        """Give the models that the fleet can run, by name."""
        return self._ledger.fleet.catalog()

    def _submit_items(
        self,
        request: dict[str, object],
        items: Items,
        job_id: str | None,
        id_field: str,
        text_field: str,
        expected_items: int | None,
    ) -> JobHandle:
        if isinstance(items, FileSource):
            return self._submit(_job(request | {"source": items}), job_id, iter(()))
        if expected_items is None and isinstance(items, Sequence):
            expected_items = len(items)
        job = _job(request | {"source": UploadSource(expected_items=expected_items)})
        admitted = admit(job, self._ledger.fleet.catalog())
        entries = refuse_duplicates(
            items_of(
                items,
                id_field=id_field,
                text_field=text_field,
                allow_empty=job.kind == "generate",
            )
        )
        return self._send(admitted, job_id, chunks_of(entries, admitted.unit_items))

    def _submit(self, job: Job, job_id: str | None, chunks: Iterator[TextChunk]) -> JobHandle:
        return self._send(admit(job, self._ledger.fleet.catalog()), job_id, chunks)

    def _send(
        self,
        admitted: Admitted,
        job_id: str | None,
        chunks: Iterator[ItemChunk | TextChunk],
    ) -> JobHandle:
        job, job_id = admitted.job, _checked_id(job_id or new_job_id())
        head: list[ItemChunk | TextChunk] = list(islice(chunks, 2))
        if isinstance(job.source, UploadSource) and not head:
            raise InvalidRequest("There are no items; at least one is due.")
        first = head[0] if head and isinstance(head[0], ItemChunk) else None
        accepted = self._ledger.submissions.submit(
            job,
            job_id=job_id,
            version=admitted.version,
            unit_items=admitted.unit_items,
            chunk=first,
            sealed=first is not None and len(head) == 1,
        )
        handle = JobHandle(self._ledger, accepted.job_id)
        if not isinstance(job.source, UploadSource) or handle.record().sealed:
            return handle
        # Also for a job that exists: an earlier client may have died in its upload, and a
        # chunk that is there already is not added again.
        rest = head[1:] if first is not None else head
        return self._upload(job, accepted.job_id, chain(rest, chunks), 1 if first else 0)

    def _upload(
        self,
        job: Job,
        job_id: str,
        chunks: Iterator[ItemChunk | TextChunk],
        first_unit: int,
    ) -> JobHandle:
        upload = Upload(self._ledger, job, job_id, chunks, first_unit)
        handle = JobHandle(self._ledger, job_id, upload)
        upload.start()
        self._handles = [handle, *(known for known in self._handles if known.is_uploading)]
        return handle


def _request(
    kind: str,
    model: str,
    parameters: Mapping[str, ParameterValue] | None,
    priority: Priority,
    tenant: str,
    idempotency_key: str | None,
    metadata: Mapping[str, str] | None,
) -> dict[str, object]:
    return {
        "kind": kind,
        "model": model,
        "parameters": dict(parameters or {}),
        "priority": priority,
        "tenant": tenant,
        "idempotency_key": idempotency_key,
        "metadata": dict(metadata or {}),
    }


def _job(request: dict[str, object]) -> Job:
    try:
        return JOB.validate_python(request)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"{field} is {first['input']!r}: {first['msg']}.") from None


def _checked_id(job_id: str) -> str:
    try:
        return _JOB_ID.validate_python(job_id)
    except ValidationError:
        raise InvalidRequest(
            f"The job's identifier is {job_id!r}; allowed: 1 to 64 letters, digits, `_` and `-`, "
            "the first a letter or digit."
        ) from None
