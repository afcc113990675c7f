"""Refuses a server that would throw jobs away or forget them; `seqd doctor` tells of a weak one.

A managed server often has no `CONFIG`, and a worker's user should not have it: `CONFIG GET` tells
passwords, too. So `INFO` is asked, and `CONFIG` only for what `INFO` does not say.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from seqd.errors import InvalidSettings, RedisNoPermission
from seqd.ledger.redis import address_of, has_sentinels, redis_errors
from seqd.ledger.refusals import cluster_sentence

log = logging.getLogger(__name__)


def check_server(redis: Redis, *, allow_eviction: bool, allow_volatile: bool) -> None:
    """Raise InvalidSettings for a server of a Cluster, and one that evicts keys or writes no disk.

    Eviction silently loses parts of jobs, so it is refused unless `allow_eviction`. Without an
    append-only file and snapshots a restart loses all jobs, so that is refused unless
    `allow_volatile`. Logs a warning where either is allowed, and for a primary with Sentinels that
    takes writes without any replica. What the server does not tell is taken to be well. Changes
    nothing on the server.
    """
    told = _Told(redis)
    if told.info("cluster", "cluster_enabled") == "1":
        raise InvalidSettings(cluster_sentence(address_of(redis)))
    server = f"Redis at {address_of(redis)}"
    policy = told.info("memory", "maxmemory_policy") or told.setting("maxmemory-policy")
    limit_bytes = told.info("memory", "maxmemory") or told.setting("maxmemory")
    if policy not in (None, "noeviction") and limit_bytes not in (None, "0"):
        _refuse_or_warn(
            f"{server} has maxmemory-policy {policy} and maxmemory {limit_bytes}: when its memory "
            "is used up it throws away parts of jobs without a word. Set maxmemory-policy to "
            "noeviction there",
            "SEQD_ALLOW_EVICTION",
            allowed=allow_eviction,
        )
    append_only = told.info("persistence", "aof_enabled") or told.setting("appendonly")
    if append_only in ("0", "no") and told.setting("save") == "":
        _refuse_or_warn(
            f"{server} has appendonly no and no save rule: it writes nothing to disk, and its "
            "restart loses every job. Set appendonly to yes there",
            "SEQD_ALLOW_VOLATILE",
            allowed=allow_volatile,
        )
    if has_sentinels(redis) and told.setting("min-replicas-to-write") == "0":
        log.warning(
            "%s has min-replicas-to-write 0: a primary that is cut off goes on taking writes, and "
            "a failover loses them. Set min-replicas-to-write to 1 and min-replicas-max-lag to 10 "
            "on it and on its replicas.",
            server,
        )


class _Told:
    """What a server tells of itself, by `INFO` and `CONFIG`; None for what it does not."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def info(self, section: str, name: str) -> str | None:
        """Return a figure of a section of `INFO`."""
        found = self._answer(partial(self._redis.info, section)).get(name)
        return None if found is None else str(found)

    def setting(self, name: str) -> str | None:
        """Return a setting as `CONFIG GET` has it."""
        for found in self._answer(partial(self._redis.config_get, name)).values():
            return found.decode() if isinstance(found, bytes) else str(found)
        return None

    def _answer(self, ask: Callable[[], object]) -> Mapping[str, object]:
        try:
            with redis_errors(self._redis):
                return cast(Mapping[str, object], ask())
        except (RedisNoPermission, ResponseError):
            return {}


def _refuse_or_warn(message: str, variable: str, *, allowed: bool) -> None:
    if not allowed:
        raise InvalidSettings(f"{message}, or {variable}=true here to run all the same.")
    log.warning("%s.", message)
