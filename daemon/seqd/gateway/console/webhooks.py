"""Webhooks: who is told of what, a new one, and what was not delivered."""

from collections.abc import Collection, Mapping

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.responses import Response

from seqd.errors import InvalidRequest, QuotaExceeded
from seqd.gateway.callers import Caller, Operator, SeqdClient
from seqd.gateway.console.rendering import Page, back_to, page, rendered, table_of
from seqd.gateway.console.visits import Form, field_of, question
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.webhooks import EndpointRequest, added
from seqd.validation import fault_sentence
from seqd.views.columns import cell_of
from seqd.views.numbers import counted
from seqd.views.webhooks import WEBHOOK_COLUMNS
from seqd_schemas import WEBHOOK_ENDINGS, WEBHOOK_EVENTS

router = APIRouter(include_in_schema=False)


@router.get("/webhooks")
@page
async def webhooks(request: Request, caller: Operator, seqd: SeqdClient) -> Page:
    """List the webhooks."""
    return await _listed(seqd, caller, {}, WEBHOOK_ENDINGS)


@router.post("/webhooks")
async def new_webhook(request: Request, form: Form, caller: Operator, seqd: SeqdClient) -> Response:
    """Make a webhook, and show the secret of its signatures, once."""
    fields = {name: field_of(form, name).strip() for name in ("url", "name")}
    events = [one for one in form.getlist("event") if isinstance(one, str)]
    try:
        asked = EndpointRequest(**fields, event_types=events)
        webhook = await added(seqd, caller, asked)
    except (ValidationError, InvalidRequest, QuotaExceeded) as error:
        why = f"{fault_sentence(error)}." if isinstance(error, ValidationError) else str(error)
        return rendered(request, await _listed(seqd, caller, fields, events, why))
    facts = {
        "what": f"What the messages of the webhook {webhook.webhook_id} are signed with.",
        "secret": webhook.secret,
        "back": "/webhooks",
    }
    return rendered(request, Page("secret.html", "A new webhook", facts))


@router.get("/webhooks/{webhook_id}")
@page
async def one_webhook(
    request: Request, webhook_id: str, caller: Operator, seqd: SeqdClient
) -> Page:
    """Show a webhook, and how its deliveries stand."""
    showing = seqd.ledger.webhooks.show.steps(webhook_id, caller.only_tenant)
    webhook = await seqd.ask(showing)
    facts = {one.name: cell_of(one.cell(webhook)).text for one in WEBHOOK_COLUMNS}
    facts["events"] = ", ".join(webhook.event_types)
    facts["metadata"] = ", ".join(f"{name}={text}" for name, text in webhook.metadata.items())
    return Page("webhook.html", f"Webhook {webhook_id}", {"webhook": webhook, "facts": facts})


@router.post("/webhooks/{webhook_id}/replay")
async def replay(
    request: Request, webhook_id: str, form: Form, caller: Operator, seqd: SeqdClient
) -> Response:
    """Send again what a receiver did not take for a day."""
    replaying = seqd.ledger.webhooks.replay.steps(webhook_id, caller.only_tenant)
    jobs = await seqd.act(replaying, "webhooks.replay", webhook_id)
    told = f"Messages of {counted(jobs, 'job')} are sent again."
    return back_to(request, f"/webhooks/{webhook_id}", told)


@router.post("/webhooks/{webhook_id}/remove")
async def remove(
    request: Request, webhook_id: str, form: Form, caller: Operator, seqd: SeqdClient
) -> Response:
    """Tell a receiver of nothing any more."""
    hooks, tenant = seqd.ledger.webhooks, caller.only_tenant
    before = await seqd.ask(hooks.show.steps(webhook_id, tenant))
    left = counted(before.waiting + before.failed, "job")
    asked = f"{before.url} is told of nothing any more; messages of {left} are dropped."
    if (sure := question(request, form, asked, "Remove the webhook")) is not None:
        return sure
    await seqd.act(hooks.remove.steps(webhook_id, tenant), "webhooks.remove", webhook_id)
    return back_to(request, "/webhooks", f"Removed the webhook {webhook_id}.")


async def _listed(
    seqd: GatewayClient,
    caller: Caller,
    fields: Mapping[str, str],
    events: Collection[str],
    why: str = "",
) -> Page:
    """Return the page with all webhooks, and with fields of a form that were not right."""
    found = await seqd.ask(seqd.ledger.webhooks.all.steps(caller.only_tenant))
    facts = {
        "webhooks": table_of(WEBHOOK_COLUMNS, found, lambda one: f"/webhooks/{one.webhook_id}"),
        "fields": {"url": "", "name": "", **fields},
        "events": {name: name in events for name in WEBHOOK_EVENTS},
        "why": why,
    }
    return Page("webhooks.html", "Webhooks", facts, 400 if why else 200)
