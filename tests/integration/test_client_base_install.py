"""What a service pays for: its process runs a job without Keras, TensorFlow or any plugin."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from held_ports import Holder, hold_port
from seqd.local.supervisor import worker_environment
from worker_fixtures import SLOT, Cluster

pytestmark = pytest.mark.processes

PROGRAM = """
import sys
from seqd.client import Client

with Client() as client:
    for result in client.classify(["a", "b"], model="echo").results():
        print(result.custom_id, result.output.label)
heavy = {"keras", "tensorflow", "torch", "jax", "seqd_light", "seqd_markov", "seqd_imdb_lstm"}
print("loaded:", sorted(heavy & set(sys.modules)))
"""


def test_a_service_imports_no_keras_and_no_plugin(cluster: Cluster):
    assert cluster.settings.redis_url is not None
    environment = worker_environment(cluster.settings, cluster.settings.redis_url, SLOT)

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=60
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == ["row-1 a", "row-2 b", "loaded: []"]


BLOCKING = """
from seqd.client import Client
with Client() as client:
    print(client.classify(["a"]).job_id)
"""

ASYNCHRONOUS = """
import asyncio
from seqd.client import AsyncClient

async def main():
    async with AsyncClient() as client:
        print((await client.classify(["a"])).job_id)

asyncio.run(main())
"""


@pytest.mark.parametrize("program", [BLOCKING, ASYNCHRONOUS], ids=["Client", "AsyncClient"])
@pytest.mark.parametrize("has_address", [True, False], ids=["an address", "no address"])
def test_a_program_without_a_daemon_is_told_so_in_one_short_traceback(
    program: str, has_address: bool, tmp_path: Path
):
    holder = Holder()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": python_path(),
        "SEQD_DATA_DIR": str(tmp_path),
    }
    if has_address:
        environment["SEQD_REDIS_URL"] = f"redis://127.0.0.1:{hold_port(holder)}"

    ended = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )

    *calls, sentence = ended.stderr.splitlines()
    said = "No answer from Redis at 127.0.0.1" if has_address else "No Redis server runs for"
    assert sentence.startswith(f"seqd.errors.RedisUnreachable: {said}")
    assert len([line for line in calls if "seqd" in line and "File" in line]) <= 5, ended.stderr
    assert [line for line in calls if not line.startswith(" ")] == [
        "Traceback (most recent call last):"
    ]
