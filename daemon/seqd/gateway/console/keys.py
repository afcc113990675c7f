"""Keys of the gateway: who has one, a new one, and the end of one; and the login by a key.

The session is the key itself, in a cookie that no script reads: it ends with the key, and any
gateway knows it.
"""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pydantic import BaseModel, Field, ValidationError
from starlette.responses import Response

from seqd.errors import InvalidRequest, UnknownKey
from seqd.gateway.callers import WHY_NOT
from seqd.gateway.console.rendering import KEY_COOKIE, Button, Page, facts_of, set_cookie, table_of
from seqd.gateway.console.visits import ByAdmin, ByAnybody, Visit, act, page, why_not
from seqd.ledger.api_keys import Verdict
from seqd.validation import shown
from seqd.views.keys import ROLES, key_columns
from seqd_schemas import MAX_REQUESTS_PER_MINUTE, ApiKeyRecord, KeyRole

#: Days until a key ends, at most.
_MAX_DAYS: Final = 36_500

_ROLES: Final = {role: f"{role}: {told}" for role, told in ROLES.items()}

#: A path of ours with its query, which no browser reads as the address of another site.
_OWN_PATH: Final = re.compile(r"/(?![/\\])[^\x00-\x20\\]*")


class _Asked(BaseModel):
    """The key that a form asks for; what is empty there is left out."""

    tenant: str = ""
    role: KeyRole
    name: str = ""
    days: int | None = Field(default=None, ge=1, le=_MAX_DAYS)
    rate: int | None = Field(default=None, ge=1, le=MAX_REQUESTS_PER_MINUTE)


@page("/keys")
async def keys(visit: ByAdmin) -> Page:
    """List the keys."""
    role = KeyRole.ADMIN if visit.caller.key_id is None else KeyRole.READ
    return await _listed(visit, {"tenant": visit.caller.tenant, "role": role})


@act("/keys")
async def new_key(visit: ByAdmin) -> Page:
    """Make a key, and show its secret, once."""
    given = visit.given()
    try:
        asked = _Asked(**{name: one for name, one in given.items() if one})
        making = visit.seqd.ledger.api_keys.new.steps(
            asked.tenant,
            asked.role,
            name=asked.name,
            expires_in=None if asked.days is None else timedelta(days=asked.days),
            requests_per_minute=asked.rate,
        )
        made = await visit.seqd.ask(making)
    except (ValidationError, InvalidRequest) as error:
        return await _listed(visit, given, why_not(error))
    key = made.key
    what = f"The key {key.id} of the tenant {key.tenant}, with the role {key.role}."
    return Page("secret.html", "A new key", {"what": what, "secret": made.secret})


@page("/keys/{key_id}")
async def one_key(visit: ByAdmin, key_id: str) -> Page:
    """Show a key."""
    keys, now_ms = await _all(visit)
    key = next((one for one in keys if one.id == key_id), None)
    if key is None:
        raise UnknownKey(f"There is no key {shown(key_id)}.")
    facts = {
        "facts": facts_of(key_columns(now_ms), key) | {"role": _ROLES[key.role]},
        "may_do": [Button("Revoke…", f"/keys/{key_id}/revoke", "danger")],
        "every": ("All keys", "/keys"),
    }
    return Page("record.html", f"Key {key_id}", facts)


@act("/keys/{key_id}/revoke")
async def revoke(visit: ByAdmin, key_id: str) -> Response:
    """Have no further request with a key served."""
    is_own = key_id == visit.caller.key_id
    own = " It is the one with which you are logged in here." if is_own else ""
    asked = f"No request with the key {key_id} is served any more. It cannot be undone.{own}"
    visit.ask(asked, f"Revoke {key_id}")
    revoked = await visit.seqd.ask(visit.seqd.ledger.api_keys.revoke.steps(key_id))
    told = f"Revoked {revoked.id}, of the tenant {revoked.tenant}."
    response = visit.back_to("/login" if is_own else "/keys", told)
    if is_own:
        response.delete_cookie(KEY_COOKIE)
    return response


async def _all(visit: Visit) -> tuple[list[ApiKeyRecord], int]:
    keys = await visit.seqd.ask(visit.seqd.ledger.api_keys.all.steps())
    return keys, await visit.now_ms()


async def _listed(visit: Visit, given: Mapping[str, str], why: str = "") -> Page:
    """Return the page with all keys, and with what was given in its form, and why it is not."""
    keys, now_ms = await _all(visit)
    is_open = visit.caller.key_id is None
    facts = {
        "keys": table_of(key_columns(now_ms), keys, lambda one: f"/keys/{one.id}"),
        "is_open": is_open,
        # Who has only another one could make no further key here.
        "roles": {KeyRole.ADMIN: _ROLES[KeyRole.ADMIN]} if is_open else _ROLES,
        "given": given,
        "most": {"days": _MAX_DAYS, "rate": MAX_REQUESTS_PER_MINUTE},
        "why": why,
    }
    return Page("keys.html", "Keys", facts, 400 if why else 200)


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
