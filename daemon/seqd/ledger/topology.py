"""Whether the servers stand together in a way that the ledger can be kept on."""

import logging
from collections.abc import Callable
from typing import cast

from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from seqd.errors import InvalidSettings
from seqd.ledger.redis import address_of, has_sentinels, redis_errors
from seqd.ledger.refusals import cluster_sentence

log = logging.getLogger(__name__)


def check_topology(redis: Redis) -> None:
    """Raise InvalidSettings for a server that is one of a Redis Cluster.

    Logs a warning for a primary with Sentinels that takes writes without any replica. A server that
    does not tell passes: a cluster says so at the first command that it refuses. Changes nothing on
    the server.
    """
    facts = cast("dict[str, object]", _told(redis, lambda: redis.info("cluster")))
    if facts.get("cluster_enabled") == 1:
        raise InvalidSettings(cluster_sentence(address_of(redis)))
    if has_sentinels(redis):
        _check_replicas(redis)


def _check_replicas(redis: Redis) -> None:
    rule = _told(redis, lambda: redis.config_get("min-replicas-to-write"))
    if "0" in map(str, rule.values()) or b"0" in rule.values():
        log.warning(
            "Redis at %s has min-replicas-to-write 0: a primary that is cut off goes on taking "
            "writes, and a failover loses them. Set min-replicas-to-write to 1 and "
            "min-replicas-max-lag to 10 on it and on its replicas.",
            address_of(redis),
        )


def _told(redis: Redis, ask: Callable[[], object]) -> dict[object, object]:
    """Return what the server tells; nothing where it may not be asked, or has no such command."""
    with redis_errors(redis):
        try:
            return cast("dict[object, object]", ask())
        except NoPermissionError:
            return {}
        except ResponseError as error:
            if "unknown command" in str(error).lower():
                return {}
            raise
