"""Twenty topics and film reviews on one worker whose memory holds one of the two classifiers."""

import random

import pytest

from seqd.client import Client
from seqd_schemas import ItemSuccess, JobState
from worker_fixtures import Cluster, LiveWorker

#: The first training on a machine also compiles its kernels.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(900)]

TOPICS = tuple(f"topic_{number:02}" for number in range(20))
COMMON = (
    *("the", "a", "of", "and", "to", "in", "that", "it", "is", "was", "for", "on", "with", "as"),
    *("but", "this", "there", "they", "which", "one", "all", "about", "when", "people", "time"),
)
REVIEWS = {
    "positive": "a wonderful film, moving and superbly acted from beginning to end",
    "negative": "a dull and terrible film, badly acted and a complete waste of time",
}


def a_post(draw: random.Random, topic: str) -> str:
    """Return a text as people write it of a topic: words of all, and some of its own."""
    own = [f"{topic.replace('_', '')}word{number}" for number in range(30)]
    words = [draw.choice(own if draw.random() < 0.3 else COMMON) for _ in range(40)]
    return " ".join(words)


def posts(count: int, seed: int) -> list[dict[str, str]]:
    draw = random.Random(seed)
    labels = [TOPICS[number % len(TOPICS)] for number in range(count)]
    return [{"text": a_post(draw, label), "label": label} for label in labels]


def labels_of(client: Client, model: str, texts: list[str]) -> list[str]:
    job = client.classify(texts, model=model)
    record = job.wait(timeout_s=60)
    assert record.state is JobState.COMPLETED, record.failure
    return [one.output.label for one in job.results() if isinstance(one, ItemSuccess)]


def share_right(client: Client, held_out: list[dict[str, str]]) -> float:
    """Return the share of the posts that `topics` labels as they are labelled."""
    given = labels_of(client, "topics", [post["text"] for post in held_out])
    right = sum(label == post["label"] for label, post in zip(given, held_out, strict=True))
    return right / len(held_out)


def in_memory(worker: LiveWorker) -> dict[str, int]:
    """Return what a worker says that it has in memory, once it has published what it did."""
    worker.wait_until_idle()
    status = worker.status()
    assert status is not None, worker.log()
    assert sum(status.loaded_bytes.values()) <= (status.memory_budget_bytes or 0)
    return dict(status.loaded_bytes)


def test_twenty_topics_and_film_reviews_take_turns_in_the_memory_of_one_worker(
    empty_cluster: Cluster,
):
    plugin = {"enabled_plugins": ("imdb_lstm",), "lease_s": 30.0, "heartbeat_s": 1.0}
    first = empty_cluster.start_ready("w1", **plugin)
    client = empty_cluster.client()
    held_out = posts(100, seed=2)

    trained = client.train(
        posts(600, seed=1), model="topics", plugin="imdb_lstm", preset="best"
    ).wait(timeout_s=700)
    assert trained.state is JobState.COMPLETED, trained.failure
    accuracy = share_right(client, held_out)
    sizes = in_memory(first)
    first.stop()
    assert set(sizes) == {"imdb_lstm@0", "topics@1"}
    budget_bytes = sum(sizes.values()) - 1

    worker = empty_cluster.start_ready("w2", **plugin, model_cache_bytes=budget_bytes)
    seen = []
    for _ in range(2):
        assert labels_of(client, "imdb_lstm", list(REVIEWS.values())) == list(REVIEWS)
        seen.append(in_memory(worker))
        assert share_right(client, held_out) == accuracy
        seen.append(in_memory(worker))

    assert accuracy > 0.9
    assert [set(held) for held in seen] == [{"imdb_lstm@0"}, {"topics@1"}] * 2
    assert seen[1] == {"topics@1": sizes["topics@1"]}
    log = worker.whole_log()
    assert log.count("unloaded model=imdb_lstm@0") >= 2
    assert log.count("loaded model=topics@1 seconds=") >= 2
    assert " ERROR " not in log
