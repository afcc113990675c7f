"""However a worker's child ends, its units are released before another takes its place."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checkout import python_path
from seqd.local.supervisor import worker_environment
from seqd_schemas import WorkerState
from worker_fixtures import PLUGIN, SLOT, Cluster, wait_until

pytestmark = pytest.mark.processes

#: A worker whose Celery ends its tasks after a second, as no setting of seqd's has it do.
LIMITED = """
from seqd.local.slots import parse_slot
from seqd.settings import load_settings
from seqd.worker import node

create_app = node.create_app

def create_limited_app(*arguments):
    app = create_app(*arguments)
    app.conf.task_time_limit = 1
    return app

if __name__ == "__main__":
    node.create_app = create_limited_app
    node.run_node(load_settings(), parse_slot("all@cpu:0"), "limited")
"""


@pytest.fixture
def limited_log(empty_cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    settings = empty_cluster.settings.model_copy(update={"lease_s": 60.0, "heartbeat_s": 20.0})
    assert settings.redis_url is not None
    variables = worker_environment(settings, settings.redis_url, SLOT)
    log = tmp_path / "limited.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", LIMITED],
            env=variables | {"PYTHONPATH": python_path(PLUGIN)},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        client = empty_cluster.client()
        wait_until(
            lambda: [one.state for one in client.workers()] == [WorkerState.READY],
            "it is ready",
        )
        yield log
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


@pytest.mark.slow
def test_units_are_released_at_once_when_celery_ends_a_child_at_a_time_limit(
    empty_cluster: Cluster, limited_log: Path
):
    job = empty_cluster.client().classify(["a"], model="echo", parameters={"delay_ms": 60_000})

    wait_until(lambda: empty_cluster.crashes(job.job_id) == 1, "the crash is counted")

    log = limited_log.read_text()
    assert "child died worker=limited" in log
    assert "The worker's process was ended by SIGKILL" in log
    job.cancel()
