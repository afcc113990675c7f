"""Which rights of a role the user of a connection lacks, found by trying each without any effect.

No user may be asked for its own rights (`ACL GETUSER` is for administrators), but a server looks at
the rights before it looks at what a command would do. So each command is called on a key that holds
a mark, of a type that most refuse, or with an argument that it does not take.
"""

from collections.abc import Mapping
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from seqd.errors import RedisNoPermission
from seqd.ledger.acl import Access, KeyPattern, Role, rights_of
from seqd.ledger.denials import Denial, denial_of
from seqd.ledger.redis import MARK_TTL_S, WrongPassword, address_of, redis_errors, user_of
from seqd_schemas import Keys

#: Of use, and nothing that a role needs. Who lacks `info` does without SEQD_MAX_MEMORY_SHARE, who
#: lacks `waitaof` does not know what is on disk, and without `wait` not what is on a replica; a
#: client names its library by `client|setinfo`.
OPTIONAL = frozenset({"client|setinfo", "info", "wait", "waitaof"})

#: What stands in the place of the key.
_KEY = "KEY"

#: Commands that are tried otherwise than with a key and no further argument.
_ARGUMENTS: Mapping[str, tuple[str | int, ...]] = {
    "brpop": (_KEY, 1),
    "client|setinfo": ("LIB-NAME", ""),
    "evalsha": ("0" * 40, 0),
    "exec": (),
    "expire": (_KEY, MARK_TTL_S),
    "hdel": (_KEY, "f"),
    "hexists": (_KEY, "f"),
    "hget": (_KEY, "f"),
    "hincrby": (_KEY, "f", 0),
    "hmget": (_KEY, "f"),
    "hscan": (_KEY, 0),
    "hset": (_KEY, "f", "v"),
    "hsetnx": (_KEY, "f", "v"),
    "hstrlen": (_KEY, "f"),
    "info": ("memory",),
    "lindex": (_KEY, 0),
    "lpos": (_KEY, "v"),
    "lpush": (_KEY, "v"),
    "lrem": (_KEY, 0, "v"),
    "ltrim": (_KEY, 0, -1),
    "multi": (),
    "pexpire": (_KEY, 1000 * MARK_TTL_S),
    "pexpireat": (_KEY, 4_102_444_800_000),
    "ping": (),
    "rename": (_KEY, _KEY),
    "rpush": (_KEY, "v"),
    "sadd": (_KEY, "v"),
    "script|load": ("return 0",),
    "set": (_KEY, 1, "EX", MARK_TTL_S),
    "slowlog|get": (0,),
    "srem": (_KEY, "v"),
    "time": (),
    "unwatch": (),
    "wait": (0, 1),
    "waitaof": (0, 0, 1),
    "xack": (_KEY, "g", "0-1"),
    "xadd": (_KEY, "0-0", "f", "v"),
    "xautoclaim": (_KEY, "g", "c", 0, "0-0"),
    "xclaim": (_KEY, "g", "c", 0, "0-1"),
    "xdel": (_KEY, "0-1"),
    "xgroup|create": (_KEY, "g", "0"),
    "xpending": (_KEY, "g"),
    "xrange": (_KEY, "-", "+"),
    "xread": ("STREAMS", _KEY, "0"),
    "xreadgroup": ("GROUP", "g", "c", "STREAMS", _KEY, ">"),
    "xrevrange": (_KEY, "+", "-"),
    "xtrim": (_KEY, "MAXLEN", 1),
    "zadd": (_KEY, 0, "v"),
    "zcount": (_KEY, 0, 0),
    "zmscore": (_KEY, "v"),
    "zrange": (_KEY, 0, 0),
    "zrangebyscore": (_KEY, 0, 0),
    "zrem": (_KEY, "v"),
    "zremrangebyscore": (_KEY, 0, 0),
    "zrevrange": (_KEY, 0, 0),
    "zrevrangebyscore": (_KEY, 0, 0),
    "zscan": (_KEY, 0),
    "zscore": (_KEY, "v"),
}

#: Commands by which the right to read or to write a key is tried, the first that a role has.
_READERS = ("exists", "hget", "xlen")
_WRITERS = ("hdel", "xadd")


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
    with redis_errors(redis), _one_connection(redis) as connection:
        appends = any(key.access is Access.APPEND for key in rights.keys)
        trial = _Trial(connection, _mark_of(role, keys), appends=appends)
        missing = [f"+{name}" for name in _in_order(rights.commands) if trial.is_denied(name)]
        missing += [
            key.rule((6, 2)) for key in rights.keys if trial.is_key_denied(key, rights.commands)
        ]
        # Whatever state the denied ones have left: an open transaction, say.
        connection.connection_pool.disconnect()
        if connection.connection is not None:
            connection.connection.disconnect()
    return sorted(missing)


def _one_connection(redis: Redis) -> Redis:
    return cast(Redis, redis.client())  # type: ignore[no-untyped-call]


class _Trial:
    """Tries commands on one connection."""

    def __init__(self, connection: Redis, mark: str, *, appends: bool) -> None:
        """`appends` says that a right of its own allows `xadd` for some keys."""
        self._connection = connection
        self._mark = mark
        self._appends = appends

    def is_denied(self, name: str) -> bool:
        """Return True where the command itself is denied, whatever its key."""
        denial = self._try(name, self._mark)
        if denial is None or not (name == "xadd" and self._appends and denial.is_of_key):
            return denial is not None and not denial.is_of_key
        # Denied for this key: for want of the key, or since it is allowed for those keys alone.
        of_key = self._try("hdel", self._mark)
        return of_key is None or not of_key.is_of_key

    def is_key_denied(self, key: KeyPattern, commands: tuple[str, ...]) -> bool:
        """Return True where keys of a pattern may not be read or written as they should."""
        sample = key.pattern.replace("*", "rights")
        if key.access is Access.APPEND:
            denial = self._try("xadd", sample)
            return denial is not None and denial.is_of_key
        tried = []
        if key.access is not Access.WRITE:
            tried += [name for name in _READERS if name in commands][:1]
        if key.access is not Access.READ:
            tried += [name for name in _WRITERS if name in commands][:1]
        denials = [self._try(name, sample) for name in tried]
        return any(denial is not None and denial.is_of_key for denial in denials)

    def _try(self, name: str, key: str) -> Denial | None:
        arguments = _ARGUMENTS.get(name, (_KEY,))
        words = [key if argument == _KEY else argument for argument in arguments]
        try:
            self._connection.execute_command(  # type: ignore[no-untyped-call]
                *name.upper().split("|"), *words
            )
        except WrongPassword:
            raise
        except ResponseError as error:
            return denial_of(error)
        return None


def _mark_of(role: Role, keys: Keys) -> str:
    return keys.inbox() if role is Role.INBOX else keys.durability_mark()


def _in_order(commands: tuple[str, ...]) -> list[str]:
    """Return the commands, the one that makes the mark first, those of transactions last."""
    first, last = ("set",), ("exec", "multi")
    # A connection to another database than 0 has chosen it before; to 0 none chooses any.
    rest = [name for name in commands if name not in (*first, *last, "select")]
    return [name for name in (*first, *rest, *last) if name in commands]
