"""Counts what processes have used, processor time and memory, as Linux keeps it in /proc.

On another system there is no such folder: `is_counted` is False, and the figures are left out.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Self

_PROC = Path("/proc")

#: Fields of /proc/PID/stat behind the program's name, which may hold blanks and brackets.
_PARENT, _USER_TICKS, _SYSTEM_TICKS = 1, 11, 12


@dataclass(frozen=True, slots=True)
class Usage:
    """What some processes have used since each of them started."""

    cpu_s: float
    #: Largest memory that any one of them has held, in bytes.
    peak_bytes: int


#: Seconds between two looks at a process that is watched.
_LOOK_S = 0.05


class PeakWatch:
    """Looks at a process now and then while it runs: once it has ended, /proc knows nothing of it.

    What it took within its last look's time may be missed.
    """

    def __init__(self, pid: int) -> None:
        #: Largest memory seen, in bytes; 0 where this system does not count.
        self.peak_bytes = 0
        self._pid = pid
        self._ended = Event()
        self._thread = Thread(target=self._look, name="seqd-bench-usage")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, usage_of([self._pid]).peak_bytes)
            if self._ended.wait(_LOOK_S):
                return


def is_counted() -> bool:
    """True where this system counts as Linux does."""
    return (_PROC / "self" / "stat").exists()


def usage_of(pids: Iterable[int]) -> Usage:
    """Sum up what the processes have used; one that has ended counts for nothing."""
    found = [usage for pid in pids if (usage := _usage(pid)) is not None]
    return Usage(
        sum(usage.cpu_s for usage in found), max((usage.peak_bytes for usage in found), default=0)
    )


def descendants_of(pid: int) -> set[int]:
    """Give the processes that a process has started, and those that these have, and so on."""
    children: dict[int, set[int]] = {}
    for folder in _PROC.glob("[0-9]*"):
        stat = _stat(int(folder.name))
        if stat is not None:
            children.setdefault(int(stat[_PARENT]), set()).add(int(folder.name))
    found: set[int] = set()
    waiting = [pid]
    while waiting:
        new = children.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found


def peak_bytes_of(status: str) -> int:
    """Read the line `VmHWM:    5120 kB` of /proc/PID/status; 0 without it."""
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024
    return 0


def _usage(pid: int) -> Usage | None:
    stat = _stat(pid)
    if stat is None:
        return None
    ticks = int(stat[_USER_TICKS]) + int(stat[_SYSTEM_TICKS])
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), peak_bytes_of(_read(pid, "status")))


def _stat(pid: int) -> list[str] | None:
    text = _read(pid, "stat")
    return text.rpartition(")")[2].split() if text else None


def _read(pid: int, name: str) -> str:
    """Read one of a process's files; empty once the process has ended."""
    try:
        return (_PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
