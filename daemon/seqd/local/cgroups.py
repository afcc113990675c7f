"""Memory and processor time that this process may use, by its control groups (Linux).

Also whether the kernel has killed a process of them for want of memory.

Of versions 1 and 2, nested: each level's limit holds, so the least counts. In a container the
machine's own figures say nothing of them.
"""

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from seqd.local.process_states import parent_of

#: Escapes of /proc/self/mountinfo, such as `\040` for a blank.
_ESCAPE = re.compile(r"\\([0-7]{3})")

#: The line of `memory.events`, of `memory.oom_control` and of /proc/vmstat that counts kills.
_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_KILL_FILES = ("memory.events", "memory.oom_control")
_LIMIT_FILES = ("memory.max", "memory.high", "memory.limit_in_bytes")
_PEAK_FILES = ("memory.peak", "memory.max_usage_in_bytes")


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the machine's memory, or less where a group limits this process.

    `memory.high` counts, too: above it the kernel slows a process down until it hardly runs. `root`
    is where `proc` and the groups are looked for.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = (_least(folder, _LIMIT_FILES) for folder in _groups("memory", root))
    return min([machine, *(limit for limit in limits if limit is not None)])


@dataclass(frozen=True, slots=True)
class MemoryKills:
    """How many processes the kernel has killed for want of memory, and among whom it counts."""

    count: int
    #: The group's folder; None where the machine as a whole is counted.
    group: Path | None

    def is_shared(self) -> bool:
        """Return True where others than this process and its children are counted, too."""
        if self.group is None:
            return True
        own = os.getpid()
        pids = [int(pid) for pid in _text(self.group / "cgroup.procs").split()]
        return any(pid != own and parent_of(pid) not in (own, None) for pid in pids)


def memory_kills(root: Path = Path("/")) -> MemoryKills | None:
    """Return the kills among the processes of this one's group; None where nobody counts them.

    Version 2 counts those of the groups below, too. Where no group counts, it is the machine.
    """
    for folder in _groups("memory", root):
        for name in _KILL_FILES:
            if found := _KILLS.search(_text(folder / name)):
                return MemoryKills(int(found[1]), folder)
    found = _KILLS.search(_text(root / "proc/vmstat"))
    return None if found is None else MemoryKills(int(found[1]), None)


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """The least of the limits on this process's memory."""

    limit_bytes: int
    #: The most that the processes under it have had at once; None where that is not known.
    peak_bytes: int | None


def memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """Return the limit of the group with the least; None where the machine has less."""
    most = memory_bytes(root)
    for folder in _groups("memory", root):
        if _least(folder, _LIMIT_FILES) == most:
            return MemoryLimit(most, _least(folder, _PEAK_FILES))
    return None


def quota_cores(root: Path = Path("/")) -> int | None:
    """Return the cores that a quota allows, rounded up, at least 1; None without one."""
    shares = [share for folder in _groups("cpu", root) if (share := _share(folder)) is not None]
    return max(1, math.ceil(min(shares))) if shares else None


def _least(group: Path, names: Sequence[str]) -> int | None:
    """Return the least number in the files of a group; None where there is none, such as `max`."""
    texts = (_text(group / name) for name in names)
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _share(group: Path) -> float | None:
    """Return a group's quota in cores."""
    quota, _, period = _text(group / "cpu.max").partition(" ")  # version 2: `200000 100000`
    if not period:
        quota, period = _text(group / "cpu.cfs_quota_us"), _text(group / "cpu.cfs_period_us")
    if not quota.isdecimal() or not period.isdecimal() or int(period) == 0:
        return None  # `max` and -1 stand for none
    return int(quota) / int(period)


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups with a controller, and of all above them."""
    paths = _group_paths(root)
    for line in _text(root / "proc/self/mountinfo").splitlines():
        # Such as `35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory`.
        fields, _, rest = line.partition(" - ")
        kind, options = rest.split(" ")[0], rest.split(" ")[-1].split(",")
        if kind == "cgroup2":
            path = paths.get("")
        elif kind == "cgroup" and controller in options:
            path = paths.get(controller)
        else:
            continue
        shown, mounted_at = (
            _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
            for field in fields.split(" ")[3:5]
        )
        top = root / mounted_at.lstrip("/")
        # In a container the mount shows a part of the tree, or the path is of another view.
        is_shown = path is not None and Path(path).is_relative_to(shown)
        folder = top / Path(path or "/").relative_to(shown) if is_shown else top
        yield folder
        yield from (one for one in folder.parents if one.is_relative_to(top))


def _group_paths(root: Path) -> dict[str, str]:
    """Return the path of this process's group by controller; of version 2 under an empty name."""
    paths: dict[str, str] = {}
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        names = [""] if number == "0" else controllers.split(",")
        paths.update(dict.fromkeys(names, path))
    return paths


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").strip()
    except OSError:
        return ""
