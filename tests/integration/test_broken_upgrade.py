"""A plugin broken by an upgrade: its jobs fail by its reason, and its model leaves the catalog."""

import shutil
import time
from pathlib import Path

import pytest

from builders import a_catalog_entry, a_worker_status
from ledger_fixtures import Environment
from seqd.client import Client
from seqd.client.waiting import with_waiting
from seqd.errors import JobFailed, UnknownModel
from seqd.local.endpoint import redis_url_of
from seqd.settings import Settings
from seqd.worker.stale_entries import StaleEntries
from seqd_schemas import PluginState, PluginStatus, WaitingCode
from up_builders import Up, running_up
from worker_fixtures import PLUGIN, QUICK, Cluster, wait_until

pytestmark = pytest.mark.processes

REASON = "No module named 'a_library_nobody_has'"


@pytest.fixture
def broken_plugin(tmp_path: Path) -> Path:
    """The light plugin after an upgrade that needs a library which is not there."""
    folder = tmp_path / "broken"
    shutil.copytree(PLUGIN, folder)
    (folder / "seqd_light.py").write_text("import a_library_nobody_has\n")
    return folder


def up_worker(client: Client) -> str:
    """Return the first worker of a fleet."""
    return client.workers()[0].worker


def publish_as_before_the_upgrade(up: Up, folder: Path) -> None:
    url = redis_url_of(up.settings)
    Cluster(up.settings.model_copy(update={"redis_url": url}), folder).publish_catalog()


@pytest.mark.slow
def test_a_plugin_that_an_upgrade_breaks_is_told_of_and_its_jobs_fail_with_its_reason(
    tmp_path: Path, broken_plugin: Path
) -> None:
    with (
        running_up(
            tmp_path, plugins="light,markov", plugin_folders=[broken_plugin], unfit_grace_s=6.0
        ) as up,
        Client(settings=up.settings) as client,
    ):
        publish_as_before_the_upgrade(up, tmp_path)
        told = [line for line in up.screen().splitlines() if line.startswith("plugin light is")]
        assert len(told) == 1 and REASON in told[0]
        job = client.classify(["a"], model="echo")
        training = client.train([{"text": "a", "label": "b"}], model="echo")
        with pytest.raises(JobFailed) as failed:
            job.wait(timeout_s=60)
        assert failed.value.failure.code == "no_fit_worker"
        assert (
            f": broken: plugin light: ModuleNotFoundError: {REASON} (seqd_light.py, line 1, in "
            in (failed.value.failure.message)
        )
        with pytest.raises(JobFailed, match="broken: plugin light: ModuleNotFoundError: "):
            training.wait(timeout_s=60)

        wait_until(lambda: "echo" not in client.catalog(), "its entry is gone")

        with pytest.raises(UnknownModel) as refused:
            client.classify(["a"], model="echo")
        assert str(refused.value).startswith("no model named 'echo'. Known models: markov")
        assert f"Plugins that are broken on workers: light on {up_worker(client)}: " in str(
            refused.value
        )
        assert REASON in str(refused.value)


@pytest.mark.slow
def test_a_plugin_that_is_broken_on_one_worker_and_sound_on_another_goes_on(
    empty_cluster: Cluster, broken_plugin: Path
) -> None:
    client = empty_cluster.client()
    sound = empty_cluster.start_ready("w1")
    empty_cluster.plugins = broken_plugin
    broken = empty_cluster.start("w2", enabled_plugins=("light", "markov"))
    broken.wait_until_ready()

    for _ in range(3):
        assert client.classify(["a"] * 20, model="echo").wait(timeout_s=30).counts.succeeded == 20
    assert sound.status() is not None


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
    environment.ledger.fleet.publish_catalog([entry])


def test_a_model_stays_in_the_catalog_while_it_is_served_and_for_a_while_after(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    publish(environment, "served")
    publish(environment, "left")
    fleet.publish_worker(a_worker_of("served"))
    stale = StaleEntries(fleet, (), grace_s=0.2)

    stale.run_once()
    assert set(fleet.catalog()) == {"served", "left"}
    time.sleep(0.2)
    stale.run_once()

    assert set(fleet.catalog()) == {"served"}


def test_a_model_that_comes_back_in_time_begins_a_new_time_of_grace(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    publish(environment, "echo")
    fleet.publish_worker(a_worker_of("other"))
    stale = StaleEntries(fleet, (), grace_s=0.2)
    stale.run_once()
    fleet.publish_worker(a_worker_of("echo", name="b"))
    time.sleep(0.2)
    stale.run_once()

    fleet.forget_worker("b")
    stale.run_once()

    assert "echo" in fleet.catalog()


def test_nothing_leaves_the_catalog_while_no_worker_is_up(environment: Environment) -> None:
    publish(environment, "echo")
    stale = StaleEntries(environment.ledger.fleet, (), grace_s=0.001)

    stale.run_once()
    time.sleep(0.01)
    stale.run_once()

    assert "echo" in environment.ledger.fleet.catalog()


def test_a_model_that_a_starting_worker_has_just_published_stays(environment: Environment) -> None:
    fleet = environment.ledger.fleet
    publish(environment, "echo", published_at_ms=fleet.now_ms() + 60_000)
    fleet.publish_worker(a_worker_of("other"))
    stale = StaleEntries(fleet, (), grace_s=0.001)
    stale.run_once()
    time.sleep(0.01)

    stale.run_once()

    assert "echo" in fleet.catalog()


def test_a_worker_does_not_remove_its_own_models_before_it_has_said_that_it_is_up(
    environment: Environment,
) -> None:
    fleet = environment.ledger.fleet
    publish(environment, "echo")
    fleet.publish_worker(a_worker_of("other"))
    stale = StaleEntries(fleet, ("echo",), grace_s=0.001)
    stale.run_once()
    time.sleep(0.01)

    stale.run_once()

    assert "echo" in fleet.catalog()


def test_an_open_job_says_that_nobody_is_up_once_it_is_a_second_old(
    environment: Environment,
) -> None:
    record = environment.record(environment.submit_units(1))
    older = record.model_copy(update={"created_at_ms": record.created_at_ms - 1_000})

    ledger = environment.ledger
    young, old = ledger.driver.run(with_waiting(ledger, [record, older]))
    (alone,) = ledger.driver.run(with_waiting(ledger, [record]))

    assert old.waiting is not None and old.waiting.code is WaitingCode.NO_WORKER
    assert alone == record
    assert young.waiting == old.waiting  # looked at anyway, for the other
