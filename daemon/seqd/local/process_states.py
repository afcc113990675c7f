"""Whether a worker's process of this machine is there, and in which state the kernel has it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: States of a process that a signal has stopped, as `/proc/PID/stat` has them.
_STOPPED: Final = ("T", "t")

#: A word of the command line of each of ours. A process identifier is given to others again.
_OURS: Final = b"seqd"


@dataclass(frozen=True, slots=True)
class ProcessState:
    """A worker's process, and the one that started it."""

    #: False where it has ended, also where another program has its number now.
    is_there: bool
    #: Those of the two that are stopped.
    stopped: tuple[int, ...] = ()
    #: The kernel's letter, such as `S`; '' where it is not there.
    letter: str = ""


def process_state(pid: int) -> ProcessState | None:
    """Return the state of a worker's process; None on a system without `/proc`."""
    if not Path("/proc/self/stat").exists():
        return None
    letter, parent = _stat(pid)
    if letter in ("", "Z", "X"):
        return ProcessState(is_there=False)
    parents_letter, _ = _stat(parent)
    found = ((parent, parents_letter), (pid, letter))
    stopped = tuple(one for one, state in found if state in _STOPPED)
    return ProcessState(is_there=True, stopped=stopped, letter=letter)


def _stat(pid: int) -> tuple[str, int]:
    """Return state and parent of a process of ours; '' and 0 of any other."""
    folder = Path(f"/proc/{pid}")
    try:
        if pid <= 0 or _OURS not in (folder / "cmdline").read_bytes():
            return "", 0
        fields = (folder / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    letter, parent = fields.rpartition(")")[2].split()[:2]
    return letter, int(parent)
