"""Jobs whose input is a file that the worker reads itself."""

import gzip
import json
from pathlib import Path

import pytest

from seqd.client import Client
from seqd.errors import JobFailed
from seqd.ledger import connect
from seqd_schemas import FileSource, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes


@pytest.fixture
def client(cluster: Cluster) -> Client:
    return cluster.client()


@pytest.fixture
def folder(cluster: Cluster) -> Path:
    """A folder that the worker may read."""
    assert cluster.settings.input_roots is not None
    return cluster.settings.input_roots[0]


def lines_of(count: int) -> str:
    lines = [json.dumps({"custom_id": f"c{n}", "text": f"text {n}"}) for n in range(count)]
    return "\n".join(lines)


def test_a_file_longer_than_one_look_is_classified_in_its_order(
    client: Client, folder: Path
) -> None:
    # 40 units of 8: the ingest adds 32 at a time.
    path = folder / "many.jsonl.gz"
    path.write_bytes(gzip.compress(lines_of(320).encode()))

    results = list(client.classify(FileSource(path=str(path)), model="echo").results())

    assert [result.custom_id for result in results] == [f"c{n}" for n in range(320)]
    assert [result.unwrap().label for result in results] == [f"text {n}" for n in range(320)]


@pytest.mark.slow
def test_a_file_is_read_on_at_once_when_the_worker_that_has_it_open_is_killed(
    empty_cluster: Cluster, tmp_path: Path
) -> None:
    # Its lease, or what keeps it for that worker, would run out after a minute.
    workers = [empty_cluster.start(lease_s=60.0, input_roots=(tmp_path,)) for _ in range(2)]
    for worker in workers:
        worker.wait_until_ready()
    path = tmp_path / "many.jsonl"
    path.write_text(lines_of(4_000))
    job = empty_cluster.client().classify(FileSource(path=str(path)), model="echo")
    reader = reader_of(empty_cluster, job.job_id)

    next(worker for worker in workers if worker.name == reader).kill_child()

    job.wait(timeout_s=120)
    results = list(job.results())
    assert [result.custom_id for result in results] == [f"c{n}" for n in range(4_000)]
    assert [result.unwrap().label for result in results] == [f"text {n}" for n in range(4_000)]


def reader_of(cluster: Cluster, job_id: str) -> str:
    """Return the name of the worker that reads a job's file, once it has read some of it."""
    key, found = cluster.settings.keys.job(job_id), list[str]()
    with connect(str(cluster.settings.redis_url)) as redis:

        def is_begun() -> bool:
            row = redis.hget(key, "ingest_for")
            found[:] = [row.decode().split(" ", 1)[1]] if row is not None else []
            return bool(found) and int(redis.hget(key, "units") or 0) >= 32

        wait_until(is_begun, "some of the file is read")
    return found[0]


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("missing.jsonl", None, "invalid_input", "missing.jsonl"),
        ("/etc/passwd", None, "invalid_input", "SEQD_INPUT_ROOTS"),
        ("empty.jsonl", "", "invalid_input", ""),
    ],
)
def test_a_file_that_cannot_be_an_input_fails_the_job_and_says_why(
    client: Client, folder: Path, name: str, content: str | None, code: str, said: str
) -> None:
    path = folder / name  # an absolute name stays what it is
    if content is not None:
        path.write_text(content)

    job = client.classify(FileSource(path=str(path)), model="echo")

    with pytest.raises(JobFailed) as raised:
        job.wait(timeout_s=120)
    assert raised.value.failure.code == code
    assert said in raised.value.failure.message
    assert job.record().state is JobState.FAILED
