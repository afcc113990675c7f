"""What a worker's child says to its parent: numbers in memory that both have.

They say that Python runs there (a heartbeat), what its plugin is at (signs), and what was done
(series of counts). The parent only reads, so it does also while the child is stopped, hangs in C
code or is gone; what was counted stays, and the next child goes on with it. The memory has no name
in any folder: nothing is left behind, and no disk that is full or hangs costs a child.

One number is the parent's: it counts changes of operators' rules, for which the child looks.

Probes read a file instead, in which the same heartbeat is.
"""

import atexit
import json
import logging
import mmap
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock, Thread
from time import sleep, time
from typing import Final, Self

from seqd.local.run_files import FILE_BYTES, HEARTBEAT, Heartbeat, RunFolder
from seqd.settings import Settings
from seqd.worker.unit_budgets import Budget

log = logging.getLogger(__name__)

#: Entries and numbers for 100 models with all that is counted of each.
_ENTRY_BYTES: Final = 192 * 1024
_NUMBERS: Final = 24 * 1024

#: Numbers of the widest series. So many at the front stand for all series for which there is no
#: room; behind them are those of the child.
_WIDEST: Final = 32
_PID, _BEAT, _ASKED, _COMPUTING, _CALL, _EXPECTED_S, _SILENT_S, _UNIT_S = range(
    _WIDEST, _WIDEST + 8
)
_FIRST_SERIES: Final = _WIDEST + 8

#: The last number, which a parent of the release before leaves alone, is the parent's.
_RULES: Final = _NUMBERS - 1

#: How many bytes of the entries are written: they count once this says so.
_HEAD_BYTES: Final = 8
_BYTES: Final = _HEAD_BYTES + _ENTRY_BYTES + 8 * _NUMBERS

#: In front of each entry: its numbers, and the bytes of its text.
_ENTRY = struct.Struct("=HH")


@dataclass(frozen=True, slots=True)
class Signs:
    """What a child has said of itself last."""

    heartbeat: Heartbeat
    #: Changes with each sign of life of the plugin.
    asked: float
    is_computing: bool
    #: Number of the plugin's call that has a budget, which is another one for each; 0 without one.
    call: float
    budget: Budget | None


@dataclass(frozen=True, slots=True)
class Series:
    """One series of counts: what is counted, its labels' values, and its numbers.

    A series has an entry with its name and labels, and numbers that are written in place.
    """

    name: str
    labels: tuple[str, ...]
    numbers: tuple[float, ...]


class Channel:
    """One end of it. One child writes at a time; it may do so from several threads."""

    def __init__(self, descriptor: int = -1, path: str = "") -> None:
        """Take over a descriptor of the memory; without one nobody else has it."""
        #: Where the child finds it, while its parent lives.
        self.path = path
        self._view = memoryview(mmap.mmap(descriptor, _BYTES))
        self._used = self._view[:_HEAD_BYTES].cast("q")
        #: Written in place: `numbers[at] += 1`.
        self.numbers = self._view[_HEAD_BYTES + _ENTRY_BYTES :].cast("d")
        self._lock = Lock()
        self._blocks = self._calls = 0
        self._places: dict[tuple[str, ...], int] = {}
        self._next = _FIRST_SERIES
        for series, at in self._entries():
            self._places[series.name, *series.labels] = at
            self._next = at + len(series.numbers)

    @classmethod
    def create(cls) -> Self:
        """Make it, in the parent, before its child starts."""
        if sys.platform == "linux":
            descriptor = os.memfd_create("seqd-channel")
            os.posix_fallocate(descriptor, 0, _BYTES)  # else a write could fail for want of memory
            return cls(descriptor, f"/proc/{os.getpid()}/fd/{descriptor}")
        descriptor, path = tempfile.mkstemp(prefix="seqd-channel-")
        atexit.register(os.unlink, path)
        os.ftruncate(descriptor, _BYTES)
        return cls(descriptor, path)

    @classmethod
    def of_parent(cls, path: str) -> Self:
        """Return the child's end, by the parent's `path`; where there is none, one of its own."""
        try:
            made = cls(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError as error:
            log.warning(
                "no memory shared with the parent: hangs will not be noticed, rules late: %s",
                error,
            )
            made = cls()
        made.numbers[_COMPUTING] = made.numbers[_CALL] = 0.0  # as the child before left them
        return made

    def start_heartbeats(self, settings: Settings) -> None:
        """Begin this child's heartbeats, which last as long as it lives: here, and for probes."""
        _repeat(self.beat, settings.heartbeat_s, "seqd-heartbeat")
        file = HeartbeatFile(settings, settings.worker)
        _repeat(file.beat, settings.heartbeat_s, "seqd-heartbeat-file")

    def beat(self) -> None:
        """Say that Python runs in this process."""
        heartbeat = Heartbeat.now()
        self.numbers[_BEAT], self.numbers[_PID] = heartbeat.at_s, heartbeat.pid

    def rules_have_changed(self) -> None:
        """Have the child look at operators' rules; called by the parent."""
        self.numbers[_RULES] += 1

    def rule_changes(self) -> float:
        """Return how often they have changed."""
        return self.numbers[_RULES]

    def hear(self) -> None:
        """Say that the plugin has given a sign of life."""
        self.numbers[_ASKED] += 1

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Say that the plugin is to give signs of life in the block."""
        self.hear()
        self._blocks += 1
        self.numbers[_COMPUTING] = self._blocks
        try:
            yield
        finally:
            self._blocks -= 1
            self.numbers[_COMPUTING] = self._blocks

    @contextmanager
    def within(self, budget: Budget | None) -> Iterator[None]:
        """Say that the block, a call of the plugin, is to keep to a budget, if there is one."""
        numbers = self.numbers
        if budget is not None:
            self._calls += 1
            numbers[_EXPECTED_S], numbers[_SILENT_S] = budget.expected_s, budget.silent_s
            numbers[_UNIT_S] = budget.unit_s
            numbers[_CALL] = self._calls  # last: until then there is none
        try:
            yield
        finally:
            numbers[_CALL] = 0.0

    def signs(self) -> Signs | None:
        """Return what the child has said last; None before its first heartbeat."""
        numbers = self.numbers
        pid = int(numbers[_PID])
        if not pid:
            return None
        call = numbers[_CALL]
        budget = Budget(numbers[_EXPECTED_S], numbers[_SILENT_S], numbers[_UNIT_S])
        if call != numbers[_CALL]:  # it has changed under our eyes
            call = 0.0
        return Signs(
            Heartbeat(pid, numbers[_BEAT]),
            asked=numbers[_ASKED],
            is_computing=numbers[_COMPUTING] > 0,
            call=call,
            budget=budget if call else None,
        )

    def place(self, name: str, *labels: str, width: int = 1) -> int:
        """Return where the numbers of a series begin; a new one has zeros."""
        key = (name, *labels)
        with self._lock:
            known = self._places.get(key)
            if known is not None:
                return known
            text = json.dumps(key).encode()
            entry, used = _ENTRY.pack(width, len(text)) + text, self._used[0]
            if used + len(entry) > _ENTRY_BYTES or self._next + width > _RULES:
                return 0
            begin = _HEAD_BYTES + used
            self._view[begin : begin + len(entry)] = entry
            self._used[0] = used + len(entry)  # last: a reader sees it whole, or not at all
            self._places[key] = at = self._next
            self._next += width
            return at

    def series(self) -> Iterator[Series]:
        """Yield all series, in the order in which they were added."""
        for series, _ in self._entries():
            yield series

    def clear(self, name: str) -> None:
        """Set the numbers of all series of a name to 0."""
        for series, at in self._entries():
            if series.name == name:
                for place in range(at, at + len(series.numbers)):
                    self.numbers[place] = 0.0

    def _entries(self) -> Iterator[tuple[Series, int]]:
        entries = bytes(self._view[_HEAD_BYTES : _HEAD_BYTES + self._used[0]])
        begin, at = 0, _FIRST_SERIES
        while begin < len(entries):
            width, size = _ENTRY.unpack_from(entries, begin)
            begin += _ENTRY.size
            name, *labels = json.loads(entries[begin : begin + size])
            yield Series(name, tuple(labels), tuple(self.numbers[at : at + width])), at
            begin, at = begin + size, at + width


class HeartbeatFile:
    """The file, for who writes it and who reads it."""

    def __init__(self, settings: Settings, worker: str) -> None:
        self.path = RunFolder(settings.data_dir).file(worker, HEARTBEAT)

    def beat(self) -> None:
        """Write a heartbeat of this process. Raises nothing: what fails is logged."""
        try:
            self._write(Heartbeat.now())
        except OSError as error:
            log.warning("no heartbeat written to %s: %s; tried again", self.path, error)

    def remove(self) -> None:
        """Remove the file, when a worker ends that was drained."""
        self.path.unlink(missing_ok=True)

    def _write(self, heartbeat: Heartbeat) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.pwrite(descriptor, str(heartbeat).ljust(FILE_BYTES).encode(), 0)
        except OSError:
            # An empty file and its time need no room.
            os.ftruncate(descriptor, 0)
            os.utime(descriptor, (time(), time()))
        finally:
            os.close(descriptor)


def _repeat(beat: Callable[[], None], every_s: float, name: str) -> None:
    def keep_beating() -> None:
        while True:
            beat()
            sleep(every_s)

    # The first one, too: a disk that hangs must not keep the child from its work.
    Thread(target=keep_beating, name=name, daemon=True).start()
