"""`seqd models rm` and `gc` beside a real worker, and jobs that come in between."""

import secrets
import threading
from pathlib import Path

import pytest

from builders import a_chunk, a_classify_job
from cli_builders import here, use_ledger
from ledger_fixtures import publish_entries
from seqd.admission import Admitted
from seqd.client import Client, UnknownModel
from seqd.errors import NoFitWorker, StoreUnwritable
from seqd.ledger import Ledger, connect
from seqd.ledger.submissions import new_job_id
from seqd.models.store import ModelStore
from seqd_schemas import JobState, ModelOrder
from store_builders import publish
from worker_fixtures import Cluster, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def client(module_cluster: Cluster) -> Client:
    return module_cluster.operator()


@pytest.fixture(scope="module")
def store(module_cluster: Cluster) -> ModelStore:
    return ModelStore(module_cluster.settings.store_dir, {})


@pytest.fixture
def model(
    store: ModelStore,
    client: Client,
    module_cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> str:
    """A model with versions 1 to 4, of which the first is in service; commands run elsewhere."""
    use_ledger(monkeypatch, module_cluster.commands)
    monkeypatch.setenv("SEQD_DATA_DIR", str(tmp_path))
    name = f"m_{secrets.token_hex(4)}"
    for _ in range(4):
        publish(store, name, "echo")
    wait_until(lambda: published(client, name) == [1, 2, 3, 4], "it is published")
    return name


def published(client: Client, model: str) -> list[int]:
    entry = client.catalog().get(model)
    return [] if entry is None else [one.version for one in entry.versions]


def submit_late(cluster: Cluster, model: str, version: int, item_ms: int = 1_000) -> str:
    """Hand a job of 8 items in as a client that has read the catalog a moment before."""
    assert cluster.settings.redis_url is not None
    redis = connect(cluster.settings.redis_url)
    ledger = Ledger(redis, cluster.settings)
    job = a_classify_job(model=f"{model}@{version}", parameters={"delay_ms": item_ms})
    job_id = new_job_id()
    ledger.submissions.submit(
        job, Admitted(version, 8, plugin="echo"), job_id=job_id, chunk=a_chunk(8), sealed=True
    )
    redis.close()
    return job_id


def test_a_job_that_is_handed_in_while_its_version_is_removed_keeps_it(
    module_cluster: Cluster, client: Client, store: ModelStore, model: str, capsys: Capture
):
    jobs: list[str] = []

    def submit_in_between() -> None:
        wait_until(lambda: published(client, model) == [1, 3, 4], "it is published no more")
        jobs.append(submit_late(module_cluster, model, 2))

    between = threading.Thread(target=submit_in_between)
    between.start()
    ended = here(capsys, "models", "rm", f"{model}@2")
    between.join(120)

    assert (ended.status, ended.out) == (2, "")
    assert ended.err == (
        f"error[version_in_use]: {model}@2 is what job {jobs[0]} runs on: it is not removed. Wait "
        "for its end, or cancel it\n"
    )
    assert client.job(jobs[0]).wait(timeout_s=120).state is JobState.COMPLETED
    wait_until(lambda: published(client, model) == [1, 2, 3, 4], "new jobs get it again")


def test_a_collection_that_a_job_leaves_nothing_to_remove_is_no_act_for_the_audit(
    module_cluster: Cluster,
    client: Client,
    store: ModelStore,
    model: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("SEQD_DATA_DIR", str(module_cluster.settings.data_dir))

    jobs: list[str] = []

    def submit_in_between() -> None:
        wait_until(lambda: published(client, model) == [1, 3, 4], "it is published no more")
        jobs.append(submit_late(module_cluster, model, 2, item_ms=4_000))

    between = threading.Thread(target=submit_in_between)
    between.start()
    ended = here(capsys, "models", "gc", model, "--keep", "2")
    between.join(120)

    assert ended.out == "Removed: nothing\n"
    assert client.audit(target=model) == []
    here(capsys, "models", "gc", model, "--keep", "1")
    assert [one.details for one in client.audit(target=model)] == [{"versions": "3"}]
    assert store.numbers(model) == [1, 2, 4]
    client.job(jobs[0]).cancel()


def test_a_version_that_no_job_runs_on_is_removed_and_published_no_more(
    module_cluster: Cluster, client: Client, store: ModelStore, model: str, capsys: Capture
):
    second = module_cluster.start_ready()  # that can run it, too

    ended = here(capsys, "models", "rm", f"{model}@2")

    assert (ended.err, ended.out) == ("", f"{model}@2 is removed.\n")
    assert published(client, model) == store.numbers(model) == [1, 3, 4]
    assert store.retiring(model) == frozenset()
    here(capsys, "models", "rm", f"{model}@4")
    assert publish(store, model, "echo") == 5, "a number is not used again"
    with pytest.raises(UnknownModel, match=f"model '{model}' has no version 2"):
        client.classify(["a"], model=f"{model}@2")
    assert second.stop() == 0


def test_a_collection_that_is_stopped_half_way_says_what_it_had_removed(
    module_cluster: Cluster,
    store: ModelStore,
    model: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("SEQD_DATA_DIR", str(module_cluster.settings.data_dir))
    remove = ModelStore.remove

    def fails_at_the_second(own: ModelStore, name: str, version: int) -> None:
        if version == 3:
            raise StoreUnwritable("the disk is gone")
        remove(own, name, version)

    monkeypatch.setattr(ModelStore, "remove", fails_at_the_second)

    ended = here(capsys, "models", "gc", model, "--keep", "1", "--json")

    assert (ended.status, ended.out) == (1, "")
    assert ended.err == (
        f"Stopped. Removed before that: {model}@2. Left: {model}@3\n"
        "error[store_unwritable]: the disk is gone\n"
    )
    assert store.numbers(model) == [1, 3, 4]
    assert store.retiring(model) == frozenset()


def test_a_model_that_is_to_go_is_published_no_more_and_no_other_is_dropped(
    empty_cluster: Cluster,
):
    store = ModelStore(empty_cluster.settings.store_dir, {})
    for name in ("goes", "stays"):
        publish(store, name, "echo")
    publish(store, "foreign", "lstm")  # of a worker with another plugin, which is down just now
    empty_cluster.publish_catalog()
    assert empty_cluster.settings.redis_url is not None
    redis = connect(empty_cluster.settings.redis_url)
    fleet = Ledger(redis, empty_cluster.settings).fleet
    foreign = fleet.catalog()["stays"].model_copy(update={"model": "foreign", "made_with": "lstm"})
    publish_entries(fleet, [foreign])

    store.retire("goes", [1])
    wait_until(lambda: fleet.now_ms() > foreign.published_at_ms, "another millisecond")
    empty_cluster.publish_catalog()

    assert sorted(fleet.catalog()) == ["echo", "foreign", "stays"]
    redis.close()


def test_a_removal_is_ordered_without_time_for_workers_to_load_a_version(
    module_cluster: Cluster,
    client: Client,
    model: str,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("seqd.client.model.TAKE_S", 5.0)
    name, found = f"{model}_elsewhere", list[ModelOrder]()
    assert module_cluster.settings.redis_url is not None
    redis = connect(module_cluster.settings.redis_url)
    ledger = Ledger(redis, module_cluster.settings)
    entry = client.catalog()[model].model_copy(update={"model": name})
    publish_entries(ledger.fleet, [entry])

    def is_ordered() -> bool:
        found.extend(order for order in ledger.orders.open() if order.model == name)
        return bool(found)

    between = threading.Thread(target=wait_until, args=(is_ordered, "its order"))
    between.start()
    ended = here(capsys, "models", "rm", f"{name}@2")  # no worker has it
    between.join(120)
    redis.close()

    assert ended.status == NoFitWorker.exit_status
    assert found[0].warm_s == 0.0
