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


def check_server(redis: Redis, *, allow_eviction: bool, allow_volatile: bool) -> None:
    """Raise InvalidSettings for a server that evicts keys, or that writes nothing to disk.

    Eviction throws parts of jobs away and says nothing, so it is refused unless
    `allow_eviction`. Without an append-only file and without snapshots the end of the server is
    that of all jobs, so that is refused unless `allow_volatile`. What is allowed all the same is
    warned of, and so are snapshots alone, which lose what came after the last one, and a server
    without a maxmemory, which neither evicts nor refuses anything yet. A server whose configuration
    may not be read is taken as it is.
    """
    try:
        with redis_errors(redis):
            names = ("maxmemory-policy", "maxmemory", "appendonly", "save")
            policy, limit_bytes, append_only, rules = (_setting(redis, name) for name in names)
    except ResponseError as error:
        log.warning("Redis does not tell its configuration: %s", error)
        return
    server = f"Redis at {address_of(redis)}"
    _check_memory(server, policy, limit_bytes, allow_eviction=allow_eviction)
    _check_disk(server, append_only, rules, allow_volatile=allow_volatile)


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
            _in_words(rules),
        )


def _refuse_or_warn(message: str, variable: str, *, allowed: bool) -> None:
    if not allowed:
        raise InvalidSettings(f"{message}, or {variable}=true here to run all the same.")
    log.warning("%s.", message)


def _in_words(rules: str) -> str:
    """Read `save`'s pairs: `3600 1 300 100` is `3600 s after 1 change, 300 s after 100 changes`."""
    words = rules.split()
    pairs = zip(words[::2], words[1::2], strict=False)
    return ", ".join(
        f"{seconds} s after {changes} {'change' if changes == '1' else 'changes'}"
        for seconds, changes in pairs
    )


def _setting(redis: Redis, name: str) -> str:
    values = cast(dict[str | bytes, str | bytes], redis.config_get(name))
    for value in values.values():
        return value.decode() if isinstance(value, bytes) else value
    return ""
