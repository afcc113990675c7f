"""`seqd webhooks`: who is told by HTTP of what happens to a tenant's jobs.

Gateways send the messages: without `seqd gateway` they wait.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from seqd.cli import options, readers
from seqd.cli.showing import Found, shown
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd.ledger.job_filter import milliseconds
from seqd.ledger.webhooks import host_of
from seqd.views.webhooks import WEBHOOK_COLUMNS
from seqd_schemas import WEBHOOK_ENDINGS, WebhookStatus

_Webhook = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its identifier, as listed.")]
_Tenant = Annotated[str, typer.Option("--tenant", metavar="TENANT", help="Whose jobs.")]
_Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="What people call it.")]
_Events = Annotated[
    str | None,
    typer.Option("--events", metavar="E,E", help="Of what, by commas; else of how jobs end."),
]
_Metadata = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata", metavar="KEY=VALUE", help="Only of jobs with this note; may be given again."
    ),
]


@shown
def new(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where messages are sent.")],
    tenant: _Tenant = "default",
    name: _Name = "",
    events: _Events = None,
    metadata: _Metadata = None,
) -> Found:
    """Have a receiver told of a tenant's jobs from now on; prints the secret of its signatures.

    Messages are signed by the Standard Webhooks scheme. For single jobs, have the receiver told of
    those with a note alone, and give them that: --metadata webhook=orders.
    """
    told = WEBHOOK_ENDINGS if events is None else [one for one in events.split(",") if one]
    notes = readers.notes(metadata)
    details = {"tenant": tenant, "host": host_of(url)}
    with options.open_ledger() as ledger, ledger.audit.act("webhooks.new", name, details):
        webhook = ledger.webhooks.add(tenant, url, name=name, event_types=told, metadata=notes)
    return Found(webhook, f"{webhook.webhook_id}\n{webhook.secret}")


@shown
def list_webhooks(
    tenant: Annotated[
        str | None, typer.Option("--tenant", metavar="TENANT", help="Those of one alone.")
    ] = None,
) -> Found:
    """List the webhooks, with what waits, what failed for good, and the last error."""
    with options.open_ledger() as ledger:
        found = ledger.webhooks.all(tenant)
    return Found(found, lambda screen: _print(screen, found))


@shown
def remove(webhook: _Webhook) -> Found:
    """Tell a receiver of nothing any more; what waits for it is dropped."""
    with options.open_ledger() as ledger, ledger.audit.act("webhooks.remove", webhook):
        before = ledger.webhooks.remove(webhook)
    dropped = before.waiting + before.failed
    of = f" Messages of {dropped:,} jobs were not delivered." if dropped else ""
    return Found(before, f"Removed.{of}")


@shown
def replay(
    webhook: _Webhook,
    since: Annotated[
        datetime | None,
        readers.typed(
            "--since",
            by=readers.moment,
            help="Only what failed since then: 30m, 2h or 7d back from now, or 2026-11-26T10:00.",
        ),
    ] = None,
) -> Found:
    """Send again what a receiver did not take for a day, with all attempts before it."""
    since_ms = max(0, milliseconds("since", since) or 0)
    with options.open_ledger() as ledger, ledger.audit.act("webhooks.replay", webhook):
        jobs = ledger.webhooks.replay(webhook, since_ms=since_ms)
    return Found({"jobs": jobs}, f"Messages of {jobs:,} jobs are sent again.")


def _print(screen: Screen, found: Sequence[WebhookStatus]) -> None:
    if not found:
        screen.say("No webhooks.")
        return
    print_table(screen, WEBHOOK_COLUMNS, found)
