"""`seqd probe` beside a real worker: it starts, is ready, breaks, drains, loses its Redis."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from seqd.local.run_files import HEARTBEAT, READINESS, Heartbeat, RunFolder
from seqd.models.store import ModelStore
from seqd_schemas import WorkerState
from worker_fixtures import Cluster, ask, wait_until

pytestmark = pytest.mark.processes


HOST = os.uname().nodename


@pytest.mark.slow
def test_a_worker_is_ready_from_when_it_is_warm_until_it_drains(empty_cluster: Cluster) -> None:
    client, store_dir = empty_cluster.client(), empty_cluster.settings.store_dir
    store, folder = ModelStore(store_dir, {}), RunFolder(empty_cluster.settings.data_dir)
    worker = empty_cluster.start(f"cpu:0@{HOST}-1a2b3c", required_models=("echo",))
    name, file = worker.name, folder.file(worker.name, READINESS)

    def says(answer: "subprocess.CompletedProcess[str]") -> tuple[int, str]:
        return answer.returncode, answer.stdout

    # While it starts, it is not.
    starting = ask(worker, "ready")
    worker.wait_until_ready()
    assert (starting.returncode, starting.stdout) == (1, "")
    assert starting.stderr.startswith(f"No worker {name} has a heartbeat in ")

    # It is, once its models are warm.
    ready = (0, f"Worker {name} is ready; warm: echo@1.\n")
    assert says(ask(worker, "ready")) == says(ask(worker, "ready", "--models", "echo")) == ready
    live = ask(worker, "live")
    assert live.returncode == 0
    assert live.stdout.startswith(f"Worker {name}, process {worker.child_pid()}, heartbeat ")

    # A probe without a name asks all of this host that live: not those of another host on the same
    # folder, and none of a container that was killed an hour ago.
    for other in ("elsewhere-1a2b3c", f"{HOST}-4d5e6f"):
        folder.file(f"cpu:0@{other}", HEARTBEAT).write_text(str(Heartbeat(1, 0.0)))
    assert says(ask(worker, "ready", name="")) == ready
    assert says(ask(worker, "ready", "--models", "", name="")) == (0, f"Worker {name} is ready.\n")

    # A version that comes into service is warmed up without a job for it.
    assert empty_cluster.publish_echo(store_dir) == 2
    for version in (2, 1):
        store.set_label("echo", "production", version)
        due = (0, f"Worker {name} is ready; warm: echo@{version}.\n")
        wait_until(lambda due=due: says(ask(worker, "ready")) == due, f"{version} is in service")

    # A killed child is not ready until its successor is warm.
    killed = worker.kill_child()
    wait_until(lambda: not file.exists(), "its node has removed what it said")
    red = ask(worker, "ready")
    is_warm_by_then = file.exists()  # a busy machine takes its time to start the probe
    worker.wait_until_ready(other_than_pid=killed)
    assert is_warm_by_then or (red.returncode == 1 and "is ready" not in red.stderr)
    assert says(ask(worker, "ready")) == ready

    # One that drains is not, and leaves no file.
    client.classify(["a"], model="echo", parameters={"delay_ms": 20_000})
    wait_until(lambda: worker.known_status().state is WorkerState.BUSY, "the unit is under way")
    assert says(ask(worker, "ready")) == ready
    worker.ask_to_end()
    red = ask(worker, "ready")
    while red.returncode == 0 and worker.is_up():  # the signal is on its way
        red = ask(worker, "ready")
    assert worker.wait_for_end() == 0
    assert (red.returncode, red.stderr) == (
        1,
        f"Worker {name} was asked to end, and claims nothing more.\n",
    )
    assert not file.exists()
    none = ask(worker, "live", name="")
    assert none.returncode == 1
    assert none.stderr.startswith(f"Worker cpu:0@{HOST}-4d5e6f, process 1, heartbeat ")


@pytest.mark.slow
def test_a_version_that_is_damaged_is_red_and_the_worker_ready_for_others(
    empty_cluster: Cluster,
) -> None:
    weights = empty_cluster.settings.store_dir / "echo" / "1" / "echo.json"
    weights.write_text("{}")

    worker = empty_cluster.start_ready("named-7")

    ready = ask(worker, "ready")
    assert (ready.returncode, ready.stdout) == (0, "Worker named-7 is ready.\n")
    required = ask(worker, "ready", "--models", "echo", "--json")
    said = json.loads(required.stdout)
    assert required.returncode == 1
    assert said.pop("reason").startswith("Worker named-7 is not ready for echo: damaged: ")
    assert said == {"probe": "ready", "worker": "named-7", "ok": False}
    # The plain form is answered without the libraries of the command line, the other with them.
    assert ask(worker, "ready", "--models", "").stdout == ready.stdout
    # The node names its child by the variable that the probe reads, so both are one worker.
    named = [ask(worker, "live", *name) for name in ((), ("--name", "named-7"))]
    assert [one.returncode for one in named] == [0, 0]
    other = ask(worker, "live", "--name", "named-8")
    assert other.returncode == 1
    assert other.stderr.startswith("No worker named-8 has a heartbeat in ")


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
        f"No worker of host {HOST} has a heartbeat in {tmp_path / 'run'}: none has "
        "started yet, or they have names of their own; then give --name or SEQD_WORKER.\n",
    )
