"""Keys of the gateway: who has one, a new one, and the end of one."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request
from starlette.datastructures import FormData
from starlette.responses import Response

from seqd.errors import InvalidRequest, UnknownKey
from seqd.gateway.callers import Admin, Caller, SeqdClient
from seqd.gateway.console.rendering import KEY_COOKIE, Page, back_to, page, rendered, table_of
from seqd.gateway.console.visits import Form, field_of, question
from seqd.gateway.ledger_client import GatewayClient
from seqd.ledger.api_keys import NewKey
from seqd.validation import shown
from seqd.views.columns import cell_of
from seqd.views.keys import key_columns
from seqd_schemas import MAX_REQUESTS_PER_MINUTE, ApiKeyRecord, KeyRole

router = APIRouter(include_in_schema=False)

#: Days until a key ends, at most.
_MAX_DAYS: Final = 36_500

#: What each role may do.
_ROLES: Final = {
    KeyRole.READ: "read: see its tenant's jobs and models",
    KeyRole.SUBMIT: "submit: see, hand in, cancel and remove its tenant's jobs; try models",
    KeyRole.OPERATE: "operate: do all to its tenant's jobs, and promote its models",
    KeyRole.ADMIN: "admin: do all for every tenant; workers and keys",
}


@router.get("/keys")
@page
async def keys(request: Request, caller: Admin, seqd: SeqdClient) -> Page:
    """List the keys."""
    return await _listed(seqd, caller, {})


@router.post("/keys")
async def new_key(request: Request, form: Form, caller: Admin, seqd: SeqdClient) -> Response:
    """Make a key, and show its secret, once."""
    try:
        made = await _made(seqd, form)
    except InvalidRequest as error:
        fields = {name: field_of(form, name) for name in form}
        return rendered(request, await _listed(seqd, caller, fields, str(error)))
    facts = {
        "what": f"The key {made.key.id} of the tenant {made.key.tenant}, with the role "
        f"{made.key.role}.",
        "secret": made.secret,
        "back": "/keys",
    }
    return rendered(request, Page("secret.html", "A new key", facts))


@router.get("/keys/{key_id}")
@page
async def one_key(request: Request, key_id: str, caller: Admin, seqd: SeqdClient) -> Page:
    """Show a key."""
    keys, now_ms = await _all(seqd)
    for key in keys:
        if key.id == key_id:
            facts = {one.name: cell_of(one.cell(key)).text for one in key_columns(now_ms)}
            facts["role"] = _ROLES[key.role]
            return Page("key.html", f"Key {key_id}", {"key": key, "facts": facts})
    raise UnknownKey(f"There is no key {shown(key_id)}.")


@router.post("/keys/{key_id}/revoke")
async def revoke(
    request: Request, key_id: str, form: Form, caller: Admin, seqd: SeqdClient
) -> Response:
    """Have no further request with a key served."""
    is_own = key_id == caller.key_id
    own = " It is the one with which you are logged in here." if is_own else ""
    asked = f"No request with the key {key_id} is served any more. It cannot be undone.{own}"
    if (sure := question(request, form, asked, f"Revoke {key_id}")) is not None:
        return sure
    revoked = await seqd.ask(seqd.ledger.api_keys.revoke.steps(key_id))
    told = f"Revoked {revoked.id}, of the tenant {revoked.tenant}."
    response = back_to(request, "/login" if is_own else "/keys", told)
    if is_own:
        response.delete_cookie(KEY_COOKIE)
    return response


async def _all(seqd: GatewayClient) -> tuple[list[ApiKeyRecord], int]:
    keys = await seqd.ask(seqd.ledger.api_keys.all.steps())
    return keys, await seqd.ask(seqd.ledger.fleet.now_ms.steps())


async def _listed(
    seqd: GatewayClient, caller: Caller, fields: Mapping[str, str], why: str = ""
) -> Page:
    """Return the page with all keys, and with fields of a form that were not right."""
    keys, now_ms = await _all(seqd)
    facts = {
        "keys": table_of(key_columns(now_ms), keys, lambda one: f"/keys/{one.id}"),
        "is_open": caller.key_id is None,
        "roles": _ROLES,
        "fields": {"tenant": caller.tenant, "role": "read", **fields},
        "most": {"days": _MAX_DAYS, "rate": MAX_REQUESTS_PER_MINUTE},
        "why": why,
    }
    return Page("keys.html", "Keys", facts, 400 if why else 200)


async def _made(seqd: GatewayClient, form: FormData) -> NewKey:
    """Make the key that a form asks for. Raises InvalidRequest."""
    role = field_of(form, "role")
    if role not in list(KeyRole):
        raise InvalidRequest(f"The role is {shown(role)}; allowed: {', '.join(KeyRole)}.")
    days = _whole(form, "days", _MAX_DAYS)
    making = seqd.ledger.api_keys.new.steps(
        field_of(form, "tenant").strip(),
        KeyRole(role),
        name=field_of(form, "name").strip(),
        expires_in=None if days is None else timedelta(days=days),
        requests_per_minute=_whole(form, "rate", MAX_REQUESTS_PER_MINUTE),
    )
    return await seqd.ask(making)


def _whole(form: FormData, name: str, most: int) -> int | None:
    """Return a field's number, None of one that is empty. Raises InvalidRequest."""
    text = field_of(form, name).strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:12]) <= most):
        raise InvalidRequest(f"{name} is {shown(text)}; allowed: 1 to {most:,}.")
    return int(text)
