"""Webhooks: who is told of what, a new one, and what was not delivered."""

from collections.abc import Collection, Mapping

from pydantic import ValidationError
from starlette.responses import Response

from seqd.errors import InvalidRequest, QuotaExceeded
from seqd.gateway.console.rendering import Button, Page, facts_of, table_of
from seqd.gateway.console.visits import ByOperator, Visit, act, page, why_not
from seqd.gateway.webhooks import EndpointRequest, added
from seqd.views.numbers import counted
from seqd.views.webhooks import WEBHOOK_COLUMNS
from seqd_schemas import WEBHOOK_ENDINGS, WEBHOOK_EVENTS


@page("/webhooks")
async def webhooks(visit: ByOperator) -> Page:
    """List the webhooks."""
    return await _listed(visit, {}, WEBHOOK_ENDINGS)


@act("/webhooks")
async def new_webhook(visit: ByOperator) -> Page:
    """Make a webhook, and show the secret of its signatures, once."""
    given = visit.given()
    events = [one for one in visit.form.getlist("event") if isinstance(one, str)]
    try:
        fields = {name: given.get(name, "").strip() for name in ("url", "name")}
        webhook = await added(
            visit.seqd, visit.caller, EndpointRequest(**fields, event_types=events)
        )
    except (ValidationError, InvalidRequest, QuotaExceeded) as error:
        return await _listed(visit, given, events, why_not(error))
    what = f"What the messages of the webhook {webhook.webhook_id} are signed with."
    facts = {"what": what, "secret": webhook.secret}
    return Page("secret.html", "A new webhook", facts)


@page("/webhooks/{webhook_id}")
async def one_webhook(visit: ByOperator, webhook_id: str) -> Page:
    """Show a webhook, and how its deliveries stand."""
    webhook = await visit.seqd.ask(
        visit.seqd.ledger.webhooks.show.steps(webhook_id, visit.only_tenant)
    )
    told = {
        "events": ", ".join(webhook.event_types),
        "metadata": ", ".join(f"{name}={text}" for name, text in webhook.metadata.items()),
    }
    facts = {
        "facts": facts_of(WEBHOOK_COLUMNS, webhook) | told,
        "may_do": [
            Button("Send again what failed", f"/webhooks/{webhook_id}/replay"),
            Button("Remove…", f"/webhooks/{webhook_id}/remove", "danger"),
        ],
        "every": ("All webhooks", "/webhooks"),
    }
    return Page("record.html", f"Webhook {webhook_id}", facts)


@act("/webhooks/{webhook_id}/replay")
async def replay(visit: ByOperator, webhook_id: str) -> Response:
    """Send again what a receiver did not take for a day."""
    replaying = visit.seqd.ledger.webhooks.replay.steps(webhook_id, visit.only_tenant)
    jobs = await visit.seqd.act(replaying, "webhooks.replay", webhook_id)
    told = f"Messages of {counted(jobs, 'job')} are sent again."
    return visit.back_to(f"/webhooks/{webhook_id}", told)


@act("/webhooks/{webhook_id}/remove")
async def remove(visit: ByOperator, webhook_id: str) -> Response:
    """Tell a receiver of nothing any more."""
    hooks, tenant = visit.seqd.ledger.webhooks, visit.only_tenant
    before = await visit.seqd.ask(hooks.show.steps(webhook_id, tenant))
    left = counted(before.waiting + before.failed, "job")
    asked = f"{before.url} is told of nothing any more; messages of {left} are dropped."
    visit.ask(asked, "Remove the webhook")
    await visit.seqd.act(hooks.remove.steps(webhook_id, tenant), "webhooks.remove", webhook_id)
    return visit.back_to("/webhooks", f"Removed the webhook {webhook_id}.")


async def _listed(
    visit: Visit, given: Mapping[str, str], told_of: Collection[str], why: str = ""
) -> Page:
    """Return the page with all webhooks, and with what was given in its form, and why it is not."""
    found = await visit.seqd.ask(visit.seqd.ledger.webhooks.all.steps(visit.only_tenant))
    facts = {
        "webhooks": table_of(WEBHOOK_COLUMNS, found, lambda one: f"/webhooks/{one.webhook_id}"),
        "given": given,
        "events": WEBHOOK_EVENTS,
        "told_of": told_of,
        "why": why,
    }
    return Page("webhooks.html", "Webhooks", facts, 400 if why else 200)
