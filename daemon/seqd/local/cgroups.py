"""Memory and processor time that this process may use, by its control groups (Linux).

Of versions 1 and 2, nested: each level's limit holds, so the least counts. In a container the
machine's own figures say nothing of them.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

#: Escapes of /proc/self/mountinfo, such as `\040` for a blank.
_ESCAPE = re.compile(r"\\([0-7]{3})")


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the machine's memory, or less where a group limits this process.

    `memory.high` counts, too: above it the kernel slows a process down until it hardly runs. `root`
    is where `proc` and the groups are looked for.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    names = ("memory.max", "memory.high", "memory.limit_in_bytes")
    texts = [_text(folder / name) for folder in _groups("memory", root) for name in names]
    return min([machine, *(int(text) for text in texts if text.isdecimal())])


def quota_cores(root: Path = Path("/")) -> int | None:
    """Return the cores that a quota allows, rounded up, at least 1; None without one."""
    shares = [share for folder in _groups("cpu", root) if (share := _share(folder)) is not None]
    return max(1, math.ceil(min(shares))) if shares else None


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
        shown, mounted_at = (_unescaped(field) for field in fields.split(" ")[3:5])
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


def _unescaped(field: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), field)
