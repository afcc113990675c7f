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
from functools import cache
from time import monotonic
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from seqd import __version__
from seqd.errors import SeqdError
from seqd.gateway.server_sent import event_of
from seqd.views import numbers
from seqd.views.columns import Cell, Column, Row, cell_of, laid_out
from seqd_schemas import KeyRole

#: Nothing but what this gateway serves: no inline script or style, nothing of elsewhere.
HEADERS: Final = {
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


class Button(NamedTuple):
    """A button: what it says, where its form leads, how it is drawn, and what else it sends."""

    name: str
    to: str
    kind: str = ""
    hidden: Sequence[tuple[str, str]] = ()


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
    listed = list(records)
    shown, are_numbers, cells = laid_out(columns, listed)
    rows = list(zip(cells, map(link, listed), strict=True))
    return Table([column.name for column in shown], are_numbers, rows)


def facts_of(columns: Sequence[Column[Row]], record: Row) -> dict[str, str]:
    """Return what tables say of one record, by the names of the columns."""
    return {column.name: cell_of(column.cell(record)).text for column in columns}


def beside(request: Request, **offsets: int | None) -> dict[str, str]:
    """Return where pages beside this one lead, by what they are called; None is nowhere."""
    url = request.url.remove_query_params("live")
    return {
        f"{name.capitalize()} these": f"?{url.include_query_params(offset=offset).query}"
        for name, offset in offsets.items()
        if offset is not None
    }


def rendered(request: Request, shown: Page) -> HTMLResponse:
    """Return a page as the response to a request."""
    said = {name: request.cookies.get(one, "") for name, one in _SAID_COOKIES.items()}
    token = request.cookies.get(TOKEN_COOKIE) or secrets.token_urlsafe(24)
    facts = _facts(request, shown, token) | {name: unquote(one) for name, one in said.items()}
    html = templates().get_template(shown.template).render(facts)
    response = HTMLResponse(html, shown.status, HEADERS)
    for name in filter(said.get, said):
        response.delete_cookie(_SAID_COOKIES[name])
    if TOKEN_COOKIE not in request.cookies:
        set_cookie(request, response, TOKEN_COOKIE, token)
    return response


def back_to(request: Request, path: str, *told: str, is_refused: bool = False) -> RedirectResponse:
    """Return a redirection to a page, which says at its top what was done, or why nothing was."""
    response = RedirectResponse(path, 303, HEADERS)
    if said := " ".join(told)[:_MOST_TOLD_CHARS]:
        name = _SAID_COOKIES["refused" if is_refused else "told"]
        set_cookie(request, response, name, quote(said), max_age_s=60)
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


async def changes(
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
    template = templates().get_template(shown.template)
    context: Context = template.new_context(_facts(request, shown, token))
    for name, block in template.blocks.items():
        if name.startswith("live_"):
            yield name, "".join(block(context))


def _facts(request: Request, shown: Page, token: str) -> dict[str, Any]:
    caller = getattr(request.state, "caller", None)
    return {
        "title": shown.title,
        "path": request.url.path,
        "back": _referer(request),
        "token": token,
        "caller": caller,
        "sees_all": caller is not None and caller.only_tenant is None,
        "may": lambda role: caller is not None and caller.role.may(KeyRole(role)),
        "menu": [] if caller is None else [one for one in _MENU if caller.role.may(one[2])],
        "version": __version__,
        **shown.facts,
    }


def _referer(request: Request) -> str:
    """Return the page of ours that led to a request."""
    base, referer = str(request.base_url), request.headers.get("referer", "")
    return "/" + referer.removeprefix(base) if referer.startswith(base) else "/"


def _with_code(text: str) -> Markup:
    """Return a sentence with what stands in backticks drawn as code."""
    return Markup(_QUOTED.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704  it is escaped


@cache
def templates() -> Environment:
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
    found.globals.update(vars(parts))
    return found
