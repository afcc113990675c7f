"""A message to a receiver: signed, and sent to an address that was checked, and to no other one.

Who names a URL could otherwise have the gateway ask its own network: by a name that stands for a
private address, by one that stands for another address the second time, or by a redirect.

And the deliveries of one gateway: what is due is claimed from the ledger, sent and settled.
"""

import asyncio
import json
import logging
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, Self

import httpx2
import standardwebhooks

from seqd import __version__
from seqd.errors import InvalidRequest, SeqdError
from seqd.gateway.ledger_client import GatewayClient
from seqd.ledger.webhooks import Delivery, host_of
from seqd_schemas import Webhook

#: Seconds for a message, from the look-up of the name on.
SEND_S: Final = 15.0

#: Bytes of an answer that are read; nothing is made of them.
_MOST_ANSWER_BYTES: Final = 65_536

#: Names that are looked up at once, in threads of their own: a look-up cannot be ended.
_LOOKUPS: Final = 16

#: Addresses that stand for one of IPv4, its last four bytes (RFC 6052).
_TRANSLATED: Final = IPv6Network("64:ff9b::/96")

_IS_PLAIN: Final = "The URL is http; a receiver outside has to have https."
_IS_PRIVATE: Final = (
    "is no address of the public internet. An operator may allow such: "
    "SEQD_GATEWAY_PRIVATE_WEBHOOKS."
)

# It tells of each URL that it asks, whose path may be a secret.
logging.getLogger("httpx2").setLevel(logging.WARNING)

log = logging.getLogger(__name__)

#: Messages that are sent at once, to all receivers together: a receiver that hangs has one of them.
_MOST_AT_ONCE: Final = 200

#: Seconds between two looks at what is due.
_LOOK_S: Final = 1.0


class NotSent(Exception):
    """Why a message was not even sent."""


class Receivers:
    """Sends messages; an asynchronous context manager."""

    def __init__(self, *, may_be_private: bool) -> None:
        """`may_be_private` allows loopback, private addresses and http."""
        self._may_be_private = may_be_private
        self._lookups = ThreadPoolExecutor(_LOOKUPS, "seqd-webhook-lookup")
        self._http = httpx2.AsyncClient(
            verify=ssl.create_default_context(),
            # No proxy of the environment, nor its passwords.
            trust_env=False,
            follow_redirects=False,
            timeout=SEND_S,
            # A connection is to an address, and that of one name must not serve another one.
            limits=httpx2.Limits(max_keepalive_connections=0),
            headers={"user-agent": f"seqd/{__version__}", "content-type": "application/json"},
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def send(self, webhook: Webhook, message_id: str, body: str) -> str:
        """Return '' where the receiver took a message, else why not."""
        now = datetime.now(UTC)
        signed = standardwebhooks.Webhook(webhook.secret).sign(message_id, now, body)
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": signed,
        }
        try:
            async with asyncio.timeout(SEND_S):
                return await self._post(httpx2.URL(webhook.url), body, headers)
        except NotSent as error:
            return str(error)
        except (TimeoutError, httpx2.TimeoutException):
            return f"There was no answer within {SEND_S:g} s."
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as error:
            return f"{type(error).__name__}: {error}"

    async def _post(self, url: httpx2.URL, body: str, headers: dict[str, str]) -> str:
        if url.scheme != "https" and not self._may_be_private:
            raise NotSent(_IS_PLAIN)
        *others, last = await self._addresses(url)
        for address in others:
            try:
                return await self._post_to(address, url, body, headers)
            except httpx2.ConnectError:
                continue
        return await self._post_to(last, url, body, headers)

    async def _post_to(
        self, address: str, url: httpx2.URL, body: str, headers: dict[str, str]
    ) -> str:
        asked = self._http.stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii")},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        )
        async with asked as response:
            read = 0
            async for part in response.aiter_raw():
                read += len(part)
                if read > _MOST_ANSWER_BYTES:
                    break
        if response.is_success:
            return ""
        told = ", and redirects are not followed" if response.is_redirect else ""
        return f"The answer was {response.status_code}{told}."

    async def _addresses(self, url: httpx2.URL) -> list[str]:
        """Return what a receiver's name stands for, as far as it may be sent to."""
        port = url.port or (443 if url.scheme == "https" else 80)
        look_up = partial(socket.getaddrinfo, url.host, port, type=socket.SOCK_STREAM)
        rows = await asyncio.get_running_loop().run_in_executor(self._lookups, look_up)
        found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        allowed = [one for one in found if self._may_be_private or is_public(one)]
        if not allowed:
            raise NotSent(f"{url.host} stands for {', '.join(found)}, which {_IS_PRIVATE}")
        return allowed


def check_public(url: str) -> None:
    """Raise InvalidRequest for a URL that is never sent to: of http, or with a private address.

    What a name stands for is seen as a message is sent.
    """
    host = host_of(url)
    try:
        is_private = not is_public(host)
    except ValueError:  # a name
        is_private = host == "localhost"
    if is_private:
        raise InvalidRequest(f"{host} {_IS_PRIVATE}")
    if url.lower().startswith("http:"):
        raise InvalidRequest(_IS_PLAIN)


def is_public(address: str) -> bool:
    """Return whether an address is one of the public internet, also by what it stands for."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        if (inner := _inner(ip)) is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """Return the address of IPv4 to which packets for one of IPv6 go in the end."""
    if ip in _TRANSLATED:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)


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
