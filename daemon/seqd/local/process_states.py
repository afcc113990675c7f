"""Whether a process of this machine is there, and in which state the kernel has it.

A process is its number and when it started: numbers are given to others again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: States of a process that a signal or a debugger has stopped, as `/proc/PID/stat` has them.
_STOPPED: Final = ("T", "t")


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A worker's process, and the one that started it."""

    #: False where it has ended, also where another program has its number now.
    is_there: bool
    #: Those of the two that are stopped.
    stopped: tuple[int, ...] = ()
    #: The kernel's letter, such as `S`; '' where it is not there.
    letter: str = ""


def process_state(pid: int, start_ticks: int | None) -> ProcessState | None:
    """Return the state of a worker's process by what `start_ticks_of` gave of it.

    None where that was not noted, and on a system without `/proc`.
    """
    if start_ticks is None or start_ticks_of("self") is None:
        return None
    letter, parent, started = _stat(pid)
    if started != start_ticks or letter in ("Z", "X"):
        return ProcessState(is_there=False)
    found = ((parent, _stat(parent)[0]), (pid, letter))
    stopped = tuple(one for one, state in found if state in _STOPPED)
    return ProcessState(is_there=True, stopped=stopped, letter=letter)


def start_ticks_of(pid: int | str) -> int | None:
    """Return when a process started, in clock ticks since its machine did; None where none is."""
    return _stat(pid)[2]


def is_stopped(pid: int) -> bool:
    """Return True while a signal or a debugger has a process stopped."""
    return _stat(pid)[0] in _STOPPED


def _stat(pid: int | str) -> tuple[str, int, int | None]:
    """Return state, parent and start of a process; '', 0 and None where there is none."""
    try:
        row = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0, None
    fields = row.rpartition(")")[2].split()
    return fields[0], int(fields[1]), int(fields[19])
