"""`seqd models list` and `show` where there is no plugin and no store: the fleet's catalog."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from cli_builders import Ended, here, use_ledger
from seqd.testing import RunningServices, ServerForTests, StubModel, running_services
from worker_fixtures import Cluster

pytest_plugins = ["seqd.testing.services"]

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]


ECHO = StubModel(
    classify=lambda text: text, generate=lambda text: text, train=lambda records: {"loss": 0.1}
)


@pytest.fixture(scope="module")
def services(seqd_server: ServerForTests) -> Iterator[RunningServices]:
    with running_services({"echo": ECHO}, server=seqd_server) as running:
        yield running


@pytest.fixture(scope="module")
def worker(services: RunningServices) -> str:
    """The name of the only worker."""
    with services.client() as client:
        (status,) = client.workers()
    return status.worker


@pytest.fixture
def elsewhere(services: RunningServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of a machine that shares the worker's Redis, and nothing else."""
    use_ledger(monkeypatch, services.settings)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    return tmp_path


def records_of(ended: Ended) -> list[dict[str, object]]:
    assert ended.status == 0, ended.err
    return cast(list[dict[str, object]], ended.json())


def test_a_machine_without_the_plugin_lists_what_workers_can_run_or_what_its_own_store_has(
    worker: str, elsewhere: Path, capsys: Capture
) -> None:
    (entry,) = records_of(here(capsys, "models", "list", "--json"))
    heading, row = here(capsys, "models", "list").out.splitlines()[:2]
    of_its_own = records_of(here(capsys, "models", "list", "--local", "--json"))

    (its_worker,) = cast(list[dict[str, object]], entry["workers"])
    assert (entry["model"], sorted(cast(dict[str, object], entry["tasks"]))) == (
        "echo",
        ["classify", "generate", "train"],
    )
    assert its_worker["worker"] == worker
    assert (cast(list[int], its_worker["versions"])[:1], its_worker["unfit"]) == ([1], [])
    assert heading.split() == ["model", "tasks", "versions", "can", "run", "it", "what", "it", "is"]
    assert row.split()[0] == "echo"
    assert "1 worker " in row
    names = [one["model"] for one in of_its_own]
    assert "markov" in names and "echo" not in names
    assert not (elsewhere / "models").exists()


def test_a_model_is_shown_with_the_version_that_is_meant_and_its_workers(
    worker: str, elsewhere: Path, capsys: Capture
) -> None:
    shown = here(capsys, "models", "show", "echo@1")
    record = here(capsys, "models", "show", "echo@1", "--json").json()

    facts = [line.split()[:2] for line in shown.out.splitlines()]
    assert ["model", "echo"] in facts and ["version", "1"] in facts
    assert worker in shown.out
    assert (
        "Its card, and what it has learnt, on a machine that has the store: seqd models show "
        "echo@1 --local\n"
    ) in shown.out
    assert cast(dict[str, object], record)["version"] == 1


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("ecko", "no model named 'ecko'. Known models: echo. Did you mean 'echo'?"),
        ("echo@999", "model 'echo' has no version 999. Versions: 1"),
        ("echo@best", "model 'echo' has no label 'best'. Versions: 1"),
    ],
)
def test_what_the_fleet_does_not_have_is_named_with_what_it_has(
    elsewhere: Path, capsys: Capture, reference: str, message: str
) -> None:
    ended = here(capsys, "models", "show", reference)

    assert ended.status == 2
    assert ended.err.startswith(f"error[unknown_model]: {message}"), ended.err


def test_where_no_worker_was_ever_up_both_ways_on_are_named(
    empty_cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    use_ledger(monkeypatch, empty_cluster.commands)

    ended = here(capsys, "models", "list")

    assert (ended.status, ended.out) == (
        0,
        "No worker has published a model yet: start workers with `seqd up`. The models of this "
        "machine's own store: seqd models list --local\n",
    )


@pytest.mark.parametrize("words", ["list", "show echo@1", "params echo", "history echo"])
def test_where_no_fleet_is_reachable_the_way_to_the_own_store_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: str
) -> None:
    monkeypatch.delenv("SEQD_REDIS_URL", raising=False)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))

    ended = here(capsys, "models", *words.split())

    assert ended.status == 2
    assert ended.err == (
        f"error[redis_unreachable]: No Redis server runs for {tmp_path}: start one with `seqd up`, "
        "or set SEQD_REDIS_URL, such as redis://127.0.0.1:6379/0. The models of this machine's own "
        f"store, without a fleet: seqd models {words} --local\n"
    )
