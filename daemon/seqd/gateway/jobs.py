"""`/v1/jobs`: jobs of every kind, by their own JSON; and events, of a job and of all.

Each server-sent event has the id of its place in the ledger's stream, from which `Last-Event-ID`
goes on, at this gateway or at another one.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import RootModel, model_validator

from seqd.client import AsyncJob
from seqd.errors import InvalidRequest, JobFailed, NotAllowed, SeqdError
from seqd.gateway.bodies import Answer, bounded
from seqd.gateway.callers import Caller, Operator, Reader, SeqdClient, Submitter
from seqd.gateway.files import file_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.refusals import Declared, problem_of
from seqd.gateway.server_sent import EVENTS, event_of, kept_alive
from seqd.gateway.stored_files import file_id_of, source_of
from seqd.ledger.async_transport import AsyncStream
from seqd.ledger.jobs import last_id
from seqd_schemas import (
    DEFAULT_TENANT,
    Event,
    FileSource,
    Job,
    JobKind,
    JobRecord,
    JobState,
    SweepJob,
    TrainJob,
    UploadSource,
    output_folder_of,
)

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
events_router = APIRouter(tags=["events"])

#: Fields of jobs that say what they read.
_SOURCES: Final = ("source", "held_out")

#: Media type of results.
RESULTS: Final = "application/x-ndjson"

_STREAM: Final[Declared] = {200: {"content": {EVENTS: {}}}}

#: The last event that a reader has got.
LastEventId = Annotated[str | None, Header(pattern=r"^\d{1,20}-\d{1,20}$")]
#: Kinds of events to give, such as `completed,failed`; all without it.
Kinds = Annotated[str | None, Query(alias="events", pattern=r"^[a-z]+(,[a-z]+)*$")]


class JobBody(RootModel[Job]):
    """A job of any kind."""

    _bounded = model_validator(mode="before")(bounded)


@router.put("/{job_id}")
async def put_job(job_id: str, job: JobBody, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Hand a job in under an identifier of the caller's; sent again, it joins the job.

    Its items are in the request, up to 1,000, or in an uploaded file, whose name is the `path` of a
    source of the type `file`.
    """
    own = await _own(job.root, caller, seqd)
    if isinstance(own, TrainJob | SweepJob):
        await seqd.check_own_model(own.model, caller.only_tenant)
    else:
        await seqd.check_model(own.model, caller.only_tenant)
    if own.continues is not None:
        await seqd.found_job(own.continues, caller.only_tenant)
    return shown(await seqd.hand_in(own, job_id))


@router.get("")
async def list_jobs(
    caller: Reader,
    seqd: SeqdClient,
    state: Annotated[list[JobState] | None, Query()] = None,
    kind: JobKind | None = None,
    model: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Answer:
    """Return the newest jobs, newest first."""
    found = await seqd.jobs(
        limit, states=state or (), kind=kind, model=model, tenant=caller.only_tenant
    )
    return {"object": "list", "data": [shown(record) for record in found]}


@router.get("/{job_id}")
async def show_job(job_id: str, caller: Reader, seqd: SeqdClient) -> Answer:
    """Return a job as it is now."""
    _, record = await seqd.found_job(job_id, caller.only_tenant)
    return shown(record)


@router.get(
    "/{job_id}/results",
    response_class=StreamingResponse,
    responses={200: {"content": {RESULTS: {}}}},
)
async def results(
    job_id: str,
    caller: Reader,
    seqd: SeqdClient,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int | None, Query(ge=1)] = None,
    wait: bool = False,
) -> Response:
    """Return the results as JSON Lines, in input order: those that are there.

    With `wait` all of them, each as soon as it and those before it are there.
    """
    job, _ = await seqd.found_job(job_id, caller.only_tenant)
    lines = result_lines(job, offset, limit, wait=wait)
    return StreamingResponse(lines, media_type=RESULTS)


async def result_lines(
    job: AsyncJob, offset: int = 0, limit: int | None = None, *, wait: bool
) -> AsyncIterator[bytes]:
    """Yield results of a job as JSON Lines; those of one that failed, too."""
    try:
        async with aclosing(job.result_lines(wait=wait, offset=offset, limit=limit)) as lines:
            async for line in lines:
                yield line.json + b"\n"
    except JobFailed:
        return  # its record says why, and each of its items has its error


@router.post("/{job_id}/cancel")
async def cancel(job_id: str, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Cancel a job; what was done stays readable."""
    job, _ = await seqd.found_job(job_id, caller.only_tenant)
    await job.cancel()
    return shown(await job.record())


@router.post("/{job_id}/pause")
async def pause(job_id: str, caller: Operator, seqd: SeqdClient) -> Answer:
    """Have no further unit of a job begun."""
    job, _ = await seqd.found_job(job_id, caller.only_tenant)
    await job.pause()
    return shown(await job.record())


@router.post("/{job_id}/resume")
async def resume(job_id: str, caller: Operator, seqd: SeqdClient) -> Answer:
    """Let a paused job go on; of a training that ended early, return the job that continues it."""
    await seqd.found_job(job_id, caller.only_tenant)
    return shown(await (await seqd.resume(job_id)).record())


@router.post("/{job_id}/retry")
async def retry(job_id: str, caller: Operator, seqd: SeqdClient) -> Answer:
    """Hand the failed items of an ended job in again; return the job that has them."""
    await seqd.found_job(job_id, caller.only_tenant)
    return shown(await (await seqd.retry(job_id)).record())


@router.delete("/{job_id}", status_code=204)
async def remove(job_id: str, caller: Submitter, seqd: SeqdClient) -> None:
    """Forget an ended job with its results."""
    job, _ = await seqd.found_job(job_id, caller.only_tenant)
    await job.remove()


def shown(record: JobRecord) -> Answer:
    """Return a record as JSON has it, without what is not set; a file goes by its name here."""
    told = record.model_dump(mode="json", exclude_none=True)
    for name in _SOURCES:
        file_id = file_id_of(getattr(record.job, name, None))
        if file_id is not None:
            told["job"][name]["path"] = file_id
    return told


async def _own(job: Job, caller: Caller, seqd: GatewayClient) -> Job:
    """Return a job as one of the caller's tenant, on files that it has uploaded.

    Raises for what reaches beyond these and the request.
    """
    if job.tenant != caller.tenant and job.tenant != DEFAULT_TENANT and caller.only_tenant:
        raise NotAllowed(
            f"tenant is {job.tenant!r}; allowed: {caller.tenant!r}, that of the key, or none."
        )
    if output_folder_of(job) is not None:
        raise InvalidRequest("There is no field 'output_folder' here. Leave it out.")
    changes: dict[str, object] = {}
    if job.tenant == DEFAULT_TENANT:
        changes["tenant"] = caller.tenant
    for name in _SOURCES:
        source = getattr(job, name, None)
        if isinstance(source, UploadSource):
            raise InvalidRequest(
                "A source is of the type 'upload'; allowed: inline, records, named, or file, whose "
                "`path` is the name of one that was uploaded by /v1/files."
            )
        if isinstance(source, FileSource):
            changes[name] = source_of(await file_of(source.path, caller, seqd), seqd, source)
    return job.model_copy(update=changes)


@events_router.get(
    "/v1/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={**_STREAM, 204: {"description": "The job's last event has been read."}},
)
async def follow_job(
    job_id: str,
    caller: Reader,
    seqd: SeqdClient,
    request: Request,
    kinds: Kinds = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow a job up to its end: progress, epochs and samples of a training, its outcome.

    Answers 204 where its end has been read: no `EventSource` connects again then.
    """
    job, record = await seqd.found_job(job_id, caller.only_tenant)
    events = job.events(after=last_event_id or "0-0")
    if record.state.is_terminal and last_event_id is not None:
        async with aclosing(events) as later:
            if await anext(later, None) is None:
                return Response(status_code=204)
        events = job.events(after=last_event_id)
    return _stream(events, kinds, request)


@events_router.get("/v1/events", response_class=StreamingResponse, responses=_STREAM)
async def follow_all(
    caller: Reader,
    seqd: SeqdClient,
    request: Request,
    kinds: Kinds = None,
    last_event_id: LastEventId = None,
) -> Response:
    """Follow the changes of state of all jobs that the caller sees, from now on.

    Or behind `Last-Event-ID`, as far as they are kept: the last 10,000 of all tenants.
    """
    after = last_event_id
    if after is None:
        after = await seqd.ask(last_id(seqd.ledger.keys.all_events()))
    return _stream(seqd.all_events(after, caller.only_tenant), kinds, request)


def _stream(events: AsyncStream[Event], kinds: str | None, request: Request) -> Response:
    wanted = None if kinds is None else frozenset(kinds.split(","))
    sent = kept_alive(_sent(events, wanted), request.app.state.stopped)
    return StreamingResponse(sent, media_type=EVENTS, headers={"cache-control": "no-store"})


async def _sent(events: AsyncStream[Event], wanted: frozenset[str] | None) -> AsyncIterator[bytes]:
    try:
        async with aclosing(events):
            async for event in events:
                if wanted is None or event.event in wanted:
                    data = event.model_dump(mode="json", exclude_none=True)
                    yield event_of(data, event=event.event, event_id=event.id)
    except (
        SeqdError
    ) as error:  # an event called `error` would reach who listens for lost connections
        yield event_of(problem_of(error), event="stream_error")
