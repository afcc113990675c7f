"""What a server with users says when a right is missing, and our error for it.

Every server says it in another way, and inside a script in yet another: Redis 6.2 names there
neither the command nor the key.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from redis.exceptions import NoPermissionError, ResponseError

from seqd.errors import RedisNoPermission

#: Scripts that change what operators set. A client that lacks the rights for one lacks those of an
#: operator.
OPERATORS_SCRIPTS = (
    "end_order",
    "place_order",
    "set_rules",
    "set_tenant",
)

#: Longest key in a message, in characters.
_MAX_KEY_CHARS = 120

_DENIED = re.compile(
    r"has no permissions to |No permissions to access a |ACL failure in script: "
    r"|The user executing the script can't "
)
_COMMAND = re.compile(r"to run the '([^']+)' command")
#: What Redis 6.2 says of a command in a script.
_OF_COMMAND = "can't run this command or subcommand"
_OF_PIPELINE = re.compile(r"Command # \d+ \((.*)\) of pipeline caused error: (.*)", re.DOTALL)


class DeniedCommand(NoPermissionError):
    """A command that the user may not run, or not on these keys; `words` are all of it."""

    def __init__(self, text: str, words: Sequence[object]) -> None:
        super().__init__(text)
        self.words = words


@dataclass(frozen=True, slots=True)
class Denial:
    """What was denied, as far as the server said; '' for what it did not."""

    command: str = ""
    key: str = ""
    script: str = ""
    #: True when the command may be run, but not on its keys.
    is_of_key: bool = False


def denial_of(error: Exception) -> Denial | None:
    """Return what an error of Redis denies for lack of a right; None for any other error."""
    if isinstance(error, ScriptDenied):
        return error.denial
    if not isinstance(error, ResponseError):
        return None
    text, words = str(error), list[str]()
    if text.startswith("seqd: "):
        return None
    if match := _OF_PIPELINE.search(text):
        words, text = match[1].split(" "), match[2]
    if isinstance(error, DeniedCommand):
        words = [_text_of(word) for word in error.words]
    if _DENIED.search(text) is None:
        return None
    named = _COMMAND.search(text)
    if words and words[0].upper() == "EVALSHA":
        words = []  # what was denied is inside the script
    command = named[1] if named else words[0] if words else ""
    is_of_key = named is None and _OF_COMMAND not in text
    return Denial(command.lower(), _key_of(words), is_of_key=is_of_key)


class ScriptDenied(NoPermissionError):
    """A script in which a command was denied."""

    def __init__(self, text: str, denial: Denial) -> None:
        super().__init__(text)
        self.denial = denial


def denied_in_script(error: ResponseError, name: str) -> Denial | None:
    """Return what was denied inside the script of that name; None for any other error."""
    denial = denial_of(error)
    return None if denial is None else replace(denial, key="", script=name)


def no_permission(address: str, user: str, role: str, denial: Denial) -> RedisNoPermission:
    """Return the error for a missing right, which says what it is and how to give it."""
    what = _what_of(denial)
    reads_audit = denial.key.endswith(":audit") and denial.command != "xadd"
    is_operators = reads_audit or denial.key.endswith((":api_keys", ":api_keys:used"))
    if role == "client" and (denial.script in OPERATORS_SCRIPTS or is_operators):
        role = "operator"
    where = f" in the script {denial.script!r}" if denial.script else ""
    return RedisNoPermission(
        f"Redis at {address} does not permit the user {user!r} {what}{where}. Give the user the "
        f"rights that `seqd redis acl --role {role} --user {user}` prints."
    )


def _what_of(denial: Denial) -> str:
    command = denial.command.upper().replace("|", " ")
    if denial.is_of_key:
        key = f"the key {denial.key[:_MAX_KEY_CHARS]!r}" if denial.key else "a key of seqd's"
        return f"{key} for {command}" if command else key
    return f"the command {command}" if command else "a command"


def _key_of(words: Sequence[str]) -> str:
    """Return the key of a command, or the first of several."""
    if len(words) < 2 or words[0].upper() in ("SCRIPT", "INFO", "CONFIG"):
        return ""
    capitals = [word.upper() for word in words]
    if "STREAMS" in capitals:
        return next(iter(words[capitals.index("STREAMS") + 1 :]), "")
    return words[1]


def _text_of(word: object) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
