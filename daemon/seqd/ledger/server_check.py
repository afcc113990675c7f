"""Whether a server can keep a ledger: alone or with replicas, evicting no keys, and on disk.

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

#: What `INFO` calls the settings that it says.
_IN_INFO = {
    "maxmemory-policy": "maxmemory_policy",
    "maxmemory": "maxmemory",
    "appendonly": "aof_enabled",
}


def check_server(redis: Redis, *, allow_eviction: bool, allow_volatile: bool) -> None:
    """Raise InvalidSettings for a server of a Cluster, and one that evicts keys or writes no disk.

    Eviction silently loses parts of jobs, so it is refused unless `allow_eviction`. Without an
    append-only file and snapshots a restart loses all jobs, so that is refused unless
    `allow_volatile`. Logs a warning where either is allowed, where there are snapshots alone, which
    lose what came after the last one, where maxmemory is not set, so that nothing is evicted or
    refused yet, for a primary with Sentinels that takes writes without any replica, and for what
    the server does not tell. Changes nothing on the server.
    """
    told = _Told(redis)
    if told.is_of_a_cluster:
        raise InvalidSettings(cluster_sentence(address_of(redis)))
    server = f"Redis at {address_of(redis)}"
    policy, limit_bytes = told.setting("maxmemory-policy"), told.setting("maxmemory")
    append_only = told.setting("appendonly")
    if "INFO" in told.refusals:
        log.warning(
            "%s does not tell how much memory it uses (%s): SEQD_MAX_MEMORY_SHARE has no effect.",
            server,
            told.refusals["INFO"],
        )
    if policy is not None and limit_bytes is not None:
        _check_memory(server, policy, limit_bytes, allow_eviction=allow_eviction)
    if append_only is not None:
        rules = told.setting("save") if append_only == "no" else ""
        if rules is not None:
            _check_disk(server, append_only, rules, allow_volatile=allow_volatile)
    if told.unknown:
        log.warning("%s %s", server, _unknown_in_words(told))
    if has_sentinels(redis) and told.takes_writes_alone():
        log.warning(
            "%s has min-replicas-to-write 0: a primary that is cut off goes on taking writes, and "
            "a failover loses them. Set min-replicas-to-write to 1 and min-replicas-max-lag to 10 "
            "on it and on its replicas.",
            server,
        )


def _unknown_in_words(told: "_Told") -> str:
    reasons = "; ".join(f"{name}: {why}" for name, why in sorted(told.refusals.items()))
    if told.unknown == ["save"]:
        return (
            f"has appendonly no and does not tell its save rules ({reasons}): whether it writes "
            "anything to disk, or its restart loses every job, was not checked."
        )
    return (
        f"does not tell {_listed(told.unknown)} ({reasons}): that was not checked. It must have "
        "maxmemory-policy noeviction, a maxmemory, and what it holds on disk or on a replica."
    )


class _Told:
    """What a server tells of its settings, by `INFO` and `CONFIG`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        #: Why the server did not answer these commands.
        self.refusals: dict[str, str] = {}
        #: Settings that it did not tell.
        self.unknown: list[str] = []
        info: dict[str, object] = {}
        for section in ("memory", "persistence", "cluster"):
            info |= self._answer("INFO", partial(redis.info, section))
        self._info = info

    @property
    def is_of_a_cluster(self) -> bool:
        """True of a server of a Redis Cluster; one that does not tell refuses commands later."""
        return self._info.get("cluster_enabled") == 1

    def takes_writes_alone(self) -> bool:
        """Return True where a primary needs no replica to take writes."""
        rule = self._answer("CONFIG", partial(self._redis.config_get, "min-replicas-to-write"))
        return "0" in map(str, rule.values()) or b"0" in rule.values()

    def setting(self, name: str) -> str | None:
        """Return a setting as `CONFIG GET` has it, None where the server does not tell."""
        value = self._info.get(_IN_INFO.get(name, ""))
        if value is not None:
            return {"0": "no", "1": "yes"}[str(value)] if name == "appendonly" else str(value)
        row = self._answer("CONFIG", partial(self._redis.config_get, name))
        for found in row.values():
            return found.decode() if isinstance(found, bytes) else str(found)
        self.unknown.append(name)
        return None

    def _answer(self, command: str, ask: Callable[[], object]) -> Mapping[str, object]:
        if command in self.refusals:
            return {}
        try:
            with redis_errors(self._redis):
                return cast(Mapping[str, object], ask())
        except RedisNoPermission:
            self.refusals[command] = "not permitted to this user"
        except ResponseError as error:
            self.refusals[command] = str(error).partition(", with args")[0]
        return {}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def _check_memory(server: str, policy: str, limit_bytes: str, *, allow_eviction: bool) -> None:
    evicts, is_bounded = policy != "noeviction", limit_bytes != "0"
    if evicts and is_bounded:
        _refuse_or_warn(
            f"{server} has maxmemory-policy {policy} and maxmemory {limit_bytes}: when its memory "
            "is used up it throws away parts of jobs without a word. Set maxmemory-policy to "
            "noeviction there",
            "SEQD_ALLOW_EVICTION",
            allowed=allow_eviction,
        )
    elif evicts:
        log.warning(
            "%s has maxmemory-policy %s and maxmemory 0: it throws nothing away yet, but parts of "
            "jobs once a maxmemory is set. Set maxmemory-policy to noeviction there, then "
            "maxmemory.",
            server,
            policy,
        )
    elif not is_bounded:
        log.warning(
            "%s has maxmemory 0: nothing is refused before the memory of its machine is full, and "
            "then it may be killed. Set maxmemory there.",
            server,
        )


def _check_disk(server: str, append_only: str, rules: str, *, allow_volatile: bool) -> None:
    if append_only == "no" and not rules:
        _refuse_or_warn(
            f"{server} has appendonly no and no save rule: it writes nothing to disk, and its "
            "restart loses every job. Set appendonly to yes there",
            "SEQD_ALLOW_VOLATILE",
            allowed=allow_volatile,
        )
    elif append_only == "no":
        log.warning(
            "%s has appendonly no and keeps snapshots only (%s): a crash loses whatever was "
            "written since the last one. Set appendonly to yes there.",
            server,
            _save_rules_in_words(rules),
        )


def _refuse_or_warn(message: str, variable: str, *, allowed: bool) -> None:
    if not allowed:
        raise InvalidSettings(f"{message}, or {variable}=true here to run all the same.")
    log.warning("%s.", message)


def _save_rules_in_words(rules: str) -> str:
    """Return `save`'s pairs in words: `3600 1` is `3600 s after 1 change`."""
    words = rules.split()
    pairs = zip(words[::2], words[1::2], strict=False)
    return ", ".join(
        f"{seconds} s after {changes} {'change' if changes == '1' else 'changes'}"
        for seconds, changes in pairs
    )
