"""Trainings by a real worker: events, versions in the store, and how they end badly."""

import pytest

from plugin_builders import place
from seqd.client import Client
from seqd.errors import JobFailed
from seqd.models.store import ModelStore
from seqd_schemas import Epoch, Log, Sample
from worker_fixtures import PLUGIN, Cluster

pytestmark = pytest.mark.processes

RECORDS = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


def store_of(cluster: Cluster) -> ModelStore:
    return ModelStore(cluster.settings.store_dir, {})


def test_a_training_tells_its_story_and_leaves_a_version(cluster, client):
    job = client.train(RECORDS, model="echo", parameters={"epochs": 2}, labels=["candidate"])

    events = list(job.events())
    record = job.wait(timeout_s=120)

    names = [event.event for event in events if event.event != "step"]
    assert names == ["queued", "started", *("epoch", "sample") * 2, "log", "completed"]
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert [(epoch.epoch, epoch.epochs, epoch.metrics) for epoch in epochs] == [
        (1, 2, {"loss": 0.5}),
        (2, 2, {"loss": 0.5}),
    ]
    (sample, *_) = [event for event in events if isinstance(event, Sample)]
    assert (sample.prompt, sample.text, sample.temperature) == ("fine", "enif", 0.5)
    (line,) = [event for event in events if isinstance(event, Log)]
    assert line.message == "learnt 2 records"

    assert record.training is not None
    manifest = store_of(cluster).open("echo", record.training.version).manifest
    assert manifest.job_id == job.job_id
    assert manifest.data.records == 2
    assert [(one.epoch, one.metrics) for one in manifest.epochs] == [
        (1, {"loss": 0.5}),
        (2, {"loss": 0.5}),
    ]
    assert store_of(cluster).labels("echo")["candidate"] == record.training.version
    # The version can be used at once.
    job = client.classify(["a"], model=f"echo@{record.training.version}")
    assert job.wait(timeout_s=120).version == record.training.version


def test_the_parameters_of_a_preset_hold_where_the_job_names_none(client):
    job = client.train(RECORDS, model="echo", preset="quick")

    epochs = [event for event in job.events() if isinstance(event, Epoch)]

    assert [epoch.epochs for epoch in epochs] == [1]


#: Trainings that fail, with the code and the message.
FAILURES = (
    (["a text without a label"], "", "invalid_data", "no record has a label; at least one is due."),
    (
        RECORDS,
        "bug",
        "plugin_fault",
        "Training echo failed: ValueError: this training was made to fail "
        + place(PLUGIN / "seqd_light.py", 'raise ValueError("this training', "_step")
        + ". The traceback is in the worker's output.",
    ),
    (RECORDS, "nan", "plugin_fault", "loss"),
)


def test_a_training_that_fails_says_why_leaves_no_version_and_its_events(cluster, client):
    before = store_of(cluster).numbers("echo")

    for records, trick, code, said in FAILURES:
        job = client.train(records, model="echo", parameters={"trick": trick})
        with pytest.raises(JobFailed) as raised:
            job.wait(timeout_s=120)

        assert raised.value.failure.code == code
        assert said in raised.value.failure.message
    # Of the one that diverged:
    assert [event.metrics for event in job.events() if isinstance(event, Epoch)] == [{}, {}]
    assert store_of(cluster).numbers("echo") == before


@pytest.mark.slow
def test_a_damaged_version_costs_a_start_one_line_and_damaged_labels_a_training_its_version(
    empty_cluster,
):
    folder = empty_cluster.settings.store_dir / "echo"
    content = folder / "1" / "echo.json"
    content.chmod(0o644)
    content.write_text('{"records": 9}')

    log = empty_cluster.start_ready().whole_log()

    assert "ERROR seqd.worker.child model echo could not be warmed up: " in log
    assert "Traceback" not in log

    (folder / "labels.json").write_text("[]")
    job = empty_cluster.client().train(RECORDS, model="echo", labels=["candidate"])
    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=120)

    assert raised.value.failure.code == "artifact_damaged"
    assert raised.value.failure.message.endswith(
        "labels.json does not say which version each label is of: the whole: Input should be an "
        "object. Mend or remove it"
    )


def test_steps_are_reported_a_few_times_a_second_at_most(client):
    job = client.train(RECORDS, model="echo", parameters={"epochs": 30, "step_ms": 40})

    events = list(job.events())

    steps = [event for event in events if event.event == "step"]
    took_s = (events[-1].at_ms - events[0].at_ms) / 1_000
    assert 1 <= len(steps) <= 1 + took_s / 0.5  # one event in half a second
    assert [step.done for step in steps] == sorted(step.done for step in steps)
