"""How much memory a process may use: the machine's, or the smallest limit of its groups."""

import os
from pathlib import Path

import pytest

from seqd_imdb_lstm.memory import memory_limit_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def a_root(folder: Path, groups: str, **limits: str) -> Path:
    """A tree with the files that the kernel would show, `limits` by their paths."""
    for path, content in {"proc/self/cgroup": groups, **limits}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content + "\n")
    return folder


def test_without_groups_it_is_the_machines_memory(tmp_path: Path):
    assert memory_limit_bytes(tmp_path) == MACHINE


@pytest.mark.parametrize(
    ("own", "above"), [("1000", "max"), ("max", "1000"), ("1000", "2000"), ("2000", "1000")]
)
def test_the_smallest_limit_of_a_group_and_those_above_it_holds(tmp_path: Path, own, above):
    limits = {
        "sys/fs/cgroup/jobs/train/memory.max": own,
        "sys/fs/cgroup/jobs/memory.max": above,
    }
    root = a_root(tmp_path, "0::/jobs/train", **limits)

    assert memory_limit_bytes(root) == 1_000


def test_a_container_that_sees_its_hosts_path_has_the_limit_at_the_top(tmp_path: Path):
    root = a_root(tmp_path, "0::/docker/1f", **{"sys/fs/cgroup/memory.max": "5000"})

    assert memory_limit_bytes(root) == 5_000


def test_a_group_without_a_limit_leaves_the_machines_memory(tmp_path: Path):
    root = a_root(tmp_path, "0::/", **{"sys/fs/cgroup/memory.max": "max"})

    assert memory_limit_bytes(root) == MACHINE


def test_a_limit_of_the_first_version_of_groups_holds_too(tmp_path: Path):
    groups = "5:cpu,cpuacct:/docker/1f\n4:memory:/docker/1f\n0::/"
    limits = {"sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes": "3000"}

    assert memory_limit_bytes(a_root(tmp_path, groups, **limits)) == 3_000


def test_a_limit_beyond_the_machines_memory_is_none(tmp_path: Path):
    limits = {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712"}

    assert memory_limit_bytes(a_root(tmp_path, "4:memory:/", **limits)) == MACHINE
