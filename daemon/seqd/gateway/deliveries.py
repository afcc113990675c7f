"""The deliveries of one gateway: what is due is claimed from the ledger, sent and settled."""

import asyncio
import json
import logging
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from seqd.errors import SeqdError
from seqd.gateway.ledger_client import GatewayClient
from seqd.gateway.receivers import Receivers
from seqd.ledger.webhooks import Delivery

log = logging.getLogger(__name__)

#: Messages that are sent at once, to all receivers together: a receiver that hangs has one of them.
_MOST_AT_ONCE: Final = 200

#: Seconds between two looks at what is due.
_LOOK_S: Final = 1.0


async def deliver_forever(client: GatewayClient, *, may_be_private: bool) -> None:
    """Deliver what is due until the task is cancelled.

    What is under way then is sent again by another gateway, or by this one when it is back.
    """
    async with Receivers(may_be_private=may_be_private) as receivers:
        deliveries = _Deliveries(client, receivers)
        try:
            while True:
                if not await deliveries.begin_due():
                    await deliveries.wait()
        finally:
            await deliveries.stop()


class _Deliveries:
    """What is under way: tasks, and the endpoint of each."""

    def __init__(self, client: GatewayClient, receivers: Receivers) -> None:
        self._client = client
        self._webhooks = client.ledger.webhooks
        self._receivers = receivers
        self._under_way: dict[asyncio.Task[None], str] = {}
        #: Set when nothing is under way to an endpoint any more: more for it may be due.
        self._has_ended = asyncio.Event()

    async def begin_due(self) -> int:
        """Claim what is due, and begin to send it; return how many messages those are.

        An endpoint is left out while messages to it are under way.
        """
        self._has_ended.clear()
        free = _MOST_AT_ONCE - len(self._under_way)
        if free == 0:
            return 0
        try:
            claimed = await self._client.ask(
                self._webhooks.claim.steps(free, set(self._under_way.values()))
            )
        except SeqdError as error:
            log.warning("no webhook could be claimed: %s", error)
            return 0
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery))
            self._under_way[task] = delivery.webhook.webhook_id
            task.add_done_callback(self._end)
        return len(claimed)

    async def wait(self) -> None:
        """Wait until an endpoint has been sent all that was claimed for it, `_LOOK_S` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S):
                await self._has_ended.wait()

    async def stop(self) -> None:
        """Leave off what is under way."""
        left = list(self._under_way)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _end(self, task: asyncio.Task[None]) -> None:
        if self._under_way.pop(task) not in self._under_way.values():
            self._has_ended.set()

    async def _deliver(self, delivery: Delivery) -> None:
        webhook, job_id = delivery.webhook.webhook_id, delivery.job_id
        try:
            failure = await self._receivers.send(delivery.webhook, *content_of(delivery.message))
        except Exception as error:
            log.exception("webhook %s: a message of job %s was not sent", webhook, job_id)
            failure = f"The gateway met an error of its own: {type(error).__name__}."
        try:
            after_s = await self._client.ask(self._webhooks.settle.steps(delivery, failure))
        except SeqdError as error:
            log.warning("webhook %s: a message is sent again later: %s", webhook, error)
            return
        if failure:
            again = "not sent again" if after_s is None else f"sent again in {after_s:g} s"
            log.warning("webhook %s: job %s: %s It is %s.", webhook, job_id, failure, again)


def content_of(message: bytes) -> tuple[str, str]:
    """Return the identifier and the body of a message, as OpenAI's clients read it."""
    told = json.loads(message)
    event = told["event"]
    job_id, at_ms = event["job_id"], event["at_ms"]
    is_training = told["type"].startswith("fine_tuning.")
    message_id = f"evt_{job_id}_{event['id']}"
    body = {
        "id": message_id,
        "object": "event",
        "created_at": at_ms // 1000,
        "type": told["type"],
        "timestamp": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat().replace("+00:00", "Z"),
        "data": {
            "id": f"ftjob-{job_id}" if is_training else f"batch_{job_id}",
            "job_id": job_id,
            "kind": told["kind"],
            "model": told["model"],
            "metadata": told["metadata"],
            "event": event,
        },
    }
    return message_id, json.dumps(body)
