"""Real workers read one file side by side, and one of them is killed meanwhile."""

import json
import shutil
from pathlib import Path

import pytest

import worker_fixtures
from seqd.ledger import connect
from seqd_schemas import FileSource, JobState
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

LINES = 150_000


@pytest.fixture(autouse=True)
def model_that_computes_faster_than_a_file_is_read(monkeypatch, tmp_path: Path):
    folder = shutil.copytree(worker_fixtures.PLUGIN, tmp_path / "plugin")
    source = (folder / "seqd_light.py").read_text()
    for before, after in (
        ("\nUNIT_ITEMS = 8\n", "\nUNIT_ITEMS = 512\n"),
        (
            "self._label(item, items, parameters, context)",
            "Classification(label=item.text, score=1.0, truncated=False)",
        ),
    ):
        assert source.count(before) == 1
        source = source.replace(before, after)
    (folder / "seqd_light.py").write_text(source)
    monkeypatch.setattr(worker_fixtures.Cluster, "plugins", folder)


def test_each_line_comes_once_when_a_worker_that_reads_is_killed(empty_cluster: Cluster, tmp_path):
    settings = {"input_roots": (tmp_path,), "shared_file_bytes": 65_536}
    workers = [empty_cluster.start(**settings) for _ in range(3)]
    for worker in workers:
        worker.wait_until_ready()
    path = tmp_path / "many.jsonl"
    # Two workers compute three times what one reads.
    note = "a field that nobody asks for " * 20
    with path.open("w") as file:
        for n in range(LINES):
            record = {"custom_id": f"c{n}", "text": f"text {n}", "note": note}
            file.write(json.dumps(record) + "\n")
    job = empty_cluster.client().classify(FileSource(path=str(path)), model="echo")
    killed = who_reads_for_another(empty_cluster, job.job_id)

    next(worker for worker in workers if worker.name == killed).kill()

    assert job.wait(timeout_s=120).state is JobState.COMPLETED
    results = list(job.results())
    assert [result.custom_id for result in results] == [f"c{n}" for n in range(LINES)]
    assert [result.output.label for result in results] == [f"text {n}" for n in range(LINES)]
    with connect(empty_cluster.settings.redis_url) as redis:
        keys = empty_cluster.settings.keys
        assert not redis.exists(keys.ranges(job.job_id), keys.ahead(job.job_id))


def who_reads_for_another(cluster: Cluster, job_id: str) -> str:
    """Wait until several workers read; returns one that has not the ingest."""
    keys, found = cluster.settings.keys, list[str]()
    with connect(cluster.settings.redis_url) as redis:

        def others_read() -> bool:
            row = redis.hget(keys.job(job_id), "ingest_for")
            holder = row.decode().split(" ", 1)[1] if row else ""
            takers = {row.split()[3].decode() for row in redis.hvals(keys.ranges(job_id))}
            found[:] = sorted(takers - {"-", holder})
            return holder != "" and found != []

        wait_until(others_read, "several workers read")
    return found[0]
