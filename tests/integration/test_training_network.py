"""A real network's training, killed at a moment drawn at random, ends with the same weights."""

import random

import pytest

from seqd.client import JobHandle
from seqd.models.store import ModelStore
from seqd_schemas import Epoch, JobRecord, Step
from worker_fixtures import Cluster

pytestmark = [
    pytest.mark.processes,
    pytest.mark.network,
    pytest.mark.slow,
    # Of the plugin alone C2 of `conformance` says it, of a worker `test_training_faults.py`.
    pytest.mark.long,
    pytest.mark.timeout(600),
]

WORDS = ("the", "cat", "and", "rat", "sat", "on", "a", "mat", "or", "ran", "to", "sea")
TEXT = [{"text": " ".join(random.Random(1).choices(WORDS, k=4_000)) + "."}]
WINDOWS = {"epochs": 4, "units": 32, "window": 20, "batch_size": 16, "sample_length": 20, "seed": 5}
STREAMS = {
    "mode": "stream",
    "epochs": 30,
    "units": 64,
    "layers": 2,
    "batch_size": 8,
    "steps": 32,
    "ema_momentum": 0.95,
    "validation_split": 0.1,
    "patience": 25,
    "ngram_share": 0.2,
    "sample_length": 20,
    "seed": 5,
}


@pytest.mark.parametrize(
    "parameters", [pytest.param(WINDOWS, id="windows"), pytest.param(STREAMS, id="streams")]
)
def test_a_network_whose_worker_is_killed_at_random_ends_with_the_same_weights(
    empty_cluster: Cluster, parameters: dict[str, str | float]
):
    cluster = empty_cluster
    settings = {"enabled_plugins": ("char_lstm",), "checkpoint_s": 0.2}
    first, client = cluster.start_ready("first", **settings), cluster.client()

    undisturbed = client.train(TEXT, model="char_lstm", parameters=parameters)
    expected = undisturbed.wait(timeout_s=120)
    killed = client.train(TEXT, model="char_lstm", parameters=parameters)
    # A step is told every half second: the first one after this share comes well before the end.
    share = random.uniform(0.0, 0.4)
    steps = (event for event in killed.events() if isinstance(event, Step))
    at = next(step.done for step in steps if step.done >= share * step.total)
    first.kill()
    was_open = not killed.record().state.is_terminal
    cluster.start_ready("second", **settings)
    found = killed.wait(timeout_s=120)

    assert was_open, f"it was done before it was killed, at step {at}"
    assert files_of(cluster, found) == files_of(cluster, expected), f"killed at step {at}"
    assert [(epoch.epoch, epoch.metrics) for epoch in told(killed)] == [
        (epoch.epoch, epoch.metrics) for epoch in told(undisturbed)
    ]
    assert found.training is not None and expected.training is not None
    assert found.training.metrics == expected.training.metrics


def told(job: JobHandle) -> list[Epoch]:
    return [event for event in job.events() if isinstance(event, Epoch)]


def files_of(cluster: Cluster, record: JobRecord) -> dict[str, str]:
    """Return the digest of each file of the version that a training made."""
    assert record.training is not None
    store = ModelStore(cluster.settings.store_dir, {})
    manifest = store.open("char_lstm", record.training.version).manifest
    return {name: digest.sha256 for name, digest in manifest.files.items()}
