"""What happens to the supervised workers, as data for whoever shows it.

The supervisor calls one function with a `WorkerChange` at a time; `seqd up` prints a line.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Change(StrEnum):
    """What happened to a worker."""

    STARTED = "started"
    """Its process runs; it imports and loads."""
    READY = "ready"
    """It takes work."""
    DIED = "died"
    """It ended unasked; `detail` says how. A new one follows."""
    GAVE_UP = "gave_up"
    """Its settings are wrong, so it is not started again; `detail` has the end of its log."""
    STOPPED = "stopped"
    """It ended because it was asked to."""
    KILLED = "killed"
    """It was asked to end, did not in time, and was killed."""


@dataclass(frozen=True, slots=True)
class WorkerChange:
    """One thing that happened to one worker."""

    change: Change
    slot: str
    worker_id: str
    pid: int
    #: Starts of this slot so far, so 2 is the first restart.
    starts: int
    #: Where its output goes.
    log: Path
    detail: str = ""


#: Told of each change, in order, from the supervisor's thread. What it raises ends the
#: supervisor, after every worker was stopped.
OnChange = Callable[[WorkerChange], None]
