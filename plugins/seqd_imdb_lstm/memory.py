"""How much memory this process may use: the machine's, or less where a container has a limit.

Called before a training set is read. Measures nothing: what a set takes, `corpus` counts.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: By version of control groups: where its tree is mounted, and the file with a group's limit.
_TREES: Final = {
    "v2": ("sys/fs/cgroup", "memory.max"),
    "v1": ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
}


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Give the smallest of the machine's memory and all limits of this process's groups.

    `root` is where `/proc` and `/sys` are looked for; without them the machine's memory is it.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    groups = root / "proc/self/cgroup"
    if not groups.is_file():
        return
    for line in groups.read_text(encoding="utf-8").splitlines():
        # Such as `0::/user.slice` (version 2) and `4:memory:/docker/1f` (version 1).
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            yield from _limits_above(root, "v2", path)
        elif "memory" in controllers.split(","):
            yield from _limits_above(root, "v1", path)


def _limits_above(root: Path, version: str, path: str) -> Iterator[int]:
    """Give the limits of a group and of those that it is in: each of them holds.

    In a container the group's path may be the host's, which is not there: then the top is it.
    """
    tree, name = _TREES[version]
    top = root / tree
    group = top / path.lstrip("/")
    for folder in [group, *group.parents]:
        file = folder / name
        if folder.is_relative_to(top) and file.is_file():
            limit = file.read_text(encoding="ascii").strip()
            if limit.isdecimal():  # else `max`: no limit
                yield int(limit)
