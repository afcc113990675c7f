"""Whether a process of this machine is there, in which state, and what it waits for.

A process is its number and when it started: numbers are given to others again.
"""

from contextlib import suppress
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


def is_zombie(pid: int) -> bool:
    """Return True for a process that has ended and that its parent has not waited for."""
    return _fields(Path(f"/proc/{pid}"))[:1] == ["Z"]


def parent_of(pid: int) -> int | None:
    """Return the parent of a process; None of one that has ended."""
    fields = _fields(Path(f"/proc/{pid}"))
    return int(fields[1]) if fields else None


def _stat(pid: int | str) -> tuple[str, int, int | None]:
    """Return state, parent and start of a process; '', 0 and None where there is none."""
    fields = _fields(Path(f"/proc/{pid}"))
    return (fields[0], int(fields[1]), int(fields[19])) if fields else ("", 0, None)


def _fields(folder: Path) -> list[str]:
    """Return what follows in `NUMBER (NAME) STATE PARENT …`; nothing where there is no such row.

    The name of a process or a thread is any text.
    """
    try:
        row = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return row.rpartition(")")[2].split()


_TASKS = Path("/proc/self/task")


class RunDelay:
    """What threads of a process wait for, a processor or a disk, by the kernel's own count."""

    def __init__(self, tasks: Path = _TASKS) -> None:
        """`tasks` is the folder with a folder for each thread."""
        self._tasks = tasks
        self._waited_ns: dict[str, int] = {}

    def since_last_s(self) -> float:
        """Return for how long the thread has waited that has waited most; 0 where nobody counts.

        Any thread may be the one that the others wait for.
        """
        before, self._waited_ns = self._waited_ns, self._read()
        waits = (ns - before.get(task, ns) for task, ns in self._waited_ns.items())
        return max(waits, default=0) / 1e9

    def waits_for_disk(self) -> bool:
        """Return True where a thread waits for a disk, also for memory that comes from one.

        In such a wait, state D, it can be neither interrupted nor blamed.
        """
        return any(_fields(task)[:1] == ["D"] for task in self._folders())

    def _read(self) -> dict[str, int]:
        waited = {}
        for task in self._folders():
            with suppress(OSError):  # it has just ended, or nobody counts
                _, waited_ns, _ = (task / "schedstat").read_text(encoding="ascii").split()
                waited[task.name] = int(waited_ns)
        return waited

    def _folders(self) -> list[Path]:
        try:
            return list(self._tasks.iterdir())
        except OSError:
            return []
