"""A plugin's own task beside a worker and a client of the previous release, which know none."""

import json

import pytest

import worker_fixtures
from previous_release import Release
from seqd_schemas import JobState

# The first one waits for the previous release to be built.
pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def mixed(own_task_cluster, previous: Release):
    """A worker of the previous release with the model `echo`; none yet that has tasks."""
    cluster = own_task_cluster
    cluster.publish_echo(cluster.settings.store_dir)
    tasks, cluster.plugins = cluster.plugins, worker_fixtures.PLUGIN
    cluster.start_ready("old", release=previous.folder, enabled_plugins=("light",))
    cluster.plugins = tasks
    return cluster


def test_a_worker_of_the_previous_release_leaves_tasks_alone_and_goes_on_with_its_own(mixed):
    mixed.start_ready("new")
    client = mixed.client()

    scores = [client.run(["aeb"], model="stars", task="score") for _ in range(20)]
    labels = client.classify(["a", "b"], model="echo")

    for job in scores:
        assert [result.unwrap()["score"] for result in job.results()] == [2 / 3]
    assert [result.unwrap().label for result in labels.results()] == ["a", "b"]
    old = mixed.workers[0]
    assert "is from a later version" not in old.whole_log()
    assert "was put in quarantine" not in old.whole_log()


def test_a_client_of_the_previous_release_classifies_and_lists_the_jobs_that_it_can_read(
    mixed, previous: Release, tmp_path
):
    mixed.start_ready("new")
    score = mixed.client().run(["aeb"], model="stars", task="score")
    assert score.wait(timeout_s=30).state is JobState.COMPLETED
    texts, out = tmp_path / "texts.txt", tmp_path / "results.jsonl"
    texts.write_text("a\n")

    # It reads the catalog, in which are models that it can do nothing with.
    previous.command(mixed.settings, "classify", str(texts), "--model", "echo", "--out", str(out))
    listed = json.loads(previous.command(mixed.settings, "jobs", "list", "--json"))

    assert json.loads(out.read_text())["output"]["label"] == "a"
    assert [(job["kind"], job["model"]) for job in listed] == [("classify", "echo")]
