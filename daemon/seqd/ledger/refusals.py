"""Why a server cannot be used at all, told from one that is away: what stays until it is changed.

A certificate that is not accepted, a primary that no Sentinel knows, a login that the Sentinels
refuse, a server of a Redis Cluster, one that is no Redis, and what is wrong with TLS, in words.
"""

from collections.abc import Iterator
from ssl import SSLCertVerificationError, SSLError

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

#: OpenSSL's codes (X509_V_ERR_…) of a certificate that is not accepted.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNSIGNED = frozenset({2, 18, 19, 20, 21})
_OTHER_HOST = frozenset({62, 64})

#: How Python begins to say that a handshake took too long.
_HANDSHAKE_TIMEOUT = "handshake operation timed out"

#: How OpenSSL names the alerts of a server that wants a certificate of the client, or another.
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "ALERT_HANDSHAKE_FAILURE")
_CERTIFICATE_EXPIRED = ("ALERT_CERTIFICATE_EXPIRED",)
_REFUSES_CERTIFICATE = (
    "ALERT_UNKNOWN_CA",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_ACCESS_DENIED",
    "ALERT_DECRYPT_ERROR",
)
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST")
_NO_COMMON_VERSION = ("UNSUPPORTED_PROTOCOL", "ALERT_PROTOCOL_VERSION", "NO_SHARED_CIPHER")


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
    """Return our error for an answer that is not Redis's; of that hiredis tells how it begins."""
    text = f"What answers at {address} is not Redis ({error})."
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


def tls_fault_of(error: BaseException) -> str | None:
    """Return what is wrong and what to do; None where an error is not one of TLS.

    Also None where a connection just broke: that passes by itself. The sentence goes on after the
    name of the server, and has no full stop.
    """
    for cause in _causes(error):
        if isinstance(cause, SSLCertVerificationError):
            return _certificate(cause)
        if isinstance(cause, SSLError):
            return _handshake(cause.reason or "")
    return None


def is_silent_at_tls(error: BaseException) -> bool:
    """Return whether a server took the connection and then did not answer as TLS does.

    It may hang. Redis on a port without TLS does the same: it waits for the end of the line.
    """
    return any(_HANDSHAKE_TIMEOUT in str(cause) for cause in _causes(error))


def _certificate(error: SSLCertVerificationError) -> str:
    code, said = error.verify_code, error.verify_message.rstrip(".")
    if code == _EXPIRED:
        return "has a certificate that has expired. Renew it there"
    if code == _NOT_YET_VALID:
        return (
            "has a certificate that is not valid yet. Set the clocks of both machines right, or "
            "give the server another"
        )
    if code in _OTHER_HOST:
        return (
            f"has a certificate of another host: {said}. Set SEQD_REDIS_URL to a name that is in "
            "the certificate, or give the server one with this name"
        )
    if code in _UNSIGNED:
        return (
            f"has a certificate of an unknown authority: {said}. Set SEQD_REDIS_CA_FILE to the "
            "certificate of the authority that has signed it"
        )
    return f"has a certificate that is not accepted: {said}. Give the server another"


def _handshake(reason: str) -> str | None:
    if reason.endswith(_WANTS_CERTIFICATE):
        return (
            "wants a certificate of its clients. Set SEQD_REDIS_CERT_FILE and SEQD_REDIS_KEY_FILE "
            "to one that its authority has signed"
        )
    if reason.endswith(_CERTIFICATE_EXPIRED):
        return "says that the certificate of SEQD_REDIS_CERT_FILE has expired. Renew it"
    if reason.endswith(_REFUSES_CERTIFICATE):
        return (
            "refuses the certificate of SEQD_REDIS_CERT_FILE. Set it and SEQD_REDIS_KEY_FILE to "
            f"one that its authority has signed ({reason.lower().replace('_', ' ')})"
        )
    if reason.endswith(_NO_TLS):
        return (
            "does not speak TLS on this port. Set SEQD_REDIS_URL to its TLS port (tls-port), or "
            "begin it with redis:// if it may go unencrypted"
        )
    if reason.endswith(_NO_COMMON_VERSION):
        return (
            "speaks no version of TLS that this machine does. Set its tls-protocols to TLSv1.2 "
            "TLSv1.3"
        )
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it came from, the nearest first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
