"""What is said of webhooks: columns of tables."""

from seqd.views.columns import Column
from seqd.views.numbers import clock
from seqd_schemas import WebhookStatus

#: What tables have of a webhook, and of how its deliveries stand.
WEBHOOK_COLUMNS: tuple[Column[WebhookStatus], ...] = (
    Column("webhook", lambda one: one.webhook_id),
    Column("tenant", lambda one: one.tenant),
    Column("name", lambda one: one.name, wraps=True),
    Column("url", lambda one: one.url, wraps=True),
    Column("delivered", lambda one: one.delivered),
    Column("waiting", lambda one: one.waiting),
    Column("failed", lambda one: one.failed),
    Column("dropped", lambda one: one.dropped),
    Column("next", lambda one: clock(one.next_at_ms) if one.next_at_ms else ""),
    Column("last error", lambda one: one.error, wraps=True),
)
