"""Opens connections to Redis, and turns Redis's errors into ours.

Used by whoever needs a connection; everything else is handed one.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from redis import Redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's, not the built-in
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
    TryAgainError,
)
from redis.retry import Retry

from seqd.errors import InvalidSettings, RedisFull, RedisRefused, RedisUnreachable
from seqd.local.endpoint import check_redis_url

#: Seconds without an answer, after which a connection is taken for dead. A blocking read asks
#: for less (`jobs.BLOCK_MS`); redis-py cuts a longer one off.
SOCKET_TIMEOUT_S = 10.0

#: What a server answers that cannot do something just now. Alone it begins the text, in a script
#: of Redis 6.2 it stands behind a place and a hyphen.
_PASSING = re.compile(
    r"(?:^|: -?)(READONLY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|LOADING|BUSY|UNKILLABLE"
    r"|UNBLOCKED|Script killed by user) "
)

#: What to do about it, beside to try again.
_PASSING_ADVICE = {
    "READONLY": "It is a read-only replica: try again after the failover, or set SEQD_REDIS_URL "
    "to the primary.",
    "NOREPLICAS": "Try again when its replicas are back, or lower its min-replicas-to-write.",
}

_T = TypeVar("_T")


class _RetryBreaks(Retry):
    """Tries again after a break, and not after a refusal: a wrong password stays wrong."""

    def call_with_retry(self, do: Callable[[], _T], *args: object, **options: object) -> _T:
        def once() -> _T:
            try:
                return do()
            except (AuthenticationError, AuthorizationError) as error:
                # redis-py counts these among the broken connections, which are tried again.
                raise NoPermissionError(str(error)) from error

        return super().call_with_retry(once, *args, **options)  # type: ignore[arg-type]


def connect(url: str, *, retries: int = 5, timeout_s: float = SOCKET_TIMEOUT_S) -> Redis:
    """Give a client for `url`; it connects on first use and again after a break.

    A connection that gives no answer for `timeout_s` seconds is given up, and a new one made.

    A command that got no answer is sent again, so whoever writes must be idempotent; all
    scripts of the ledger are, but `claim`, whose first catch comes back when its lease runs
    out. A refused password is not tried again. Raises InvalidSettings for a URL that is not
    Redis's.
    """
    try:
        return Redis.from_url(
            check_redis_url(url),
            socket_timeout=timeout_s,
            socket_connect_timeout=min(5.0, timeout_s),
            socket_keepalive=True,
            health_check_interval=15,
            protocol=2,  # replies of one shape on every server, from Redis 6.2 on
            retry=_RetryBreaks(ExponentialWithJitterBackoff(base=0.05, cap=1.0), retries),
            retry_on_error=[ConnectionError, TimeoutError],
        )
    except ValueError as error:
        raise InvalidSettings(
            f"SEQD_REDIS_URL cannot be read: {error}. Form: redis://:password@host:6379/0"
        ) from None


def address_of(redis: Redis) -> str:
    """Name the server for a message, without its password."""
    settings = redis.connection_pool.connection_kwargs
    if "path" in settings:
        return str(settings["path"])
    return f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}"


def timeout_s_of(redis: Redis) -> float:
    """Give the seconds for which a client waits for an answer."""
    given = redis.connection_pool.connection_kwargs.get("socket_timeout")
    return SOCKET_TIMEOUT_S if given is None else float(given)


@contextmanager
def redis_errors(redis: Redis) -> Iterator[None]:
    """Turn Redis's errors into RedisRefused, RedisFull and RedisUnreachable.

    What else a server answers, such as what a script of ours says, stays a ResponseError.
    """
    try:
        yield
    except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
        raise RedisRefused(_refused(redis, error)) from error
    except OutOfMemoryError as error:
        raise RedisFull(_full(redis)) from error
    except (ConnectionError, TimeoutError) as error:
        raise RedisUnreachable(
            f"No answer from Redis at {address_of(redis)}: {_reason(error)} Start one with "
            "`seqd up`, or set SEQD_REDIS_URL to a server that runs."
        ) from error
    except ResponseError as error:
        if str(error).startswith("seqd: "):  # ours, with names of jobs and units in it
            raise
        if passing := passing_trouble(error):
            if passing == "READONLY":
                # The name may stand for another server by now, which a new connection finds.
                redis.connection_pool.disconnect(inuse_connections=False)
            raise RedisUnreachable(_not_now(redis, error, passing)) from error
        if "NOAUTH" in str(error) or "WRONGPASS" in str(error):
            raise RedisRefused(_refused(redis, error)) from error
        if "OOM" in str(error):  # raised inside a script, where redis-py does not recognise it
            raise RedisFull(_full(redis)) from error
        if "MISCONF" in str(error):
            raise RedisFull(_unwritable(redis, error)) from error
        raise


def passing_trouble(error: ResponseError) -> str | None:
    """Name what keeps a server from doing something just now, such as `READONLY`; else None.

    A failover, replicas that are away, a script that runs for long: it passes by itself.
    """
    if isinstance(error, ReadOnlyError):  # redis-py takes the word off
        return "READONLY"
    if isinstance(error, (ClusterDownError, TryAgainError)):
        return "TRYAGAIN"
    # In front of what a command of a pipeline got, redis-py puts the command.
    found = _PASSING.search(str(error).rpartition(" of pipeline caused error: ")[2])
    return found[1] if found else None


def _not_now(redis: Redis, error: RedisError, passing: str) -> str:
    advice = _PASSING_ADVICE.get(passing, "Try again later.")
    return f"Redis at {address_of(redis)} cannot do this just now: {_reason(error)} {advice}"


def _refused(redis: Redis, error: RedisError) -> str:
    return (
        f"Redis at {address_of(redis)} refused the user or password: {_reason(error)} Set "
        "SEQD_REDIS_URL to redis://user:password@host:port/0 with the right ones."
    )


def _reason(error: RedisError) -> str:
    """Give an error's text with one full stop behind it."""
    return f"{str(error).rstrip('.')}."


def _full(redis: Redis) -> str:
    return (
        f"Redis at {address_of(redis)} has reached its maxmemory. Nothing was written. Raise "
        "maxmemory, wait until old jobs have outlived their results_ttl_s, or try again later."
    )


def _unwritable(redis: Redis, error: RedisError) -> str:
    return (
        f"Redis at {address_of(redis)} takes no writes, since it cannot write to its disk: "
        f"{_reason(error)} Nothing was written. Free its disk, or try again later."
    )
