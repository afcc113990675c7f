"""Models with names of their own on a real worker: made with `echo`, used by jobs of every kind.

The cluster has `echo@1`, and what the fixture `topics` trains: two versions of `topics`.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from cli_builders import here, use_ledger
from inbox_builders import Producer, a_request
from seqd.client import Client, JobHandle
from seqd.errors import JobCancelled
from seqd.models.store import ModelStore
from seqd_schemas import (
    Classification,
    FileSource,
    Generation,
    ItemSuccess,
    JobRecord,
    JobState,
)
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]

DATA = [{"text": "a", "label": "b"}]
#: A unit of the plugin holds 8.
TEXTS = [f"text {number}" for number in range(20)]


@pytest.fixture(scope="module")
def client(module_cluster: Cluster) -> Client:
    return module_cluster.client()


@pytest.fixture(scope="module")
def store(module_cluster: Cluster) -> ModelStore:
    return ModelStore(module_cluster.settings.store_dir, {})


@pytest.fixture(scope="module")
def topics(client: Client, store: ModelStore) -> list[JobRecord]:
    """The two trainings of `topics`; the first version is in service, the second the candidate."""
    first = client.train(DATA, model="topics", plugin="echo", preset="quick").wait(timeout_s=120)
    second = client.train(DATA, model="topics", labels=["best"], preset="quick").wait(timeout_s=120)
    store.set_label("topics", "candidate", 2)
    wait_until(lambda: "candidate" in client.catalog()["topics"].labels, "the label is published")
    return [first, second]


@pytest.fixture(scope="module")
def producer(module_cluster: Cluster) -> Iterator[Producer]:
    assert module_cluster.settings.redis_url is not None
    with redis.Redis.from_url(module_cluster.settings.redis_url) as connection:
        yield Producer(connection, module_cluster.settings.keys)


def labels_of(job: JobHandle[Classification]) -> list[str]:
    record = job.wait(timeout_s=120)
    assert record.state is JobState.COMPLETED, record.failure
    return [one.output.label for one in job.results() if isinstance(one, ItemSuccess)]


def test_a_training_with_a_plugin_makes_a_model_of_another_name_that_is_in_service(
    topics: list[JobRecord], client: Client, store: ModelStore
):
    first, second = topics

    assert [one.state for one in topics] == [JobState.COMPLETED] * 2
    assert [(one.model, one.plugin) for one in topics] == [("topics", "echo")] * 2
    assert first.training is not None and second.training is not None
    assert (first.training.version, second.training.version) == (1, 2)
    entry = client.catalog()["topics"]
    assert (entry.made_with, entry.plugin) == ("echo", "light")
    assert [one.version for one in entry.versions] == [1, 2]
    assert entry.labels == {"production": 1, "best": 2, "candidate": 2, "latest": 2}
    assert client.catalog()["echo"].made_with == "echo"
    assert [one.by for one in store.history("topics")] == [f"job {first.job_id}"]


def test_one_worker_runs_jobs_of_both_models_side_by_side(
    topics: list[JobRecord], client: Client, module_cluster: Cluster
):
    jobs = [client.classify(TEXTS, model=name) for name in ("topics", "echo", "topics@2", "echo")]

    assert [labels_of(job) for job in jobs] == [TEXTS] * 4
    records = [job.record() for job in jobs]
    assert [(one.model, one.plugin, one.units) for one in records] == [
        ("topics", "echo", 3),
        ("echo", None, 3),
        ("topics", "echo", 3),
        ("echo", None, 3),
    ]
    # What it has loaded it publishes a moment later.
    module_cluster.workers[0].wait_until_idle()
    status = module_cluster.workers[0].known_status()
    assert {"topics": (1, 2)}.items() <= dict(status.versions).items()
    assert {"topics@1", "topics@2", "echo@1"} <= set(status.models_loaded)


def test_whatever_is_asked_of_a_named_model_keeps_what_it_is_made_with(
    topics: list[JobRecord], client: Client, module_cluster: Cluster
):
    file = module_cluster.settings.data_dir.parent / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    of_a_file = client.classify(FileSource(path=str(file)), model="topics@2")
    small = client.classify_each(TEXTS, model="topics")
    written = client.generate(["abc"], model="topics")
    failed = client.classify(["fine", "raise"], model="topics")
    counts = failed.wait(timeout_s=120).counts
    retried = client.retry(failed.job_id)

    assert labels_of(of_a_file) == TEXTS
    assert [labels_of(job) for job in small] == [[text] for text in TEXTS]
    (text,) = written.results()
    assert isinstance(text, ItemSuccess) and isinstance(text.output, Generation)
    assert text.output.samples[0].text == "cba"
    assert (counts.succeeded, counts.errored) == (1, 1)
    assert retried.wait(timeout_s=120).counts.total == 1
    records = [job.record() for job in (of_a_file, client.job(small[0].job_id), written, retried)]
    assert [(one.model, one.version, one.plugin) for one in records] == [
        ("topics", 2, "echo"),
        ("topics", 1, "echo"),
        ("topics", 1, "echo"),
        ("topics", 1, "echo"),
    ]
    assert client.predict("a", model="topics@2").label == "a"
    assert client.complete("xyz", model="topics@2").samples[0].text == "zyx"


def test_a_training_of_a_named_model_that_was_cancelled_is_resumed_with_its_plugin(
    client: Client, store: ModelStore, module_cluster: Cluster, tmp_path: Path
):
    diary = tmp_path / "diary"
    parameters = {"epochs": 5, "trick": "held", "diary": str(diary)}
    job = client.train(DATA, model="resumed", plugin="echo", parameters=parameters)
    wait_until(lambda: diary.exists() and "saved 2" in diary.read_text(), "a checkpoint")
    job.cancel()
    with pytest.raises(JobCancelled):
        job.wait(timeout_s=120)
    before = store.numbers("resumed")
    (module_cluster.settings.data_dir / "cured").touch()

    record = client.resume(job.job_id).wait(timeout_s=120)

    assert (before, store.resolve("resumed")) == ([], ("resumed", 1))
    assert (record.model, record.plugin) == ("resumed", "echo")
    assert diary.read_text().count("step 1\n") == 1


def test_requests_of_other_languages_use_and_make_named_models(
    topics: list[JobRecord], client: Client, producer: Producer, module_cluster: Cluster
):
    file = module_cluster.settings.data_dir.parent / "places.jsonl"
    file.write_text(json.dumps(DATA[0]) + "\n")
    training = {"kind": "train", "source": {"type": "file", "path": str(file)}}
    used = producer.add(a_request(["a", "b"], model="topics@2"))
    read = producer.add(training | {"model": "places", "plugin": "echo"})

    wait_until(lambda: {used, read} <= {one.job_id for one in client.jobs(100)}, "the jobs")
    assert labels_of(client.job(used, output=Classification)) == ["a", "b"]
    assert client.job(used).record().plugin == "echo"
    trained = client.job(read).wait(timeout_s=120)
    assert (trained.state, trained.plugin) == (JobState.COMPLETED, "echo")
    assert labels_of(client.classify(["a"], model="places")) == ["a"]


def test_labels_that_cannot_be_read_cost_no_training(client: Client, store: ModelStore):
    client.train(DATA, model="blurred", plugin="echo", preset="quick").wait(timeout_s=120)
    labels = store.folder_of("blurred") / "labels.json"
    labels.write_text("[]")

    record = client.train(DATA, model="blurred", preset="quick").wait(timeout_s=120)

    assert record.state is JobState.COMPLETED
    assert (store.numbers("blurred"), labels.read_text()) == ([1, 2], "[]")
    wait_until(lambda: client.catalog()["blurred"].labels_fault is not None, "it is published")
    assert labels_of(client.classify(["a"], model="blurred@2")) == ["a"]


@pytest.fixture
def data(module_cluster: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Training data in a folder that the worker may read, for commands on the cluster."""
    use_ledger(monkeypatch, module_cluster.commands, has_store=True)
    monkeypatch.chdir(tmp_path)
    path = module_cluster.settings.data_dir.parent / "data.jsonl"
    path.write_text(json.dumps(DATA[0]) + "\n")
    return str(path)


def last_lines(out: str, first: str) -> list[str]:
    """Return the lines from the one that begins so, with durations left out."""
    lines = [re.sub(r"[0-9.]+ (ms|s)\b", "N s", line) for line in out.splitlines()]
    (at,) = [number for number, line in enumerate(lines) if line.startswith(first)]
    return lines[at:]


@pytest.mark.slow
def test_a_training_says_whether_its_version_is_in_service_and_how_to_put_it_there(
    data: str, capsys: Capture, store: ModelStore
):
    train = ("train", "--data", data, "--preset", "quick")
    first = here(capsys, *train, "echo", "--as", "told")
    second = here(capsys, *train, "told")
    third = here(capsys, *train, "told", "--promote", "--labels", "best")

    assert [one.status for one in (first, second, third)] == [0] * 3, first.err + second.err
    assert last_lines(first.out, "told@1 is")[:2] == [
        "told@1 is in service, after N s.",
        "  loss 0.5000",
    ]
    assert last_lines(second.out, "told@2 is")[:3] == [
        "told@2 is trained and not in service, after N s.",
        "  loss 0.5000",
        "told means told@1. To change that: seqd models promote told@2",
    ]
    assert last_lines(third.out, "told@3 is")[0] == "told@3 is in service, after N s."
    assert "told@2" in second.out.splitlines()[-1]
    assert store.labels("told") == {"production": 3, "best": 3, "latest": 3}


def test_the_best_of_a_sweep_is_in_service_where_the_model_is_new_or_that_is_asked_for(
    data: str, capsys: Capture, store: ModelStore
):
    def swept(model: str, accuracies: str, *options: str) -> tuple[int, float]:
        """Sweep; return the number and the accuracy of the best version."""
        ended = here(
            capsys, "sweep", model, "--data", data, "--set", f"accuracy={accuracies}", "--param",
            "epochs=1", "--no-plot", "--json", *options,
        )  # fmt: skip
        assert ended.status == 0, ended.err
        best = ended.json()["best"]
        return best["version"], best["metrics"]["validation_accuracy"]

    new = swept("echo", "0.6,0.9,0.7", "--as", "swept")
    of_the_new = store.labels("swept")["production"]
    swept("swept", "0.99")
    of_the_plain = store.labels("swept")["production"]
    promoted = swept("swept", "0.7,0.95", "--promote")

    assert (new[1], promoted[1]) == (0.9, 0.95)
    assert of_the_new == of_the_plain == new[0]
    assert store.labels("swept")["production"] == promoted[0]
