"""Loads the Lua scripts and calls them; every change of the ledger goes through here.

Each script is one atomic step. Its keys and its guarantee stand at the top of its file.
"""

from functools import cache
from importlib import resources
from typing import NoReturn, cast

from redis import Redis
from redis.commands.core import Script
from redis.exceptions import ResponseError

from seqd.ledger.connection import redis_errors

Argument = str | int | float | bytes
Reply = bytes | int | list["Reply"]

#: `lua/shared/*.lua`, each in front of those that build on it.
SHARED = ("keys", "together", "accounts", "turns", "events", "leases", "endings")

#: Calls the script, and names the job at which it has tripped.
LAST = "shared/tripped.lua"


class Tripped(ResponseError):
    """A script ended with an error when it was at a job, which need not be to blame."""

    def __init__(self, text: str, job_id: bytes) -> None:
        super().__init__(text)
        self.job_id = job_id


@cache
def source_of(name: str) -> str:
    """Give the text of `lua/NAME.lua` between the parts that all scripts share."""
    folder = resources.files("seqd.ledger") / "lua"
    *shared, script, end = (
        (folder / file).read_text(encoding="utf-8")
        for file in (*(f"shared/{part}.lua" for part in SHARED), f"{name}.lua", LAST)
    )
    return "\n".join([*shared, "local function run()", script, "end", end])


class Scripts:
    """The scripts on one server, under one key prefix."""

    def __init__(self, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._loaded: dict[str, Script] = {}

    def call(self, name: str, *arguments: Argument) -> Reply:
        """Run a script; raises RedisUnreachable, RedisRefused or RedisFull.

        Raises Tripped where keys are not what the script expects.
        """
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self._redis.register_script(source_of(name))
        with redis_errors(self._redis):
            try:
                return cast(Reply, script(args=[self._prefix, *arguments]))
            except ResponseError as error:
                raise _told(error) from None

    def raise_error(self, reason: str) -> NoReturn:
        """Raise what `call` does where a script ends with this error, of which one has told."""
        with redis_errors(self._redis):
            raise ResponseError(reason)


def _told(error: ResponseError) -> ResponseError:
    """Take the job out of what a script has said, which `tripped.lua` has put behind it."""
    text, _, job = str(error).rpartition(" [job ")
    if not text:
        return error
    if type(error) is ResponseError:
        return Tripped(text, bytes.fromhex(job.rstrip("]")))
    error.args = (text,)  # what Redis cannot do just now: no job is to blame
    return error


def as_list(reply: Reply) -> list[Reply]:
    """Read a reply as a list."""
    if not isinstance(reply, list):
        raise TypeError(f"a script answered {reply!r} where a list was due")
    return reply


def as_argument(reply: Reply) -> bytes | int:
    """Read a part of a reply that goes back into a script as it is."""
    if isinstance(reply, list):
        raise TypeError(f"a script answered {reply!r} where text or a number was due")
    return reply


def as_text(reply: Reply) -> str:
    """Read a reply as text."""
    if not isinstance(reply, bytes):
        raise TypeError(f"a script answered {reply!r} where text was due")
    return reply.decode()


def as_bytes(reply: Reply) -> bytes:
    """Read a reply as bytes."""
    if not isinstance(reply, bytes):
        raise TypeError(f"a script answered {reply!r} where bytes were due")
    return reply


def as_int(reply: Reply) -> int:
    """Read a reply as a whole number."""
    if not isinstance(reply, int):
        raise TypeError(f"a script answered {reply!r} where a number was due")
    return reply
