"""Looks whether a Redis server is fit to hold a ledger: it must neither evict nor forget.

Called by a worker before it takes work. Changes nothing on the server.
"""

import logging
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from seqd.errors import InvalidSettings
from seqd.ledger.connection import address_of, redis_errors

log = logging.getLogger(__name__)


def check_server(redis: Redis, *, allow_eviction: bool) -> None:
    """Raise InvalidSettings for a server that evicts keys; log a warning for one without AOF.

    Eviction throws parts of jobs away and says nothing, so it is refused unless
    `allow_eviction`. Without an append-only file a restart forgets all jobs, which is bad and
    at least seen by everybody. A server whose configuration may not be read is taken as it is.
    """
    try:
        with redis_errors(redis):
            policy = _setting(redis, "maxmemory-policy")
            limit_bytes = _setting(redis, "maxmemory")
            append_only = _setting(redis, "appendonly")
    except ResponseError as error:
        log.warning("Redis does not tell its configuration: %s", error)
        return
    if policy != "noeviction" and limit_bytes != "0":
        message = (
            f"Redis at {address_of(redis)} has maxmemory-policy {policy} and maxmemory "
            f"{limit_bytes}: when its memory is used up it throws away parts of jobs without a "
            "word. Set maxmemory-policy to noeviction there"
        )
        if not allow_eviction:
            raise InvalidSettings(
                f"{message}, or SEQD_ALLOW_EVICTION=true here to run all the same."
            )
        log.warning("%s.", message)
    if append_only == "no":
        log.warning(
            "Redis at %s has appendonly no: a restart of the server loses every job. Set "
            "appendonly to yes there.",
            address_of(redis),
        )


def _setting(redis: Redis, name: str) -> str:
    values = cast(dict[str | bytes, str | bytes], redis.config_get(name))
    for value in values.values():
        return value.decode() if isinstance(value, bytes) else value
    return ""
