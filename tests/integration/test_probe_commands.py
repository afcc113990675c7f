"""`seqd probe` beside a real worker: it starts, is ready, breaks, drains, loses its Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from redis_fixtures import PrivateServer
from seqd.local.heartbeat import Heartbeat
from seqd.local.run_files import HEARTBEAT, READINESS, RunFolder
from seqd.models.store import ModelStore
from seqd_schemas import WorkerState
from worker_fixtures import Cluster, LiveWorker, ask, live_settings, wait_until

pytestmark = pytest.mark.processes


def is_yes(worker: LiveWorker, *arguments: str) -> bool:
    return ask(worker, *arguments).returncode == 0


def state_of(worker: LiveWorker) -> WorkerState | None:
    status = worker.status()
    return None if status is None else status.state


def ready_file(cluster: Cluster, worker: LiveWorker) -> Path:
    return RunFolder(cluster.settings.data_dir).file(worker.name, READINESS)


@pytest.mark.slow
def test_a_worker_is_not_ready_while_it_starts_and_is_when_its_models_are_warm(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start(required_models=("echo",))

    starting = ask(worker, "ready")
    worker.wait_until_ready()
    ready, model, live = ask(worker, "ready"), ask(worker, "model", "echo@1"), ask(worker, "live")

    assert starting.returncode == 1 and starting.stdout == ""
    assert starting.stderr.startswith(f"No worker {worker.name} has a heartbeat in ")
    assert (ready.returncode, ready.stdout) == (0, "Worker w1 is ready; warm: echo@1.\n")
    assert (model.returncode, model.stdout) == (0, "Worker w1 is ready; warm: echo@1.\n")
    assert live.returncode == 0
    assert live.stdout.startswith(f"Worker w1, process {worker.child_pid()}, heartbeat ")


@pytest.mark.slow
def test_a_killed_child_is_not_ready_until_its_successor_is_warm(empty_cluster: Cluster) -> None:
    worker = empty_cluster.start_ready(required_models=("echo",))
    assert is_yes(worker, "ready")
    file = ready_file(empty_cluster, worker)

    killed = worker.kill_child()
    wait_until(lambda: not file.exists(), "its node has removed what it said")
    red = ask(worker, "ready")
    worker.wait_until_ready(other_than_pid=killed)

    assert red.returncode == 1 and "is ready" not in red.stderr
    assert is_yes(worker, "ready")


@pytest.mark.slow
def test_a_version_that_is_damaged_is_red_and_the_worker_ready_for_others(
    empty_cluster: Cluster,
) -> None:
    weights = empty_cluster.settings.store_dir / "echo" / "1" / "echo.json"
    weights.write_text("{}")

    worker = empty_cluster.start_ready()

    model, ready = ask(worker, "model", "echo"), ask(worker, "ready")
    assert model.returncode == 1
    assert model.stderr.startswith("Worker w1 is not ready for echo: damaged: ")
    assert (ready.returncode, ready.stdout) == (0, "Worker w1 is ready.\n")
    required = ask(worker, "ready", "--models", "echo", "--json")
    assert required.returncode == 1
    assert json.loads(required.stdout) == {
        "probe": "ready",
        "worker": "w1",
        "ok": False,
        "reason": model.stderr.strip(),
    }


@pytest.mark.slow
def test_a_version_that_comes_into_service_is_warmed_up_where_its_model_is_required(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready(required_models=("echo",))

    store = ModelStore(empty_cluster.settings.store_dir, {})
    assert empty_cluster.publish_echo(empty_cluster.settings.store_dir) == 2

    store.set_label("echo", "production", 2)

    wait_until(lambda: is_yes(worker, "model", "echo@2"), "version 2 is warm, without a job for it")
    assert ask(worker, "ready").stdout == "Worker w1 is ready; warm: echo@2.\n"
    store.set_label("echo", "production", 1)
    wait_until(
        lambda: ask(worker, "ready").stdout == "Worker w1 is ready; warm: echo@1.\n",
        "version 1 is in service again",
    )


@pytest.mark.slow
def test_an_outage_of_redis_leaves_a_worker_alive_and_ready(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(private_server, tmp_path), tmp_path)
    try:
        worker = cluster.start_ready(required_models=("echo",))
        private_server.kill()

        answers = [ask(worker, probe) for probe in ("live", "ready")]

        assert [answer.returncode for answer in answers] == [0, 0], answers
    finally:
        cluster.close()


@pytest.mark.slow
def test_a_worker_that_drains_is_not_ready_and_leaves_no_file(empty_cluster: Cluster) -> None:
    worker = empty_cluster.start_ready()
    client = empty_cluster.client()
    client.classify(["a", "b"], model="echo", parameters={"delay_ms": 8_000})
    wait_until(lambda: state_of(worker) is WorkerState.BUSY, "the unit is under way")
    assert is_yes(worker, "ready")

    worker.ask_to_end()
    red = ask(worker, "ready")
    while red.returncode == 0 and worker.is_up():  # the signal is on its way
        red = ask(worker, "ready")
    assert worker.wait_for_end() == 0

    assert (red.returncode, red.stderr) == (
        1,
        "Worker w1 was asked to end, and claims nothing more.\n",
    )
    assert not ready_file(empty_cluster, worker).exists()


@pytest.mark.slow
def test_a_worker_takes_its_name_from_the_variable_that_the_probe_reads(
    empty_cluster: Cluster,
) -> None:
    worker = empty_cluster.start_ready("named-7")

    # The node names its child by the same variable, so both are one worker.
    assert is_yes(worker, "live") and is_yes(worker, "live", "--name", "named-7")
    # The plain form is answered without the libraries of the command line, the other with them.
    assert ask(worker, "ready").stdout == ask(worker, "ready", "--models", "").stdout
    other = ask(worker, "live", "--name", "named-8")
    assert other.returncode == 1
    assert other.stderr.startswith("No worker named-8 has a heartbeat in ")


@pytest.mark.slow
def test_a_probe_without_a_name_asks_all_workers_of_this_host_that_live(
    empty_cluster: Cluster,
) -> None:
    host = os.uname().nodename
    worker = empty_cluster.start_ready(f"cpu:0@{host}-1a2b3c")
    # Of another host on the same folder, and of a container that was killed an hour ago.
    folder = RunFolder(empty_cluster.settings.data_dir)
    folder.file("cpu:0@elsewhere-1a2b3c", HEARTBEAT).write_text(str(Heartbeat(1, 0.0)))
    folder.file(f"cpu:0@{host}-4d5e6f", HEARTBEAT).write_text(str(Heartbeat(1, 0.0)))

    answer = ask(worker, "ready", name="")
    again = ask(worker, "ready", "--models", "", name="")
    assert worker.stop() == 0
    none = ask(worker, "live", name="")

    assert (answer.returncode, answer.stdout) == (0, f"Worker {worker.name} is ready.\n")
    assert again.stdout == answer.stdout
    assert none.returncode == 1
    assert none.stderr.startswith(f"Worker cpu:0@{host}-4d5e6f, process 1, heartbeat ")


def test_a_probe_where_no_worker_has_started_says_so(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "seqd", "probe", "ready"],
        env={"PYTHONPATH": python_path(), "SEQD_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (
        1,
        f"No worker of host {os.uname().nodename} has a heartbeat in {tmp_path / 'run'}: none has "
        "started yet, or they have names of their own; then give --name or SEQD_WORKER.\n",
    )
