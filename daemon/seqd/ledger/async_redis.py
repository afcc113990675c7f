"""Connections to Redis of asyncio: how they are made, with what `seqd.ledger.redis` knows of them.

Outages, errors and Sentinels mean the same as of connections that block. `Listener` waits on one of
them for entries of any number of streams.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import NoPermissionError, RedisError
from redis.exceptions import TimeoutError as NoAnswerInTime

from seqd.errors import SeqdError
from seqd.ledger.exchange import (
    LOOK_S,
    Command,
    Heard,
    Listen,
    Pipeline,
    Request,
    run_awaiting,
    stream_order,
)
from seqd.ledger.outage import Outage, unbounded_context, waiting_at_most
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

#: Longest read where the listener cannot be woken, since the server is full or takes no writes.
_UNWOKEN_READ_S = 0.2

#: Seconds for which the stream is kept by which a listener is woken, and its entries at most.
_WAKE_TTL_S = 60
_WAKE_ENTRIES = 16

#: Seconds between two reads at least, and for each stream: entries that come close together are
#: read together, and a read of 10,000 streams keeps the server busy for milliseconds.
_PAUSE_S = 0.002
_PAUSE_OF_STREAM_S = 10e-6

#: Entries of one stream that a read fetches.
_READ_ENTRIES = 500
_Place = tuple[int, int]


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
        self.host, self.port = await asyncio.to_thread(self._sentinels.find_primary)
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


class _PrimaryPool(ConnectionPool):
    """Connections to the primary, of which none is used that leads to the one of before.

    That one may come back, and answers of what it had, until the Sentinels make it a replica.
    redis-py's own pool closes what lies idle as it hears of another primary, and takes back what
    was in use meanwhile.
    """

    async def ensure_connection(self, connection: Any) -> None:
        place = (connection.host, connection.port)
        if place != self.connection_kwargs["sentinels"].primary:
            await connection.disconnect()
        await super().ensure_connection(connection)


_AWAITING = Kinds(
    ConnectionPool, _FoundConnection, _PrimaryPool, _PrimaryConnection, _PrimaryTlsConnection
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


@dataclass(eq=False, slots=True)
class _Wait:
    """Somebody who waits for entries behind a place in each of some streams."""

    places: dict[str, _Place]
    found: "asyncio.Future[Heard]"
    timer: asyncio.TimerHandle | None = field(default=None)


class Listener:
    """Waits for all tasks of one event loop."""

    def __init__(self, ask: Callable[[Request], Awaitable[object]], wake_key: str) -> None:
        """`ask` returns what the server answers."""
        self._ask = ask
        self._wake_key = wake_key
        self._woken_at = "0-0"
        self._waits: dict[str, set[_Wait]] = {}
        #: What the read under way waits for: the place in each stream.
        self._reading: dict[str, _Place] = {}
        self._is_woken = False
        self._can_wake = True
        self._task: asyncio.Task[None] | None = None
        self._waking: asyncio.Task[None] | None = None

    async def listen(self, request: Listen) -> Heard:
        """Return the entries of streams, each behind its id; none after `wait_s` seconds."""
        loop = asyncio.get_running_loop()
        places = {stream: stream_order(after) for stream, after in request.streams.items()}
        wait = _Wait(places, loop.create_future())
        wait.timer = loop.call_later(request.wait_s, _resolve, wait, {})
        for stream in places:
            self._waits.setdefault(stream, set()).add(wait)
        try:
            self._have_read(places)
            return await wait.found
        finally:
            wait.timer.cancel()
            if wait.found.done() and not wait.found.cancelled():
                wait.found.exception()  # it is known, also to a task that was cancelled
            for stream in places:
                self._forget(stream, wait)

    async def close(self) -> None:
        """End the read; whoever waits for it hears of nothing."""
        await ended([task for task in (self._task, self._waking) if task is not None])
        for waits in self._waits.values():
            for wait in waits:
                _resolve(wait, {})

    def _have_read(self, places: dict[str, _Place]) -> None:
        """See to it that a read has these places, now or next."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(
                self._run(), name="seqd-listener", context=unbounded_context()
            )
            return
        is_read = all(
            stream in self._reading and self._reading[stream] <= place
            for stream, place in places.items()
        )
        if self._reading and not is_read and not self._is_woken:
            self._is_woken = True
            # In a task of its own: that of whoever waits may be cancelled.
            self._waking = asyncio.create_task(
                self._wake(), name="seqd-listener-wake", context=unbounded_context()
            )

    async def _wake(self) -> None:
        """End the read under way; a server that cannot write ends it a little later by itself."""
        entry = ("MAXLEN", "~", _WAKE_ENTRIES, "*", "jobs", "")
        added = Command(("XADD", self._wake_key, *entry))
        try:
            with waiting_at_most(0):
                await self._ask(Pipeline((added, Command(("EXPIRE", self._wake_key, _WAKE_TTL_S)))))
        except (SeqdError, RedisError):
            self._can_wake = False
        else:
            self._can_wake = True

    async def _run(self) -> None:
        """Read as long as somebody waits."""
        try:
            while self._waits:
                self._is_woken = False
                self._reading = {
                    stream: min(wait.places[stream] for wait in waits)
                    for stream, waits in self._waits.items()
                }
                places = {name: f"{ms}-{number}" for name, (ms, number) in self._reading.items()}
                places[self._wake_key] = self._woken_at
                wait_s = LOOK_S if self._can_wake else _UNWOKEN_READ_S
                found = cast(Heard, await self._ask(Listen(places, wait_s, _READ_ENTRIES)))
                if woken := found.pop(self._wake_key, None):
                    self._woken_at = woken[-1][0].decode()
                pause_s = _PAUSE_S + _PAUSE_OF_STREAM_S * len(self._reading)
                self._reading = {}
                self._hand_out(found)
                await asyncio.sleep(pause_s)
        except Exception as error:  # noqa: BLE001 - raised in whoever waits
            for waits in self._waits.values():
                for wait in waits:
                    if not wait.found.done():
                        wait.found.set_exception(error)
        finally:
            self._reading = {}

    def _hand_out(self, found: Heard) -> None:
        ordered = {
            name: [(stream_order(one[0].decode()), one) for one in entries]
            for name, entries in found.items()
        }
        for stream in ordered:
            for wait in self._waits.get(stream, ()):
                if wait.found.done():
                    continue
                new = {
                    name: [one for order, one in ordered[name] if order > place]
                    for name, place in wait.places.items()
                    if name in ordered
                }
                if new[stream]:
                    _resolve(wait, {name: some for name, some in new.items() if some})

    def _forget(self, stream: str, wait: _Wait) -> None:
        waits = self._waits.get(stream)
        if waits is not None:
            waits.discard(wait)
            if not waits:
                del self._waits[stream]


async def ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _resolve(wait: _Wait, found: Heard) -> None:
    if not wait.found.done():
        wait.found.set_result(found)
