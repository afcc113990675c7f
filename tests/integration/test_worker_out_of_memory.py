"""A worker whose control group has no memory left: what the kernel's kill is told as."""

import re
from pathlib import Path

import pytest

from cgroup_fixtures import LIMIT_BYTES, within
from seqd.local.cgroups import memory_bytes
from seqd_schemas import DeathCause, ItemFailure, Log
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


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
    # One that is short of memory may have stood still, of which is told as well.
    deaths = [event for event in job.events() if isinstance(event, Log) and event.cause]
    assert {(event.cause, event.worker) for event in deaths} == {
        (DeathCause.OUT_OF_MEMORY, worker.name)
    }
    assert worker.whole_log().count(f" cause={DeathCause.OUT_OF_MEMORY}: ") == 2
    # The record of a death follows the release of what the process had in hand.
    wait_until(
        lambda: death_counts(worker) == {DeathCause.OUT_OF_MEMORY: 2}, "its record tells of both"
    )
    assert worker.stop() == 0


def death_counts(worker: LiveWorker) -> dict[DeathCause, int]:
    status = worker.status()
    return {} if status is None else dict(status.death_counts)
