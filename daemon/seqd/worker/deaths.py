"""How a child died, and where its plugin stood: a file that the child leaves for its parent.

The stacks of the child's threads go into the file when a fatal signal ends it, such as SIGSEGV,
when it ends itself since its plugin is silent, and when its parent asks by SIGUSR2. `faulthandler`
writes them from C, so that they come also while other C code holds the interpreter's lock.
"""

import faulthandler
import logging
import os
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from threading import get_ident
from time import monotonic, sleep

from seqd.errors import wire_text
from seqd.ledger.work import Death
from seqd.local.run_files import TRACE, RunFolder
from seqd.models.plugin_frames import Frame, frame_of, place_among
from seqd.settings import Settings
from seqd.worker.silence import kill_this_process
from seqd_schemas import DeathCause

log = logging.getLogger(__name__)

#: Seconds that a parent waits for the stacks that it has asked for, and after which they are all
#: there when no more of them has come.
_ASK_S = 1.0
_PAUSE_S = 0.05

#: Share of the time of a start after which the child writes where it stands.
_NEARLY = 0.95
_NOT_READY = "The worker's process was not ready for work in time"

#: Frames of a stack that are logged, the innermost first.
_MAX_FRAMES = 20

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
_MARK = re.compile(r"^(still|silent) for (\d+) s$", re.MULTILINE)
#: What `faulthandler` writes in front of the stacks, of a fatal signal and of `starting`.
_FATAL = "Fatal Python error"
_TIMEOUT = "\nTimeout ("
_FATAL_EXIT_CODES = frozenset(
    -number
    for number in (signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL)
)
#: What the child writes after a start that took as long, and came to its end.
_STARTED = "\nstarted\n"
_THREAD = re.compile(r"^(Current thread|Thread) (0x[0-9a-f]+) ")
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')


class DeathFile:
    """The file, for the child that writes it and the parent that reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self._path = RunFolder(settings.data_dir).file(worker, TRACE)
        self._file: FileIO | None = None

    def open(self) -> None:
        """Have the stacks written from now on; in the child, by the thread that will work."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
            file = FileIO(self._path, "a")
            faulthandler.enable(file)
            faulthandler.register(signal.SIGUSR2, file)
            # Last: the parent sends the signal to a process that has written this, and to no other.
            file.write(f"{os.getpid()} {get_ident():#018x}\n".encode())
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
                self._file.write(_STARTED.encode())

    def die_of_silence(self, silent_s: float) -> None:
        """Write where this child's plugin stands, and kill the child.

        To the ledger it is a crash, so the unit is tried again, or split.
        """
        if self._file is not None:
            with suppress(OSError):
                self._file.write(f"silent for {silent_s:.0f} s\n".encode())
                faulthandler.dump_traceback(self._file)
        kill_this_process(silent_s)

    def standing(self, pid: int, still_s: float) -> Death:
        """Return how a child will have died that stands still; in the parent.

        Waits up to a second for its stack.
        """
        self._ask(pid, f"still for {still_s:.0f} s\n")
        return _silent_death(still_s, _stack(self._text_of(pid)))

    def kill(self, pid: int, still_s: float) -> None:
        """Have a child that stands still write where it does, and kill it; in the parent."""
        self._ask(pid, f"silent for {still_s:.0f} s\n")
        os.kill(pid, signal.SIGKILL)

    def death_of(self, pid: int, exit_code: int | None) -> "tuple[Death, Sequence[Frame]]":
        """Return how a child ended, and its stack where it is known, the innermost frame first.

        `exit_code` is its status, or minus the signal that ended it.
        """
        text = self._text_of(pid)
        if _FATAL in text and exit_code in _FATAL_EXIT_CODES:
            frames = _stack(text)
            return Death(DeathCause.SIGNAL, _message(_ending(exit_code), frames)), frames
        if _TIMEOUT in text and _STARTED not in text:
            frames = _stack(text)
            return Death(DeathCause.NOT_READY, _message(_NOT_READY, frames)), frames
        marks = _MARK.findall(text)
        if marks and marks[-1][0] == "silent":
            frames = _stack(text)
            return _silent_death(float(marks[-1][1]), frames), frames
        return Death(_cause_of(exit_code), _message(_ending(exit_code), ())), ()

    def remove(self) -> None:
        """Remove the file; at boot and when the node has stopped."""
        self._path.unlink(missing_ok=True)

    def _ask(self, pid: int, mark: str) -> None:
        """Have a child write its stack behind a mark, and wait until it is there."""
        if not self._text_of(pid):
            return
        with suppress(OSError):  # a full disk, or the child has just ended
            with FileIO(self._path, "a") as file:
                file.write(mark.encode())
            marked = size = self._path.stat().st_size
            os.kill(pid, signal.SIGUSR2)
            deadline = monotonic() + _ASK_S
            while monotonic() < deadline:
                sleep(_PAUSE_S)
                size, last = self._path.stat().st_size, size
                if size == last > marked:
                    return

    def _text_of(self, pid: int) -> str:
        """Return what a child has left; nothing where another has written it."""
        try:
            with self._path.open("rb") as file:
                text = file.read(_MAX_BYTES).decode(errors="replace")
        except OSError:
            return ""
        head = _HEAD.match(text)
        return text if head is not None and int(head[1]) == pid else ""


def _silent_death(silent_s: float, frames: "Sequence[Frame]") -> Death:
    said = f"The plugin did not ask whether to stop for {silent_s:.0f} s"
    return Death(DeathCause.HANG, _message(said, frames))


def _message(said: str, frames: "Sequence[Frame]") -> str:
    """Return a sentence that ends with where the plugin stood, where that is known."""
    place = place_among(frames)
    stood = "" if place is None else f"; it stood in {place}"
    return wire_text(f"{said}{stood}.")[:MAX_MESSAGE_CHARS]


def _stack(text: str) -> list[Frame]:
    """Return the frames of the thread that worked; of the one that was hit by a fatal signal."""
    head = _HEAD.match(text)
    if head is None:
        return []
    is_fatal = _FATAL in text
    frames, is_meant = list[Frame](), False
    for line in text.splitlines():
        thread, frame = _THREAD.match(line), _FRAME.match(line)
        if thread is not None:
            is_current = thread[1] == "Current thread"
            is_meant = is_current if is_fatal else int(thread[2], 16) == int(head[2], 16)
            if is_meant:
                frames = []  # the last time that it was written
        elif frame is not None and is_meant:
            frames.append(frame_of(frame[1], int(frame[2]), frame[3]))
    return frames


def _cause_of(exit_code: int | None) -> DeathCause:
    if exit_code is None:
        return DeathCause.UNKNOWN
    return DeathCause.SIGNAL if exit_code < 0 else DeathCause.EXIT


def _ending(exit_code: int | None) -> str:
    if exit_code is None:
        return "The worker's process ended"
    if exit_code >= 0:
        return f"The worker's process exited with status {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = f"signal {-exit_code}"
    by_memory = ", as the system does where memory is short" if name == "SIGKILL" else ""
    return f"The worker's process was ended by {name}{by_memory}"


def one_line(frames: Sequence[Frame]) -> str:
    """Return a stack as a line of a log has it, its innermost frames first."""
    shown = [f"{frame.file}:{frame.line} {frame.function}" for frame in frames[:_MAX_FRAMES]]
    return " < ".join(shown)
