"""Login by a key, and the end of its session.

The session is the key itself, in a cookie that no script reads: it ends with the key, and any
gateway knows it.
"""

import re
from typing import Final

from starlette.responses import Response

from seqd.gateway.callers import WHY_NOT
from seqd.gateway.console.rendering import KEY_COOKIE, Page, set_cookie
from seqd.gateway.console.visits import ByAnybody, act, page
from seqd.ledger.api_keys import Verdict

#: A path of ours with its query, which no browser reads as the address of another site.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\\]*")


@page("/login")
async def login_page(visit: ByAnybody) -> Page:
    """Ask for a key."""
    then = visit.request.query_params.get("next", "/")
    return Page("login.html", "Log in", {"next": then, "why": ""})


@act("/login")
async def login(visit: ByAnybody) -> Page | Response:
    """Begin a session by a key."""
    key, then = visit.field("key").strip(), visit.field("next")
    admission = await visit.seqd.ask(visit.seqd.ledger.api_keys.admitted.steps(key))
    if admission.verdict in WHY_NOT:
        facts = {"next": then, "why": WHY_NOT[admission.verdict]}
        return Page("login.html", "Log in", facts, status=401)
    response = visit.back_to(then if _OWN_PATH.fullmatch(then) else "/")
    if admission.verdict is Verdict.ADMITTED:  # where there are no keys, none is needed
        set_cookie(visit.request, response, KEY_COOKIE, key)
    return response


@act("/logout")
async def logout(visit: ByAnybody) -> Response:
    """End a session."""
    response = visit.back_to("/login")
    response.delete_cookie(KEY_COOKIE)
    return response
