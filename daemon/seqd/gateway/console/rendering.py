"""Pages: a template with what it shows, as a whole or as the fragments of it that change.

A block of a template whose name begins with `live_` is such a fragment. Where a page is asked for
with `?live=1` it is read again and again, and the fragments that have changed are sent as events;
the script puts each into the element with its name as `data-live`.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, wraps
from time import monotonic
from typing import Any, Final, ParamSpec
from urllib.parse import quote, unquote

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from seqd import __version__
from seqd.errors import SeqdError
from seqd.gateway.server_sent import EVENTS, event_of, kept_alive
from seqd.views import numbers
from seqd.views.columns import Cell, Column, Row, cell_of
from seqd_schemas import KeyRole

P = ParamSpec("P")

#: Nothing but what this gateway serves: no inline script or style, nothing of elsewhere.
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}

#: Seconds between two reads of a page that is watched, and how much longer than the last read
#: they are at least: watching takes a fifth of a connection at most. A read that waited for Redis
#: is no reason to rest for minutes.
_EVERY_S: Final = 1.0
_REST: Final = 4.0
_LONGEST_REST_S: Final = 10.0

#: Seconds after which a stream ends, so that the script asks again, by a key that is still good.
_LONGEST_S: Final = 600.0

#: Cookies: the key of a session, what a form repeats to show that it is a page of ours, and what
#: is said at the top of the next page: what was done, or why nothing was.
KEY_COOKIE: Final = "seqd_key"
TOKEN_COOKIE: Final = "seqd_token"  # noqa: S105  its name, no secret
_SAID_COOKIES: Final = {"told": "seqd_told", "refused": "seqd_refused"}

#: A command, or a name, within a sentence.
_QUOTED: Final = re.compile("`([^`]+)`")

#: What is said at most: of each character twelve are sent, and a browser keeps 4,096 of a cookie.
_MOST_TOLD_CHARS: Final = 320

#: What the menu leads to, with the role that sees it.
_MENU: Final = (
    ("/", "Now", KeyRole.READ),
    ("/jobs", "Jobs", KeyRole.READ),
    ("/models", "Models", KeyRole.READ),
    ("/try", "Try", KeyRole.SUBMIT),
    ("/workers", "Workers", KeyRole.READ),
    ("/plugins", "Plugins", KeyRole.READ),
    ("/failures", "Dead letters", KeyRole.READ),
    ("/webhooks", "Webhooks", KeyRole.OPERATE),
    ("/keys", "Keys", KeyRole.ADMIN),
)


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows."""

    template: str
    title: str
    facts: Mapping[str, object] = field(default_factory=dict)
    status: int = 200
    #: True where nothing of it changes any more.
    is_final: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a template draws it."""

    headings: Sequence[str]
    #: Whether a column has numbers, which stand to the right.
    are_numbers: Sequence[bool]
    #: The cells of each row, and where its first one leads to ('' for nowhere).
    rows: Sequence[tuple[Sequence[Cell], str]]


def table_of(
    columns: Sequence[Column[Row]],
    records: Iterable[Row],
    link: Callable[[Row], str] = lambda _: "",
) -> Table:
    """Return records as a table, by the columns that the commands show of them."""
    values = [([column.cell(one) for column in columns], link(one)) for one in records]
    rows = [([cell_of(value) for value in row], to) for row, to in values]
    shown = [
        number
        for number, column in enumerate(columns)
        if not column.is_left_out_empty or any(row[number].text != "-" for row, _ in rows)
    ]
    are_numbers = [
        columns[number].is_number
        or (bool(values) and all(isinstance(row[number], int | float) for row, _ in values))
        for number in shown
    ]
    kept = [([row[number] for number in shown], to) for row, to in rows]
    return Table([columns[number].name for number in shown], are_numbers, kept)


def page(read: Callable[P, Awaitable[Page | Response]]) -> Callable[P, Awaitable[Response]]:
    """Return a route that shows what `read` returns, or follows it with `?live=1`.

    `read` takes the request as `request`.
    """

    @wraps(read)
    async def route(*args: P.args, **kwargs: P.kwargs) -> Response:
        request = kwargs["request"]
        assert isinstance(request, Request)
        if request.query_params.get("live") == "1":
            changes = _changes(request, lambda: read(*args, **kwargs))
            sent = kept_alive(changes, request.app.state.stopped)
            return StreamingResponse(sent, media_type=EVENTS, headers=_HEADERS)
        found = await read(*args, **kwargs)
        return rendered(request, found) if isinstance(found, Page) else found

    del route.__annotations__["return"]  # else FastAPI makes a model of the answer of it
    return route


def rendered(request: Request, shown: Page) -> HTMLResponse:
    """Return a page as the response to a request."""
    said = {name: request.cookies.get(one, "") for name, one in _SAID_COOKIES.items()}
    token = request.cookies.get(TOKEN_COOKIE) or secrets.token_urlsafe(24)
    facts = _facts(request, shown, token) | {name: unquote(one) for name, one in said.items()}
    html = _templates().get_template(shown.template).render(facts)
    response = HTMLResponse(html, shown.status, _HEADERS)
    for name in filter(said.get, said):
        response.delete_cookie(_SAID_COOKIES[name])
    if TOKEN_COOKIE not in request.cookies:
        set_cookie(request, response, TOKEN_COOKIE, token)
    return response


def back_to(
    request: Request, path: str, told: str = "", *, is_refused: bool = False
) -> RedirectResponse:
    """Return a redirection to a page, which says at its top what was done, or why nothing was."""
    response = RedirectResponse(path, 303, _HEADERS)
    if told:
        name = _SAID_COOKIES["refused" if is_refused else "told"]
        set_cookie(request, response, name, quote(told[:_MOST_TOLD_CHARS]), max_age_s=60)
    return response


def set_cookie(
    request: Request, response: Response, name: str, value: str, max_age_s: int | None = None
) -> None:
    """Have a browser keep a cookie, until it ends, that no script and no other site gets at."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


async def _changes(
    request: Request, read: Callable[[], Awaitable[Page | Response]]
) -> AsyncIterator[bytes]:
    """Yield each fragment of a page that is another one than before, until nothing changes."""
    sent = dict[str, str]()
    token = request.cookies.get(TOKEN_COOKIE, "")
    began_s = monotonic()
    while monotonic() - began_s < _LONGEST_S:
        read_s = monotonic()
        try:
            shown = await read()
        except SeqdError:
            shown = None  # the script says how old the page is; the next read may find it again
        if isinstance(shown, Page):
            yield event_of({}, event="alive")
            for name, html in _fragments(request, shown, token):
                if sent.get(name) != html:
                    sent[name] = html
                    yield event_of({"name": name, "html": html}, event="fragment")
            if shown.is_final:
                yield event_of({}, event="final")
                return
        rest_s = _REST * (monotonic() - read_s)
        await asyncio.sleep(min(_LONGEST_REST_S, max(_EVERY_S, rest_s)))


def _fragments(request: Request, shown: Page, token: str) -> Iterable[tuple[str, str]]:
    template = _templates().get_template(shown.template)
    context: Context = template.new_context(_facts(request, shown, token))
    for name, block in template.blocks.items():
        if name.startswith("live_"):
            yield name, "".join(block(context))


def _facts(request: Request, shown: Page, token: str) -> dict[str, Any]:
    caller = getattr(request.state, "caller", None)
    return {
        "title": shown.title,
        "path": request.url.path,
        "token": token,
        "caller": caller,
        "may": lambda role: caller is not None and caller.role.may(KeyRole(role)),
        "menu": [] if caller is None else [one for one in _MENU if caller.role.may(one[2])],
        "version": __version__,
        **shown.facts,
    }


def _with_code(text: str) -> Markup:
    """Return a sentence with what stands in backticks drawn as code."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  it is escaped


@cache
def _templates() -> Environment:
    """Return the templates; macros of `parts.html` are there in all of them."""
    found = Environment(
        loader=PackageLoader("seqd.gateway.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("age", "clock", "count", "duration", "metric", "rate", "size")
    found.filters.update({name: getattr(numbers, name) for name in filters})
    found.filters["with_code"] = _with_code
    parts = found.get_template("parts.html").module
    names = ("table", "facts_list", "act", "line_chart", "notice", "findings")
    found.globals.update({name: getattr(parts, name) for name in names})
    return found
