"""What the kernel reports of processes: memory, parents, groups; on Linux alone."""

import os
from contextlib import suppress
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_mb(pid: int) -> float:
    """Return a process's resident memory; 0 when it is gone."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES / 1e6
    return 0.0


def lives(pid: int) -> bool:
    """True while the process runs; a zombie does not."""
    return _fields(pid)[:1] not in ([], ["Z"], ["X"])


def children_of(pid: int) -> list[int]:
    """Return the living children of a process, in the order of their numbers."""
    entries = (entry.name for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    pids = sorted(int(name) for name in entries)
    return [child for child in pids if _fields(child)[1:2] == [str(pid)] and lives(child)]


def _fields(pid: int) -> list[str]:
    """Return state, parent and so on; a program's own name, which comes before, may hold spaces."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []
