"""Drills of workers: drained, replaced, of another release, and with a device that is lost or full.

The GPUs are those of the fake driver of `fake_gpu/`. What a real device without memory does is run
by `make test-gpu` (`test_a_batch_that_the_device_has_no_memory_for_is_halved`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drills.load import LEASE_S, READY_S, loaded, seqd, two_gpus, two_slots
from drills.result import DrillResult
from fake_gpu_fixtures import LOST, XID
from previous_release import build_previous_release
from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.local.redis_binaries import find_server_binaries
from seqd.settings import Settings
from up_builders import Up
from worker_fixtures import Cluster, live_settings, wait_until

#: What a worker of this release may take to finish what it has in hand; 0.2.0 knows no such time.
DRAIN_S = 1.0

#: Items that fit into the memory of a GPU; batches have eight and more.
FIT = 2

HALVED = "no memory for a batch of "


def drain(folder: Path, reviews: Path | None = None) -> DrillResult:
    """Drain one of two slots, which stays down for a while, and start it again."""
    with two_slots(folder, reviews) as (up, load):
        with Client(settings=up.settings) as client:
            (host,) = {one.host for one in client.workers()}
        seqd(up, "workers", "drain", f"cpu:0@{host}", "--wait", "--reason", "a drill")
        load.wait_for_more(200)
        seqd(up, "workers", "uncordon", f"cpu:0@{host}")
        wait_until(lambda: up.screen().count("ready") == 3, "it is started again", READY_S)
        load.wait_for_more(200)
        return load.finish("drain")


def rolling_restart(folder: Path, reviews: Path | None = None) -> DrillResult:
    """Replace both workers, one after the other."""
    with two_slots(folder, reviews) as (up, load):
        seqd(up, "workers", "restart", "--wait", "--timeout-s", "200")
        load.wait_for_more(200)
        return load.finish("rolling-restart")


def other_release(folder: Path) -> DrillResult:
    """Hand a job from a worker of the previous release to one of this release, and back.

    As in an upgrade, and in the way back: each is up before the other ends. The previous release is
    built from its commit.
    """
    release = build_previous_release(folder / "release").folder
    with _fleet(folder) as cluster:
        old = cluster.start_ready("old", release, lease_s=LEASE_S, drain_s=DRAIN_S)
        with loaded(cluster.settings, folder) as load:
            new = cluster.start_ready("new", lease_s=LEASE_S, drain_s=DRAIN_S)
            wait_until(lambda: _has_worked(cluster, "new"), "the new one does some of it")
            assert old.stop() == 0, old.log()
            load.wait_for_more(200)
            again = cluster.start_ready("old-again", release, lease_s=LEASE_S, drain_s=DRAIN_S)
            wait_until(lambda: _has_worked(cluster, "old-again"), "the old one, too")
            assert new.stop() == 0, new.log()
            load.wait_for_more(200)
            result = load.finish("other-release")
        assert again.is_up(), again.log()
        return result


def device_lost(folder: Path) -> DrillResult:
    """Have one of two GPUs fall off the bus (XID 79), and come back after a while.

    Its slot ends, `seqd up` goes on with the other one, and starts it again when the driver lists
    it again.
    """
    with two_gpus(folder) as (up, machine), loaded(up.settings, folder) as load:
        machine.event(1, XID, 79).change(1, error=LOST)
        up.wait_for("all@gpu:1  lost", READY_S)
        load.wait_for_more(200)
        machine.change(1, error=0)
        wait_until(
            lambda: up.screen().count("all@gpu:1  ready") == 2, "it is started again", READY_S
        )
        load.wait_for_more(200)
        return load.finish("device-lost", is_breakdown=True)


def device_out_of_memory(folder: Path) -> DrillResult:
    """Have the memory of both GPUs hold no more than two items at a time, for a while.

    The tests' plugin raises the error that TensorFlow raises then, for every larger batch.
    """
    with two_gpus(folder) as (up, _), loaded(up.settings, folder) as load:
        before = _pids(up.settings)
        shortage = up.settings.data_dir / "sick"
        shortage.write_text(f"classify fits-{FIT}\n")
        wait_until(lambda: _have_halved(up), "each worker has halved a batch")
        load.wait_for_more(400)
        shortage.unlink()
        load.wait_for_more(200)
        result = load.finish("device-out-of-memory")
        assert _pids(up.settings) == before, f"a worker did not stay up\n{up.screen()}"
        return result


def _has_worked(cluster: Cluster, name: str) -> bool:
    status = next(one for one in cluster.workers if one.name == name).status()
    return status is not None and status.work.items > 0


def _have_halved(up: Up) -> bool:
    logs = list((up.settings.data_dir / "logs").glob("all-gpu-*.log"))
    return len(logs) == 2 and all(HALVED in log.read_text(errors="replace") for log in logs)


def _pids(settings: Settings) -> dict[str, int]:
    with Client(settings=settings) as client:
        return {worker.slot: worker.pid for worker in client.workers()}


@contextmanager
def _fleet(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster without a worker, on a server of its own."""
    (folder / "redis").mkdir()
    server = PrivateServer(find_server_binaries()[0], folder / "redis")
    server.start()
    try:
        cluster = Cluster(live_settings(server, folder), folder)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        server.stop()
