"""Real workers on GPUs of a fake driver: what they say, and what a lost device takes with it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli_builders import clean_environment
from fake_gpu_fixtures import LOST, XID, Machine, gpu_uuid
from seqd.client import Client
from seqd.local.pinning import slots_here
from seqd_schemas import DeathCause, DeviceStatus, Log, WorkerState
from up_builders import MODULE, running_up
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

NAME = "NVIDIA H100 80GB HBM3"
MEMORY_BYTES = 80_920 * 2**20


def start(cluster: Cluster, spec: str, name: str) -> LiveWorker:
    (slot,) = slots_here(spec)
    return cluster.start(name, slot)


def texts(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


def last_line(worker: LiveWorker) -> str:
    return worker.log().strip().splitlines()[-1]


def wait_until_busy(worker: LiveWorker) -> None:
    def is_busy() -> bool:
        status = worker.status()
        return status is not None and status.state is WorkerState.BUSY

    wait_until(is_busy, f"{worker.name} works")


def run_worker(machine: Machine, tmp_path: Path, slot: str, **variables: str) -> tuple[int, str]:
    """Run a worker that should end by itself; return its status and what it said last."""
    environment = clean_environment(
        SEQD_DATA_DIR=str(tmp_path), SEQD_REDIS_URL="redis://127.0.0.1:1/0", **variables
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "seqd", "worker", "--slot", slot],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def test_a_device_that_falls_off_the_bus_ends_its_slot_alone_and_its_items_go_on_without_a_stall(
    empty_cluster: Cluster, machine: Machine
) -> None:
    machine.add(2)
    # No lease ends within the test: what the lost one held is released.
    waits = {"lease_s": 1_200.0, "heartbeat_s": 20.0, "reconcile_s": 600.0}
    (half,), (whole,) = slots_here("all@gpu:0=0.5"), slots_here("all@gpu:1")
    lost = empty_cluster.start("lost", half, **waits)
    well = empty_cluster.start("well", whole, **waits)
    for worker in (lost, well):
        worker.wait_until_ready()
    assert lost.known_status().device == DeviceStatus(
        uuid=gpu_uuid(0), name=NAME, memory_bytes=MEMORY_BYTES, share_bytes=MEMORY_BYTES // 2
    )
    job = empty_cluster.client().classify(texts(200), model="echo", parameters={"delay_ms": 60})
    results = job.results()
    got = [next(results)]
    wait_until_busy(lost)

    machine.event(0, XID, 79).change(0, error=LOST)
    got += results

    assert [result.output.label for result in got] == texts(200)
    assert empty_cluster.crashes(job.job_id) == 0
    assert lost.wait_for_end() == os.EX_OSERR == 71
    assert last_line(lost) == (
        f"error[device_lost]: Slot all@gpu:0=0.5: {NAME} ({gpu_uuid(0)}) is lost: XID 79, it has "
        "fallen off the bus."
    )
    assert well.is_up()


def test_a_child_that_aborts_when_its_device_goes_is_not_to_blame_nor_its_units(
    empty_cluster: Cluster, machine: Machine
) -> None:
    machine.add(4)
    at_work = start(empty_cluster, "all@gpu:3", "w1").wait_until_ready()

    # As TensorFlow does, perhaps before the driver says so.
    job = empty_cluster.client().classify(texts(8), model="echo", parameters={"delay_ms": 2_000})
    wait_until_busy(at_work)
    child = at_work.child_pid()

    machine.change(3, error=LOST)
    os.kill(child, signal.SIGABRT)

    assert at_work.wait_for_end() == 71
    assert empty_cluster.crashes(job.job_id) == 0
    assert f" cause={DeathCause.DEVICE_LOST}: " in at_work.whole_log()
    told = next(event for event in job.events() if isinstance(event, Log))
    assert (told.cause, told.worker) == (DeathCause.DEVICE_LOST, at_work.name)


def test_up_goes_on_with_the_others_and_waits_until_the_driver_sees_a_lost_device_again(
    tmp_path: Path, machine: Machine
) -> None:
    machine.add(2)
    with running_up(tmp_path, slots="all@gpu:0,all@gpu:1") as up:
        machine.event(1, XID, 79).change(1, error=LOST)
        # Its child may die first, and that line too says that the device is lost.
        up.wait_for("all@gpu:1  lost ")
        up.wait_for("Starts again when the driver sees it")
        lines = up.screen().splitlines()
        line = next(line for line in lines if line.startswith("all@gpu:1  lost "))
        with Client(settings=up.settings) as client:
            done = client.classify(texts(40), model="echo").wait(timeout_s=120)
        starts_while_lost = up.screen().count("all@gpu:1  started")
        machine.change(1, error=0)
        up.wait_for("start 2")
        wait_until(lambda: up.screen().count("all@gpu:1  ready") == 2, "its slot is ready again")

    assert (
        f": status 71: its device is lost: Slot all@gpu:1: {NAME} ({gpu_uuid(1)}) is lost: XID 79,"
        " it has fallen off the bus. Starts again when the driver sees it (log: "
    ) in line
    assert done.counts.succeeded == 40
    assert starts_while_lost == 1


def test_up_and_a_worker_on_its_own_refuse_a_device_that_is_not_there_before_they_start_anything(
    tmp_path: Path, machine: Machine
) -> None:
    machine.add(1)

    ended = subprocess.run(
        [*MODULE, "up", "--slots", "gpu:0,gpu:9"],
        env=clean_environment(SEQD_DATA_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    status, said = run_worker(machine, tmp_path, "gpu:9")

    assert (ended.returncode, status) == (78, 78)
    assert ended.stderr.strip() == said
    assert said.startswith("error[unusable_slot]: Slot gpu:9 wants GPU 9, which is not here. ")
    assert list(tmp_path.glob("redis/*")) == []


def test_a_worker_whose_device_does_not_compute_is_never_ready(
    empty_cluster: Cluster, machine: Machine
) -> None:
    machine.add(1).say("cuda cuModuleLoadData 209")

    worker = start(empty_cluster, "all@gpu:0", "w1")

    assert worker.wait_for_end() == 78
    assert "this driver has no kernels for this card" in last_line(worker)


@pytest.mark.network
def test_a_worker_whose_framework_sees_no_gpu_ends_and_computes_nothing_on_the_cpu(
    empty_cluster: Cluster, machine: Machine
) -> None:
    """The driver is fake and TensorFlow is not: this one is built for CPUs."""
    machine.add(1)
    (slot,) = slots_here("train@gpu:0")

    worker = empty_cluster.start("w1", slot, enabled_plugins=("imdb_lstm",))

    assert worker.wait_for_end(60) == 78
    said = "error[unusable_slot]: Slot train@gpu:0: tensorflow 2."
    assert last_line(worker).startswith(said), worker.log()
