"""Whether a child was killed for want of memory: by what the kernel counts, read by its parent."""

import resource
from pathlib import Path

from seqd.local.cgroups import MemoryKills, memory_kills, memory_limit
from seqd.worker.background import PeriodicTask

#: Seconds between two readings. Of a child that has just died the one before the last counts: its
#: end is noticed within seconds, and others may be killed for days before somebody kills this one
#: by hand.
READ_EVERY_S = 10.0

_WHAT_TO_DO = (
    "Give it more, or lower SEQD_MODEL_CACHE_BYTES, SEQD_MAX_CLAIM_BYTES or `unit_items` of its "
    "model"
)


class MemoryWatch(PeriodicTask):
    """The readings of one worker's parent."""

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
        limit, peak = memory_limit(self._root), _peak_of_children()
        if limit is None:
            return f"the machine's; the process had {peak:,} bytes"
        allowed = f"its control group may have {limit.limit_bytes:,} bytes"
        if limit.peak_bytes is None:
            return f"{allowed}; the process had {peak:,}"
        return f"{allowed} and had {limit.peak_bytes:,}, the process {peak:,}"


def _count(kills: MemoryKills | None) -> int:
    return 0 if kills is None else kills.count


def _peak_of_children() -> int:
    """Return the most memory that a child of this process had that has ended."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
