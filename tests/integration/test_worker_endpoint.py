"""The endpoint of a worker's metrics, with real workers and real deaths."""

import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from checkout import python_path
from cli_builders import here
from held_ports import hold_port
from monitoring.files import told_metrics
from seqd.local.slots import parse_slot
from seqd.local.supervisor import worker_command, worker_environment
from worker_fixtures import PLUGIN, Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]


#: Metrics that only a worker with a GPU, or with a plugin that counts tokens, has, and one that has
#: seen a child die.
OF_SOME_WORKERS = {
    "seqd_worker_gpu_memory_bytes",
    "seqd_worker_tokens_total",
    "seqd_worker_padding_tokens_total",
    "seqd_worker_child_deaths_total",
}


@dataclass
class Endpoint:
    """The endpoint of one worker."""

    worker: LiveWorker
    port: int

    def text(self) -> str:
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=120) as answer:
            return str(answer.read().decode())

    def value(self, name: str, **labels: str) -> float:
        """Return the value of a sample; 0 where it is not there."""
        for family in text_string_to_metric_families(self.text()):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return 0.0

    def heartbeat_age_s(self) -> float:
        return self.value("seqd_worker_heartbeat_age_seconds")

    def items(self) -> float:
        return self.value("seqd_worker_items_total", model="echo", outcome="succeeded")

    def wait_for_items(self, count: int) -> None:
        """Wait until so many are counted, and all else of their jobs.

        Each is counted a moment after it was done: a job has ended by then.
        """
        wait_until(lambda: self.items() == count, f"{count} items are counted")
        self.worker.wait_until_idle()


@pytest.fixture
def serving(empty_cluster: Cluster) -> Callable[[], Endpoint]:
    """Start a worker that serves metrics."""

    def start() -> Endpoint:
        port = hold_port(empty_cluster)
        worker = empty_cluster.start(worker_metrics_port=port)
        return Endpoint(worker.wait_until_ready(), port)

    return start


def test_what_a_worker_did_is_kept_over_its_child_and_a_port_that_is_taken_costs_metrics_alone(
    empty_cluster: Cluster, serving: Callable[[], Endpoint]
):
    one, client = serving(), empty_cluster.client()
    client.classify(["a", "b", "bad"], model="echo").wait(timeout_s=120)
    one.wait_for_items(2)
    before = one.text()
    killed = one.worker.kill_child()
    one.worker.wait_until_ready(other_than_pid=killed)
    kept = one.items()
    client.classify(["c"], model="echo").wait(timeout_s=120)

    assert kept == 2
    one.wait_for_items(3)
    labels = {"task": "classify", "model": "echo"}
    assert one.value("seqd_worker_items_total", **labels, code="invalid_input") == 1
    assert one.value("seqd_worker_job_seconds_count", **labels) == 2
    assert one.value("seqd_worker_wait_seconds_count", **labels) == 2
    assert one.value("seqd_worker_unit_seconds_count", **labels, stage="commit") == 2
    assert one.value("seqd_worker_busy_seconds_total", **labels) > 0
    assert one.value("seqd_worker_child_deaths_total", cause="signal") == 1
    assert one.value("seqd_worker_model_bytes", model="echo") > 0
    assert 'seqd_worker_info{host="' in before
    told = {name for name in told_metrics() if name.startswith("seqd_worker_")}
    assert {name for name in told if f"# TYPE {name} " not in before} <= OF_SOME_WORKERS
    if (promtool := shutil.which("promtool")) is not None:
        check = subprocess.run([promtool, "check", "metrics"], input=before, text=True, timeout=120)
        assert check.returncode == 0

    # Two on one host count apart, and answer while a child stands still.
    other = serving()
    for _ in range(6):
        client.classify(["a"], model="echo").wait(timeout_s=120)
    wait_until(lambda: one.items() + other.items() == 3 + 6, "all are counted")
    stopped = one.worker.child_pid()
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_until(lambda: one.heartbeat_age_s() > 2, "its heartbeat is old")
        # Its own is put in each half second, if this machine is not too busy.
        wait_until(lambda: other.heartbeat_age_s() < 1, "that of the other is new")
        assert one.heartbeat_age_s() > 2
    finally:
        os.kill(stopped, signal.SIGCONT)

    # One whose port is taken works without metrics, until the port is free.
    third = empty_cluster.start(worker_metrics_port=one.port).wait_until_ready()
    wait_until(lambda: "no metrics are served" in third.whole_log(), "it says so")
    for ending in (one, other):
        ending.worker.stop()
    successor = Endpoint(third, one.port)

    wait_until(lambda: "metrics at http" in third.whole_log(), "the port is its own now")
    client.classify(["a"], model="echo").wait(timeout_s=120)
    successor.wait_for_items(1)


def test_a_worker_with_a_port_and_without_the_library_exits_78_and_says_what_to_install(
    empty_cluster: Cluster, tmp_path: Path
):
    missing = 'raise ModuleNotFoundError("gone", name="prometheus_client")'
    (tmp_path / "prometheus_client.py").write_text(missing)
    settings = empty_cluster.settings
    assert settings.redis_url is not None
    slot = parse_slot("all@cpu:0")
    environment = worker_environment(settings, settings.redis_url, slot)
    ended = subprocess.run(
        worker_command(slot, "w"),
        env={
            **environment,
            "PYTHONPATH": python_path(tmp_path, PLUGIN),
            "SEQD_WORKER_METRICS_PORT": "9000",
        },
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert ended.returncode == 78
    assert (
        "SEQD_WORKER_METRICS_PORT needs prometheus-client, which is not installed: pip install "
        "'seqd[exporter]'"
    ) in ended.stderr + ended.stdout


def test_a_daemon_whose_last_slot_would_have_no_port_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("SEQD_WORKER_METRICS_PORT", "65535")

    ended = here(capsys, "up", "--slots", "cpu:0,cpu:1")

    assert ended.status == 78
    assert (
        "SEQD_WORKER_METRICS_PORT is 65535, and the last of 2 slots would have port 65536; "
        "allowed: 65535"
    ) in ended.err
