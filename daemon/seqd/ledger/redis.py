"""Connections to Redis: how they are made, what their errors mean, whether the server keeps data.

`connect` makes a client, whose commands are sent again until an outage is over (see `outage`),
`redis_errors` turns Redis's errors into ours, and `wait_until_durable` waits until what was written
is on the server's disk.
"""

import logging
import os
import re
from builtins import TimeoutError as SocketTimeout
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast
from weakref import WeakKeyDictionary, WeakSet

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
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

from seqd.errors import (
    REDIS_ERRORS,
    InvalidSettings,
    RedisFull,
    RedisRefused,
    RedisUnreachable,
)
from seqd.ledger.denials import DeniedCommand, denial_of, no_permission
from seqd.ledger.discovery import FoundConnection, address_in_words
from seqd.ledger.exchange import Command
from seqd.ledger.outage import SHORTEST_S, Attempts, Outage, Trouble, waiting_at_most
from seqd.ledger.refusals import cluster_sentence, is_lasting, is_of_a_cluster, refusal_of
from seqd.ledger.sentinel import primary_pool
from seqd.ledger.tls import is_silent_at_tls
from seqd.local.endpoint import FoundServer
from seqd.local.redis_access import RedisAccess, without_tls_options
from seqd.local.redis_address import (
    HOW_TO_WRITE_IT,
    check_redis_url,
    is_sentinel_url,
    read_sentinel_url,
)
from seqd.masking import remember_address, without_password
from seqd_schemas import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis

    AnyRedis = Redis | AsyncRedis

log = logging.getLogger(__name__)

#: Seconds without an answer, after which a connection is taken for dead. A blocking read asks
#: for less (`jobs.BLOCK_MS`); redis-py cuts a longer one off.
SOCKET_TIMEOUT_S = 10.0

#: Seconds until the durability mark goes by itself. It has served when `WAITAOF` answers.
MARK_TTL_S = 60

#: Clients whose server has no `WAITAOF`; they are not asked again.
_without_waitaof: "WeakSet[AnyRedis]" = WeakSet()

#: Error codes of a server that cannot do something just now. Alone a code begins the text; from a
#: script of Redis 6.2 it stands behind the script's line and a hyphen.
_TRANSIENT = re.compile(
    r"(?:^|: -?)(READONLY|NOREPLICAS|MASTERDOWN|TRYAGAIN|LOADING|BUSY|UNKILLABLE"
    r"|UNBLOCKED|Script killed by user) "
)

#: How a command fails whose server is away. Also another program at its address: for a moment, such
#: as after the end of a container whose address the next one gets.
BREAKS = (ConnectionError, TimeoutError, SocketTimeout, InvalidResponse)

#: Error texts of a server without memory, and of one that cannot write to its disk.
_FULL = re.compile(r"(?:^|\W)(?:OOM command|MISCONF )")

#: What to do about them, where it is more than to try again.
_TRANSIENT_ADVICE = {
    "READONLY": "Try again after the failover, or set SEQD_REDIS_URL to the primary.",
    "NOREPLICAS": "Try again when its replicas are back, or lower its min-replicas-to-write.",
}

_T = TypeVar("_T")


class WrongPassword(NoPermissionError):
    """The server refused the user or password of a new connection."""


class _Client(Redis):
    """A client whose denied commands say what they were: Redis names the command, but no key."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except WrongPassword:
            raise
        except NoPermissionError as error:
            raise DeniedCommand(str(error), args) from None


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


@contextmanager
def trying() -> Iterator[None]:
    """Have the block be one try, in this thread or task."""
    token = is_trying.set(True)
    try:
        yield
    finally:
        is_trying.reset(token)


class OutagePolicy:
    """What a retry policy of ours knows, of connections that block or of asyncio."""

    outage: Outage
    #: Whose rights the client needs.
    role: str
    #: What a refused password is; another server may have followed the one that was found.
    refusal = Trouble.LOCKED_OUT

    def trouble_in(
        self, error: Exception, is_retryable: Callable[[Exception], bool] | None
    ) -> Trouble | None:
        """Return why a command failed that is to be tried again; None where it is not."""
        trouble = trouble_of(error)
        if is_retryable and not is_retryable(error):
            return None
        return None if not self.outage.is_proven and is_lasting(error) else trouble

    def note_answer(self, *, is_repeat: bool) -> None:
        """Note that the server has answered; `is_repeat` where it did not before."""
        self.outage.has_answered = self.outage.is_proven = True
        if self.outage.is_on:
            self.outage.end(is_repeat=is_repeat)


class _OutageRetry(OutagePolicy, Retry):
    """Sends a command again while its connection breaks, or an outage lasts that is waited for.

    Not after a refused password or a denied command, unless the outage bears with that: it stays
    refused until somebody changes it. The same object serves all connections.
    """

    def __init__(self, retries: int, outage: Outage, role: str) -> None:
        super().__init__(NoBackoff(), retries)
        self.outage = outage
        self.role = role

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
        if is_trying.get():
            return do()
        attempts: Attempts | None = None
        failures = 0
        while True:
            try:
                with trying():
                    result = do()
            except (AuthenticationError, AuthorizationError) as error:
                # redis-py counts these among the broken connections, which are tried again.
                attempts = attempts or Attempts(self.outage, self._retries)
                if not attempts.again(self.refusal, error):
                    raise WrongPassword(str(error)) from error
            except (*BREAKS, ResponseError) as error:
                trouble = self.trouble_in(error, is_retryable)
                if trouble is None:
                    raise
                attempts = attempts or Attempts(self.outage, self._retries)
                failures += 1
                if trouble is not Trouble.FULL:
                    # Also after a refusal: the name may stand for another server by now.
                    fail(error, failures) if with_failure_count else fail(error)
                if not attempts.again(trouble, error):
                    raise
            else:
                # A connection proves nothing: a frozen server still has them made.
                if with_failure_count and getattr(do, "__self__", None) is None:
                    self.note_answer(is_repeat=attempts is not None)
                return result


def trouble_of(error: Exception) -> Trouble | None:
    """Return why a command failed, where that passes by itself; None for any other error."""
    if isinstance(error, BusyLoadingError):
        return Trouble.REFUSED
    if not isinstance(error, ResponseError):
        return Trouble.BREAK if isinstance(error, BREAKS) else None
    text = str(error)
    if text.startswith("seqd: ") or is_of_a_cluster(error):
        return None
    if transient_error(error):
        return Trouble.REFUSED
    if denial_of(error):
        return Trouble.DENIED
    is_full = isinstance(error, OutOfMemoryError) or _FULL.search(text) is not None
    return Trouble.FULL if is_full else None


def outage_of(redis: "AnyRedis") -> Outage:
    """Return the outage that all connections of a client of `connect` share."""
    retry = redis.connection_pool.connection_kwargs.get("retry")
    return retry.outage if isinstance(retry, OutagePolicy) else Outage()


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
    outage, access = outage or Outage(), access or RedisAccess()
    policy = _OutageRetry(retries, outage, role)
    with reading_address(url, access):
        options = connection_options(url, policy, timeout_s, access)

        def new_pool() -> ConnectionPool:
            if access.folder is not None:
                return ConnectionPool(connection_class=FoundConnection, **options)
            if is_sentinel_url(url):
                return primary_pool(url, read_sentinel_url(url), access, options)
            return ConnectionPool.from_url(
                without_tls_options(url), **access.tls_options(url), **options
            )

        redis = _Client.from_pool(new_pool())
    _pools[redis] = new_pool
    outage.address = address_of(redis)
    return redis


@contextmanager
def reading_address(url: str, access: RedisAccess) -> Iterator[None]:
    """Raise InvalidSettings for an address that cannot be read, or certificates."""
    remember_address(url)
    check_redis_url(url)
    access.check(url)
    try:
        yield
    except ValueError:
        raise InvalidSettings(
            f"SEQD_REDIS_URL is {without_password(url)!r}, which cannot be read. {HOW_TO_WRITE_IT}."
        ) from None


def connection_options(
    url: str, policy: OutagePolicy, timeout_s: float, access: RedisAccess
) -> dict[str, Any]:
    """Return redis-py's options for connections, whether they block or not."""
    options: dict[str, Any] = {
        "socket_timeout": timeout_s,
        "socket_connect_timeout": min(5.0, timeout_s),
        "health_check_interval": 15,
        "protocol": 2,  # replies of one shape on every server, from Redis 6.2 on
        "retry": policy,
        "retry_on_error": [ConnectionError, TimeoutError],
    }
    if access.folder is not None:
        policy.refusal = Trouble.BREAK
        options["found"] = FoundServer(access.folder, url)
    elif not url.startswith("unix://"):
        # A Unix socket has none, and redis-py's connection to one takes no such option.
        options["socket_keepalive"] = True
    return options


def address_of(redis: "AnyRedis") -> str:
    """Return the address of a client's server for a message, without the password."""
    pool = redis.connection_pool
    sentinels = getattr(pool, "sentinels", None)
    if sentinels is not None:
        return str(sentinels.address)
    settings = pool.connection_kwargs
    if "found" in settings:
        return address_in_words(settings["found"])
    if "path" in settings:
        return str(settings["path"])
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def has_sentinels(redis: "AnyRedis") -> bool:
    """Return whether Sentinels say which server is asked."""
    return hasattr(redis.connection_pool, "sentinels")


def user_of(redis: "AnyRedis") -> str:
    """Return the name of the user as which a client connects."""
    return str(redis.connection_pool.connection_kwargs.get("username") or "default")


def role_of(redis: "AnyRedis") -> str:
    """Return the role whose rights a client needs."""
    retry = redis.connection_pool.connection_kwargs.get("retry")
    return retry.role if isinstance(retry, OutagePolicy) else "client"


def timeout_s_of(redis: "AnyRedis") -> float:
    """Return the seconds for which a client waits for an answer."""
    timeout_s = redis.connection_pool.connection_kwargs.get("socket_timeout")
    return SOCKET_TIMEOUT_S if timeout_s is None else float(timeout_s)


@contextmanager
def redis_errors(redis: "AnyRedis") -> Iterator[None]:
    """Raise RedisRefused, RedisFull or RedisUnreachable for Redis's errors in the block.

    For a denied command or key it is RedisNoPermission; InvalidSettings where the server is one of
    a Redis Cluster or no Redis, or no Sentinel knows its name. Any other error of the server, such
    as one that a script of ours raises, stays a ResponseError.

    The error of Redis is the `__context__` of ours, whose sentence has all of it that a person
    needs: a traceback does not show the fifty lines of redis-py.
    """
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        if denial := denial_of(error):
            raise no_permission(address_of(redis), user_of(redis), role_of(redis), denial) from None
        raise RedisRefused(_refused(redis, error)) from None
    except OutOfMemoryError:
        raise _full(redis) from None
    except (ConnectionError, TimeoutError, InvalidResponse) as error:
        if refusal := refusal_of(error, address_of(redis), is_proven=outage_of(redis).is_proven):
            raise refusal from None
        raise _unreachable(redis, error) from None
    except ResponseError as error:
        if str(error).startswith("seqd: "):  # ours, with names of jobs and units in it
            raise
        if is_of_a_cluster(error):
            raise InvalidSettings(cluster_sentence(address_of(redis))) from None
        if code := transient_error(error):
            if code == "READONLY" and isinstance(redis, Redis):
                # The name may stand for another server by now, which a new connection finds.
                redis.connection_pool.disconnect(inuse_connections=False)
            raise RedisUnreachable(_not_now(redis, error, code)) from None
        if denial := denial_of(error):  # in a script, where redis-py does not recognise it
            raise no_permission(address_of(redis), user_of(redis), role_of(redis), denial) from None
        if "NOAUTH" in str(error) or "WRONGPASS" in str(error):
            raise RedisRefused(_refused(redis, error)) from None
        if "OOM" in str(error):  # raised inside a script, where redis-py does not recognise it
            raise _full(redis) from None
        if "MISCONF" in str(error):
            raise _unwritable(redis, error) from None
        raise


def transient_error(error: ResponseError) -> str | None:
    """Return the code of an error that passes by itself, such as `READONLY`; None for another.

    It passes when a failover is over, replicas are back, or a long script has ended.
    """
    if isinstance(error, ReadOnlyError):  # redis-py takes the word off
        return "READONLY"
    if isinstance(error, (MasterDownError, TryAgainError)):
        return "TRYAGAIN"
    # redis-py puts the command in front of the error of a command in a pipeline.
    match = _TRANSIENT.search(str(error).rpartition(" of pipeline caused error: ")[2])
    return match[1] if match else None


def wait_until_durable(redis: Redis, keys: Keys, timeout_s: float) -> bool:
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
    if lacks_waitaof(redis):
        return False
    asked = durability_commands(redis, keys.durability_mark(), timeout_s)
    try:
        with redis_errors(redis), waiting_at_most(timeout_s):
            # One pipeline: one connection, and after a break all are sent again. `WAITAOF` alone
            # on a new connection would find nothing to wait for, and say yes.
            with redis.pipeline(transaction=False) as pipe:
                for one in asked:
                    pipe.execute_command(*one)  # type: ignore[no-untyped-call]
                replies = pipe.execute(raise_on_error=False)
            return is_durable(redis, replies)
    except (*REDIS_ERRORS, ResponseError) as error:
        log.info("not known to be on disk: %s", error)
        return False


def lacks_waitaof(redis: "AnyRedis") -> bool:
    """Return whether a client's server is known to have no `WAITAOF`."""
    return redis in _without_waitaof


def durability_commands(redis: "AnyRedis", mark: str, timeout_s: float) -> list[Command]:
    """Return the commands of one wait for the disk, with Sentinels also for a replica."""
    timeout_ms = max(1, int(1000 * min(timeout_s, 0.8 * timeout_s_of(redis))))  # 0 is for ever
    if has_sentinels(redis):
        timeout_ms = max(1, timeout_ms // 2)  # the two waits come one after the other
    asked = [Command(("SET", mark, 1, "EX", MARK_TTL_S)), Command(("WAITAOF", 1, 0, timeout_ms))]
    return [*asked, Command(("WAIT", 1, timeout_ms))] if has_sentinels(redis) else asked


def is_durable(redis: "AnyRedis", replies: list[object]) -> bool:
    """Return what the replies to `durability_commands` say; raises what the first one is."""
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


def _unreachable(redis: "AnyRedis", error: RedisError) -> RedisUnreachable:
    cause, advice = _cause_and_advice(redis, error)
    return RedisUnreachable(f"{cause} {advice}", cause)


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
    return (
        f"No answer from Redis at {address}: {_reason(error)}",
        "A running `seqd up` starts its own server again within seconds; else start one with `seqd "
        "up`, or set SEQD_REDIS_URL to a server that runs.",
    )


def _not_now(redis: "AnyRedis", error: RedisError, code: str) -> str:
    advice = _TRANSIENT_ADVICE.get(code, "Try again later.")
    # Redis says of a replica what cannot be done, and not that it is one alone.
    reason = "it is a read-only replica." if code == "READONLY" else _reason(error)
    return f"Redis at {address_of(redis)} cannot do this just now: {reason} {advice}"


def _refused(redis: "AnyRedis", error: RedisError) -> str:
    return (
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
