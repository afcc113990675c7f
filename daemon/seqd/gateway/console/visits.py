"""Visits: a request for a page or by a form of one, and who may; pages and acts are routes of it.

A form is one that a page of ours has sent: it repeats the token of a cookie.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Final, TypeAlias

from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.responses import Response, StreamingResponse

from seqd.errors import NotAllowed, SeqdError
from seqd.gateway.callers import Caller, SeqdClient, caller_of, check_role
from seqd.gateway.console.rendering import (
    HEADERS,
    TOKEN_COOKIE,
    Page,
    back_to,
    changes,
    rendered,
)
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.server_sent import EVENTS, kept_alive
from seqd.validation import fault_sentence
from seqd_schemas import KeyRole

#: The routes of all pages and acts, each once its module is imported.
router = APIRouter(include_in_schema=False)

#: What a browser says of a form that a page of ours sends.
_OWN_SITE: Final = ("same-origin",)


class Unsure(Exception):
    """What a form asks for is not done before its visitor is sure; has what is asked."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A request for a page, or by a form of one, and the client that answers it."""

    request: Request
    seqd: GatewayClient
    #: What a form sends; empty where a page is asked for.
    form: FormData

    @property
    def caller(self) -> Caller:
        """Whose request it is."""
        caller: Caller = self.request.state.caller
        return caller

    @property
    def only_tenant(self) -> str | None:
        """The tenant of what the visitor sees; None for all."""
        return self.caller.only_tenant

    async def now_ms(self) -> int:
        """Return the time by the clock of Redis."""
        return await self.seqd.ask(self.seqd.ledger.fleet.now_ms.steps())

    def given(self) -> dict[str, str]:
        """Return what was filled in; of several fields with one name the last."""
        return {name: self.field(name) for name in self.form if name != "token"}

    def field(self, name: str) -> str:
        """Return a field of the form as text; '' where it has none."""
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    def ask(self, asked: str, answer: str, risk: str = "", **fixed: object) -> None:
        """Ask before a form acts; go on once the visitor is sure. Raises Unsure.

        `answer` is what the button says, such as `Cancel 12 jobs`; `risk` is what speaks against
        it. The form is sent anew with what was `fixed` for the question.
        """
        if self.field("sure") == "yes":
            return
        own = ("token", "sure")
        fields = [(name, one) for name, one in self.form.multi_items() if name not in own]
        fields += [(name, str(one)) for name, one in fixed.items()]
        raise Unsure({"asked": asked, "answer": answer, "risk": risk, "fields": fields})

    def back_to(self, path: str, *told: str, is_refused: bool = False) -> Response:
        """Return what leads to a page, which says at its top what was done, or why nothing was."""
        return back_to(self.request, path, *told, is_refused=is_refused)


async def question(request: Request, unsure: Exception) -> Response:
    """Return the page that asks, for a form that was not sure."""
    return rendered(request, Page("question.html", "Are you sure?", unsure.args[0]))


def why_not(error: ValidationError | SeqdError) -> str:
    """Return what is wrong with what was filled in, for above its form."""
    return f"{fault_sentence(error)}." if isinstance(error, ValidationError) else str(error)


async def _visit(request: Request, seqd: SeqdClient) -> Visit:
    """Return a visit; raise NotAllowed for a form that none of our pages has sent."""
    if request.method != "POST":
        return Visit(request, seqd, FormData())
    form = await request.form()
    token = request.cookies.get(TOKEN_COOKIE, "")
    given = str(form.get("token", ""))
    is_ours = bool(token) and hmac.compare_digest(given.encode(), token.encode())
    if not is_ours or request.headers.get("sec-fetch-site", "same-origin") not in _OWN_SITE:
        raise NotAllowed("The form was not sent by a page of this console. Load the page again.")
    return Visit(request, seqd, form)


def _by(role: KeyRole) -> Any:
    """Return what refuses who may not do what takes a role."""

    async def visit(visit: ByAnybody, caller: Annotated[Caller, Depends(caller_of)]) -> Visit:
        check_role(caller, role)
        return visit

    return Depends(visit)


ByAnybody = Annotated[Visit, Depends(_visit)]
ByReader = Annotated[Visit, _by(KeyRole.READ)]
BySubmitter = Annotated[Visit, _by(KeyRole.SUBMIT)]
ByOperator = Annotated[Visit, _by(KeyRole.OPERATE)]
ByAdmin = Annotated[Visit, _by(KeyRole.ADMIN)]

#: What a page shows, or an act does, for a `visit`.
_Route: TypeAlias = Callable[..., Awaitable[Page | Response]]


def page(path: str) -> Callable[[_Route], _Route]:
    """Have a path show the page that is returned, or follow it with `?live=1`."""
    return lambda read: router.get(path, response_model=None)(_drawn(read))


def act(path: str) -> Callable[[_Route], _Route]:
    """Have forms that are posted to a path do what is decorated."""
    return lambda done: router.post(path, response_model=None)(_drawn(done))


def _drawn(read: _Route) -> _Route:
    @wraps(read)
    async def route(visit: Visit, **given: object) -> Response:
        request = visit.request
        if request.method == "GET" and request.query_params.get("live") == "1":
            fragments = changes(request, lambda: read(visit, **given))
            sent = kept_alive(fragments, request.app.state.stopped)
            return StreamingResponse(sent, media_type=EVENTS, headers=HEADERS)
        found = await read(visit, **given)
        return rendered(request, found) if isinstance(found, Page) else found

    return route
