"""`/v1/batches`: many requests of one file, answered as one job."""

from dataclasses import replace
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query
from fastapi.exceptions import RequestValidationError
from pydantic import Field, ValidationError

from seqd.client import AsyncJob
from seqd.client.requests import ItemOptions
from seqd.errors import InvalidRequest, UnknownJob
from seqd.gateway.batch_jobs import TOP_K_NOTE, UNITS_S, BatchJob, batch_of
from seqd.gateway.batch_lines import ENDPOINTS
from seqd.gateway.bodies import Answer, RequestBody, page_of
from seqd.gateway.callers import Caller, Reader, SeqdClient, Submitter
from seqd.gateway.classifications import ClassifyRequest
from seqd.gateway.completions import CompletionRequest
from seqd.gateway.files import file_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.stored_files import source_of
from seqd.ledger.submissions import new_job_id
from seqd.ledger.uploaded_files import Place
from seqd.validation import shown
from seqd_schemas import FilePurpose, FileSource, Priority, UploadedFile

router = APIRouter(prefix="/v1/batches", tags=["batches"])

#: What the name of a batch begins with, before that of its job.
_PREFIX: Final = "batch_"


class OutputExpiry(RequestBody):
    """For how long what a batch gave is kept."""

    anchor: Literal["created_at"]
    seconds: int
    """Counted from its end; without it a week."""


class BatchRequest(RequestBody):
    """Which file to answer, and by when."""

    input_file_id: str = Field(max_length=128, description="A file of the purpose `batch`.")
    endpoint: Literal["/v1/classify", "/v1/completions"] = Field(description="What its lines ask.")
    completion_window: str = Field(default="24h", pattern=r"^[1-9][0-9]{0,4}[smhd]$")
    """Time in which the batch must end, such as `24h`; what is undone then expires."""
    metadata: dict[str, str] | None = Field(default=None, max_length=16)
    """Notes of the caller's own."""
    model: str | None = Field(default=None, max_length=128)
    """The model of lines that name none."""
    output_expires_after: OutputExpiry | None = None

    @property
    def window_s(self) -> int:
        """Seconds in which the batch must end."""
        return int(self.completion_window[:-1]) * UNITS_S[self.completion_window[-1]]


@router.post("")
async def create_batch(
    asked: BatchRequest,
    caller: Submitter,
    seqd: SeqdClient,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Answer:
    """Answer the requests of an uploaded file, as one job of the class `bulk`.

    Sent again with its `Idempotency-Key`, it gives the same batch.
    """
    file = await file_of(asked.input_file_id, caller, seqd)
    body, text_field = _body_of(asked, file)
    await seqd.check_model(body.model, caller.only_tenant)
    source = source_of(file, seqd, FileSource(path=file.file_id, text_field=text_field))
    job_id, notes = new_job_id(), dict(asked.metadata or {})
    # First, so that no batch is missing from the list, which leaves out what is not there.
    await seqd.ask(seqd.ledger.uploaded_files.note_batch.steps(file.tenant, job_id))
    options: ItemOptions = {
        "tenant": file.tenant,
        "parameters": body.all_parameters(),
        "priority": Priority.BULK,
        "metadata": notes,
        "expires_in_s": asked.window_s,
        "idempotency_key": idempotency_key,
        "job_id": job_id,
    }
    if asked.output_expires_after is not None:
        options["results_ttl_s"] = asked.output_expires_after.seconds
    job: AsyncJob
    if isinstance(body, ClassifyRequest):
        if body.top_k is not None:
            notes[TOP_K_NOTE] = str(body.top_k)
        labels = body.label_options()
        job = await seqd.classify(source, model=body.model, **options, **labels)
    else:
        job = await seqd.generate(source, model=body.model, **options)
    record = await seqd.noted_record(job, body.model)
    return BatchJob(record, asked.endpoint, file.file_id).shown()


@router.get("")
async def list_batches(
    caller: Reader,
    seqd: SeqdClient,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(max_length=128)] = None,
) -> Answer:
    """Return the caller's batches that are kept, the newest first."""
    place = Place(limit + 1, after and after.removeprefix(_PREFIX))
    found = map(BatchJob.of, await seqd.batches(caller.tenant, place))
    return page_of([batch.shown() for batch in found if batch is not None], limit)


@router.get("/{batch_id}")
async def show_batch(batch_id: str, caller: Reader, seqd: SeqdClient) -> Answer:
    """Return a batch as it is now."""
    _, batch = await _found(batch_id, caller, seqd)
    return batch.shown()


@router.post("/{batch_id}/cancel")
async def cancel_batch(batch_id: str, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Cancel a batch; what was done of it stays. One that has ended stays as it is."""
    job, batch = await _found(batch_id, caller, seqd)
    await job.cancel()
    return replace(batch, record=await job.record()).shown()


async def _found(batch_id: str, caller: Caller, seqd: GatewayClient) -> tuple[AsyncJob, BatchJob]:
    named = batch_id.startswith(_PREFIX)
    found = await batch_of(batch_id.removeprefix(_PREFIX), caller, seqd) if named else None
    if found is None:
        raise UnknownJob(
            f"There is no batch {shown(batch_id)}. GET /v1/batches lists those there are."
        )
    return found


def _body_of(
    asked: BatchRequest, file: UploadedFile
) -> tuple[ClassifyRequest | CompletionRequest, str]:
    """Return the request that all lines of a file are, and where their text is.

    Raises InvalidRequest, and RequestValidationError for a body that the route refuses, too.
    """
    if file.purpose is not FilePurpose.BATCH:
        raise InvalidRequest(f"{file.file_id} is for {file.purpose}; allowed: a file for batch.")
    if file.fault is not None:
        raise InvalidRequest(f"{file.file_id}, line {file.fault.line}: {file.fault.message}")
    if file.common is None:
        raise InvalidRequest(f"{file.file_id} has blank lines alone; at least one request is due.")
    url, body = file.common.url, file.common.body
    if url not in (None, asked.endpoint):
        raise InvalidRequest(
            f"The lines of {file.file_id} ask {url}, and endpoint is {asked.endpoint}; allowed: "
            "the same."
        )
    if asked.model is not None and body.get("model", asked.model) != asked.model:
        raise InvalidRequest(
            f"model is {asked.model!r}, and that of the lines is {shown(body['model'])}; allowed: "
            "the same, or one of the two."
        )
    if body.get("stream"):
        raise InvalidRequest("stream is true in the lines; a batch has no streams. Leave it out.")
    field = ENDPOINTS[asked.endpoint].text
    named = {} if asked.model is None else {"model": asked.model}
    kind = ClassifyRequest if asked.endpoint == "/v1/classify" else CompletionRequest
    try:
        whole = kind.model_validate({**body, **named, field: ""})
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from None
    return whole, "text" if url is None else f"body.{field}"
