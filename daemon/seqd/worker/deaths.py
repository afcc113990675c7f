"""How a child died, and where its plugin stood: a file that the child leaves for its parent.

The stacks of the child's threads go into the file when a fatal signal ends it, such as SIGSEGV,
when its start takes too long, and when its parent asks by SIGUSR2. `faulthandler` writes them from
C, so that they come also while other C code holds the interpreter's lock.
"""

import faulthandler
import logging
import os
import re
import resource
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from time import monotonic, sleep

from seqd.errors import wire_text
from seqd.escaping import one_line as as_one_line
from seqd.ledger.units import Death
from seqd.local.cgroups import MemoryKills, memory_kills, memory_limit
from seqd.local.run_files import TRACE, RunFolder
from seqd.models.plugin_frames import Frame, frame_of, place_among
from seqd.settings import Settings
from seqd.worker.background import PeriodicTask
from seqd_schemas import DeathCause

log = logging.getLogger(__name__)

#: Seconds between two readings. Of a child that has just died the one before the last counts: its
#: end is noticed within seconds, and others may be killed for days before somebody kills this one
#: by hand.
READ_EVERY_S = 10.0

_WHAT_TO_DO = (
    "Give it more, or lower SEQD_MODEL_CACHE_BYTES, SEQD_MAX_CLAIM_BYTES or `unit_items` of its "
    "model"
)


class MemoryWatch(PeriodicTask):
    """What the kernel counts of kills for want of memory, as one worker's parent has read it."""

    def __init__(self, root: Path = Path("/")) -> None:
        """`root` is where `proc` and the control groups are looked for."""
        super().__init__("memory watch", READ_EVERY_S)
        self._root = root
        #: The kills by the reading before the last, and by the last.
        self._readings = (_count(self._read()),) * 2

    def run_once(self) -> None:
        """Read what the kernel counts."""
        self._readings = self._readings[1], _count(self._read())

    def told_of(self) -> str:
        """Return that a process was killed for want of memory, as a sentence without its end.

        '' where none was since the reading before the last. Each kill is told of once.
        """
        kills, before = self._read(), self._readings[0]
        self._readings = (_count(kills),) * 2
        if kills is None or kills.count <= before:
            return ""
        whose = "most likely killed" if kills.is_shared() else "killed"
        return (
            f"The worker's process was {whose} by the kernel, since memory was used up: "
            f"{self._figures()}. {_WHAT_TO_DO}"
        )

    def can_tell(self) -> bool:
        """Return True where the kernel counts such kills."""
        return self._read() is not None

    def _read(self) -> MemoryKills | None:
        return memory_kills(self._root)

    def _figures(self) -> str:
        """Return how much may be had, and what was at most."""
        limit = memory_limit(self._root)
        # Of the children that have ended, the one that had most.
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        if limit is None:
            return f"the machine's; the process had {peak:,} bytes"
        allowed = f"its control group may have {limit.limit_bytes:,} bytes"
        if limit.peak_bytes is None:
            return f"{allowed}; the process had {peak:,}"
        return f"{allowed} and had {limit.peak_bytes:,}, the process {peak:,}"


def _count(kills: MemoryKills | None) -> int:
    return 0 if kills is None else kills.count


#: Seconds that a parent waits for the stacks that it has asked for, and after which they are all
#: there when no more of them has come.
_ASK_S = 1.0
_PAUSE_S = 0.05

#: Share of the time of a start after which the child writes where it stands.
_NEARLY = 0.95
_NOT_READY = "The worker's process was not ready for work in time"

#: Stacks that are logged of one child, and frames of each, the innermost first.
MAX_STACKS = 16
_MAX_FRAMES = 20

#: Longest name of a thread.
_MAX_NAME_CHARS = 100

#: What is said of a SIGKILL that nobody here has sent: where the kernel counts those for want of
#: memory, and this was none, and where it does not count them.
_BY_SOMEBODY = ", which no process of seqd has sent; the kernel counts no kill for want of memory"
_BY_MEMORY = ", as the system does where memory is short"

#: Bytes of the file that are read; a stack has at most 100 frames.
_MAX_BYTES = 2**20

#: Longest message; it is noted for each unit.
MAX_MESSAGE_CHARS = 500

#: What is said where a worker could not note how it died. That worker may be another one than this,
#: so this one's log would not tell.
NOT_NOTED = (
    "How is not known here: see the log of the worker that died, of `seqd up` the file of its slot "
    "in SEQD_DATA_DIR/logs."
)

_HEAD = re.compile(r"(\d+) (0x[0-9a-f]+)")
_NAME = re.compile(r"^thread (0x[0-9a-f]+) (.+)$", re.MULTILINE)
#: What `faulthandler` writes in front of the stacks, of a fatal signal and of `starting`.
_FATAL = "Fatal Python error"
_TIMEOUT = "\nTimeout ("
_FATAL_EXIT_CODES = frozenset(
    -number
    for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
)
#: What the child writes after a start that took as long, and came to its end.
_STARTED = "\nstarted\n"
#: From Python 3.14 on with the thread's name.
_THREAD = re.compile(r"^(Current thread|Thread) (0x[0-9a-f]+) (?:\[(.+)\] )?")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')


@dataclass(frozen=True, slots=True)
class ThreadStack:
    """Where a thread stood."""

    #: Its name, as far as Python knows one; else its number.
    name: str
    #: The innermost first.
    frames: Sequence[Frame]


@dataclass(frozen=True, slots=True)
class Hang:
    """That a child hangs: for how long it has been silent, or computed."""

    seconds: float
    #: What its items were expected to take, of one that goes on asking whether to stop; None of one
    #: that is silent.
    expected_s: float | None = None
    #: True where it is the whole process that is silent, not its plugin alone.
    has_no_heartbeat: bool = False

    def __str__(self) -> str:
        if self.has_no_heartbeat:
            return (
                f"The worker's process had no heartbeat for {self.seconds:.0f} s, as in C code "
                "that keeps the interpreter's lock"
            )
        if self.expected_s is None:
            return f"The plugin did not ask whether to stop for {self.seconds:.0f} s"
        return (
            f"The plugin computed for {self.seconds:.0f} s at items that should take "
            f"{self.expected_s:.2g} s, as earlier ones did (SEQD_UNIT_BUDGET_FACTOR)"
        )


class DeathFile:
    """The file, for the child that writes it and the parent that reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = RunFolder(settings.data_dir).file(worker, TRACE)
        self._file: FileIO | None = None
        #: The child that this parent has ended, why, and where it stood.
        self._ended: tuple[int, Death, Sequence[ThreadStack]] | None = None

    def open(self) -> None:
        """Have the stacks written from now on; in the child, by the thread that will work."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            file = FileIO(self._path, "a")
            faulthandler.enable(file)
            faulthandler.register(signal.SIGUSR2, file)
            # Last: the parent sends the signal to a process that has written this, and to no other.
            file.write(f"{os.getpid()} {threading.get_ident():#018x}\n".encode())
        except OSError as error:
            log.warning("no stacks will be written to %s: %s", self._path, error)
            return
        self._file = file

    @contextmanager
    def starting(self, within_s: float) -> Iterator[None]:
        """Write where the child stands if the block takes nearly as long as it may."""
        if self._file is None:
            yield
            return
        faulthandler.dump_traceback_later(within_s * _NEARLY, file=self._file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            with suppress(OSError):
                # The names, too: once it stands still, it cannot write them.
                self._file.write(f"{_STARTED}{_names()}".encode())

    def standing(self, pid: int, hang: Hang) -> str:
        """Return that a child hangs, and where; in the parent.

        Waits up to a second for its stack.
        """
        return _message(str(hang), self._stacks_now(pid))

    def kill(self, pid: int, hang: Hang) -> None:
        """Have a child that hangs write where it stands, and kill it; in the parent.

        Nothing gentler stops a thread.
        """
        stacks = self._stacks_now(pid)
        cause = DeathCause.WATCHDOG if hang.has_no_heartbeat else DeathCause.HANG
        self._ended = pid, Death(cause, _message(str(hang), stacks)), stacks
        os.kill(pid, signal.SIGKILL)

    def death_of(
        self, pid: int, exit_code: int | None, memory: MemoryWatch | None = None
    ) -> tuple[Death, Sequence[ThreadStack]]:
        """Return how a child ended, and the stacks of its threads where they are known.

        That of the thread that worked comes first. `exit_code` is its status, or minus the signal
        that ended it; `memory` is asked about a SIGKILL that nobody here has sent.
        """
        text = self._text_of(pid)
        if _FATAL in text and exit_code in _FATAL_EXIT_CODES:
            stacks = _stacks(text, text.rpartition(_FATAL)[2])
            return Death(DeathCause.SIGNAL, _message(_ending(exit_code), stacks)), stacks
        if self._ended is not None and self._ended[0] == pid:
            return self._ended[1:]
        if _TIMEOUT in text and _STARTED not in text:
            stacks = _stacks(text, text.rpartition(_TIMEOUT)[2])
            return Death(DeathCause.NOT_READY, _message(_NOT_READY, stacks)), stacks
        if exit_code == -signal.SIGKILL:
            return _killed(memory), ()
        cause = DeathCause.UNKNOWN
        if exit_code is not None:
            cause = DeathCause.SIGNAL if exit_code < 0 else DeathCause.EXIT
        return Death(cause, _message(_ending(exit_code), ())), ()

    def _stacks_now(self, pid: int) -> Sequence[ThreadStack]:
        """Have a child write where its threads stand, and return that once it is there."""
        before = self._text_of(pid)
        if not before:
            return ()
        text = before
        with suppress(OSError):  # it has just ended
            os.kill(pid, signal.SIGUSR2)
            deadline = monotonic() + _ASK_S
            while monotonic() < deadline:
                sleep(_PAUSE_S)
                text, last = self._text_of(pid), text
                if len(text) == len(last) > len(before):
                    break
        return _stacks(text, text[len(before) :])

    def _text_of(self, pid: int) -> str:
        """Return what a child has left; nothing where another has written it."""
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_BYTES).decode(errors="replace")
        except OSError:
            return ""
        head = _HEAD.match(text)
        return text if head is not None and int(head[1]) == pid else ""


def _killed(memory: MemoryWatch | None) -> Death:
    """Return how a child died by a SIGKILL that nobody here has sent."""
    used_up = "" if memory is None else memory.told_of()
    if used_up:
        return Death(DeathCause.OUT_OF_MEMORY, _message(used_up, ()))
    by = _BY_SOMEBODY if memory is not None and memory.can_tell() else _BY_MEMORY
    return Death(DeathCause.SIGNAL, _message(f"{_ending(-signal.SIGKILL)}{by}", ()))


def _names() -> str:
    """Return the names of this process's threads, a line each."""
    lines = [
        f"thread {thread.ident:#018x} {as_one_line(thread.name, _MAX_NAME_CHARS)}\n"
        for thread in threading.enumerate()
        if thread.ident is not None
    ]
    return "".join(lines)


def _message(said: str, stacks: Sequence[ThreadStack]) -> str:
    """Return a sentence that ends with where the plugin stood, where that is known."""
    place = place_among(stacks[0].frames) if stacks else None
    stood = "" if place is None else f"; it stood in {place}"
    return wire_text(f"{said}{stood}.")[:MAX_MESSAGE_CHARS]


def _stacks(text: str, written: str) -> list[ThreadStack]:
    """Return the stacks of a part of the file's text, first that of the thread that worked.

    Of a fatal signal that is the thread that it hit.
    """
    head = _HEAD.match(text)
    if head is None:
        return []
    names = {int(ident, 16): name for ident, name in _NAME.findall(text)}
    is_fatal, first = _FATAL in text, int(head[2], 16)
    found: dict[int, list[Frame]] = {}
    frames: list[Frame] | None = None
    for line in written.splitlines():
        thread, frame = _THREAD.match(line), _FRAME.match(line)
        if thread is not None:
            ident = int(thread[2], 16)
            frames = found[ident] = []
            if thread[3]:
                names[ident] = thread[3]
            if is_fatal and thread[1] == "Current thread":
                first = ident
        elif frame is not None and frames is not None:
            frames.append(frame_of(frame[1], int(frame[2]), frame[3]))
    order = sorted(found, key=lambda ident: ident != first)
    return [ThreadStack(names.get(ident, f"{ident:#x}"), found[ident]) for ident in order]


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "The worker's process ended"
    if exit_code >= 0:
        return f"The worker's process exited with status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    return f"The worker's process was ended by {name}"


def one_line(frames: Sequence[Frame]) -> str:
    """Return a stack as a line of a log has it, its innermost frames first."""
    shown = [f"{frame.file}:{frame.line} {frame.function}" for frame in frames[:_MAX_FRAMES]]
    return " < ".join(shown)
