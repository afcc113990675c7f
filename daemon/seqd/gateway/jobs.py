"""`/v1/jobs`: jobs of every kind, by their own JSON."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import Response, StreamingResponse
from pydantic import RootModel, model_validator

from seqd.client import AsyncJob
from seqd.errors import InvalidRequest, JobFailed, NotAllowed
from seqd.gateway.bodies import Answer, bounded
from seqd.gateway.callers import Caller, Operator, Reader, SeqdClient, Submitter
from seqd_schemas import (
    DEFAULT_TENANT,
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

#: Media type of results.
RESULTS: Final = "application/x-ndjson"


class JobBody(RootModel[Job]):
    """A job of any kind."""

    _bounded = model_validator(mode="before")(bounded)


@router.put("/{job_id}")
async def put_job(job_id: str, job: JobBody, caller: Submitter, seqd: SeqdClient) -> Answer:
    """Hand a job in under an identifier of the caller's; sent again, it joins the job.

    Its items are in the request, up to 1,000.
    """
    own = _own(job.root, caller)
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
    lines = _lines(job, offset, limit, wait=wait)
    return StreamingResponse(lines, media_type=RESULTS)


async def _lines(
    job: AsyncJob, offset: int, limit: int | None, *, wait: bool
) -> AsyncIterator[bytes]:
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
    """Return a record as JSON has it, without what is not set."""
    return record.model_dump(mode="json", exclude_none=True)


def _own(job: Job, caller: Caller) -> Job:
    """Return a job as one of the caller's tenant; raises for what reaches beyond the request."""
    if job.tenant != caller.tenant and job.tenant != DEFAULT_TENANT and caller.only_tenant:
        raise NotAllowed(
            f"tenant is {job.tenant!r}; allowed: {caller.tenant!r}, that of the key, or none."
        )
    for source in (job.source, getattr(job, "held_out", None)):
        if isinstance(source, FileSource | UploadSource):
            raise InvalidRequest(
                f"A source is of the type {source.type!r}; allowed: inline, records or named. A "
                "file is uploaded by /v1/files, and named in a batch."
            )
    if output_folder_of(job) is not None:
        raise InvalidRequest("There is no field 'output_folder' here. Leave it out.")
    tenant = caller.tenant if job.tenant == DEFAULT_TENANT else job.tenant
    return job.model_copy(update={"tenant": tenant})
