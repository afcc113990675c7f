"""Fleets for the tests of `seqd top`, and a terminal on which it runs."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte

from builders import a_worker_status
from cli_builders import clean_environment
from seqd.cli.top.reading import TopState, state_of
from seqd.ledger.inbox import InboxState, RedisMemory
from seqd.ledger.overview import FleetOverview
from seqd.queue_states import QueueState, WorkerCounts
from seqd_schemas import WorkerStatus

DEADLINE_S = 120.0


def a_queue(model: str = "imdb_lstm", **changes: object) -> QueueState:
    """A queue that moves."""
    fields: dict[str, object] = {
        "task": "classify",
        "model": model,
        "tenant": None,
        "state": "moving",
        "reason": "",
        "waiting_items": 24_000,
        "items_in_hand": 1_024,
        "paused_items": 0,
        "oldest_wait_s": 61.0,
        "rate_per_s": 500.0,
        "errors_per_s": 0.0,
        "items_done": 9_000,
        "errors": 0,
        "work_left_s": 50.0,
        "is_measured": True,
        "eta_s": 25.0,
        "workers": WorkerCounts(busy=2),
    }
    return QueueState(**(fields | changes))  # type: ignore[arg-type]


def a_worker(number: int = 0, **changes: object) -> WorkerStatus:
    fields = {
        "worker": f"gpu:{number % 8}@host{number // 8}-ab{number:04}",
        "started_at_ms": 1_000,
        "seen_at_ms": 59_000,
    }
    return a_worker_status(**(fields | changes))


def a_state(**changes: object) -> TopState:
    """A fleet of one worker with one queue, as it was read."""
    fields: dict[str, object] = {
        "at_ms": 60_000,
        "queues": [a_queue()],
        "work_left": [],
        "workers": [a_worker()],
        "units_in_hand": {},
        "silent": {},
        "unheard": {},
        "jobs": [],
        "failures": [],
        "failure_count": 0,
        "open_jobs": 0,
        "uploading_jobs": 0,
        "pauses": {},
        "catalog": {},
        "rules": [],
        "inbox": InboxState(0, None, None),
        "memory": RedisMemory(12_300_000, None, 0.8),
        "no_writes": None,
    }
    overview = FleetOverview(**(fields | changes))  # type: ignore[arg-type]
    return state_of("redis://here:6379/0", overview, {})


class Terminal:
    """A terminal with `seqd top` on it."""

    def __init__(
        self, ours: int, its: int, program: "subprocess.Popen[bytes]", size: tuple[int, int]
    ) -> None:
        self._ours, self._its = ours, its
        self.program = program
        self.screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self.screen)
        #: All that was written to the terminal.
        self.written = b""

    def lines(self) -> list[str]:
        """Return what stands there, without the blanks at the ends."""
        return [line.rstrip() for line in self.screen.display]

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        self.screen.reset()
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.program.send_signal(signal.SIGWINCH)

    def modes(self) -> list[object]:
        """Return how the terminal treats what is typed."""
        return termios.tcgetattr(self._its)

    def until(self, holds: Callable[[list[str]], bool], what: str) -> None:
        """Read what is drawn until it shows something."""
        deadline = time.monotonic() + DEADLINE_S
        while not holds(self.lines()):
            assert time.monotonic() < deadline, "\n".join([f"not seen: {what}", *self.lines()])
            self._read(0.1)

    def until_shown(self, text: str) -> None:
        self.until(lambda lines: any(text in line for line in lines), text)

    def read_for(self, seconds: float) -> None:
        """Read what is drawn for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._read(0.1)

    def end(self) -> int:
        """Return the exit status, once all that was drawn is read."""
        deadline = time.monotonic() + DEADLINE_S
        while self.program.poll() is None:
            assert time.monotonic() < deadline, "it did not end"
            self._read(0.05)
        while self._read(0.2):  # a terminal hands over some kilobytes at a time
            continue
        return self.program.returncode

    def _read(self, wait_s: float) -> bool:
        """Read what has come, within a time; False where nothing has."""
        if not select.select([self._ours], [], [], wait_s)[0]:
            return False
        some = os.read(self._ours, 65_536)
        self.written += some
        self._stream.feed(some)
        if b"\x1b[6n" in some:  # where is the cursor?
            self.press("\x1b[1;1R")
        return True


@contextmanager
def top_on_a_terminal(
    variables: Mapping[str, str],
    *options: str,
    columns: int = 80,
    rows: int = 24,
    term: str = "xterm-256color",
) -> Iterator[Terminal]:
    """Run `seqd top` on a terminal of its own until the block ends."""
    with on_a_terminal(("top", *options), variables, columns, rows, term) as terminal:
        yield terminal


@contextmanager
def on_a_terminal(
    words: Sequence[str],
    variables: Mapping[str, str],
    columns: int = 80,
    rows: int = 24,
    term: str = "xterm-256color",
) -> Iterator[Terminal]:
    """Run a command on a terminal of its own until the block ends."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = clean_environment(**variables, TERM=term)
    # By which a program would draw whatever the terminal's size is; readline sets both.
    for name in ("COLUMNS", "LINES"):
        environment.pop(name, None)
    program = subprocess.Popen(
        [sys.executable, "-m", "seqd", *words],
        env=environment,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    try:
        yield Terminal(ours, its, program, (columns, rows))
    finally:
        program.kill()
        program.wait()
        os.close(its)
        os.close(ours)
