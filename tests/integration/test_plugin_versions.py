"""A job names the plugin's versions that computed it: in its record, its last event and tables."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest

from builders import some_results
from cli_builders import Ended, here
from ledger_fixtures import Environment
from seqd.client import FileSource
from seqd_schemas import Completed
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes]


def commit_by(environment: Environment, *versions: str) -> str:
    """Have a job done by these versions of a plugin, a unit each; return its id."""
    job_id = environment.submit_units(len(versions))
    for version in versions:
        unit = environment.claim_unit()
        results = some_results(first=2 * int(unit.name))
        environment.ledger.work.commit(unit, results, plugin_version=version)
    return job_id


def completed_event(environment: Environment, job_id: str) -> Completed:
    event = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(event, Completed)
    return event


def test_the_first_eight_versions_are_named_once_in_the_order_of_their_results(
    environment: Environment,
) -> None:
    versions = [f"1.{number}" for number in range(9, -1, -1)]

    job_id = commit_by(environment, versions[0], "", *versions)

    assert environment.record(job_id).plugin_versions == tuple(versions[:8])
    assert completed_event(environment, job_id).plugin_versions == tuple(versions[:8])


@pytest.mark.parametrize(
    ("version", "named"),
    [('1.0"\\', '1.0"\\'), ("1.0\n2.0", "1.0 2.0"), ("1" * 64, "1" * 64), ("1.%5-", "1.%5-")],
    ids=["quoted", "broken", "long", "pattern"],
)
def test_a_small_job_and_its_last_event_name_whatever_version_a_distribution_has(
    environment: Environment, version: str, named: str
) -> None:
    job_id = commit_by(environment, version)

    assert environment.record(job_id).plugin_versions == (named,)
    assert completed_event(environment, job_id).plugin_versions == (named,)
    environment.redis.delete(environment.keys.events(job_id))  # as half a minute does
    assert completed_event(environment, job_id).plugin_versions == (named,)


@pytest.fixture
def seqd(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Return what runs commands beside the cluster."""
    assert cluster.settings.redis_url is not None
    monkeypatch.setenv("SEQD_REDIS_URL", cluster.settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", cluster.settings.prefix)
    return partial(here, capsys)


def test_a_worker_names_the_version_of_its_plugin_for_items_and_trainings(
    cluster: Cluster, seqd: Callable[..., Ended]
) -> None:
    client = cluster.client()
    root = Path(cluster.settings.input_roots[0])  # type: ignore[index]
    data = root / "plugin_versions.jsonl"
    data.write_text('{"text": "a", "label": "b"}\n')
    jobs = [
        client.classify(["a"], model="echo"),
        client.classify(["a"] * 20, model="echo"),
        client.generate(["a"], model="echo"),
        client.train(FileSource(path=str(data)), model="echo", parameters={"epochs": 1}),
        client.sweep(FileSource(path=str(data)), model="echo", grid={"epochs": [1]}),
    ]

    records = [job.wait(timeout_s=60) for job in jobs]

    assert [record.plugin_versions for record in records] == [("1.0",)] * 5
    shown = seqd("jobs", "show", jobs[1].job_id)
    assert "plugin version  1.0\n" in shown.out


def test_parquet_files_and_arrow_tables_say_what_made_them(
    cluster: Cluster, seqd: Callable[..., Ended], tmp_path: Path
) -> None:
    job = cluster.client().classify(["a", "b"], model="echo@1")
    job.wait(timeout_s=30)
    facts = {
        b"seqd.job_id": job.job_id.encode(),
        b"seqd.model": b"echo@1",
        b"seqd.plugin_versions": b"1.0",
    }

    ended = seqd("jobs", "results", job.job_id, "--out", str(tmp_path / "r.parquet"))
    words = ("classify", "--text", "a", "--model", "echo@1", "--out", str(tmp_path / "t.parquet"))
    typed = seqd(*words)

    assert (ended.status, typed.status) == (0, 0), ended.err + typed.err
    of_file = pyarrow.parquet.read_metadata(tmp_path / "r.parquet").metadata
    assert facts.items() <= (of_file or {}).items()
    other = pyarrow.parquet.read_metadata(tmp_path / "t.parquet").metadata
    assert (other[b"seqd.model"], other[b"seqd.plugin_versions"]) == (b"echo@1", b"1.0")
    table = job.to_arrow().read_all()
    assert facts.items() <= (table.schema.metadata or {}).items()
    assert job.to_pandas().attrs == {name.decode(): value.decode() for name, value in facts.items()}
