"""Connections to Redis of asyncio: how they are made, with what `seqd.ledger.redis` knows of them.

Outages, errors and Sentinels mean the same as of connections that block.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar, cast

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,  # noqa: A004 - redis-py's, not the built-in
    NoPermissionError,
    ResponseError,
)

from seqd.errors import REDIS_ERRORS
from seqd.ledger.denials import DeniedCommand
from seqd.ledger.discovery import address_in_words, place_of
from seqd.ledger.outage import Attempts, Outage, Trouble, waiting_at_most
from seqd.ledger.redis import (
    BREAKS,
    SOCKET_TIMEOUT_S,
    OutagePolicy,
    WrongPassword,
    address_of,
    connection_options,
    durability_commands,
    is_durable,
    is_trying,
    lacks_waitaof,
    reading_address,
    redis_errors,
    transient_error,
    trying,
)
from seqd.ledger.sentinel import Sentinels, sentinel_login
from seqd.local.endpoint import FoundServer
from seqd.local.redis_access import RedisAccess, without_tls_options
from seqd.local.redis_address import SentinelAddress, is_sentinel_url, read_sentinel_url
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Connections that a client makes at most, one of them for all that waits.
MAX_CONNECTIONS = 8

_T = TypeVar("_T")


class _AsyncClient(Redis):
    """A client whose denied commands say what they were, as `seqd.ledger.redis._Client`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except WrongPassword:
            raise
        except NoPermissionError as error:
            raise DeniedCommand(str(error), args) from None


class _AsyncOutageRetry(OutagePolicy, Retry):
    """Sends a command again while its connection breaks, or an outage lasts that is waited for."""

    def __init__(self, retries: int, outage: Outage, role: str) -> None:
        super().__init__(NoBackoff(), retries)
        self.outage = outage
        self.role = role
        self.pool: Pool | None = None

    def __deepcopy__(self, memo: object) -> Self:
        # redis-py gives each connection a copy; an outage is that of all of them.
        return self

    async def call_with_retry(
        self,
        do: Callable[[], Awaitable[_T]],
        fail: Callable[..., Awaitable[object]],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> _T:
        if is_trying.get():
            return await do()
        attempts: Attempts | None = None
        failures = 0
        while True:
            try:
                with trying():
                    result = await do()
            except (AuthenticationError, AuthorizationError) as error:
                attempts = attempts or Attempts(self.outage, self._retries)
                if not await _again(attempts, self.refusal, error):
                    raise WrongPassword(str(error)) from error
            except (*BREAKS, ResponseError) as error:
                trouble = self.trouble_in(error, is_retryable)
                if trouble is None:
                    raise
                attempts = attempts or Attempts(self.outage, self._retries)
                failures += 1
                if trouble is not Trouble.FULL:
                    await (fail(error, failures) if with_failure_count else fail(error))
                self._leave_replica(error)
                if not await _again(attempts, trouble, error):
                    self._give_up(trouble, error)
                    raise
            else:
                # A connection has an answer, too, as it is made here: to its login and its ping.
                self.note_answer(is_repeat=attempts is not None)
                return result

    def _leave_replica(self, error: Exception) -> None:
        """Close idle connections to a server that has become a replica: the name has moved on."""
        is_replica = isinstance(error, ResponseError) and transient_error(error) == "READONLY"
        if is_replica and self.pool is not None:
            self.pool.close_idle()

    def _give_up(self, trouble: Trouble, error: Exception) -> None:
        """Tell those that wait for a connection of an outage that has lasted for too long."""
        outage = self.outage
        is_over = not outage.has_answered or outage.seconds() >= outage.limit_s
        if trouble is Trouble.BREAK and is_over and self.pool is not None:
            self.pool.refuse(error)


async def _again(attempts: Attempts, trouble: Trouble, error: Exception) -> bool:
    wait_s = attempts.wait_s(trouble, error)
    if wait_s is None:
        return False
    await asyncio.sleep(wait_s)
    return True


class _KeepsCancel(AbstractConnection):
    """A connection on which a cancel is never lost.

    redis-py writes by `asyncio.wait_for`. Before Python 3.12 that returns as if nothing
    had happened to a task that is cancelled as its write ends (CPython's issue 86296): it would
    wait for the reply, also of a server that hangs.
    """

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        cancels = cancel_count()
        await super().send_packed_command(command, check_health)
        if cancel_count() > cancels:
            await self.disconnect(nowait=True)  # nobody will read the reply
            raise asyncio.CancelledError


def cancel_count() -> int:
    """Return how often the current task was asked to end, and is on its way."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


class _TcpConnection(_KeepsCancel, Connection):
    """One over TCP."""


class _TlsConnection(_KeepsCancel, SSLConnection):
    """One over TLS."""


class _UnixConnection(_KeepsCancel, UnixDomainSocketConnection):
    """One by a Unix socket."""


#: What is made in the place of what redis-py finds for the scheme of an address.
_CONNECTIONS: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _TcpConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class Pool(ConnectionPool):
    """Connections that tasks have in turn, first come first served.

    A task may be cancelled at any moment, also while it waits for its turn or gives it back:
    redis-py's own pool that waits then loses a connection for good.
    """

    def __init__(
        self, *, connection_class: type[AbstractConnection] = Connection, **options: Any
    ) -> None:
        connection_class = _CONNECTIONS.get(connection_class, connection_class)
        super().__init__(connection_class=connection_class, **options)
        self._free = MAX_CONNECTIONS
        self._queue = deque[asyncio.Future[None]]()

    async def get_connection(
        self, command_name: str | None = None, *keys: Any, **options: Any
    ) -> AbstractConnection:
        """Return a connection that is made, as soon as one is free."""
        await self._take_turn()
        connection = cast(AbstractConnection, self.get_available_connection())  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection

    async def release(self, connection: AbstractConnection) -> None:
        """Take a connection back."""
        # Nothing in here waits, so that no cancel comes between.
        self._in_use_connections.remove(connection)
        if connection.should_reconnect():  # type: ignore[no-untyped-call]
            connection._close()  # type: ignore[no-untyped-call]
        self._available_connections.append(connection)
        self._pass_turn()

    def close_idle(self) -> None:
        """Close the connections that nobody uses just now; they are made anew when needed."""
        for connection in self._available_connections:
            connection._close()  # type: ignore[no-untyped-call]

    def refuse(self, error: Exception) -> None:
        """Raise what an error says in all that wait for their turn."""
        queue, self._queue = self._queue, deque()
        for turn in queue:
            if not turn.done():
                turn.set_exception(ConnectionError(str(error)))

    async def _take_turn(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._pass_turn()
            raise

    def _pass_turn(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1


class _PrimaryPool(Pool):
    """Connections to the primary, whoever that is when one is made."""

    def __init__(self, sentinels: Sentinels, **options: Any) -> None:
        #: They are asked in a thread, at each new connection: their connections block.
        self.sentinels = sentinels
        super().__init__(sentinels=sentinels, **options)

    async def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections, and those to the Sentinels where all are closed."""
        await super().disconnect(inuse_connections)
        if inuse_connections:
            self.sentinels.close()


class _PrimaryConnection(_TcpConnection):
    """A connection that asks for the primary each time that it is made."""

    def __init__(self, *, sentinels: Sentinels, **options: Any) -> None:
        self._sentinels = sentinels
        super().__init__(**options)

    async def _connect(self) -> None:
        name = self._sentinels.address.master_name
        self.host, self.port = await asyncio.to_thread(self._sentinels.discover_master, name)
        await super()._connect()  # type: ignore[no-untyped-call]


class _PrimaryTlsConnection(_PrimaryConnection, _TlsConnection):
    """The same over TLS."""


class _FoundConnection(_UnixConnection):
    """A connection that looks for the embedded server each time that it is made."""

    def __init__(self, *, found: FoundServer, **options: Any) -> None:
        self._found = found
        super().__init__(**options)

    async def _connect(self) -> None:
        place = place_of(self._found)
        self.username, self.password = place.get("username"), place.get("password")
        async with asyncio.timeout(self.socket_connect_timeout):
            if "path" in place:
                opened = await asyncio.open_unix_connection(place["path"])
            else:
                opened = await asyncio.open_connection(place["host"], place["port"])
        self._reader, self._writer = opened

    def _host_error(self) -> str:
        return address_in_words(self._found)


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
    outage, access = outage or Outage(), access or RedisAccess()
    policy = _AsyncOutageRetry(retries, outage, role)
    with reading_address(url, access):
        options = connection_options(url, policy, timeout_s, access)
        if access.folder is not None:
            pool = Pool(connection_class=_FoundConnection, **options)
        elif is_sentinel_url(url):
            pool = _primary_pool(url, read_sentinel_url(url), access, options)
        else:
            options |= access.tls_options(url)
            pool = Pool.from_url(without_tls_options(url), **options)
        policy.pool = pool
        redis = _AsyncClient.from_pool(pool)
    outage.address = address_of(redis)
    return redis


def _primary_pool(
    url: str, address: SentinelAddress, access: RedisAccess, options: dict[str, Any]
) -> _PrimaryPool:
    return _PrimaryPool(
        Sentinels(address, sentinel_login(address, access, url)),
        connection_class=_PrimaryTlsConnection if address.is_tls else _PrimaryConnection,
        db=address.database,
        username=address.user,
        password=address.password,
        **access.tls_options(url),
        **options,
    )


async def wait_until_durable(redis: Redis, keys: Keys, timeout_s: float) -> bool:
    """Wait until the server's disk has what was written; see `seqd.ledger.redis`."""
    if lacks_waitaof(redis):
        return False
    asked = durability_commands(redis, keys.durability_mark(), timeout_s)
    try:
        with redis_errors(redis), waiting_at_most(timeout_s):
            async with redis.pipeline(transaction=False) as pipe:
                for one in asked:
                    pipe.execute_command(*one)
                replies = cast(list[object], await pipe.execute(raise_on_error=False))
            return is_durable(redis, replies)
    except (*REDIS_ERRORS, ResponseError) as error:
        log.info("not known to be on disk: %s", error)
        return False
