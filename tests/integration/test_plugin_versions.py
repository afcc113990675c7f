"""A job names the plugin's versions that computed it: in its record, its last event and tables."""

from pathlib import Path

import pyarrow.parquet
import pytest

from builders import a_train_job, a_training_result, some_results
from cli_builders import here
from ledger_fixtures import Environment
from seqd.client import FileSource
from seqd.ledger.work import CommitOutcome, Finished
from seqd_schemas import Completed
from worker_fixtures import Cluster

pytestmark = [pytest.mark.processes]


def commit_by(environment: Environment, *versions: str) -> list[CommitOutcome]:
    """Commit a unit for each version, as a worker with that version of the plugin does."""
    outcomes = []
    for version in versions:
        unit = environment.claim_unit()
        results = some_results(first=2 * int(unit.name))
        outcomes.append(environment.ledger.work.commit(unit, results, plugin_version=version))
    return outcomes


def completed_event(environment: Environment, job_id: str) -> Completed:
    event = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(event, Completed)
    return event


def test_each_version_that_computed_units_of_a_job_is_named_once_in_the_order_of_their_results(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(5)

    commit_by(environment, "1.10", "1.1", "", "1.10")
    while_it_runs = environment.record(job_id).plugin_versions
    commit_by(environment, "0.9")

    assert while_it_runs == ("1.10", "1.1")
    assert environment.record(job_id).plugin_versions == ("1.10", "1.1", "0.9")
    assert completed_event(environment, job_id).plugin_versions == ("1.10", "1.1", "0.9")


def test_the_first_eight_versions_are_named(environment: Environment) -> None:
    job_id = environment.submit_units(10)
    versions = [f"1.{number}" for number in range(10)]

    outcomes = commit_by(environment, *versions)

    assert outcomes == [CommitOutcome.COMMITTED] * 9 + [CommitOutcome.COMPLETED]
    assert environment.record(job_id).plugin_versions == tuple(versions[:8])


def test_a_commit_that_came_second_names_no_version(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    unit = environment.claim_unit()

    for version in ("1.0", "2.0"):
        environment.ledger.work.commit(unit, some_results(), plugin_version=version)

    assert environment.record(job_id).plugin_versions == ("1.0",)


@pytest.mark.parametrize(
    ("version", "named"),
    [('1.0"\\', '1.0"\\'), ("1.0\n2.0", "1.0 2.0"), ("1" * 64, "1" * 64), ("1.%5-", "1.%5-")],
    ids=["quoted", "broken", "long", "pattern"],
)
def test_a_small_job_and_its_last_event_name_whatever_version_a_distribution_has(
    environment: Environment, version: str, named: str
) -> None:
    job_id = environment.submit_units(1)

    commit_by(environment, version)

    assert environment.record(job_id).plugin_versions == (named,)
    assert completed_event(environment, job_id).plugin_versions == (named,)
    environment.redis.delete(environment.keys.events(job_id))  # as half a minute does
    assert completed_event(environment, job_id).plugin_versions == (named,)


def test_units_of_several_jobs_in_one_step_name_it_each(environment: Environment) -> None:
    jobs = [environment.submit_units(1, unit_items=4) for _ in range(2)]
    claim = environment.claim()
    assert claim is not None

    done = [Finished(unit, some_results()) for unit in claim.units]
    environment.ledger.work.commit_batch(done, "1.0")

    records = [environment.record(job_id) for job_id in jobs]
    assert [record.plugin_versions for record in records] == [("1.0",), ("1.0",)]


def test_a_training_names_the_version_that_made_its_version(environment: Environment) -> None:
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)
    commit = environment.ledger.work.commit_training

    commit(environment.claim_unit(), a_training_result(), plugin_version="1.0")

    assert environment.record(job_id).plugin_versions == ("1.0",)


def test_a_worker_names_the_version_of_its_plugin_for_items_and_trainings(
    cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    assert cluster.settings.redis_url is not None
    monkeypatch.setenv("SEQD_REDIS_URL", cluster.settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", cluster.settings.prefix)
    shown = here(capsys, "jobs", "show", jobs[1].job_id)
    assert "plugin version  1.0\n" in shown.out


def test_parquet_files_and_arrow_tables_say_what_made_them(
    cluster: Cluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    assert cluster.settings.redis_url is not None
    monkeypatch.setenv("SEQD_REDIS_URL", cluster.settings.redis_url)
    monkeypatch.setenv("SEQD_PREFIX", cluster.settings.prefix)
    job = cluster.client().classify(["a", "b"], model="echo@1")
    job.wait(timeout_s=30)
    facts = {
        b"seqd.job_id": job.job_id.encode(),
        b"seqd.model": b"echo@1",
        b"seqd.plugin_versions": b"1.0",
    }

    ended = here(capsys, "jobs", "results", job.job_id, "--out", str(tmp_path / "r.parquet"))
    typed = here(
        capsys, "classify", "--text", "a", "--model", "echo@1", "--out", str(tmp_path / "t.parquet")
    )

    assert (ended.status, typed.status) == (0, 0), ended.err + typed.err
    of_file = pyarrow.parquet.read_metadata(tmp_path / "r.parquet").metadata
    assert facts.items() <= (of_file or {}).items()
    other = pyarrow.parquet.read_metadata(tmp_path / "t.parquet").metadata
    assert (other[b"seqd.model"], other[b"seqd.plugin_versions"]) == (b"echo@1", b"1.0")
    table = job.to_arrow().read_all()
    assert facts.items() <= (table.schema.metadata or {}).items()
    assert job.to_pandas().attrs == {name.decode(): value.decode() for name, value in facts.items()}
