"""A plugin broken by an upgrade: its jobs wait and say why, and its model leaves the catalog."""

from pathlib import Path

import pytest

from builders import a_catalog_entry, a_worker_status
from clock_fixtures import HeldClock
from ledger_fixtures import Environment, publish_entries
from plugin_folders import install_plugin
from seqd.client import Client
from seqd.errors import UnknownModel
from seqd.local.endpoint import redis_url_of
from seqd.settings import Settings
from seqd.worker.background import StaleEntries
from seqd_schemas import JobState, PluginState, PluginStatus
from up_builders import running_up
from worker_fixtures import QUICK, Cluster, only_worker, wait_until

pytestmark = pytest.mark.processes

REASON = "No module named 'a_library_nobody_has'"


@pytest.mark.slow
def test_a_plugin_that_an_upgrade_breaks_is_told_of_and_new_jobs_are_refused_with_its_reason(
    tmp_path: Path,
) -> None:
    install_plugin(tmp_path / "site", "light", "import a_library_nobody_has\n")
    with (
        running_up(
            tmp_path,
            plugins="light,markov",
            plugin_folders=[tmp_path / "site"],
            unfit_grace_s=6.0,
        ) as up,
        Client(settings=up.settings) as client,
    ):
        # As it was published before the upgrade.
        update = {"redis_url": redis_url_of(up.settings)}
        Cluster(up.settings.model_copy(update=update), tmp_path).publish_catalog()
        told = [line for line in up.screen().splitlines() if line.startswith("plugin light is")]
        assert len(told) == 1 and REASON in told[0]
        accepted = client.classify(["a"], model="echo")

        wait_until(lambda: "echo" not in client.catalog(), "its entry is gone")

        with pytest.raises(UnknownModel) as refused:
            client.classify(["a"], model="echo")
        assert str(refused.value).startswith("no model named 'echo'. Known models: markov")
        worker = only_worker(client).worker
        said = f"Plugins that are broken on workers: light on {worker}: "
        assert said in str(refused.value)
        assert REASON in str(refused.value)
        assert accepted.record().state is JobState.QUEUED
        assert REASON in str(client.explain(accepted.job_id).as_json())


@pytest.mark.slow
def test_a_version_that_cannot_be_warmed_up_is_on_the_screen_and_again_when_it_can(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path / "data", **QUICK)
    Cluster(settings, tmp_path)
    weights = next(settings.store_dir.rglob("echo.json"))
    sound = weights.read_bytes()
    weights.write_bytes(sound[:5])

    with running_up(tmp_path) as up:
        told = [line for line in up.screen().splitlines() if "cannot run" in line]
        weights.write_bytes(sound)
        up.wait_for("over: cpu:0 cannot run echo@1: ")

    assert len(told) == 1 and told[0].startswith("cpu:0 cannot run echo@1: ")
    assert "echo.json" in told[0]


def a_worker_of(*models: str, name: str = "a"):  # type: ignore[no-untyped-def]
    plugin = PluginStatus(
        name="p", distribution="p", version="1", state=PluginState.READY, models=models
    )
    return a_worker_status(worker=name, plugins=(plugin,))


def publish(environment: Environment, model: str, published_at_ms: int = 1) -> None:
    entry = a_catalog_entry(model=model, published_at_ms=published_at_ms)
    publish_entries(environment.ledger.fleet, [entry])


def test_a_model_leaves_the_catalog_when_it_was_not_served_for_the_time_of_grace(
    environment: Environment,
) -> None:
    clock = HeldClock()
    fleet = environment.ledger.fleet
    for model in ("served", "left", "own"):
        publish(environment, model)
    publish(environment, "new", published_at_ms=fleet.now_ms() + 60_000)
    stale = StaleEntries(fleet, ("own",), grace_s=5.0, clock=clock)

    def looked_at(after_s: float) -> set[str]:
        clock.now_s += after_s
        stale.run_once()
        return set(fleet.catalog())

    everything = {"served", "left", "own", "new"}
    # With no worker up nothing leaves it.
    assert looked_at(0.0) == looked_at(6.0) == everything

    # One that comes back in time begins a new time of grace.
    fleet.publish_worker(a_worker_of("served"))
    assert looked_at(0.0) == looked_at(4.0) == everything
    fleet.publish_worker(a_worker_of("left", name="b"))
    assert looked_at(4.0) == everything
    fleet.forget_worker("b")
    assert looked_at(0.0) == looked_at(4.0) == everything

    # Then it goes, and none that a worker has just published, or that is this worker's own.
    assert looked_at(1.0) == everything - {"left"}
