"""Sweeps by real workers: each combination one version, whatever dies; the best is labelled."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from seqd.client import Client, JobHandle
from seqd.errors import InvalidRequest, JobCancelled
from seqd.ledger import Ledger, connect
from seqd.models.store import ModelStore
from seqd_schemas import (
    Epoch,
    FileSource,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
    JobState,
    Log,
    ModelManifest,
    TrainedVersion,
)
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = pytest.mark.processes


class Environment:
    """A cluster, data that its workers can read, and the sweeps on it."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.store = ModelStore(cluster.settings.store_dir, {})
        self.client: Client = cluster.client()
        assert cluster.settings.redis_url is not None
        self.ledger = Ledger(connect(cluster.settings.redis_url), cluster.settings)
        self._data = folder / "data.jsonl"
        records = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]
        self._data.write_text("".join(json.dumps(record) + "\n" for record in records))

    @property
    def data(self) -> str:
        return str(self._data)

    def start(self, name: str, **settings: object) -> LiveWorker:
        """Start a worker that may read the data."""
        return self.cluster.start(name, input_roots=(self._data.parent,), **settings)

    def sweep(self, grid: dict[str, list], **options) -> JobHandle:
        source = FileSource(path=str(self._data))
        return self.client.sweep(source, model="echo", grid=grid, **options)

    def versions_of(self, job: JobHandle) -> list[ModelManifest]:
        return [made for made in self.store.versions("echo") if made.job_id == job.job_id]

    def holder(self, job: JobHandle, unit: int, workers: Sequence[LiveWorker]) -> LiveWorker:
        """Return the worker that trains a combination, once one does."""
        key = self.ledger.keys.leases(job.job_id)
        wait_until(lambda: bool(self.ledger.redis.hget(key, str(unit))), f"unit {unit} is claimed")
        lease = self.ledger.redis.hget(key, str(unit))
        return next(worker for worker in workers if worker.name == lease.decode().split()[1])

    def wait_for_epoch(self, job: JobHandle, run: str, epoch: int) -> None:
        def told() -> bool:
            events = self.ledger.jobs.events(job.job_id, longest_wait_s=0)
            epochs = [event for event in events if isinstance(event, Epoch) and event.run == run]
            return any(event.epoch == epoch for event in epochs)

        wait_until(told, f"epoch {epoch} of {run}")


def environment_on(cluster: Cluster, folder: Path) -> Iterator[Environment]:
    environment = Environment(cluster, folder)
    yield environment
    environment.ledger.redis.close()


@pytest.fixture
def environment(empty_cluster: Cluster, tmp_path: Path) -> Iterator[Environment]:
    """A cluster without a worker, to do harm in."""
    yield from environment_on(empty_cluster, tmp_path)


@pytest.fixture
def running(cluster: Cluster) -> Iterator[Environment]:
    """The cluster that all tests share, with its worker, which comes to no harm."""
    yield from environment_on(cluster, cluster.settings.data_dir.parent)


def made(job: JobHandle) -> dict[str, TrainedVersion]:
    """Return the versions of a sweep by combination."""
    return {
        result.custom_id: result.output
        for result in job.results()
        if isinstance(result, ItemSuccess) and isinstance(result.output, TrainedVersion)
    }


def test_a_sweep_trains_each_combination_and_labels_the_best(
    running: Environment,
):
    job = running.sweep(
        {"accuracy": [0.5, 0.9, 0.7], "epochs": [1, 2]}, labels=["candidate"], preset="quick"
    )

    events, record = list(job.events()), job.wait(timeout_s=120)
    versions = made(job)

    assert (record.state, record.counts.total, record.counts.succeeded) == ("completed", 6, 6)
    combinations = {
        f"accuracy={accuracy},epochs={epochs}": epochs
        for accuracy in (0.5, 0.9, 0.7)
        for epochs in (1, 2)
    }
    assert list(versions) == list(combinations)
    assert [(event.run, event.epoch) for event in events if isinstance(event, Epoch)] == [
        (name, epoch) for name, epochs in combinations.items() for epoch in range(1, epochs + 1)
    ]
    assert [(event.run, event.message) for event in events if isinstance(event, Log)] == [
        (name, line) for name in combinations for line in ("begun by shared", "learnt 2 records")
    ]
    best = versions["accuracy=0.9,epochs=1"]
    assert best.parameters == {"accuracy": 0.9, "epochs": 1}
    assert best.metrics == {"loss": 0.5, "validation_accuracy": 0.9}
    assert running.store.labels("echo")["candidate"] == best.version
    manifest = running.store.open("echo", best.version).manifest
    assert (manifest.parameters["accuracy"], manifest.preset) == (0.9, "quick")
    assert sorted(one.unit for one in running.versions_of(job)) == [0, 1, 2, 3, 4, 5]
    wait_until(lambda: running.store.begun() == [], "the last version is confirmed")


@pytest.mark.slow
def test_two_slots_share_a_sweep_which_survives_the_death_of_one(environment: Environment):
    workers = [environment.start(name, max_attempts=2) for name in ("w1", "w2")]
    for worker in workers:
        worker.wait_until_ready()
    accuracies = [0.6, 0.9, 0.7, 0.8]
    job = environment.sweep(
        {"accuracy": accuracies}, parameters={"epochs": 4, "step_ms": 1_500}, labels=["production"]
    )
    environment.wait_for_epoch(job, "accuracy=0.6", 2)
    victim = environment.holder(job, 0, workers)
    assert environment.holder(job, 1, workers) is not victim

    victim.kill()

    assert job.wait(timeout_s=240).counts.succeeded == 4
    events = list(job.events())
    for name in made(job):
        epochs = [event.epoch for event in events if isinstance(event, Epoch) and event.run == name]
        assert epochs == [1, 2, 3, 4], name
    resumed = [
        event for event in events if isinstance(event, Log) and "checkpoint" in event.message
    ]
    assert ("accuracy=0.6", "The training goes on from its last checkpoint.") in [
        (event.run, event.message) for event in resumed
    ]
    assert sorted(one.unit for one in environment.versions_of(job)) == [0, 1, 2, 3]
    assert environment.store.labels("echo")["production"] == made(job)["accuracy=0.9"].version
    checkpoints = environment.cluster.settings.data_dir / "checkpoints"
    wait_until(lambda: list(checkpoints.iterdir()) == [], "its checkpoints are cleared away")

    # A combination that kills its worker each time is given up, and the others are trained.
    job = environment.sweep({"trick": ["", "exit"]}, parameters={"epochs": 1}, labels=["alive"])

    fine, killer = job.results()
    assert isinstance(killer, ItemFailure)
    assert killer.error.code is ItemErrorCode.WORKER_CRASHED
    assert killer.error.message.startswith("The worker died each time that it trained this")
    assert isinstance(fine, ItemSuccess) and isinstance(fine.output, TrainedVersion)
    assert environment.store.labels("echo")["alive"] == fine.output.version


def test_a_cancelled_sweep_keeps_the_versions_that_were_finished(running: Environment):
    before = running.store.labels("echo").get("kept")
    job = running.sweep({"epochs": [1, 1_000, 2]}, parameters={"step_ms": 50}, labels=["kept"])
    wait_until(lambda: job.record().counts.succeeded == 1, "the first combination is trained")

    job.cancel()

    with pytest.raises(JobCancelled):
        job.wait(timeout_s=120)
    results = list(job.results())
    assert [result.status for result in results] == ["succeeded", "errored", "errored"]
    assert [one.unit for one in running.versions_of(job)] == [0]
    assert running.store.labels("echo").get("kept") == before


def test_a_combination_that_fails_is_one_error_and_a_retry_keeps_the_best_of_the_whole(
    running: Environment,
):
    grid = {"accuracy": [0.9, 0.5], "trick": ["", "bug"]}
    first = running.sweep(grid, parameters={"epochs": 1}, labels=["whole"])
    counts = first.wait(timeout_s=120).counts
    _, failed, *_ = first.results()

    retry = running.client.retry(first.job_id)

    assert (counts.succeeded, counts.errored) == (2, 2)
    assert isinstance(failed, ItemFailure)
    assert failed.error.code is ItemErrorCode.PLUGIN_ERROR
    assert retry.wait(timeout_s=120).state is JobState.COMPLETED
    assert [result.custom_id for result in retry.results()] == [
        "accuracy=0.9,trick=bug",
        "accuracy=0.5,trick=bug",
    ]
    assert len(list(first.merged_results())) == 4
    best = made(first)['accuracy=0.9,trick=""'].version
    assert running.store.labels("echo")["whole"] == best


def test_data_that_would_have_to_be_uploaded_is_refused(running: Environment):
    with pytest.raises(InvalidRequest) as raised:
        running.client.sweep([{"text": "a", "label": "b"}], model="echo", grid={"epochs": [1]})

    assert str(raised.value).startswith(
        "The data of a sweep is of type list; allowed: a FileSource that the workers can read"
    )
