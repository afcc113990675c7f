"""The application: its routes, its one client of the ledger, and what all responses have."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Final
from uuid import uuid4

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from seqd import __version__
from seqd.errors import SeqdError
from seqd.gateway import (
    batches,
    classifications,
    completions,
    files,
    fine_tuning,
    jobs,
    models,
    webhooks,
)
from seqd.gateway.api_page import add_page
from seqd.gateway.callers import Admissions
from seqd.gateway.console import pages, visits
from seqd.gateway.file_places import place_of
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.receivers import deliver_forever
from seqd.gateway.refusals import (
    ERRORS,
    PROBLEMS,
    refuse_error,
    refuse_fault,
    refuse_invalid,
    refuse_late,
    refuse_status,
)
from seqd.gateway.stored_files import sweeping
from seqd.ledger.minutes import MINUTE_MS
from seqd.log_context import acting_for
from seqd.settings import Settings

log = logging.getLogger(__name__)

#: A request's own name for itself, which its response and its lines in the log bear.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def gateway_app(settings: Settings) -> FastAPI:
    """Return the application for the daemon that the settings name. Raises InvalidSettings."""
    place_of(settings.files_root)  # which may need what is not installed

    @asynccontextmanager
    async def connected(_: FastAPI) -> AsyncIterator[dict[str, GatewayClient]]:
        may_be_private = settings.gateway_private_webhooks
        async with (
            GatewayClient(settings=settings) as client,
            beside(sweeping(client)),
            beside(noting(client)),
            beside(deliver_forever(client, may_be_private=may_be_private)),
        ):
            yield {"seqd": client}

    app = FastAPI(
        title="seqd",
        version=__version__,
        summary="Classification, generation and training by sequence models.",
        lifespan=connected,
        docs_url=None,  # it would be drawn by scripts from elsewhere
        redoc_url=None,
    )
    app.state.settings = settings
    #: Set once the gateway is told to end: streams end then.
    app.state.stopped = asyncio.Event()
    for routes in (
        models,
        classifications,
        completions,
        files,
        batches,
        fine_tuning,
        webhooks,
    ):
        app.include_router(routes.router, responses=ERRORS)
    for own in (jobs.router, jobs.events_router):
        app.include_router(own, responses=PROBLEMS)
    app.include_router(pages.router)
    add_page(app)
    app.add_exception_handler(visits.Unsure, visits.question)
    app.add_exception_handler(SeqdError, refuse_error)
    app.add_exception_handler(TimeoutError, refuse_late)
    app.add_exception_handler(RequestValidationError, refuse_invalid)
    app.add_exception_handler(HTTPException, refuse_status)
    app.add_exception_handler(Exception, refuse_fault)
    app.add_middleware(Admissions)
    app.add_middleware(ResponseHeaders)
    if settings.gateway_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.gateway_proxies))
    return app


@asynccontextmanager
async def beside(work: Coroutine[object, object, None]) -> AsyncIterator[None]:
    """Do work that has no end in the background, for the time of the block."""
    task = asyncio.create_task(work)
    task.add_done_callback(_tell_of_a_fault)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _tell_of_a_fault(task: asyncio.Task[None]) -> None:
    """Log the fault of ours that has ended work which has no end."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("work beside the requests has ended; restart this gateway", exc_info=error)


class ResponseHeaders:
    """Gives each request an identifier: its own `x-request-id`, else a new one.

    The response bears it, and what else is in `headers` of the request's state by then; and so do
    the lines of the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, and put the headers into the response's head."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{uuid4().hex}"
        headers = [("x-request-id", request_id)]
        scope.setdefault("state", {}).update(headers=headers)
        acting_for.set({"request": request_id})  # for all of its task: uvicorn logs at its end

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in headers]
                message["headers"] = [*message["headers"], *added]
            await send(message)

        await self._app(scope, receive, with_headers)


async def noting(seqd: GatewayClient) -> None:
    """Note each minute at its begin, without end; that other gateways do so, too, harms nothing."""
    while True:
        wait_ms = MINUTE_MS
        try:
            fleet = await seqd.recent_overview()
            wait_ms -= fleet.at_ms % MINUTE_MS
            await seqd.ask(seqd.ledger.minutes.note.steps(fleet.at_ms, fleet.figures))
        except SeqdError as error:
            log.warning("the figures of this minute are not noted: %s", error)
        await asyncio.sleep(wait_ms / 1_000)
