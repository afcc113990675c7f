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
