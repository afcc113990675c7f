"""The Lua scripts: loading them, calling them, reading their replies.

Every change of a job is one script, an atomic step. Its arguments, keys, reply and guarantee stand
at the top of its file.
"""

import hashlib
import re
from functools import cache
from importlib import resources
from typing import cast

from redis.exceptions import NoScriptError, ResponseError

from seqd.ledger.denials import ScriptDenied, denied_in_script
from seqd.ledger.exchange import Argument, Command, Exchange, Reply
from seqd.ledger.wakeup import wakeup_message
from seqd_schemas import JobAction, JobState

#: Times that a call loads its script: in a failover one may reach the server that is about to go,
#: and the run behind it the new one.
SCRIPT_LOADS = 3

#: `lua/shared/*.lua`, each in front of those that build on it.
SHARED = (
    "keys",
    "wakeups",
    "kinds",
    "batches",
    "accounts",
    "work_left",
    "blobs",
    "fair_queueing",
    "webhooks",
    "events",
    "leases",
    "input",
    "small_jobs",
    "warnings",
    "retention",
    "continuing",
    "failures",
    "endings",
    "steering",
    "job_filters",
    "files",
    "inbox",
)

#: Scripts that run another as a step of theirs: the function by which they call it, its name.
STEPS = {"take_entry": ("submit_jobs", "submit")}

#: States of jobs that are held, as their hashes have them.
HELD_STATES = frozenset(state.value.encode() for state in JobState if state.is_held)

#: Calls the script, and names the job at which it failed.
LAST = "shared/run.lua"


class ScriptError(ResponseError):
    """A script failed when it was at job `job_id`, which may be damaged or sound."""

    def __init__(self, text: str, job_id: bytes) -> None:
        super().__init__(text)
        self.job_id = job_id


@cache
def source_of(name: str) -> str:
    """Return the text of `lua/NAME.lua` behind what it uses of the parts that scripts share.

    A script defines its functions at each call: all those of the shared parts took 30 us, where
    the ones that it uses take 1 to 5.
    """
    step = []
    if name in STEPS:
        function, script = STEPS[name]
        step = [f"local function {function}()", _text_of(f"{script}.lua"), "end"]
    run = ["local function run()", _text_of(f"{name}.lua"), "end"]
    own = "\n".join([*step, *run, _text_of(LAST)])
    return "\n".join([*_used_by(own), own])


def all_scripts() -> list[str]:
    """Return the names of all scripts."""
    files = (file.name for file in (resources.files("seqd.ledger") / "lua").iterdir())
    return [name.removesuffix(".lua") for name in files if name.endswith(".lua")]


@cache
def digest_of(name: str) -> str:
    """Return the digest by which a server knows a script."""
    return hashlib.sha1(source_of(name).encode()).hexdigest()  # noqa: S324 - as Redis has it


def _used_by(script: str) -> list[str]:
    """Return the definitions of the shared parts that a script uses, those that they use before."""
    used, words = list[str](), set(_words_of(script))
    for block, names, its_words in _definitions():
        if not words.isdisjoint(names):
            used.append(block)
            words |= its_words
    return used[::-1]


@cache
def _definitions() -> list[tuple[str, frozenset[str], frozenset[str]]]:
    """Return the definitions of the shared parts, the last first: text, names, all words.

    Once in a process, for all scripts that it calls.
    """
    # The identifier of a message stands in it three times, then comes the route, and it again.
    message = f"local WAKEUP = [==[{wakeup_message('%s', '%s')}]==]"
    parts = [states_in_lua(), message, *(_text_of(f"shared/{part}.lua") for part in SHARED)]
    found = []
    for part in reversed(parts):
        for block in reversed(re.split(r"^(?=local )", part, flags=re.M)):
            defined = re.match(r"local (?:function )?([\w, ]+)", block)
            if defined:
                found.append((block, _words_of(defined[1]), _words_of(block)))
    return found


def states_in_lua() -> str:
    """Return what scripts ask of a state, by the table of `seqd_schemas.states`.

    A text that is no state, as somebody may write it by hand, is in none of the sets.
    """
    asked = {
        "is_open": [state for state in JobState if not state.is_terminal],
        "has_ended": [state for state in JobState if state.is_terminal],
        "may_claim": [state for state in JobState if state.may_claim],
        "is_held": [state for state in JobState if state.is_held],
        "may_pause": [state for state in JobState if state.may(JobAction.PAUSE)],
        "may_resume": [state for state in JobState if state.may(JobAction.RESUME)],
    }
    tests = {
        name: " or ".join(f"state == '{state}'" for state in states)
        for name, states in asked.items()
    }
    return "\n".join(
        f"local function {name}(state) return {test} end" for name, test in tests.items()
    )


def _words_of(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", re.sub(r"--.*", "", text)))


def _text_of(file: str) -> str:
    return (resources.files("seqd.ledger") / "lua" / file).read_text(encoding="utf-8")


def script_steps(name: str, prefix: str, arguments: tuple[Argument, ...]) -> Exchange[Reply]:
    """Run a script, which is loaded where the server does not have it; return its reply."""
    called = Command(("EVALSHA", digest_of(name), 0, prefix, *arguments))
    try:
        for _ in range(SCRIPT_LOADS):
            try:
                return cast(Reply, (yield called))
            except NoScriptError:
                yield Command(("SCRIPT", "LOAD", source_of(name)))
        return cast(Reply, (yield called))
    except ResponseError as error:
        raise _meaning(error, name) from None


def _meaning(error: ResponseError, name: str) -> ResponseError:
    """Return an error that a script of ours has ended with, as what it means."""
    if denial := denied_in_script(error, name):
        # Nothing of the job is damaged: the user lacks a right.
        return ScriptDenied(str(error), denial)
    # Where `run.lua` has put the job.
    text, _, job = str(error).rpartition(" [job ")
    if not text:
        return error
    if type(error) is ResponseError:
        return ScriptError(text, bytes.fromhex(job.rstrip("]")))
    error.args = (text,)  # a transient error of the server: no job is damaged
    return error


def as_list(reply: Reply) -> list[Reply]:
    """Return a reply that is a list; raises TypeError for another, as all of these do."""
    if not isinstance(reply, list):
        raise TypeError(f"a script replied {reply!r}, expected a list")
    return reply


def as_argument(reply: Reply) -> bytes | int:
    """Return a part of a reply that goes back into a script as it is."""
    if isinstance(reply, list):
        raise TypeError(f"a script replied {reply!r}, expected text or a number")
    return reply


def as_text(reply: Reply) -> str:
    """Return a reply that is text."""
    if not isinstance(reply, bytes):
        raise TypeError(f"a script replied {reply!r}, expected text")
    return reply.decode()


def as_bytes(reply: Reply) -> bytes:
    """Return a reply that is bytes."""
    if not isinstance(reply, bytes):
        raise TypeError(f"a script replied {reply!r}, expected bytes")
    return reply


def as_int(reply: Reply) -> int:
    """Return a reply that is a whole number."""
    if not isinstance(reply, int):
        raise TypeError(f"a script replied {reply!r}, expected a number")
    return reply
