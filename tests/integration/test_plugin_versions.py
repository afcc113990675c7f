"""A job names the plugin's versions that computed it: in its record, its last event and tables."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from builders import some_results
from cli_builders import Ended, here, use_ledger
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
    use_ledger(monkeypatch, cluster.commands)
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

    records = [job.wait(timeout_s=120) for job in jobs]

    assert [record.plugin_versions for record in records] == [("1.0",)] * 5
    shown = seqd("jobs", "show", jobs[1].job_id)
    assert "plugin version  1.0\n" in shown.out
