"""What a service pays for: its process runs a job without Keras, TensorFlow or any plugin."""

import subprocess
import sys

import pytest

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
