"""A worker whose control group has no memory left: what the kernel's kill is told as."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from seqd.local.cgroups import memory_bytes
from seqd_schemas import DeathCause, ItemFailure, Log
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: More than a worker of the light plugin has, and less than its trick `memory` takes.
LIMIT_BYTES = 512 * 1024 * 1024

#: Where control groups can be made, with the file of the limit: of version 1, and of version 2.
PLACES = (
    (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
    (Path("/sys/fs/cgroup"), "memory.max"),
)


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group with little memory; skips where none can be made."""
    for top, limit in PLACES:
        folder = top / f"seqd-test-{os.getpid()}"
        with suppress(OSError):
            folder.mkdir()
            try:
                (folder / limit).write_text(f"{LIMIT_BYTES}\n")
                yield folder
            finally:
                wait_until(partial(_is_removed, folder), "the group has no process left")
            return
    pytest.skip("no control group with a limit can be made here: that needs root")


def _is_removed(folder: Path) -> bool:
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()


@contextmanager
def within(group: Path) -> Iterator[None]:
    """Have what is started in the block be in a group."""
    before = _own_group(group)
    (group / "cgroup.procs").write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        (before / "cgroup.procs").write_text(f"{os.getpid()}\n")


def _own_group(group: Path) -> Path:
    """The folder of this process's own group, of the same kind as another."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    wanted = "memory" if group.parent.name == "memory" else ""
    path = next(path for _, names, path in lines if wanted in names.split(","))
    return group.parent / path.lstrip("/")


def test_a_child_that_the_kernel_kills_for_want_of_memory_is_told_as_that(
    small_group: Path, empty_cluster: Cluster
) -> None:
    if memory_bytes() < 2 * LIMIT_BYTES:
        pytest.skip("this machine has too little memory")
    with within(small_group):
        worker = empty_cluster.start_ready(max_attempts=1)

    job = empty_cluster.client().classify(["t0", "memory"], model="echo")
    results = list(job.results())

    (error,) = [result.error for result in results if isinstance(result, ItemFailure)]
    said = (
        r"The worker's process was killed by the kernel, since memory was used up: its control "
        r"group may have 536,870,912 bytes and had [\d,]+, the process [\d,]+\. Give it more, or "
    )
    assert re.search(said, error.message)
    told = [event for event in job.events() if isinstance(event, Log)]
    assert {(event.cause, event.worker) for event in told} == {
        (DeathCause.OUT_OF_MEMORY, worker.name)
    }
    assert worker.whole_log().count(f" cause={DeathCause.OUT_OF_MEMORY}: ") == 2
    worker.wait_until_ready()
    status = worker.status()
    assert status is not None
    assert status.death_counts == {DeathCause.OUT_OF_MEMORY: 2}
    assert worker.stop() == 0
