"""What this process waits for, a processor or a disk: by the kernel's own count (Linux)."""

from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


class RunDelay:
    """The waits of this process's threads, since it was last asked."""

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
        return any(_state(task) == "D" for task in self._folders())

    def _read(self) -> dict[str, int]:
        waited = {}
        for task in self._folders():
            with suppress(OSError):  # it has just ended, or nobody counts
                waited[task.name] = _run_delay_ns(task)
        return waited

    def _folders(self) -> list[Path]:
        try:
            return list(self._tasks.iterdir())
        except OSError:
            return []


def _run_delay_ns(task: Path) -> int:
    """Return the second of `RAN WAITED TIMES`, in nanoseconds."""
    return int((task / "schedstat").read_text(encoding="ascii").split()[1])


def _state(task: Path) -> str:
    """Return the third of `NUMBER (NAME) STATE …`, '' where it is not told; a name is any text."""
    try:
        text = (task / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(") ")[2][:1]
