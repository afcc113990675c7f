"""Limits of control groups, of both versions, nested, and as a container sees them."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from seqd.local.cgroups import (
    MemoryLimit,
    memory_bytes,
    memory_kills,
    memory_limit,
    quota_cores,
)

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

V2 = "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"
V1_MEMORY = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_CPU = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


def a_root(folder: Path, groups: str, mounts: str, files: Mapping[str, str]) -> Path:
    """A folder with the `proc` and `sys` of a process."""
    contents = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
    contents |= {f"sys/fs/cgroup/{name}": text for name, text in files.items()}
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{text}\n")
    return folder


@pytest.mark.parametrize("name", ["memory.max", "memory.high"])
def test_the_least_limit_up_the_tree_holds_in_version_2(tmp_path, name):
    files = {f"a/b/{name}": "3000", f"a/{name}": "2000", name: "9000"}

    assert memory_bytes(a_root(tmp_path, "0::/a/b", V2, files)) == 2_000


def test_the_least_limit_up_the_tree_holds_in_version_1(tmp_path):
    files = {
        "memory/a/b/memory.limit_in_bytes": "9223372036854771712",
        "memory/a/memory.limit_in_bytes": "4000",
        "cpu,cpuacct/a/cpu.cfs_quota_us": "150000",
        "cpu,cpuacct/a/cpu.cfs_period_us": "100000",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    groups = "4:memory:/a/b\n2:cpu,cpuacct:/a\n0::/"
    root = a_root(tmp_path, groups, f"{V1_MEMORY}\n{V1_CPU}", files)

    assert (memory_bytes(root), quota_cores(root)) == (4_000, 2)


@pytest.mark.parametrize(
    ("shown", "group"),
    [
        ("/docker/1f", "/docker/1f"),  # the mount shows the container's group as its top
        ("/", "/../docker/1f"),  # a path of another view of the tree
        ("/docker/1f", "/"),
    ],
)
def test_a_containers_limit_is_at_the_top_of_what_it_sees(tmp_path, shown, group):
    mounts = V1_MEMORY.replace(" / /sys", f" {shown} /sys")
    root = a_root(tmp_path, f"4:memory:{group}", mounts, {"memory/memory.limit_in_bytes": "5000"})

    assert memory_bytes(root) == 5_000


@pytest.mark.parametrize(
    ("outer", "inner", "cores"),
    [
        ("max 100000", "200000 100000", 2),
        ("200000 100000", "1600000 100000", 2),
        ("max 100000", "150000 100000", 2),
        ("50000 100000", "max 100000", 1),
    ],
)
def test_a_quota_is_rounded_up_to_whole_cores_and_the_least_one_holds(
    tmp_path, outer, inner, cores
):
    files = {"pod/cpu.max": outer, "pod/worker/cpu.max": inner}

    assert quota_cores(a_root(tmp_path, "0::/pod/worker", V2, files)) == cores


def kills_in(root: Path) -> tuple[int, Path | None] | None:
    kills = memory_kills(root)
    return None if kills is None else (kills.count, kills.group)


def test_kills_for_want_of_memory_are_those_of_the_processs_own_group(tmp_path):
    files = {
        "a/b/memory.events": "low 0\nhigh 4\nmax 9\noom 2\noom_kill 1\noom_group_kill 0",
        "a/memory.events": "oom_kill 7",
    }
    root = a_root(tmp_path, "0::/a/b", V2, files)

    assert kills_in(root) == (1, root / "sys/fs/cgroup/a/b")


def test_kills_of_version_1_and_of_the_machine_are_counted(tmp_path):
    v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 5"
    old = a_root(tmp_path / "1", "4:memory:/a", V1_MEMORY, {"memory/a/memory.oom_control": v1})
    bare = a_root(tmp_path / "2", "0::/", V2, {})
    (bare / "proc/vmstat").write_text("pgfault 3\noom_kill 8\n")

    assert kills_in(old) == (5, old / "sys/fs/cgroup/memory/a")
    assert kills_in(bare) == (8, None)
    assert kills_in(tmp_path) is None


def test_the_limit_is_that_of_the_group_with_the_least(tmp_path):
    files = {"a/b/memory.max": "3000", "a/memory.max": "2000", "a/memory.peak": "1999"}

    assert memory_limit(a_root(tmp_path, "0::/a/b", V2, files)) == MemoryLimit(2_000, 1_999)
    assert memory_limit(tmp_path / "none") is None


def test_without_control_groups_or_a_limit_in_them_the_machine_is_the_limit(tmp_path):
    files = {"memory.max": "max", "memory.high": "max", "cpu.max": "max 100000"}

    for root in (tmp_path / "none", a_root(tmp_path, "0::/", V2, files)):
        assert (memory_bytes(root), quota_cores(root)) == (MACHINE, None)
