"""Why a server cannot be used at all, told from one that is away: what stays until it is changed.

A certificate that is not accepted, a primary that no Sentinel knows, a login that the Sentinels
refuse, a server of a Redis Cluster, and one that is no Redis.
"""

from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's, not the built-in
    InvalidResponse,
    MasterDownError,
)

from seqd.errors import InvalidSettings, RedisRefused, RedisUnreachable, SeqdError
from seqd.ledger.sentinel import NoPrimary, UnknownPrimary
from seqd.ledger.tls import tls_fault_of


def is_lasting(error: Exception) -> bool:
    """Return whether an error stays until somebody changes a setting or a certificate."""
    if isinstance(error, InvalidResponse):
        return True
    if not isinstance(error, ConnectionError):
        return False
    is_fixed = isinstance(error, NoPrimary) and error.is_lasting
    return is_fixed or tls_fault_of(error) is not None


def refusal_of(error: Exception, address: str, *, is_proven: bool) -> SeqdError | None:
    """Return our error for one that says more than that a server is away; None for any other.

    `is_proven` says that the address was good before: then it is not the setting that is wrong.
    """
    if isinstance(error, InvalidResponse):
        return _no_redis(error, address, is_proven=is_proven)
    fault = tls_fault_of(error)
    if not isinstance(error, NoPrimary):
        return RedisRefused(f"Redis at {address} {fault}.") if fault else None
    if fault:
        return RedisRefused(f"A Sentinel of {address} {fault}.")
    text = f"There is no Redis to use: {str(error).rstrip('.')}."
    if not error.is_lasting or (is_proven and isinstance(error, UnknownPrimary)):
        return RedisUnreachable(f"{text} Try again later.")
    return InvalidSettings(text) if isinstance(error, UnknownPrimary) else RedisRefused(text)


def _no_redis(error: InvalidResponse, address: str, *, is_proven: bool) -> SeqdError:
    """Return our error for an answer that is not Redis's; redis-py puts the answer in its text."""
    answer = str(error).partition("Protocol Error: ")[2]
    text = f"What answers at {address} is not Redis: it sent {answer[:80]}."
    if is_proven:  # Redis is away, and something else has its address until it is back
        return RedisUnreachable(f"{text} Try again when Redis is back.")
    return InvalidSettings(f"{text} Set SEQD_REDIS_URL to the host and port of Redis.")


def is_of_a_cluster(error: Exception) -> bool:
    """Return whether an answer is one that only a Redis Cluster gives."""
    if isinstance(error, MasterDownError):  # redis-py counts it among them; a replica gives it
        return False
    return isinstance(error, (AskError, ClusterCrossSlotError, ClusterDownError))


def cluster_sentence(address: str) -> str:
    """Return what to do about a server of a Redis Cluster."""
    return (
        f"Redis at {address} is one of a Redis Cluster, which carries neither Celery's queues nor "
        "all keys of a job. Set SEQD_REDIS_URL to a single server (redis:// or rediss://), or to "
        "one with replicas and Sentinels (redis+sentinel://)."
    )
