"""Redis is killed in the middle of the work, and comes back with its append-only file."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.errors import RedisUnreachable
from seqd_schemas import Epoch, FileSource, ItemFailure, ItemSuccess, JobRecord, JobState
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = pytest.mark.processes

SLOWLY = {"delay_ms": 10.0}


@pytest.fixture
def cluster_on(private_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    settings = live_settings(private_server, tmp_path)
    cluster = Cluster(settings.model_copy(update={"input_roots": (tmp_path,)}), tmp_path)
    try:
        yield cluster
    finally:
        cluster.close()


def record_after_the_outage(client: Client, job_id: str) -> JobRecord:
    """Wait for the job; a service would do the same after its connection broke."""
    deadline = time.monotonic() + 40
    while True:
        try:
            return client.job(job_id).wait(timeout_s=40)
        except RedisUnreachable:
            assert time.monotonic() < deadline


def custom_ids(results: list[ItemSuccess | ItemFailure]) -> list[str]:
    assert all(isinstance(result, ItemSuccess) for result in results)
    return [result.custom_id for result in results]


def test_a_job_completes_exactly_once_over_a_crash_of_redis(cluster_on, private_server):
    cluster_on.start_ready()
    client = cluster_on.client()
    job = client.classify([f"text {n}" for n in range(200)], model="echo", parameters=SLOWLY)
    next(iter(job.results()))

    private_server.kill()
    time.sleep(1.0)
    private_server.start()
    record = record_after_the_outage(client, job.job_id)

    assert record.counts.succeeded == record.counts.total == 200
    results = list(client.job(job.job_id).results())
    assert custom_ids(results) == [f"row-{n}" for n in range(1, 201)]


@pytest.mark.slow
def test_an_upload_waits_for_a_redis_that_comes_back(cluster_on, private_server):
    cluster_on.start_ready()
    client = cluster_on.client()

    def draw() -> Iterator[str]:
        for number in range(160):
            if number == 80:
                private_server.kill()
            if number == 81:
                # Longer than a connection tries again by itself.
                time.sleep(1.0)
            if number == 120:
                restarted.append(number)
            yield f"text {number}"

    restarted: list[int] = []
    job = client.classify(draw(), model="echo", parameters=SLOWLY)
    time.sleep(2.5)
    private_server.start()
    record = record_after_the_outage(client, job.job_id)

    assert restarted == [120]
    assert record.counts.succeeded == 160


@pytest.mark.slow
def test_reading_a_file_goes_on_after_a_crash_of_redis(cluster_on, private_server, tmp_path):
    path = tmp_path / "input.txt"
    path.write_text("\n".join(f"text {number}" for number in range(320)))
    cluster_on.start_ready()
    client = cluster_on.client()
    job = client.classify(FileSource(path=str(path)), model="echo", parameters={"delay_ms": 5.0})
    next(iter(job.results()))

    private_server.kill()
    time.sleep(2.0)
    private_server.start()
    record = record_after_the_outage(client, job.job_id)

    assert record.state is JobState.COMPLETED
    results = list(client.job(job.job_id).results())
    assert custom_ids(results) == [f"line-{n}" for n in range(1, 321)]


@pytest.mark.slow
def test_a_training_outlives_a_crash_of_redis(cluster_on, private_server):
    worker = cluster_on.start_ready(lease_s=60.0, heartbeat_s=20.0)
    client = cluster_on.client()
    records = [{"text": "fine", "label": "pos"}]
    job = client.train(records, model="echo", parameters={"epochs": 40, "step_ms": 50})
    next(event for event in job.events() if isinstance(event, Epoch))

    private_server.kill()
    # Longer than a connection tries again by itself.
    wait_until(lambda: "is away" in worker.whole_log(), "it has noticed")
    private_server.start()
    record = record_after_the_outage(client, job.job_id)

    assert record.training is not None
    assert "made claimable units=" not in worker.whole_log()


@pytest.mark.slow
def test_a_child_that_died_while_redis_was_away_is_replaced(cluster_on, private_server):
    worker = cluster_on.start_ready(lease_s=60.0)
    child = worker.child_pid()
    interrupted = cluster_on.client().classify(
        [f"text {n}" for n in range(8)], model="echo", parameters={"delay_ms": 500.0}
    )
    wait_until(lambda: cluster_on.starts_of_units(interrupted.job_id) == [1], "it has the unit")

    private_server.kill()
    os.kill(child, signal.SIGKILL)
    wait_until(lambda: "is away" in worker.whole_log(), "it has noticed")
    private_server.start()

    job = cluster_on.client().classify(["a"], model="echo")
    assert job.wait(timeout_s=40).counts.succeeded == 1
    assert interrupted.wait(timeout_s=20).counts.succeeded == 8
    assert worker.child_pid() != child
