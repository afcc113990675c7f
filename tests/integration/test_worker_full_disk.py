"""A worker whose folder of data is on a full disk: a real file system, filled to its last byte."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import Server
from seqd.client import Client
from seqd_schemas import ItemSuccess
from up_builders import running_up
from worker_fixtures import Cluster, LiveWorker, ask, cluster_on, only_worker, wait_until

pytestmark = pytest.mark.processes

#: Bytes of the disk: room for a small store, and soon full.
DISK_BYTES = 4 * 1024**2

#: A child without a heartbeat is ended before its lease is over, and not on a busy machine.
LEASE_S, HEARTBEAT_S, MAX_SILENT_S = 4.0, 0.5, 2.0


class Disk:
    """A file system of its own, which a test fills and empties."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Take all of its free space."""
        with (self.folder / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(b"x" * 4_096):
                    continue
            except OSError:
                return

    def empty(self) -> None:
        """Give that space back."""
        (self.folder / "ballast").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "seqd-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system to fill")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def on_disk(users_server: Server, disk: Disk, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with its folder of data on the disk, and its logs elsewhere."""
    times = {"lease_s": LEASE_S, "heartbeat_s": HEARTBEAT_S, "max_silent_s": MAX_SILENT_S}
    with cluster_on(users_server, tmp_path, data_dir=disk.folder / "seqd", **times) as own:
        yield own


@pytest.mark.slow
def test_workers_start_work_and_end_on_a_full_disk_and_their_probes_stay_green(
    on_disk: Cluster, disk: Disk
) -> None:
    worker = on_disk.start_ready()
    child = worker.child_pid()

    disk.fill()
    worker.wait_for_heartbeats(LEASE_S)

    assert_probe_is_green(worker)
    assert worker.child_pid() == child
    assert_it_works(on_disk)

    # The next child, and another worker, have a heartbeat too.
    worker.wait_until_ready(other_than_pid=worker.kill_child())
    other, child = on_disk.start_ready(), worker.child_pid()
    other.wait_for_heartbeats(LEASE_S)

    assert f"process {child}," in assert_probe_is_green(worker)
    assert_probe_is_green(other)
    assert other.stop() == 0
    assert list((disk.folder / "seqd" / "run").glob(f"{other.name}.*")) == []

    disk.empty()
    worker.wait_for_heartbeats(LEASE_S)

    assert_probe_is_green(worker)
    assert worker.child_pid() == child
    assert_it_works(on_disk)


def assert_probe_is_green(worker: LiveWorker) -> str:
    answer = ask(worker, "live")
    assert (answer.returncode, answer.stderr) == (0, "")
    return answer.stdout


def assert_it_works(cluster: Cluster) -> None:
    job = cluster.client().classify(["a", "b"], model="echo")
    assert all(isinstance(result, ItemSuccess) for result in job.results())


@pytest.mark.slow
def test_seqd_up_with_all_that_it_has_on_a_full_disk_goes_on_when_there_is_room(
    disk: Disk, tmp_path: Path
) -> None:
    with (
        running_up(disk.folder, lease_s=LEASE_S, heartbeat_s=HEARTBEAT_S) as up,
        Client(settings=up.settings) as client,
    ):
        texts = [f"text {n}" for n in range(2_000)]
        job = client.classify(texts, model="echo", parameters={"delay_ms": 1})
        wait_until(lambda: job.record().counts.succeeded > 0, "the job has begun")
        child, server = only_worker(client).pid, up.endpoint().pid

        disk.fill()
        wait_until(lambda: client.workers() == [], "its record has run out")
        disk.empty()

        assert job.wait(timeout_s=120).counts.succeeded == 2_000
        assert (only_worker(client).pid, up.endpoint().pid) == (child, server)
        assert "died" not in up.screen()
