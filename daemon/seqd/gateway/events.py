"""Events of a job, and of all jobs, as server-sent events.

Each has the id of its place in the ledger's stream, from which `Last-Event-ID` goes on, at this
gateway or at another one.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response, StreamingResponse

from seqd.errors import SeqdError
from seqd.gateway.callers import Reader, SeqdClient
from seqd.gateway.refusals import Declared, problem_of
from seqd.gateway.server_sent import EVENTS, event_of, kept_alive
from seqd.ledger.async_transport import AsyncStream
from seqd_schemas import Event

router = APIRouter(tags=["events"])

_STREAM: Final[Declared] = {200: {"content": {EVENTS: {}}}}

#: The last event that a reader has got.
LastEventId = Annotated[str | None, Header(pattern=r"^\d{1,20}-\d{1,20}$")]
#: Kinds of events to give, such as `completed,failed`; all without it.
Kinds = Annotated[str | None, Query(alias="events", pattern=r"^[a-z]+(,[a-z]+)*$")]


@router.get(
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


@router.get("/v1/events", response_class=StreamingResponse, responses=_STREAM)
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
        after = await seqd.ask(seqd.ledger.jobs.last_event_id_of_all.steps())
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
