"""The primary that Sentinels watch: who it is now, and why there is none.

Each new connection asks the Sentinels, in turn until one knows. While a failover lasts that is an
outage, which is waited for as any other. What a Sentinel does not know, or refuses, does not pass
by itself; it is an error of its own.
"""

from collections.abc import Mapping
from typing import TypedDict, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,  # noqa: A004 - redis-py's, not the built-in
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
)
from redis.retry import Retry
from redis.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)

from seqd.local.redis_access import RedisAccess
from seqd.local.redis_address import SentinelAddress

#: Seconds for an answer of one Sentinel, before the next is asked. Of three, two may be on the
#: machine that has gone.
SENTINEL_TIMEOUT_S = 1.0


class NoPrimary(MasterNotFoundError):
    """There is no primary to connect to. The message is a sentence with what to do."""

    #: True where only somebody who changes a setting can help.
    is_lasting = False


class UnknownPrimary(NoPrimary):
    """The Sentinels watch no primary of that name."""

    is_lasting = True


class SentinelsRefuse(NoPrimary):
    """The Sentinels want another login."""

    is_lasting = True


class _State(TypedDict):
    """What a Sentinel says of a primary that it watches."""

    ip: str
    port: int
    is_master: bool
    is_sdown: bool
    is_odown: bool


class Sentinels(Sentinel):
    """redis-py's Sentinels, which say why they know no primary."""

    def __init__(self, address: SentinelAddress, login: dict[str, object]) -> None:
        self.address = address
        #: Host and port of the primary, as they were found last.
        self.primary: tuple[str, int] | None = None
        super().__init__(list(address.hosts), sentinel_kwargs=login)  # type: ignore[no-untyped-call]

    def find_primary(self) -> tuple[str, int]:
        """Return host and port of the primary, and keep them. Raises NoPrimary."""
        self.primary = self.discover_master(self.address.master_name)
        return self.primary

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return host and port of the primary, as the first Sentinel says that knows it.

        Raises NoPrimary, which says why there is none.
        """
        down: list[Redis] = []
        others: set[str] = set()
        errors: list[RedisError] = []
        for sentinel in list(self.sentinels):
            try:
                states = cast(Mapping[str, _State], sentinel.sentinel_masters())
            except (ConnectionError, TimeoutError, ResponseError) as error:
                errors.append(error)
                continue
            finally:
                # Asked once in the life of a connection. Others may ask it at this moment.
                sentinel.connection_pool.disconnect(inuse_connections=False)
            state = states.get(service_name)
            if state is None:
                others |= set(states)
            elif self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                # It is the first to be asked next. A copy: other threads may do the same.
                rest = [one for one in tuple(self.sentinels) if one is not sentinel]
                self.sentinels[:] = [sentinel, *rest]
                return state["ip"], state["port"]
            else:
                down.append(sentinel)
        if down:
            raise NoPrimary(_without_primary(service_name, down[0]))
        if len(errors) < len(self.sentinels):
            raise UnknownPrimary(self._unknown(service_name, others))
        raise self._unanswered(errors) from errors[0]

    def _unknown(self, name: str, others: set[str]) -> str:
        known = f"they watch {', '.join(sorted(others))}" if others else "they watch none"
        return (
            f"the Sentinels {self.address.hosts_in_words()} watch no primary {name!r}; {known}. "
            "End SEQD_REDIS_URL with /NAME/0, where NAME is what `sentinel monitor NAME …` calls it"
        )

    def _unanswered(self, errors: list[RedisError]) -> NoPrimary:
        hosts = self.address.hosts_in_words()
        for error in errors:
            if isinstance(error, (AuthenticationError, AuthorizationError, NoPermissionError)):
                return SentinelsRefuse(
                    f"the Sentinels {hosts} refuse the login: {_without_stop(error)}. Set "
                    "SEQD_REDIS_SENTINEL_PASSWORD, and SEQD_REDIS_SENTINEL_USERNAME where they "
                    "have users; it needs the right to `SENTINEL MASTERS`"
                )
        return NoPrimary(
            f"none of the Sentinels {hosts} answers; the first says: {_without_stop(errors[0])}. "
            "Start them, or set SEQD_REDIS_URL to those that run"
        )


def sentinel_login(address: SentinelAddress, access: RedisAccess, url: str) -> dict[str, object]:
    """Return redis-py's options for connections to the Sentinels themselves."""
    tls = access.tls_options(url)
    return {
        "username": access.sentinel_user,
        "password": access.sentinel_password,
        "socket_timeout": SENTINEL_TIMEOUT_S,
        "socket_connect_timeout": SENTINEL_TIMEOUT_S,
        "socket_keepalive": True,
        "protocol": 2,  # as to the servers; by version 3 a missing login gets an unclear answer
        # redis-py's own default waits up to 10 s between tries, at a Sentinel that may be gone.
        "retry": Retry(NoBackoff(), 0),
        **({"ssl": True, **tls} if address.is_tls else {}),
    }


class PrimaryConnection(SentinelManagedConnection):
    """A connection that asks for the primary each time that it is made.

    redis-py's own does so when a pool hands it out. One that breaks in the middle of a command it
    makes anew to the host of before, which has gone: the command would be tried in vain for as
    long as an outage is waited for.
    """

    def _connect_retry(self) -> None:
        self.connect_check_health(
            check_health=self.connection_pool.check_connection, retry_socket_connect=False
        )

    def _connect(self) -> object:
        """Return a socket to the primary, whoever that is now."""
        self.host, self.port = self.connection_pool.get_master_address()
        return super()._connect()  # type: ignore[no-untyped-call]


class PrimaryTlsConnection(PrimaryConnection, SentinelManagedSSLConnection):
    """The same over TLS."""


def _without_primary(name: str, sentinel: Redis) -> str:
    """Return what keeps a failover from coming, where that can be known."""
    try:
        sentinel.sentinel_ckquorum(name)
    except ResponseError as error:
        if "NOQUORUM" in str(error):
            return (
                f"the primary {name!r} is down, and too few Sentinels answer to choose another: "
                f"{_without_stop(error)}. Start the Sentinels that are gone, or the primary"
            )
    except (ConnectionError, TimeoutError):
        pass  # It was asked for a detail; the next try finds out that it has gone, too.
    return (
        f"the primary {name!r} is down, and the Sentinels have not put another in its place yet; "
        "that takes their down-after-milliseconds and a few seconds, and a replica that is up"
    )


def _without_stop(error: RedisError) -> str:
    return str(error).rstrip(".")
