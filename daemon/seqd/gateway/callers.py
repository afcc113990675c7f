"""Who sent a request, and what they may do.

A key is looked up before anything of a request's body is read: `Admissions` does so for each
request to `/v1` and for the pages of the console, and the routes say what role they need.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from math import inf
from time import monotonic
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from seqd.errors import NotAllowed, SeqdError
from seqd.gateway.console.rendering import KEY_COOKIE
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.refusals import is_page, refusal, refusal_of
from seqd.ledger.api_keys import Admission, Verdict, digest_of
from seqd.log_context import acting_for
from seqd_schemas import DEFAULT_TENANT, KeyRole

#: Seconds for which nothing may come of a body.
_SILENCE_S: Final = 60.0

#: Where files are uploaded.
_FILES_PATH: Final = "/v1/files"

#: Pages that are there for anybody.
_OPEN_PAGES: Final = ("/login", "/logout")

#: Seconds for which a key that was admitted once is let in without asking Redis, and how many are.
KNOWN_S: Final = 1.0
_MAX_KNOWN: Final = 10_000

#: What a proxy says of whom it speaks for, and a browser of a page that sends a request.
_PASSED_ON: Final = ("x-forwarded-for", "forwarded", "x-real-ip")
_OWN_SITE: Final = ("same-origin", "none")

_NO_KEYS: Final = (
    "This gateway has no keys, and serves programs of its own machine alone, straight and by the "
    "names localhost and 127.0.0.1. Its operator makes one: seqd keys new --tenant NAME --role "
    "submit"
)
#: Why a key lets nobody in.
WHY_NOT: Final = {
    Verdict.UNKNOWN: "There is no such key, or no more.",
    Verdict.EXPIRED: "The key has expired.",
    Verdict.LIMITED: "The key has sent as many requests in a minute as it may.",
}
_PORT: Final = re.compile(r":[0-9]*$")
_KEY: Final = "Authorization: Bearer seqd-…"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request."""

    tenant: str
    role: KeyRole
    #: None where there are no keys.
    key_id: str | None = None

    @property
    def only_tenant(self) -> str | None:
        """The tenant whose jobs, files and models are there for this caller; None for all."""
        return None if self.role is KeyRole.ADMIN else self.tenant


class Admissions:
    """Finds out who sends each request to `/v1` or for a page, and refuses those of nobody."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        #: What Redis said of secrets, by their digests, and when it was asked.
        self._known = dict[str, tuple[Admission, float]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for a caller who is known, else answer in its place."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        is_open = not scope["path"].startswith("/v1/") and not is_page(request)
        if is_open or scope["path"] in _OPEN_PAGES:
            await self._app(scope, _bounded(request, receive), send)
            return
        try:
            admission = await self._admission(request)
        except SeqdError as error:
            await refusal_of(request, error)(scope, receive, send)
            return
        request.state.headers += _rate_headers(admission)
        refused = _refused(request, admission)
        if refused is not None:
            await refused(scope, receive, send)
            return
        key = admission.key
        caller = Caller(DEFAULT_TENANT, KeyRole.ADMIN)
        if key is not None:
            caller = Caller(key.tenant, key.role, key.id)
        request.state.caller = caller
        act = {"key": caller.key_id, "tenant": caller.tenant, **acting_for.get()}
        acting = acting_for.set(act)
        try:
            await self._app(scope, _bounded(request, receive), send)
        finally:
            acting_for.reset(acting)

    async def _admission(self, request: Request) -> Admission:
        """Return what Redis says of a request's secret, or has said within the last second.

        A request in its own round trip to Redis, beside those that others share, takes a fifth of
        the requests that a gateway answers. Requests of a key with a rate are counted one by one.
        """
        secret, now_s = _secret_of(request), monotonic()
        digest = "" if secret is None else digest_of(secret)
        admission, asked_s = self._known.get(digest, (None, 0.0))
        if admission is None or now_s - asked_s >= KNOWN_S:
            seqd = await client_of(request)
            admission = await seqd.ask(seqd.ledger.api_keys.admitted.steps(secret))
            is_counted = admission.key is not None and admission.key.requests_per_minute is not None
            if admission.verdict in (Verdict.OPEN, Verdict.ADMITTED) and not is_counted:
                if len(self._known) >= _MAX_KNOWN:
                    self._known.clear()
                self._known[digest] = admission, now_s
        return admission


def _bounded(request: Request, receive: Receive) -> Receive:
    """Return what gives a body, and raises HTTPException for one that is too large or too slow.

    How large a file may be its route knows.
    """
    left_bytes: float = request.app.state.settings.gateway_max_body_bytes
    if request.url.path == _FILES_PATH:
        left_bytes = inf
    is_whole = False

    async def bounded() -> Message:
        nonlocal left_bytes, is_whole
        try:
            # Behind the body it tells of a caller that goes away, which is waited for.
            async with asyncio.timeout(None if is_whole else _SILENCE_S):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        is_whole = not message.get("more_body", False)
        left_bytes -= len(message.get("body", b""))
        if left_bytes < 0:
            raise HTTPException(413)
        return message

    return bounded


def _refused(request: Request, admission: Admission) -> Response | None:
    """Return the answer to a request that is not served; None of one that is."""
    verdict = admission.verdict
    if verdict is Verdict.ADMITTED:
        return None
    if verdict is Verdict.OPEN:
        if _is_from_here(request):
            return None
        return refusal(request, 403, NotAllowed.code, _NO_KEYS)
    if verdict is Verdict.LIMITED:
        return refusal(
            request,
            429,
            "rate_limit_exceeded",
            f"{WHY_NOT[verdict]} Try again in {admission.retry_after_ms:,} ms.",
            retry_after_s=admission.retry_after_ms / 1_000,
        )
    what = WHY_NOT[verdict] if _secret_of(request) is not None else "The request has no key."
    return refusal(
        request,
        401,
        "invalid_api_key",
        f"{what} Send one that your operator has made for you: {_KEY}",
        headers={"www-authenticate": "Bearer"},
    )


def _secret_of(request: Request) -> str | None:
    """Return the secret that a request shows; None without one, and of another scheme.

    The cookie of a session opens pages alone: no other site's form reaches `/v1` by it.
    """
    if is_page(request):
        return request.cookies.get(KEY_COOKIE)
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def _is_from_here(request: Request) -> bool:
    """Return whether a program of this machine sent a request, and no proxy has passed it on.

    Nor a browser for a page of elsewhere, which may reach loopback by a name of its own.
    """
    headers = request.headers
    return (
        not request.app.state.settings.gateway_proxies
        and is_loopback("" if request.client is None else request.client.host)
        and is_loopback(_PORT.sub("", headers.get("host", "")).strip("[]"))
        and not any(name in headers for name in _PASSED_ON)
        and headers.get("sec-fetch-site", "none") in _OWN_SITE
    )


def is_loopback(host: str) -> bool:
    """Return whether a host, by its name or address, is this machine and no other."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _rate_headers(admission: Admission) -> list[tuple[str, str]]:
    """Return what OpenAI's clients read of a key's rate; nothing of one without."""
    if admission.key is None or admission.key.requests_per_minute is None:
        return []
    return [
        ("x-ratelimit-limit-requests", str(admission.key.requests_per_minute)),
        ("x-ratelimit-remaining-requests", str(admission.left)),
        ("x-ratelimit-reset-requests", f"{admission.reset_ms}ms"),
    ]


async def client_of(request: Request) -> GatewayClient:
    """Return the client that all requests share."""
    client: GatewayClient = request.state.seqd
    return client


SeqdClient = Annotated[GatewayClient, Depends(client_of)]

#: Says in the contract how a key is sent; whose it is `Admissions` has found out.
_bearer = HTTPBearer(auto_error=False, description="A key of the gateway: `seqd keys new`.")


async def caller_of(request: Request, _: Annotated[object, Depends(_bearer)]) -> Caller:
    """Return who sent a request; raise HTTPException where nobody asked: it is for no page."""
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None:
        raise HTTPException(404)
    return caller


def check_role(caller: Caller, role: KeyRole) -> None:
    """Raise NotAllowed unless a caller may do what takes a role."""
    if not caller.role.may(role):
        allowed = ", ".join(one for one in KeyRole if one.may(role))
        raise NotAllowed(
            f"The key has the role {caller.role}; allowed here: {allowed}. Use a key with such a "
            "role."
        )


def _needing(role: KeyRole) -> Callable[[Caller], Awaitable[Caller]]:
    async def checked(caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
        check_role(caller, role)
        return caller

    return checked


Reader = Annotated[Caller, Depends(_needing(KeyRole.READ))]
Submitter = Annotated[Caller, Depends(_needing(KeyRole.SUBMIT))]
Operator = Annotated[Caller, Depends(_needing(KeyRole.OPERATE))]
Admin = Annotated[Caller, Depends(_needing(KeyRole.ADMIN))]
