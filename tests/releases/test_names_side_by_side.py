"""Named models beside workers and clients of the previous release, which know of none."""

import json
from pathlib import Path

import pytest

from previous_release import Release
from seqd.client import JobHandle
from seqd.models.store import ModelStore
from seqd_schemas import ItemSuccess, JobState
from store_builders import publish
from worker_fixtures import Cluster, wait_until

# The first one waits for the previous release to be built.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]

DATA = [{"text": "a", "label": "b"}]
TEXTS = [f"text {number}" for number in range(100)]


def labels_of(job: JobHandle) -> list[str]:
    assert job.wait(timeout_s=60).state is JobState.COMPLETED
    return [one.output.label for one in job.results() if isinstance(one, ItemSuccess)]


def test_a_worker_of_the_previous_release_leaves_named_models_alone_and_goes_on(
    empty_cluster: Cluster, previous: Release
) -> None:
    old = empty_cluster.start_ready("old", release=previous.folder)
    new = empty_cluster.start_ready("new")
    client = empty_cluster.client()

    for model, plugin in (("topics", "echo"), ("topics", None)):
        assert client.train(DATA, model=model, plugin=plugin).wait(timeout_s=60).state is (
            JobState.COMPLETED
        )
    jobs = [
        client.classify(TEXTS, model=model, parameters={"delay_ms": 15})
        for model in ("topics", "topics@2", "echo", "echo")
    ]

    assert [labels_of(job) for job in jobs] == [TEXTS] * 4
    assert [job.record().version for job in jobs] == [1, 2, 1, 1]
    workers = {one.worker: one for one in client.workers()}
    assert "topics" in workers[new.name].versions
    assert "topics" not in workers[old.name].versions
    # The previous release removes what no worker serves as it knows it, after its time of grace.
    for _ in range(40):
        wait_until(lambda: "topics" in client.catalog(), "it is there again")
        assert labels_of(client.classify(["a"], model="echo")) == ["a"]
    wait_until(lambda: "topics" in client.catalog(), "it is there again")
    assert "ERROR" not in old.whole_log()
    assert "later version" not in old.whole_log()


def test_a_canary_goes_on_beside_a_worker_of_the_previous_release_which_knows_of_none(
    empty_cluster: Cluster, previous: Release
) -> None:
    store = ModelStore(empty_cluster.settings.store_dir, {})
    publish(store, "echo", "echo", '{"records": 1, "prefix": "2:"}')
    old = empty_cluster.start_ready("old", release=previous.folder)
    new = empty_cluster.start_ready("new")
    client = empty_cluster.client()
    begun = client.model("echo").canary(2, 0.5).rollout
    assert begun is not None

    job = client.classify(TEXTS, model="echo", parameters={"delay_ms": 20})
    results = [one for one in job.results() if isinstance(one, ItemSuccess)]
    old.stop()
    later = client.classify(TEXTS, model="echo")

    assert job.record().rollout is not None
    assert len(results) == len(TEXTS)
    for one in results:  # the old one computes what it claims by the version in service
        assert one.output.label.startswith("2:") == (one.version == 2)
    assert {None, 1, 2} >= {one.version for one in results} > {None}, new.whole_log()
    # The old one publishes entries without it; the new one puts it back.
    wait_until(lambda: client.model("echo").rollout == begun, "it is published again")
    taken = [one.version for one in later.results()]
    assert {1, 2} == set(taken)


def test_a_training_of_a_named_model_waits_for_a_worker_that_can_read_it(
    empty_cluster: Cluster, previous: Release
) -> None:
    old = empty_cluster.start_ready("old", release=previous.folder)
    client = empty_cluster.client()

    job = client.train(DATA, model="topics", plugin="echo")
    wait_until(lambda: job.record().waiting is not None, "its client says why it waits")
    waiting = job.record().waiting

    assert waiting is not None and f"it is of seqd {previous.version}" in waiting.message
    assert labels_of(client.classify(TEXTS, model="echo")) == TEXTS
    assert "is from a later version" not in old.whole_log()
    empty_cluster.start("new")
    assert job.wait(timeout_s=180).state is JobState.COMPLETED
    assert labels_of(client.classify(["a"], model="topics")) == ["a"]


def test_a_client_of_the_previous_release_is_not_disturbed_by_named_models(
    empty_cluster: Cluster, previous: Release, tmp_path: Path
) -> None:
    empty_cluster.start_ready("new")
    empty_cluster.client().train(DATA, model="topics", plugin="echo").wait(timeout_s=60)
    file, out = tmp_path / "texts.jsonl", tmp_path / "results.jsonl"
    file.write_text('{"text": "a"}\n')

    previous.command(
        empty_cluster.settings, "classify", str(file), "--model", "echo", "--out", str(out)
    )
    told = json.loads(previous.command(empty_cluster.settings, "status", "--json"))

    assert json.loads(out.read_text())["output"]["label"] == "a"
    assert [worker["worker"] for worker in told["workers"]] == ["new"]


def test_a_store_that_this_release_has_adopted_means_the_same_to_the_previous_one(
    empty_cluster: Cluster, previous: Release
) -> None:
    store = ModelStore(empty_cluster.settings.store_dir, {})
    empty_cluster.publish_echo(empty_cluster.settings.store_dir)
    folder = store.folder_of("echo")
    for name in ("model.json", "labels.json", "history.jsonl"):
        (folder / name).unlink(missing_ok=True)
    new = empty_cluster.start_ready("new")
    assert store.labels("echo") == {"production": 2, "latest": 2}
    new.stop()
    empty_cluster.start_ready("old", release=previous.folder)
    client = empty_cluster.client()

    training = client.train(DATA, model="echo").wait(timeout_s=60).training

    assert training is not None and training.version == 3
    assert client.classify(["a"], model="echo").wait(timeout_s=60).version == 2
    assert store.resolve("echo") == ("echo", 2)
