"""Connections to Redis: how they are made, what their errors mean, whether the server keeps data.

`connect` makes a client, whose commands are sent again until an outage is over (see `outage`),
`redis_errors` turns Redis's errors into ours, and `until_durable` waits until what was written is
on the server's disk. `seqd.ledger.async_redis` makes the same of asyncio.
"""

import logging
import os
import re
import socket
from builtins import TimeoutError as SocketTimeout
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from operator import call
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypedDict, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import UnixDomainSocketConnection, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ConnectionError,  # noqa: A004 - redis-py's, not the built-in
    InvalidResponse,
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from seqd.errors import (
    REDIS_ERRORS,
    InvalidSettings,
    RedisFull,
    RedisRefused,
    RedisUnreachable,
    SeqdError,
)
from seqd.ledger.denials import DeniedCommand, denial_of, no_permission
from seqd.ledger.exchange import Command, Exchange, pipeline, run
from seqd.ledger.outage import SHORTEST_S, Attempts, Outage, Trouble, waiting_at_most
from seqd.ledger.refusals import (
    cluster_sentence,
    is_lasting,
    is_of_a_cluster,
    is_silent_at_tls,
    refusal_of,
)
from seqd.ledger.sentinel import (
    PrimaryConnection,
    PrimaryTlsConnection,
    Sentinels,
    sentinel_login,
)
from seqd.local.endpoint import FoundServer
from seqd.local.redis_access import RedisAccess, without_tls_options
from seqd.local.redis_address import (
    HOW_TO_WRITE_IT,
    check_redis_url,
    is_sentinel_url,
    read_sentinel_url,
)
from seqd.local.redis_socket import connect_to
from seqd.masking import remember_address, without_password
from seqd_schemas import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis

    AnyRedis = Redis | AsyncRedis

log = logging.getLogger(__name__)

#: Seconds without an answer, after which a connection is taken for dead. A blocking read asks
#: for less (`exchange.LOOK_S`); redis-py cuts a longer one off.
SOCKET_TIMEOUT_S = 10.0

#: Seconds until the durability mark goes by itself. It has served when `WAITAOF` answers.
MARK_TTL_S = 60

#: Clients whose server has no `WAITAOF`; they are not asked again.
_without_waitaof: "WeakSet[AnyRedis]" = WeakSet()

#: Error codes of a server that cannot do something just now. Alone a code begins the text; from a
#: script of Redis 6.2 it stands behind the script's line and a hyphen.
_PASSING = re.compile(
    r"(?:^|: -?)(READONLY|NOREPLICAS|MASTERDOWN|TRYAGAIN|LOADING|BUSY|UNKILLABLE"
    r"|UNBLOCKED|Script killed by user|OOM|MISCONF) "
)

#: Those of a server without memory, and of one that cannot write to its disk.
_FULL = ("OOM", "MISCONF")

#: How a command fails whose server is away. Also another program at its address: for a moment, such
#: as after the end of a container whose address the next one gets.
BREAKS = (ConnectionError, TimeoutError, SocketTimeout, InvalidResponse)

#: What to do about a code, where it is more than to try again.
_ADVICE = {
    "READONLY": "Try again after the failover, or set SEQD_REDIS_URL to the primary.",
    "NOREPLICAS": "Try again when its replicas are back, or lower its min-replicas-to-write.",
}

_T = TypeVar("_T")


class WrongPassword(NoPermissionError):
    """The server refused the user or password of a new connection."""


def named(error: NoPermissionError, words: tuple[Any, ...]) -> NoPermissionError:
    """Return an error that says what was denied: Redis names the command, but no key."""
    return error if isinstance(error, WrongPassword) else DeniedCommand(str(error), words)


class _Client(Redis):
    """A client whose denied commands say what they were."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except NoPermissionError as error:
            raise named(error, args) from None


#: How each client of this process makes its pool of connections.
_pools: "WeakKeyDictionary[Redis, Callable[[], ConnectionPool]]" = WeakKeyDictionary()


def _renew_pools() -> None:
    """Give each client new connections in a process that was forked.

    redis-py 8.1 does so itself, but waits there for ever for the pool's lock where another thread
    of the parent held it at that moment (`ConnectionPool.reset`).
    """
    for redis, new_pool in list(_pools.items()):
        redis.connection_pool = new_pool()


os.register_at_fork(after_in_child=_renew_pools)


#: True within a try: what it is made of, such as its connection, is not tried again by itself.
is_trying: ContextVar[bool] = ContextVar("seqd_is_trying", default=False)


class OutageRetry(Retry):
    """Sends a command again while its connection breaks, or an outage lasts that is waited for.

    Not after a refused password or a denied command, unless the outage bears with that: it stays
    refused until somebody changes it. The same object serves all connections of a client.
    """

    #: Waits between two tries.
    sleep: Callable[[float], Any] = staticmethod(sleep)

    def __init__(self, retries: int, outage: Outage, role: str, timeout_s: float) -> None:
        """`role` is whose rights the client needs, `timeout_s` how long an answer may take."""
        super().__init__(NoBackoff(), retries)
        self.outage = outage
        self.role = role
        self.timeout_s = timeout_s
        #: What a refused password is; another server may have followed the one that was found.
        self.refusal = Trouble.LOCKED_OUT

    def __deepcopy__(self, memo: object) -> Self:
        # redis-py gives each connection a copy; an outage is that of all of them.
        return self

    def call_with_retry(
        self,
        do: Callable[[], _T],
        fail: Callable[..., object],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> _T:
        """Return what `do` returns; `fail` closes the connection, which is then made anew.

        redis-py gives no `is_retryable` to the commands that seqd sends.
        """
        if is_trying.get():
            return do()
        # A connection proves nothing: a frozen server still has them made.
        is_answer = with_failure_count and getattr(do, "__self__", None) is None
        return cast(_T, run(self.tries(do, fail, with_failure_count, is_answer), call))

    def tries(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        with_failure_count: bool,
        is_answer: bool,
    ) -> Generator[Callable[[], Any], object, object]:
        """Yield what is to be called, and be sent the result; return that of `do`.

        `is_answer` says that a result of `do` shows that the server answers.
        """
        attempts: Attempts | None = None
        failures = 0
        while True:
            token = is_trying.set(True)
            try:
                result = yield do
            except (*BREAKS, ResponseError) as failed:
                error = failed
            else:
                if is_answer:
                    self.outage.has_answered = self.outage.is_proven = True
                    if self.outage.is_on:
                        self.outage.end(is_repeat=failures > 0)
                return result
            finally:
                is_trying.reset(token)
            is_locked_out = isinstance(error, (AuthenticationError, AuthorizationError))
            trouble = trouble_of(error)
            if is_locked_out:  # redis-py counts these among the broken connections
                trouble = self.refusal
            elif not self.outage.is_proven and is_lasting(error):
                trouble = None
            if trouble is None:
                raise error
            attempts = attempts or Attempts(self.outage, self._retries)
            failures += 1
            if trouble is not Trouble.FULL and not is_locked_out:
                # Also after a refusal: the name may stand for another server by now.
                yield partial(fail, error, *((failures,) if with_failure_count else ()))
            wait_s = attempts.wait_s(trouble, error)
            if wait_s is None and is_locked_out:
                raise WrongPassword(str(error)) from error
            if wait_s is None:
                raise error
            yield partial(self.sleep, wait_s)


def trouble_of(error: Exception) -> Trouble | None:
    """Return why a command failed, where that passes by itself; None for any other error."""
    if isinstance(error, BusyLoadingError):
        return Trouble.REFUSED
    if not isinstance(error, ResponseError):
        return Trouble.BREAK if isinstance(error, BREAKS) else None
    if str(error).startswith("seqd: ") or is_of_a_cluster(error):
        return None
    if code := passing_code(error):
        return Trouble.FULL if code in _FULL else Trouble.REFUSED
    return Trouble.DENIED if denial_of(error) else None


class Place(TypedDict, total=False):
    """Where a server listens, and its login."""

    username: str
    password: str
    path: str
    host: str
    port: int


def place_of(found: FoundServer) -> Place:
    """Return where a server that was found listens now: `path`, or `host` and `port`."""
    place = parse_url(found.url())  # type: ignore[no-untyped-call]
    return cast(Place, place if "path" in place else {"host": "localhost", "port": 6379} | place)


def place_in_words(place: Place) -> str:
    """Return an address for a message, without the password."""
    return place["path"] if "path" in place else f"{place['host']}:{place['port']}"


class FoundConnection(UnixDomainSocketConnection):
    """A connection that looks for the embedded server each time that it is made.

    So a client outlives its server: the next `seqd up` may listen elsewhere, with another password.
    """

    def __init__(self, *, found: FoundServer, **options: Any) -> None:
        self._found = found
        super().__init__(**options)  # type: ignore[no-untyped-call]

    def _connect(self) -> socket.socket:
        place = place_of(self._found)
        # redis-py asks for the path at each command, to have it if there is an error.
        self.path = place_in_words(place)
        self.username, self.password = place.get("username"), place.get("password")
        timeout_s = self.socket_connect_timeout
        if "path" in place:
            made = connect_to(Path(place["path"]), timeout_s)
        else:
            made = socket.create_connection((place["host"], place["port"]), timeout_s)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.settimeout(self.socket_timeout)
        return made


def _primary_pool(sentinels: Sentinels, **options: Any) -> SentinelConnectionPool:
    return SentinelConnectionPool(sentinels.address.master_name, sentinels, **options)  # type: ignore[no-untyped-call]


class Kinds(NamedTuple):
    """What the connections of one face are made of."""

    pool: Any
    found: type
    primary_pool: Callable[..., Any]
    primary: type
    primary_tls: type


_BLOCKING = Kinds(
    ConnectionPool, FoundConnection, _primary_pool, PrimaryConnection, PrimaryTlsConnection
)


def connect(
    url: str,
    *,
    retries: int = 5,
    timeout_s: float = SOCKET_TIMEOUT_S,
    outage: Outage | None = None,
    access: RedisAccess | None = None,
    role: str = "client",
) -> Redis:
    """Return a client for `url`, which connects on first use and again after a break.

    Of an address with Sentinels that is the primary, whoever it is when a connection is made, and
    of an embedded server that was found the one that its folder names then. `access` has the
    certificates, the Sentinels' login, and that folder.

    A connection without an answer for `timeout_s` seconds is closed, and a new one made. A command
    without an answer is sent again, `retries` times and for as long as `outage` allows, so writes
    must be idempotent; all scripts of the ledger are, but `claim`, whose first units are claimable
    again when their lease has run out. Without `outage` no outage is waited for. A refused password
    is not tried again, unless `outage` bears with it, nor, before the first answer, a refused
    certificate, or a primary that no Sentinel knows. `role` is whose rights a message about a
    missing one names. Raises InvalidSettings for a URL that is not Redis's, and for certificates
    that cannot be read.
    """
    policy = OutageRetry(retries, outage or Outage(), role, timeout_s)
    new_pool = partial(pool_of, _BLOCKING, url, access, policy, timeout_s)
    redis = _Client.from_pool(new_pool())
    _pools[redis] = new_pool
    policy.outage.address = address_of(redis)
    return redis


def pool_of(
    kinds: Kinds,
    url: str,
    access: RedisAccess | None,
    policy: OutageRetry,
    socket_timeout_s: float | None,
) -> Any:
    """Return connections to an address, as a pool; see `connect`."""
    access = access or RedisAccess()
    remember_address(url)
    check_redis_url(url)
    access.check(url)
    options: dict[str, Any] = {
        "socket_timeout": socket_timeout_s,
        "socket_connect_timeout": min(5.0, policy.timeout_s),
        "health_check_interval": 15,
        "protocol": 2,  # replies of one shape on every server, from Redis 6.2 on
        "retry": policy,
        "retry_on_error": [ConnectionError, TimeoutError],
    }
    if access.folder is not None:
        policy.refusal = Trouble.BREAK
        found = FoundServer(access.folder, url)
        return kinds.pool(connection_class=kinds.found, found=found, **options)
    if not url.startswith("unix://"):
        # A Unix socket has none, and redis-py's connection to one takes no such option.
        options["socket_keepalive"] = True
    options |= access.tls_options(url)
    try:
        if not is_sentinel_url(url):
            return kinds.pool.from_url(without_tls_options(url), **options)
        address = read_sentinel_url(url)
    except ValueError:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}, which cannot be read. {HOW_TO_WRITE_IT}."
        ) from None
    return kinds.primary_pool(
        sentinels=Sentinels(address, sentinel_login(address, access, url)),
        connection_class=kinds.primary_tls if address.is_tls else kinds.primary,
        db=address.database,
        username=address.user,
        password=address.password,
        **options,
    )


def _policy_of(redis: "AnyRedis") -> OutageRetry:
    """Return the policy of a client, which of one that is not of `connect` waits for nothing."""
    retry = redis.connection_pool.connection_kwargs.get("retry")
    if isinstance(retry, OutageRetry):
        return retry
    return OutageRetry(0, Outage(), "client", SOCKET_TIMEOUT_S)


def outage_of(redis: "AnyRedis") -> Outage:
    """Return the outage that all connections of a client of `connect` share."""
    return _policy_of(redis).outage


def _sentinels_of(redis: "AnyRedis") -> Sentinels | None:
    pool = redis.connection_pool
    return getattr(pool, "sentinel_manager", None) or pool.connection_kwargs.get("sentinels")


def has_sentinels(redis: "AnyRedis") -> bool:
    """Return whether Sentinels say which server is asked."""
    return _sentinels_of(redis) is not None


def address_of(redis: "AnyRedis") -> str:
    """Return the address of a client's server for a message, without the password."""
    sentinels = _sentinels_of(redis)
    if sentinels is not None:
        return str(sentinels.address)
    settings = redis.connection_pool.connection_kwargs
    if "found" in settings:
        return place_in_words(place_of(settings["found"]))
    return place_in_words(cast(Place, {"host": "localhost", "port": 6379} | settings))


def user_of(redis: "AnyRedis") -> str:
    """Return the name of the user as which a client connects."""
    return str(redis.connection_pool.connection_kwargs.get("username") or "default")


@contextmanager
def redis_errors(redis: "AnyRedis") -> Iterator[None]:
    """Raise RedisRefused, RedisFull or RedisUnreachable for Redis's errors in the block.

    For a denied command or key it is RedisNoPermission; InvalidSettings where the server is one of
    a Redis Cluster or no Redis, has no such database, or no Sentinel knows its name. Any other
    error of the server, such as one that a script of ours raises, stays a ResponseError.

    The error of Redis is the `__context__` of ours, whose sentence has all of it that a person
    needs: a traceback does not show the fifty lines of redis-py.
    """
    try:
        yield
    except RedisError as error:
        ours = _ours(redis, error)
        if ours is None:
            raise
        raise ours from None


def _ours(redis: "AnyRedis", error: RedisError) -> SeqdError | None:
    """Return our error for one of Redis's; None for one of a script of ours, and any other."""
    text, address = str(error), address_of(redis)
    if denial := denial_of(error):
        return no_permission(address, user_of(redis), _policy_of(redis).role, denial)
    if isinstance(error, (AuthenticationError, AuthorizationError, NoPermissionError)):
        return _refused(redis, error)
    if isinstance(error, (ConnectionError, TimeoutError, InvalidResponse)):
        known = refusal_of(error, address, is_proven=outage_of(redis).is_proven)
        if known is None:
            cause, advice = _cause_and_advice(redis, error)
            known = RedisUnreachable(f"{cause} {advice}", cause)
        return known
    # Those of ours have names of jobs and units in them.
    if not isinstance(error, ResponseError) or text.startswith("seqd: "):
        return None
    if is_of_a_cluster(error):
        return InvalidSettings(cluster_sentence(address))
    if "DB index is out of range" in text:  # as it says of a database that it has not
        database = redis.connection_pool.connection_kwargs.get("db")
        return InvalidSettings(
            f"Redis at {address} has no database {database}. Set SEQD_REDIS_URL to one that it "
            "has, such as redis://host:6379/0."
        )
    if code := passing_code(error):
        if code in _FULL:
            return _full(redis) if code == "OOM" else _unwritable(redis, error)
        if code == "READONLY" and isinstance(redis, Redis):
            # The name may stand for another server by now, which a new connection finds.
            redis.connection_pool.disconnect(inuse_connections=False)
        return RedisUnreachable(_not_now(redis, error, code))
    # Inside a script redis-py does not recognise these.
    return _refused(redis, error) if "NOAUTH" in text or "WRONGPASS" in text else None


def passing_code(error: ResponseError) -> str | None:
    """Return the code of an error that passes by itself, such as `READONLY`; None for another.

    It passes when a failover is over, replicas are back, a long script has ended, or there is
    room in memory (`OOM`) or on the disk (`MISCONF`).
    """
    if isinstance(error, ReadOnlyError):  # redis-py takes the word off
        return "READONLY"
    if isinstance(error, OutOfMemoryError):
        return "OOM"
    if isinstance(error, (MasterDownError, TryAgainError)):
        return "TRYAGAIN"
    # redis-py puts the command in front of the error of a command in a pipeline.
    match = _PASSING.search(str(error).rpartition(" of pipeline caused error: ")[2])
    return match[1] if match else None


def until_durable(redis: "AnyRedis", keys: Keys, timeout_s: float) -> Exchange[bool]:
    """Wait until all that the server has acknowledged so far is on its disk; True when it is.

    Redis with `appendfsync everysec` answers before it has synced: a crash of the machine loses up
    to a second of acknowledged writes. `WAITAOF` (Redis 7.2, Valkey) waits for the sync, but only
    of writes of its own connection; so a mark is written here, behind all that came before. Of a
    primary with Sentinels a replica must have it, too (`WAIT`): it may be the next primary.

    False when that took longer than `timeout_s` (or four fifths of the connection's own timeout),
    when Redis was away or full, and at once on a server that cannot tell: Redis before 7.2, one
    without an append-only file, or a user without the right to `WAITAOF`. Such a server is not
    asked again through the same client. Raises nothing: what was written stands.
    """
    if redis in _without_waitaof:
        return False
    timeout_ms = 1000 * min(timeout_s, 0.8 * _policy_of(redis).timeout_s)
    if has_sentinels(redis):
        timeout_ms /= 2  # the two waits come one after the other
    longest_ms = max(1, int(timeout_ms))  # 0 is for ever
    asked = [
        Command(("SET", keys.durability_mark(), 1, "EX", MARK_TTL_S)),
        Command(("WAITAOF", 1, 0, longest_ms)),
        *([Command(("WAIT", 1, longest_ms))] if has_sentinels(redis) else []),
    ]
    try:
        # One pipeline: one connection, and after a break all are sent again. `WAITAOF` alone on a
        # new connection would find nothing to wait for, and say yes.
        with waiting_at_most(timeout_s), redis_errors(redis):
            replies = yield from pipeline(asked, raises=False)
            return _is_durable(redis, replies)
    except (*REDIS_ERRORS, ResponseError) as error:
        log.info("not known to be on disk: %s", error)
        return False


def _is_durable(redis: "AnyRedis", replies: list[object]) -> bool:
    """Return what the replies say; raises what the first one is."""
    marked, synced, *replicas = replies
    if isinstance(marked, RedisError):
        raise marked
    if isinstance(synced, ResponseError):
        log.info("the server cannot tell what is on its disk: %s", synced)
        _without_waitaof.add(redis)
        return False
    if replicas and not (isinstance(replicas[0], int) and replicas[0] >= 1):
        log.info("not known to be on a replica: %s", replicas[0])
        return False
    return cast(list[int], synced)[0] >= 1


def _cause_and_advice(redis: "AnyRedis", error: RedisError) -> tuple[str, str]:
    address, outage = address_of(redis), outage_of(redis)
    if not outage.is_proven and is_silent_at_tls(error):
        return (
            f"Redis at {address} takes connections and does not answer as TLS does.",
            "Set SEQD_REDIS_URL to its TLS port (tls-port), or begin it with redis:// if it may go "
            "unencrypted; if the address is right, it hangs: try again later.",
        )
    if outage.limit_s > 0 and outage.has_answered and outage.seconds() >= SHORTEST_S:
        return (
            f"Redis at {address} has been away for {outage.seconds():.0f} s: {_reason(error)}",
            "Try again when it is back, or set SEQD_REDIS_URL to a server that runs.",
        )
    if has_sentinels(redis):
        return (
            f"No answer from Redis at {address}: {_reason(error)}",
            "Try again when its Sentinels have put another in its place, or set SEQD_REDIS_URL to "
            "a server that runs.",
        )
    if "found" in redis.connection_pool.connection_kwargs:
        advice = (
            "A running `seqd up` starts its server again within seconds; else start one with it."
        )
    else:
        advice = "Start that server, or set SEQD_REDIS_URL to one that runs; `seqd up` has its own."
    return f"No answer from Redis at {address}: {_reason(error)}", advice


def _not_now(redis: "AnyRedis", error: RedisError, code: str) -> str:
    advice = _ADVICE.get(code, "Try again later.")
    # Redis says of a replica what cannot be done, and not that it is one alone.
    reason = "it is a read-only replica." if code == "READONLY" else _reason(error)
    return f"Redis at {address_of(redis)} cannot do this just now: {reason} {advice}"


def _refused(redis: "AnyRedis", error: RedisError) -> RedisRefused:
    return RedisRefused(
        f"Redis at {address_of(redis)} refused the user or password: {_reason(error)} Set "
        "SEQD_REDIS_URL to redis://user:password@host:port/0 with the right ones."
    )


def _reason(error: RedisError) -> str:
    """Return an error's text with one full stop behind it."""
    return f"{str(error).rstrip('.')}."


def _full(redis: "AnyRedis") -> RedisFull:
    cause = f"Redis at {address_of(redis)} has reached its maxmemory."
    return RedisFull(
        f"{cause} Nothing was written. Raise maxmemory, wait until old jobs have outlived their "
        "results_ttl_s, or try again later.",
        cause,
    )


def _unwritable(redis: "AnyRedis", error: RedisError) -> RedisFull:
    cause = (
        f"Redis at {address_of(redis)} takes no writes, since it cannot write to its disk: "
        f"{_reason(error)}"
    )
    return RedisFull(f"{cause} Nothing was written. Free its disk, or try again later.", cause)
