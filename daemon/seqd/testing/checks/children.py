"""Runs checks in processes of their own, so that a plugin that hangs or exits harms nobody else.

A child writes one line of JSON an event into a file, and its stacks into another, so that what it
had found is there however it ends.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, cast

from pydantic import JsonValue

from seqd.errors import PluginFault
from seqd.local.parent_death import launch_command
from seqd.testing.checks.report import Place

#: Seconds that a child has beyond its own limit, before it is killed.
_GRACE_S: Final = 10.0

#: Seconds for starting, in which nothing of the plugin runs.
START_S: Final = 60.0

#: A line of a stack that `faulthandler` has written.
_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+) in (.+)$', re.MULTILINE)

#: What begins the stack of the thread that was running, or the only one.
_CURRENT: Final = re.compile(r"^(?:Current thread|Thread|Stack).*$", re.MULTILINE)

#: What `faulthandler` writes first where a limit has passed.
_TIMED_OUT: Final = re.compile(r"Timeout \((\d+):(\d+):(\d+)")

#: Lines of a stack that are shown.
STACK_LINES: Final = 5

#: Seeds of Python's hashes of texts: another process must not give other outcomes for it (D2).
_HASH_SEED, _OTHER_HASH_SEED = "1", "2"

#: Seconds between two looks at a child.
_TICK_S: Final = 0.2

Spec = Mapping[str, JsonValue]
Event = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, and what it had written by then."""

    status: int
    events: Sequence[Event]
    #: Where it stood when it hung or died, the innermost frame first.
    stack: Sequence[Place]
    error: str
    #: The limit in seconds that it was ended after; None where it was not.
    hung_s: float | None

    def how(self) -> str:
        """Say how the child ended, where that was not by itself."""
        if self.status < 0:
            with suppress(ValueError):
                return f"the process was ended by {signal.Signals(-self.status).name}"
        return f"the process ended itself with exit status {self.status}"


def run_child(
    spec: Spec,
    folder: Path,
    limit_s: float,
    *,
    hash_seed: str = _HASH_SEED,
    times: bool = False,
    live: set[subprocess.Popen[bytes]] | None = None,
    told: Callable[[Sequence[Event]], None] | None = None,
    own_session: bool = True,
) -> Ended:
    """Run a child by its spec, in a folder for its files, and return how it ended.

    It and whatever it has started is killed after `limit_s` and a grace period. With `times`
    Python measures its imports. While it runs it is in `live`, and `told` is called
    with its events several times a second. It ends with this thread, whatever ends that.
    Without a session of its own what it has started is not killed.
    """
    running: set[subprocess.Popen[bytes]] = set() if live is None else live
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / name for name in ("spec", "events", "stacks", "stdout", "stderr")}
    own = {name: str(file) for name, file in files.items()}
    files["spec"].write_text(json.dumps({**spec, "files": own}))
    command = [sys.executable, "-P", *(["-X", "importtime"] if times else [])]
    command += ["-m", "seqd.testing.checks.child", str(files["spec"])]
    with files["stdout"].open("w+b") as out, files["stderr"].open("w+b") as error:
        child = subprocess.Popen(  # noqa: S603  our own program
            launch_command(command),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=error,
            env=_environment(hash_seed),
            start_new_session=own_session,
        )
        hung = False
        running.add(child)
        try:
            until = monotonic() + limit_s + _GRACE_S
            while not hung and not _has_ended(child):
                hung = monotonic() > until
                if told is not None:
                    told(_events(files["events"]))
        finally:
            kill(child)
            child.wait()
            running.discard(child)
    stacks = files["stacks"].read_text(errors="replace") if files["stacks"].exists() else ""
    return Ended(
        child.returncode,
        _events(files["events"]),
        _stack(stacks),
        _last_lines(files["stderr"]),
        limit_s if hung else _limit_that_passed(stacks),
    )


def _has_ended(child: subprocess.Popen[bytes]) -> bool:
    """Wait for the child to end, for a moment."""
    try:
        child.wait(_TICK_S)
    except subprocess.TimeoutExpired:
        return False
    return True


def _environment(hash_seed: str) -> dict[str, str]:
    """Return the environment of a child, which imports what this process would."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path if folder)  # noqa: PTH100
    return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed, "PYTHONSAFEPATH": "1"}


def kill(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and what it has started; one without a session of its own, alone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.kill()


def _events(file: Path) -> list[Event]:
    """Return the events that were written whole."""
    lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def _stack(text: str) -> list[Place]:
    """Return the frames of the main thread, the innermost first; none where nothing was written."""
    threads = _CURRENT.split(text)[1:] or [text]
    # `faulthandler` writes the main thread last, and of a fatal signal the one that got it first.
    chosen = threads[0] if "Fatal Python error" in text else threads[-1]
    return [
        Place(file=name, line=int(line), function=function)
        for name, line, function in _FRAME.findall(chosen)
    ]


def _limit_that_passed(stacks: str) -> float | None:
    """Return the limit in seconds after which `faulthandler` ended a child; None if it did not."""
    if (found := _TIMED_OUT.match(stacks)) is None:
        return None
    hours, minutes, seconds = map(int, found.groups())
    return hours * 3_600.0 + minutes * 60 + seconds


def _last_lines(file: Path) -> str:
    lines = file.read_text(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith("import time:"))[-2_000:]


def outcomes_in_a_child(spec: Spec, folder: Path) -> dict[str, list[str]]:
    """Return a version's outcomes as another process computes them, as JSON by task.

    Raises PluginFault where that process ends before it has them.
    """
    limit_s = cast("float", spec["limit_s"])
    wanted = {**spec, "mode": "outcomes"}
    # In the session of this process, so that whoever ends this one ends both.
    ended = run_child(wanted, folder, limit_s, hash_seed=_OTHER_HASH_SEED, own_session=False)
    for event in ended.events:
        if event.get("event") == "outcomes":
            return cast("dict[str, list[str]]", event["outcomes"])
    raise PluginFault(f"in another process {ended.how()}: {ended.error[-300:]}")
