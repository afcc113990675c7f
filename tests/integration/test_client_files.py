"""Jobs whose input is a file that the worker reads itself."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from seqd.client import Client
from seqd.errors import JobFailed
from seqd.ledger import connect
from seqd_schemas import FileSource, ItemFailure, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(settings=cluster.settings) as client:
        yield client


@pytest.fixture
def folder(cluster: Cluster) -> Path:
    """A folder that the worker may read."""
    assert cluster.settings.input_roots is not None
    return cluster.settings.input_roots[0]


def test_a_file_longer_than_one_look_is_classified_in_its_order(client, folder):
    # 40 units of 8: the ingest adds 32 at a time.
    path = folder / "many.jsonl.gz"
    lines = [json.dumps({"custom_id": f"c{n}", "text": f"text {n}"}) for n in range(320)]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))

    results = list(client.classify(FileSource(path=str(path)), model="echo").results())

    assert [result.custom_id for result in results] == [f"c{n}" for n in range(320)]
    assert [result.output.label for result in results] == [f"text {n}" for n in range(320)]


@pytest.mark.slow
def test_a_file_is_read_on_at_once_when_the_worker_that_has_it_open_is_killed(
    empty_cluster, tmp_path
):
    # Its lease, or what keeps it for that worker, would run out after a minute.
    settings = {"lease_s": 60.0, "input_roots": (tmp_path,)}
    workers = [empty_cluster.start(**settings) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    path = tmp_path / "many.jsonl"
    lines = [json.dumps({"custom_id": f"c{n}", "text": f"text {n}"}) for n in range(4_000)]
    path.write_text("\n".join(lines))
    client = empty_cluster.client()
    job = client.classify(FileSource(path=str(path)), model="echo")
    reader = reader_of(empty_cluster, job.job_id)

    next(worker for worker in workers if worker.name == reader).kill_child()

    job.wait(timeout_s=45)
    results = list(job.results())
    assert [result.custom_id for result in results] == [f"c{n}" for n in range(4_000)]
    assert [result.output.label for result in results] == [f"text {n}" for n in range(4_000)]


def reader_of(cluster: Cluster, job_id: str) -> str:
    """Return the name of the worker that reads a job's file, once it has read some of it."""
    keys = cluster.settings.keys
    with connect(cluster.settings.redis_url) as redis:

        def row() -> bytes | None:
            is_begun = int(redis.hget(keys.job(job_id), "units") or 0) >= 32
            return redis.hget(keys.job(job_id), "ingest_for") if is_begun else None

        wait_until(lambda: row() is not None, "some of the file is read")
        return row().decode().split(" ", 1)[1]


def test_bad_lines_become_errors_with_their_numbers_and_their_neighbours_are_classified(
    client, folder
):
    path = folder / "bad_lines.jsonl"
    path.write_bytes(b'{"text": "a"}\nnot json\n{"no": "text"}\n{"text": "b\xff"}\n{"text": "c"}\n')

    results = list(client.classify(FileSource(path=str(path)), model="echo").results())

    failures = [result for result in results if isinstance(result, ItemFailure)]
    assert [result.status for result in results] == [
        "succeeded",
        "errored",
        "errored",
        "errored",
        "succeeded",
    ]
    assert [failure.error.message[:7] for failure in failures] == ["line 2:", "line 3:", "line 4:"]
    assert failures[2].error.code == "decode_error"


def test_a_small_client_budget_does_not_stall_the_ingest(cluster, folder):
    path = folder / "full.txt"
    path.write_text("\n".join(f"{n} {'x' * 2_000}" for n in range(300)))

    with Client(settings=cluster.settings) as client:
        job = client.classify(FileSource(path=str(path)), model="echo")
        record = job.wait(timeout_s=60)

    assert record.counts.succeeded == 300


def test_a_file_that_is_missing_fails_the_job_with_its_name(client, folder):
    job = client.classify(FileSource(path=str(folder / "missing.jsonl")), model="echo")

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=30)

    assert raised.value.failure.code == "invalid_input"
    assert "missing.jsonl" in raised.value.failure.message


def test_a_file_outside_the_roots_fails_the_job_and_names_the_setting(client):
    job = client.classify(FileSource(path="/etc/passwd"), model="echo")

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=30)

    assert raised.value.failure.code == "invalid_input"
    assert "SEQD_INPUT_ROOTS" in raised.value.failure.message


def test_a_file_with_an_identifier_twice_fails_the_job(client, folder):
    path = folder / "twice.jsonl"
    path.write_text('{"custom_id": "x", "text": "a"}\n{"custom_id": "x", "text": "b"}\n')

    job = client.classify(FileSource(path=str(path)), model="echo")

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=30)
    assert raised.value.failure.code == "duplicate_custom_id"
    assert job.record().state is JobState.FAILED


def test_an_empty_file_fails_the_job_rather_than_succeeding_at_nothing(client, folder):
    path = folder / "empty.jsonl"
    path.write_text("")

    job = client.classify(FileSource(path=str(path)), model="echo")

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=30)
    assert raised.value.failure.code == "invalid_input"
