"""Who visits: login by a key, its session, and forms that a page of ours has sent.

The session is the key itself, in a cookie that no script reads: it ends with the key, and any
gateway knows it.
"""

import hmac
import re
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from seqd.errors import NotAllowed
from seqd.gateway.callers import SeqdClient
from seqd.gateway.console.rendering import (
    KEY_COOKIE,
    TOKEN_COOKIE,
    Page,
    back_to,
    page,
    rendered,
    set_cookie,
)
from seqd.ledger.api_keys import Verdict

router = APIRouter(include_in_schema=False)

#: What a browser says of a form that a page of ours sends.
_OWN_SITE: Final = ("same-origin",)

#: A path of ours with its query, which no browser reads as the address of another site.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\\]*")

#: Why a key opens no session.
_WHY: Final = {
    Verdict.UNKNOWN: "There is no such key, or no more.",
    Verdict.EXPIRED: "The key has expired.",
    Verdict.LIMITED: "The key has sent as many requests in a minute as it may. Try again later.",
}


async def _form(request: Request) -> FormData:
    """Return the fields of a form that one of our pages has sent; raise NotAllowed of another's."""
    form = await request.form()
    token = request.cookies.get(TOKEN_COOKIE, "")
    given = str(form.get("token", ""))
    is_ours = bool(token) and hmac.compare_digest(given.encode(), token.encode())
    if not is_ours or request.headers.get("sec-fetch-site", "same-origin") not in _OWN_SITE:
        raise NotAllowed("The form was not sent by a page of this console. Load the page again.")
    return form


#: The fields of a form.
Form = Annotated[FormData, Depends(_form)]


def field_of(form: FormData, name: str) -> str:
    """Return a field of a form as text; '' where it has none."""
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def question(
    request: Request, form: FormData, asked: str, answer: str, risk: str = ""
) -> Response | None:
    """Return a page that asks before a form acts; None once the visitor is sure.

    `answer` is what the button says, such as `Cancel 12 jobs`; `risk` is what speaks against it.
    """
    if field_of(form, "sure") == "yes":
        return None
    fields = [
        (name, value)
        for name, value in form.multi_items()
        if isinstance(value, str) and name not in ("token", "sure")
    ]
    facts = {"asked": asked, "risk": risk, "answer": answer, "fields": fields}
    facts["back"] = _referer(request)
    return rendered(request, Page("question.html", "Are you sure?", facts))


def _referer(request: Request) -> str:
    """Return the page of ours that a form was on."""
    base, referer = str(request.base_url), request.headers.get("referer", "")
    return "/" + referer.removeprefix(base) if referer.startswith(base) else "/"


@router.get("/login")
@page
async def login_page(request: Request) -> Page:
    """Ask for a key."""
    return Page("login.html", "Log in", {"next": request.query_params.get("next", "/"), "why": ""})


@router.post("/login")
async def login(request: Request, form: Form, seqd: SeqdClient) -> Response:
    """Begin a session by a key."""
    key, then = field_of(form, "key").strip(), field_of(form, "next")
    admission = await seqd.ask(seqd.ledger.api_keys.admitted.steps(key))
    if admission.verdict in _WHY:
        facts = {"next": then, "why": _WHY[admission.verdict]}
        return rendered(request, Page("login.html", "Log in", facts, status=401))
    response = back_to(request, then if _OWN_PATH.fullmatch(then) else "/")
    if admission.verdict is Verdict.ADMITTED:  # where there are no keys, none is needed
        set_cookie(request, response, KEY_COOKIE, key)
    return response


@router.post("/logout")
async def logout(request: Request, form: Form) -> Response:
    """End a session."""
    response = back_to(request, "/login")
    response.delete_cookie(KEY_COOKIE)
    return response
