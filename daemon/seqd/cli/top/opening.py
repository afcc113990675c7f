"""The ledger that `seqd top` reads: one whose reads fail soon, since they are done again anyway."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from seqd.ledger import Ledger
    from seqd.settings import Settings

#: Seconds without an answer from Redis, after which a connection is closed.
_REDIS_TIMEOUT_S: Final = 2.0


def open_for_reads(settings: "Settings") -> "Ledger":
    """Return the ledger of the server that the settings name; no outage of it is waited for."""
    from seqd.ledger import Ledger, connect
    from seqd.local.endpoint import redis_url_of
    from seqd.local.redis_access import RedisAccess

    access = RedisAccess.of(settings)
    redis = connect(redis_url_of(settings), access=access, retries=1, timeout_s=_REDIS_TIMEOUT_S)
    return Ledger(redis, settings, notify=lambda route: None)


def server_of(settings: "Settings") -> str:
    """Return the address of the server that the settings name, without its password."""
    from seqd.local.endpoint import redis_url_of
    from seqd.masking import without_password

    return without_password(redis_url_of(settings))
