"""`/v1/webhook_endpoints`: whom a tenant has told of its jobs, by OpenAI's routes."""

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from seqd.gateway.bodies import Answer, RequestBody, page_of
from seqd.gateway.callers import Caller, Operator, SeqdClient
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.receivers import check_public
from seqd.ledger.webhooks import host_of
from seqd_schemas import WEBHOOK_ENDINGS, Webhook, WebhookEndpoint, WebhookStatus

router = APIRouter(tags=["webhooks"])


class EndpointRequest(RequestBody):
    """Whom to tell, and of what."""

    url: str = Field(max_length=2_048, description="Where messages are sent: https://HOST/PATH.")
    name: str = Field(default="", max_length=128, description="What people call it.")
    event_types: list[str] = Field(default=list(WEBHOOK_ENDINGS), max_length=64)
    """What it is told of, such as `batch.completed`; how jobs end by default."""
    metadata: dict[str, str] = Field(default_factory=dict, max_length=16)
    """Only of jobs whose metadata has all of these."""


class ReplayRequest(RequestBody):
    """What to send again."""

    since: AwareDatetime | None = Field(default=None, description="Only what failed since then.")


@router.post("/v1/webhook_endpoints")
async def create(body: EndpointRequest, client: SeqdClient, caller: Operator) -> Answer:
    """Add an endpoint; the answer alone has its signing secret."""
    webhook = await added(client, caller, body)
    return {**_endpoint(webhook), "signing_secret": webhook.secret}


async def added(client: GatewayClient, caller: Caller, asked: EndpointRequest) -> Webhook:
    """Add an endpoint for a caller's tenant, and return it with its secret."""
    if not client.settings.gateway_private_webhooks:
        check_public(asked.url)
    adding = client.ledger.webhooks.add.steps(
        caller.tenant,
        asked.url,
        name=asked.name,
        event_types=asked.event_types,
        metadata=asked.metadata,
    )
    return await client.act(adding, "webhooks.new", asked.name, {"host": host_of(asked.url)})


@router.get("/v1/webhook_endpoints")
async def list_endpoints(client: SeqdClient, caller: Operator) -> Answer:
    """List the tenant's endpoints, with how their deliveries stand."""
    statuses = await client.ask(client.ledger.webhooks.all.steps(caller.only_tenant))
    found = [_status(one) for one in statuses]
    return page_of(found, len(found))


@router.get("/v1/webhook_endpoints/{webhook_id}")
async def retrieve(webhook_id: str, client: SeqdClient, caller: Operator) -> Answer:
    """Return an endpoint, with how its deliveries stand."""
    return _status(
        await client.ask(client.ledger.webhooks.show.steps(webhook_id, caller.only_tenant))
    )


@router.delete("/v1/webhook_endpoints/{webhook_id}")
async def delete(webhook_id: str, client: SeqdClient, caller: Operator) -> Answer:
    """Remove an endpoint with all that waits for it."""
    removing = client.ledger.webhooks.remove.steps(webhook_id, caller.only_tenant)
    await client.act(removing, "webhooks.remove", webhook_id)
    return {"id": webhook_id, "object": "webhook_endpoint.deleted", "deleted": True}


@router.post("/v1/webhook_endpoints/{webhook_id}/replay")
async def replay(
    webhook_id: str, client: SeqdClient, caller: Operator, body: ReplayRequest | None = None
) -> Answer:
    """Send again what the endpoint did not take for a day; `jobs` says of how many."""
    since = None if body is None else body.since
    since_ms = 0 if since is None else max(0, int(since.timestamp() * 1000))
    replaying = client.ledger.webhooks.replay.steps(
        webhook_id, caller.only_tenant, since_ms=since_ms
    )
    return {"id": webhook_id, "jobs": await client.act(replaying, "webhooks.replay", webhook_id)}


def _endpoint(webhook: WebhookEndpoint) -> Answer:
    return {
        "id": webhook.webhook_id,
        "object": "webhook_endpoint",
        "created_at": webhook.created_at_ms // 1000,
        "name": webhook.name,
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "metadata": webhook.metadata,
        "tenant": webhook.tenant,
    }


def _status(status: WebhookStatus) -> Answer:
    fields = {"waiting", "failed", "dropped", "delivered", "next_at_ms", "error", "error_at_ms"}
    return {**_endpoint(status), **status.model_dump(include=fields)}
