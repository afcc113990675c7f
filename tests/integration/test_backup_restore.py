"""Back up a running ledger and its store by the guide's commands, lose all, and go on from it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from readme_blocks import ROOT, blocks_of
from redis_fixtures import PrivateServer
from seqd.client import JobHandle
from seqd.ledger import connect
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

GUIDE = ROOT / "docker" / "backup.md"
BACK_UP, RESTORE = "back-up.sh", "restore.sh"
TEXTS = [f"text {number}" for number in range(400)]


def run_block(name: str, server: PrivateServer, cluster: Cluster, backup: Path) -> None:
    """Run one of the guide's blocks, with the variables that it says to set."""
    (block,) = (block for block in blocks_of(GUIDE, "sh") if block.file == name)
    variables = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(server.port),
        "REDISCLI_AUTH": server.password,
        "REDIS_FOLDER": str(server.folder),
        "SEQD_DATA_DIR": str(cluster.settings.data_dir),
        "BACKUP": str(backup),
    }
    done = subprocess.run(
        ["bash", "-euc", block.text], env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def assert_whole(job: JobHandle) -> None:
    """Each item once, in order, with its own label."""
    assert job.wait(timeout_s=120).state is JobState.COMPLETED
    labels = [r.output.label for r in job.results() if isinstance(r, ItemSuccess)]
    assert labels == TEXTS


def test_a_ledger_and_its_store_that_were_lost_go_on_from_their_backup(
    own_server: PrivateServer, own_cluster: Cluster, tmp_path: Path
) -> None:
    worker = own_cluster.start_ready()
    client = own_cluster.client()
    ended = client.classify(TEXTS, model="echo")
    assert_whole(ended)
    open_job = client.classify(TEXTS, model="echo", parameters={"delay_ms": 10.0})
    wait_until(lambda: open_job.record().counts.total == len(TEXTS), "its upload is complete")
    wait_until(lambda: open_job.record().counts.done > 0, "it has begun")
    backup = tmp_path / "backup"
    backup.mkdir()
    run_block(BACK_UP, own_server, own_cluster, backup)
    wait_until(lambda: open_job.record().counts.done > 100, "it went on behind the backup")

    worker.kill()
    own_server.kill()
    for lost in (own_server.folder, own_cluster.settings.data_dir):
        for path in lost.iterdir():
            if path.name != "redis.conf":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    run_block(RESTORE, own_server, own_cluster, backup)
    own_server.start()
    own_cluster.start("restored")

    again = own_cluster.client()
    assert_whole(again.job(ended.job_id))
    assert_whole(again.job(open_job.job_id))
    with connect(own_server.url) as redis:
        assert redis.config_get("appendonly") == {"appendonly": "yes"}
    own_server.restart()
    assert_whole(own_cluster.client().job(ended.job_id))
