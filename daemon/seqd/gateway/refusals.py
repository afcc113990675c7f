"""What an error is over HTTP: its status, and a body.

That of a route which OpenAI's API has is in the form that OpenAI's clients read; our own routes
answer with problem details.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

from seqd.errors import (
    REDIS_ERRORS,
    FileTooLarge,
    IdempotencyConflict,
    ItemFailed,
    NoFitWorker,
    NotAllowed,
    OrderUnfinished,
    QuotaExceeded,
    SeqdError,
    ServiceChanged,
    UnknownFailure,
    UnknownFile,
    UnknownItem,
    UnknownJob,
    UnknownKey,
    UnknownModel,
    UnknownWebhook,
    UnknownWorker,
    UserError,
    WrongState,
)
from seqd.gateway.bodies import ANSWER_S, ONE, SEVERAL, Answer
from seqd.gateway.console.rendering import KEY_COOKIE, Page, back_to, rendered
from seqd.gateway.server_sent import EVENTS, event_of
from seqd.validation import shown

#: The status of an error by its class, the first that fits; others are told by who is to blame.
_STATUS: Final[tuple[tuple[type[SeqdError], int], ...]] = (
    (QuotaExceeded, 429),
    (UnknownJob, 404),
    (UnknownModel, 404),
    (UnknownItem, 404),
    (UnknownFailure, 404),
    (UnknownKey, 404),
    (UnknownFile, 404),
    (FileTooLarge, 413),
    (UnknownWebhook, 404),
    (UnknownWorker, 404),
    (NotAllowed, 403),
    (IdempotencyConflict, 409),
    (WrongState, 409),
    (ServiceChanged, 409),
)

#: OpenAI's name of an error's kind, by status; of any other above 499 it is `server_error`.
_TYPES: Final[Mapping[int, str]] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    429: "rate_limit_error",
}


class ErrorDetails(BaseModel):
    """What an error is."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """The body of an error of a route that OpenAI's API has."""

    error: ErrorDetails


class Problem(BaseModel):
    """Problem details (RFC 9457), the body of an error of a route of our own."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    param: str | None = None


Declared: TypeAlias = dict[int | str, dict[str, Any]]

#: What the contract says of errors, of OpenAI's routes and of our own.
ERRORS: Final[Declared] = {"default": {"description": "An error.", "model": ErrorAnswer}}
PROBLEMS: Final[Declared] = {
    "default": {
        "description": "An error.",
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
}

#: Routes that OpenAI's API does not have.
_OWN_ROUTES: Final = ("/v1/jobs", "/v1/events")

#: Paths of the console's pages.
_PAGES: Final = re.compile(
    "/((jobs|models|try|workers|plugins|failures|webhooks|keys)(/.*)?|login|logout)?"
)

#: Seconds after which a client tries again where the error says none.
_RETRY_S: Final = 1.0

#: What may pass by itself, and says how, or what would help.
_TOLD: Final = (QuotaExceeded, ItemFailed, NoFitWorker, OrderUnfinished)

#: Said in the place of what is for operators: addresses, commands, and what Redis said.
_LATER: Final = "This cannot be answered now. Try again later."


def refusal(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    param: str | None = None,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a response with an error body, and headers that say whether to try again.

    For a page it is one, too; and where it is a key that lacks, the one that asks for it.
    """
    if is_page(request):
        page = _page_of(request, status, message)
        page.headers.update(headers or {})
        return page
    told = dict(headers or {})
    may_retry = retry_after_s is not None
    told["x-should-retry"] = "true" if may_retry else "false"
    if retry_after_s is not None:
        told["retry-after-ms"] = str(max(1, round(retry_after_s * 1_000)))
        told["retry-after"] = str(max(1, round(retry_after_s)))
    if request.url.path.startswith(_OWN_ROUTES):
        body = problem(status, code, message, param)
        return JSONResponse(body, status, told, media_type="application/problem+json")
    return JSONResponse(error_body(status, code, message, param), status, told)


def is_page(request: Request) -> bool:
    """Return whether a request is for a page of the console, or a browser's for one there is not.

    Not that of a client which wants JSON, and was given an address without `/v1`.
    """
    accepted, path = request.headers.get("accept", ""), request.url.path
    if _PAGES.fullmatch(path) is not None:
        return accepted != "application/json"
    return "text/html" in accepted and not path.startswith("/v1")


def _page_of(request: Request, status: int, message: str) -> Response:
    if status == 401:
        return _to_login(request)
    title = "That did not work" if request.method == "POST" else HTTPStatus(status).phrase
    return rendered(request, Page("error.html", title, {"message": message}, status))


def _to_login(request: Request) -> Response:
    """Return what leads to the login and back; a page that is watched is told to load anew."""
    if request.query_params.get("live") == "1":
        return Response(event_of({}, event="login"), media_type=EVENTS)
    query = f"?{request.url.query}" if request.url.query else ""
    then = quote(request.scope["path"]) + query if request.method in ("GET", "HEAD") else "/"
    had_key = KEY_COOKIE in request.cookies
    told = "The session has ended: its key has expired, or was revoked." if had_key else ""
    response = back_to(request, f"/login?{urlencode({'next': then})}", told, is_refused=True)
    if had_key:
        response.delete_cookie(KEY_COOKIE)
    return response


def problem(status: int, code: str, message: str, param: str | None = None) -> Answer:
    """Return the problem details (RFC 9457) of an error, for routes that are our own."""
    title = HTTPStatus(status).phrase
    body: Answer = {"type": "about:blank", "title": title, "status": status, "detail": message}
    return {**body, "code": code, **({} if param is None else {"param": param})}


def problem_of(error: SeqdError) -> Answer:
    """Return the problem details of an error of ours."""
    return problem(status_of(error), error.code, message_of(error))


def error_body(status: int, code: str, message: str, param: str | None = None) -> Answer:
    """Return what a body says of an error, with a status or within a stream."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_body_of(error: SeqdError) -> Answer:
    """Return what a stream says of an error of ours: it is too late for a status."""
    return error_body(status_of(error), error.code, message_of(error))


def refusal_of(request: Request, error: SeqdError) -> Response:
    """Return the response to a request that an error of ours has ended."""
    status = status_of(error)
    retry_after_s = (error.retry_after_s or _RETRY_S) if error.retryable else None
    message = message_of(error)
    return refusal(request, status, error.code, message, retry_after_s=retry_after_s)


def status_of(error: SeqdError) -> int:
    """Return the status of an error."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    if error.retryable or isinstance(error, REDIS_ERRORS):
        return 503
    return 400 if isinstance(error, UserError | ItemFailed) else 500


def message_of(error: SeqdError) -> str:
    """Return what a caller is told: of what passes by itself, or is Redis's, no more than that."""
    if isinstance(error, REDIS_ERRORS):
        return _LATER
    if error.retryable and not isinstance(error, _TOLD):
        return _LATER
    return str(error)


async def refuse_error(request: Request, error: Exception) -> Response:
    """Answer a request that an error of ours has ended."""
    assert isinstance(error, SeqdError)
    return refusal_of(request, error)


async def refuse_late(request: Request, __: Exception) -> Response:
    """Answer a request whose answer did not come in time."""
    message = f"No answer came within {ANSWER_S:g} s. Try again later, or hand a job in."
    return refusal(request, 504, "timeout", message, retry_after_s=_RETRY_S)


async def refuse_invalid(request: Request, error: Exception) -> Response:
    """Answer a request whose fields are not those of its route, with the first of them."""
    assert isinstance(error, RequestValidationError)
    # The frames that raised it hold it and the whole body, until cycles are looked for.
    error.__traceback__ = error.__cause__ = error.__context__ = None
    fault = error.errors()[0]
    where, *path = fault["loc"]
    field = ".".join(str(part) for part in path if part not in (ONE, SEVERAL))
    if fault["type"] == "json_invalid":
        message = f"The body is no JSON: {fault['ctx']['error']} at character {field}."
        return refusal(request, 400, "invalid_json", message)
    what = field if where == "body" else f"{where} {field}"
    said = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "missing":
        message = f"{what or 'The body'} is missing: it is required."
    elif isinstance(fault["input"], bytes):
        message = "The body is not sent as JSON. Send it with content-type: application/json."
    elif fault["type"] == "extra_forbidden":
        message = f"There is no field {field!r} here. Leave it out."
    else:
        message = f"{what or 'The body'} is {shown(fault['input'])}: {said}."
    return refusal(request, 400, "invalid_request", message, param=field or None)


async def refuse_status(request: Request, error: Exception) -> Response:
    """Answer what the router refuses: a path or a method that there is not, a body in no form."""
    assert isinstance(error, HTTPException)
    codes = {404: "unknown_url", 405: "method_not_allowed", 408: "too_slow", 413: "body_too_large"}
    messages = {
        404: "There is no such URL here. The routes stand in /docs and /openapi.json.",
        405: "This URL does not take the method of the request.",
        408: "Nothing came of the body for too long. Send it again.",
        413: "The body is larger than it may be here. Upload a file: POST /v1/files.",
    }
    return refusal(
        request,
        error.status_code,
        codes.get(error.status_code, "invalid_request"),
        messages.get(error.status_code, str(error.detail)),
        headers=error.headers,
    )


async def refuse_fault(request: Request, error: Exception) -> Response:
    """Answer a request that met a fault of ours, without a word of it; the log has it."""
    message = "The gateway met an error of its own, which its log tells."
    # It is answered in front of what gives other responses these.
    return refusal(request, 500, "internal", message, headers=dict(request.state.headers))
