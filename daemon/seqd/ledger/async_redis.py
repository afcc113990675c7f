"""Connections to Redis of asyncio: how they are made, with what `seqd.ledger.redis` knows of them.

Outages, errors and Sentinels mean the same as of connections that block.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import NoPermissionError
from redis.exceptions import TimeoutError as NoAnswerInTime

from seqd.ledger.exchange import run_awaiting
from seqd.ledger.outage import Outage
from seqd.ledger.redis import (
    SOCKET_TIMEOUT_S,
    Kinds,
    OutageRetry,
    address_of,
    is_trying,
    named,
    place_in_words,
    place_of,
    pool_of,
)
from seqd.ledger.sentinel import Sentinels
from seqd.local.endpoint import FoundServer
from seqd.local.redis_access import RedisAccess

_T = TypeVar("_T")


class _AsyncClient(Redis):
    """A client whose denied commands say what they were, as `seqd.ledger.redis._Client`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except NoPermissionError as error:
            raise named(error, args) from None


class _AsyncOutageRetry(OutageRetry):
    """Sends a command again as `OutageRetry` does, and takes the time of each try.

    Else redis-py would, and write by `asyncio.wait_for`. Before Python 3.12 that returns as if
    nothing had happened to a task that is cancelled as its write ends (CPython's issue 86296): it
    would wait for the reply, also of a server that hangs.
    """

    sleep = staticmethod(asyncio.sleep)

    async def call_with_retry(  # type: ignore[override] # redis-py's two policies differ by this
        self,
        do: Callable[[], Awaitable[_T]],
        fail: Callable[..., Awaitable[object]],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> _T:
        if is_trying.get():
            return await do()
        # A connection has an answer, too, as it is made here: to its login and its ping.
        tries = self.tries(do, fail, with_failure_count, is_answer=True)
        answer = await run_awaiting(tries, lambda call: self._in_time(do) if call is do else call())
        return cast(_T, answer)

    async def _in_time(self, do: Callable[[], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await do()
        except TimeoutError:
            raise NoAnswerInTime(f"Timeout reading from {self.outage.address}") from None


class _Primary:
    """A connection that asks for the primary each time that it is made."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    async def _connect(self) -> None:
        # In a thread: the connections of Sentinels block.
        name = self._sentinels.address.master_name
        self.host, self.port = await asyncio.to_thread(self._sentinels.discover_master, name)
        await super()._connect()  # type: ignore[misc]


class _PrimaryConnection(_Primary, Connection):
    """The same over TCP."""


class _PrimaryTlsConnection(_Primary, SSLConnection):
    """The same over TLS."""


class _FoundConnection(UnixDomainSocketConnection):
    """A connection that looks for the embedded server each time that it is made."""

    def __init__(self, *, found: FoundServer, **options: Any) -> None:
        self._found = found
        super().__init__(**options)

    async def _connect(self) -> None:
        place = place_of(self._found)
        # See `FoundConnection`.
        self.path = place_in_words(place)
        self.username, self.password = place.get("username"), place.get("password")
        async with asyncio.timeout(self.socket_connect_timeout):
            if "path" in place:
                opened = await asyncio.open_unix_connection(place["path"])
            else:
                opened = await asyncio.open_connection(place["host"], place["port"])
        self._reader, self._writer = opened


_AWAITING = Kinds(
    ConnectionPool, _FoundConnection, ConnectionPool, _PrimaryConnection, _PrimaryTlsConnection
)


def connect_async(
    url: str,
    *,
    retries: int = 5,
    timeout_s: float = SOCKET_TIMEOUT_S,
    outage: Outage | None = None,
    access: RedisAccess | None = None,
    role: str = "client",
) -> Redis:
    """Return a client for `url`; see `seqd.ledger.connect`."""
    policy = _AsyncOutageRetry(retries, outage or Outage(), role, timeout_s)
    redis = _AsyncClient.from_pool(pool_of(_AWAITING, url, access, policy, None))
    policy.outage.address = address_of(redis)
    return redis
