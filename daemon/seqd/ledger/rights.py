"""What is to be known of a server before it is worked with: its settings, and the user's rights.

A managed server often has no `CONFIG`, and a worker's user should not have it: `CONFIG GET` tells
passwords, too. So `INFO` is asked, and `CONFIG` only for what `INFO` does not say.

Rights are found by trying each without any effect. No user may be asked for its own (`ACL GETUSER`
is for administrators), but a server looks at the rights before it looks at what a command would do.
So each command is called on a key that holds a mark, of a type that most refuse, or with an
argument that it does not take.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from seqd.errors import InvalidSettings, RedisNoPermission
from seqd.ledger.acl import Access, KeyPattern, Role, rights_of
from seqd.ledger.denials import Denial, denial_of
from seqd.ledger.redis import (
    MARK_TTL_S,
    WrongPassword,
    address_of,
    has_sentinels,
    redis_errors,
    user_of,
)
from seqd.ledger.refusals import cluster_sentence
from seqd_schemas import Keys

log = logging.getLogger(__name__)

#: Of use, and nothing that a role needs. Who lacks `info` does without SEQD_MAX_MEMORY_SHARE, who
#: lacks `waitaof` does not know what is on disk, and without `wait` not what is on a replica; a
#: client names its library by `client|setinfo`.
OPTIONAL = frozenset({"client|setinfo", "info", "wait", "waitaof"})

#: What stands in the place of the key.
_KEY = "KEY"

#: How each is tried; of a category one of its commands. On a key of another type most refuse.
_TRIALS: Mapping[str, tuple[str | int, ...]] = {
    "@read": ("GET", _KEY),
    "@transaction": ("MULTI",),
    "@write": ("SET", _KEY, 1, "EX", MARK_TTL_S),
    "client|setinfo": ("CLIENT", "SETINFO", "LIB-NAME", ""),
    "evalsha": ("EVALSHA", "0" * 40, 0),
    "hexists": ("HEXISTS", _KEY, "f"),
    "hget": ("HGET", _KEY, "f"),
    "info": ("INFO", "memory"),
    "ping": ("PING",),
    "script|load": ("SCRIPT", "LOAD", "return 0"),
    "set": ("SET", _KEY, 1, "EX", MARK_TTL_S),
    "slowlog|get": ("SLOWLOG", "GET", 0),
    "time": ("TIME",),
    "wait": ("WAIT", 0, 1),
    "waitaof": ("WAITAOF", 0, 0, 1),
    "xadd": ("XADD", _KEY, "0-0", "f", "v"),
    "xlen": ("XLEN", _KEY),
    "xread": ("XREAD", "STREAMS", _KEY, "0"),
}


def check_rights(redis: Redis, role: Role, keys: Keys) -> None:
    """Raise RedisNoPermission with all rights of a role that a connection's user lacks."""
    missing = [right for right in missing_rights(redis, role, keys) if right[1:] not in OPTIONAL]
    if missing:
        raise RedisNoPermission(
            f"The user {user_of(redis)!r} of Redis at {address_of(redis)} lacks rights of the role "
            f"{role}: {' '.join(missing)}. Give the user those that `seqd redis acl --role {role} "
            f"--user {user_of(redis)}` prints."
        )


def missing_rights(redis: Redis, role: Role, keys: Keys) -> list[str]:
    """Return the rights of a role that a connection's user lacks, as rules: `+xadd`, `~seqd:jobs`.

    One that a role can do without is among them. Changes nothing but the durability mark. Raises
    RedisRefused for a wrong password, RedisNoPermission where it may not choose its database, and
    RedisUnreachable.
    """
    rights = rights_of(role, keys)
    mark = keys.inbox() if role is Role.INBOX else keys.durability_mark()
    one = cast(Redis, redis.client())  # type: ignore[no-untyped-call]
    with redis_errors(redis), one as connection:
        trial = _Trial(connection)
        missing = [
            key.rule((6, 2)) for key in rights.keys if trial.is_key_denied(key, rights.commands)
        ]
        # What begins a transaction comes last.
        for name in sorted(rights.commands, key=lambda name: name == "@transaction"):
            # A connection to another database than 0 has chosen it before; to 0 none chooses any.
            if name != "select" and trial.is_denied(name, mark):
                missing.append(f"+{name}")
        connection.connection_pool.disconnect()
        if connection.connection is not None:
            connection.connection.disconnect()
    return sorted(missing)


class _Trial:
    """Tries commands on one connection."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def is_denied(self, name: str, key: str) -> bool:
        """Return True where a command itself is denied, whatever its key."""
        denial = self._try(_TRIALS[name], key)
        return denial is not None and not denial.is_of_key

    def is_key_denied(self, key: KeyPattern, commands: tuple[str, ...]) -> bool:
        """Return True where keys of a pattern may not be read or written as they should."""
        read = ("EXISTS", _KEY) if "@read" in commands else _TRIALS["hget"]
        write = ("HDEL", _KEY, "f") if "@write" in commands else _TRIALS["xadd"]
        tried = {
            Access.ALL: (read, write) if "@write" in commands else (read,),
            Access.READ: (read,),
            Access.WRITE: (write,),
            Access.APPEND: (_TRIALS["xadd"],),
        }[key.access]
        sample = key.pattern.replace("*", "rights")
        denials = [self._try(words, sample) for words in tried]
        return any(denial is not None and denial.is_of_key for denial in denials)

    def _try(self, words: tuple[str | int, ...], key: str) -> Denial | None:
        said = [key if word == _KEY else word for word in words]
        try:
            self._connection.execute_command(*said)  # type: ignore[no-untyped-call]
        except WrongPassword:
            raise
        except ResponseError as error:
            return denial_of(error)
        return None


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
