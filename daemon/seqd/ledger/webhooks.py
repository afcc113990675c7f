"""Webhooks: receivers of what happens to jobs, and the deliveries to them.

The scripts that change a job queue its messages (`lua/shared/webhooks.lua`), whoever runs them, so
none is lost while no gateway is up. Any gateway claims those that are due, under a lease: when it
dies another one sends them again.
"""

import base64
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlsplit

from pydantic import ValidationError

from seqd.errors import InvalidRequest, QuotaExceeded, UnknownWebhook
from seqd.ledger.exchange import (
    Command,
    Exchange,
    Part,
    command,
    exchange,
    pipeline,
    script,
    server_ms,
)
from seqd.ledger.fleet import readable
from seqd.ledger.scripts import as_bytes, as_int, as_list, as_text
from seqd.validation import did_you_mean, fault_sentence, shown
from seqd_schemas import (
    MAX_TENANT_WEBHOOKS,
    MAX_WEBHOOKS,
    WEBHOOK_ENDINGS,
    WEBHOOK_EVENTS,
    Webhook,
    WebhookStatus,
    to_stored,
)

#: Seconds until a message is sent again, by the times that it failed: a day in all. The first are
#: those of the Standard Webhooks specification, 1.0.0.
RETRY_AFTER_S: Final = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 28_800.0, 28_800.0)

#: Seconds for which whoever has claimed a message holds it.
LEASE_S: Final = 30.0

#: Messages that an endpoint is sent at once, by one gateway.
_MOST_EACH: Final = 16

#: Jobs whose messages one step of a replay makes due.
_REPLAYED_AT_ONCE: Final = 200

_MOST_CHARS: Final = 500


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that this gateway is to send."""

    webhook: Webhook
    job_id: str
    #: Until when it is this gateway's, in milliseconds.
    lease_ms: int
    #: How often it was sent in vain.
    attempts: int
    #: JSON.
    message: bytes


class Webhooks(Part):
    """The webhooks of all tenants, and what is to be delivered."""

    @exchange
    def add(
        self,
        tenant: str,
        url: str,
        *,
        name: str = "",
        event_types: Collection[str] = WEBHOOK_ENDINGS,
        metadata: Mapping[str, str] | None = None,
    ) -> Exchange[Webhook]:
        """Add an endpoint, and return it with its secret.

        It is told of what happens from now on. Raises InvalidRequest, and QuotaExceeded where there
        are as many as may be.
        """
        webhook = _checked(
            {
                "webhook_id": f"wh_{secrets.token_hex(12)}",
                "tenant": tenant,
                "name": name,
                "url": _checked_url(url),
                "event_types": _checked_events(event_types),
                "metadata": dict(metadata or {}),
                "created_at_ms": (yield from server_ms()),
                "secret": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
            }
        )
        wanted = {"event_types": webhook.event_types, "metadata": webhook.metadata}
        words = (webhook.webhook_id, tenant, to_stored(webhook), json.dumps(wanted))
        limits = (MAX_TENANT_WEBHOOKS, MAX_WEBHOOKS)
        if as_int((yield from script("set_webhook", *words, *limits))) == 0:
            raise QuotaExceeded(
                f"A tenant has {MAX_TENANT_WEBHOOKS} webhooks at most, and all of them "
                f"{MAX_WEBHOOKS:,}. Remove one that is not needed any more: seqd webhooks list",
                retry_after_s=60.0,
            )
        return webhook

    @exchange
    def all(self, tenant: str | None = None) -> Exchange[list[WebhookStatus]]:
        """Return the endpoints, of one tenant or of all, the oldest first."""
        rows = yield from command("HGETALL", self._keys.webhooks())
        stored = readable(Webhook, cast(dict[bytes, bytes], rows).values())
        found = [one for one in stored if tenant is None or one.tenant == tenant]
        return (yield from self._statuses(sorted(found, key=lambda one: one.created_at_ms)))

    @exchange
    def show(self, webhook_id: str, tenant: str | None = None) -> Exchange[WebhookStatus]:
        """Return an endpoint, where it is of a tenant if one is named. Raises UnknownWebhook."""
        row = yield from command("HGET", self._keys.webhooks(), webhook_id)
        found = readable(Webhook, [] if row is None else [cast(bytes, row)])
        if not found or tenant not in (None, found[0].tenant):
            raise UnknownWebhook(
                f"There is no webhook {webhook_id!r}; `seqd webhooks list` shows those there are."
            )
        return (yield from self._statuses(found))[0]

    @exchange
    def remove(self, webhook_id: str, tenant: str | None = None) -> Exchange[WebhookStatus]:
        """Remove an endpoint with all that waits for it; return how it stood.

        Raises UnknownWebhook.
        """
        before = yield from self.show.steps(webhook_id, tenant)
        yield from script("set_webhook", webhook_id, before.tenant, "", "", 0, 0)
        return before

    @exchange
    def replay(
        self, webhook_id: str, tenant: str | None = None, *, since_ms: int = 0
    ) -> Exchange[int]:
        """Send again what had failed for good since then; return of how many jobs.

        Raises UnknownWebhook.
        """
        yield from self.show.steps(webhook_id, tenant)
        words = (webhook_id, since_ms, _REPLAYED_AT_ONCE)
        replayed = 0
        while step := as_int((yield from script("replay_webhook", *words))):
            replayed += step
        return replayed

    @exchange
    def claim(self, most: int, busy: Collection[str] = ()) -> Exchange[list[Delivery]]:
        """Take messages that are due, under a lease, but for endpoints that are `busy`."""
        words = (int(LEASE_S * 1000), most, _MOST_EACH)
        claimed = as_list((yield from script("claim_deliveries", *words, *busy)))
        return [
            Delivery(webhook, as_text(job), as_int(lease), as_int(attempts), as_bytes(message))
            for record, job, lease, attempts, message in map(as_list, claimed)
            for webhook in readable(Webhook, [as_bytes(record)])
        ]

    @exchange
    def settle(self, delivery: Delivery, failure: str) -> Exchange[float | None]:
        """Write down that a message was taken, or why it was not (`failure` is not empty then).

        Returns the seconds until it is sent again; None where it is not. Where the lease has run
        out nothing is changed.
        """
        has_more = failure and delivery.attempts < len(RETRY_AFTER_S)
        after_s = RETRY_AFTER_S[delivery.attempts] if has_more else None
        webhook_id, lease_ms = delivery.webhook.webhook_id, delivery.lease_ms
        delay_ms: int | str = "" if after_s is None else int(after_s * 1000)
        held = (webhook_id, delivery.job_id, lease_ms)
        yield from script("settle_delivery", *held, failure[:_MOST_CHARS], delay_ms)
        return after_s

    def _statuses(self, webhooks: list[Webhook]) -> Exchange[list[WebhookStatus]]:
        keys, asked = self._keys, list[Command]()
        for one in webhooks:
            name = one.webhook_id
            asked += [
                Command(("HGETALL", keys.webhook(name))),
                Command(("ZCARD", keys.webhook_due(name))),
                Command(("ZCARD", keys.webhook_failed(name))),
                Command(("ZRANGE", keys.webhook_due(name), 0, 0, "WITHSCORES")),
            ]
        replies = yield from pipeline(asked)
        quads = zip(webhooks, *(replies[at::4] for at in range(4)), strict=True)
        return [_status(*quad) for quad in quads]


def host_of(url: str) -> str:
    """Return what the audit may show of a URL, whose path may be a secret."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _status(
    webhook: Webhook, figures: object, waiting: object, failed: object, first: object
) -> WebhookStatus:
    row = {k.decode(): v.decode() for k, v in cast(dict[bytes, bytes], figures).items()}
    due = cast(list[bytes], first)  # the first message, and when it is due
    return WebhookStatus(
        **webhook.model_dump(exclude={"secret"}),
        waiting=cast(int, waiting),
        failed=cast(int, failed),
        dropped=int(row.get("dropped", 0)),
        delivered=int(row.get("delivered", 0)),
        next_at_ms=int(due[1]) if due else None,
        error=row.get("error", ""),
        error_at_ms=int(row["error_at"]) if "error_at" in row else None,
    )


def _checked(values: Mapping[str, object]) -> Webhook:
    try:
        return Webhook.model_validate(values)
    except ValidationError as error:
        raise InvalidRequest(f"{fault_sentence(error)}.") from None


def _checked_url(url: str) -> str:
    """Return the URL of a receiver. Raises InvalidRequest, without what may be a password."""
    try:
        parts = urlsplit(url)
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an address that is none
        is_whole = False
    if not is_whole or not url.isascii() or any(char <= " " for char in url):
        raise InvalidRequest(
            f"The URL is {shown(url)}; allowed: https://HOST/PATH, without blanks, in ASCII."
        )
    if "@" in parts.netloc or parts.fragment:
        raise InvalidRequest(
            "The URL has a user, a password or a fragment; leave them out: a message is signed, "
            "which tells the receiver who sent it."
        )
    return url


def _checked_events(names: Collection[str]) -> tuple[str, ...]:
    for name in names:
        if name not in WEBHOOK_EVENTS:
            raise InvalidRequest(
                f"{shown(name)} is nothing that a webhook is told of; allowed: "
                f"{', '.join(WEBHOOK_EVENTS)}.{did_you_mean(name, WEBHOOK_EVENTS)}"
            )
    if not names:
        raise InvalidRequest(f"Name what it is told of: {', '.join(WEBHOOK_EVENTS)}.")
    return tuple(dict.fromkeys(names))
