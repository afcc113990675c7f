"""Workers on several hosts: each has a folder of data of its own, all one Redis and one store."""

import shutil
from collections.abc import Callable

import pytest

from cli_builders import clean_environment, here
from s3_fixtures import Bucket
from seqd.errors import NoFitWorker
from seqd.local.slots import parse_slot
from seqd.models.store import ModelStore
from seqd_schemas import Epoch, Log
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

RECORDS = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}]

GOES_ON = "The training goes on from its last checkpoint."

Hosts = Callable[..., LiveWorker]


@pytest.fixture
def host(empty_cluster: Cluster, bucket: Bucket) -> Hosts:
    """Starts a worker on a host of this name; without a slot it does everything."""

    def start(name: str, slot: str = "all@cpu:0", **settings: object) -> LiveWorker:
        folder = empty_cluster.folder_of(name)
        # The mirror of a host follows within seconds.
        own = {"data_dir": folder, "store_url": bucket.url, "unfit_grace_s": 60.0}
        return empty_cluster.start(name, parse_slot(slot), **own | settings)

    return start


def store_on(empty_cluster: Cluster, bucket: Bucket, name: str) -> ModelStore:
    store = ModelStore.of(bucket.settings(empty_cluster.folder_of(name)), {})
    store.refresh()
    return store


def test_one_host_trains_and_another_serves_and_each_keeps_its_own(
    empty_cluster: Cluster, bucket: Bucket, host: Hosts
) -> None:
    trains, serves = host("trains", "train@cpu:0"), host("serves", "cpu:0")
    client, operator = empty_cluster.client(), empty_cluster.operator()
    trains.wait_until_ready(), serves.wait_until_ready()

    first = client.train(RECORDS, model="echo").wait(timeout_s=120)
    second = client.train(RECORDS, model="echo", parameters={"epochs": 2}).wait(timeout_s=120)

    assert first.training is not None and second.training is not None
    assert (first.training.version, second.training.version) == (1, 2)
    # The bare name, and the version that is not in service, on the host that trained neither.
    assert client.classify(["a"], model="echo").wait(timeout_s=120).version == 1
    assert client.classify(["a"], model="echo@2").wait(timeout_s=120).version == 2
    operator.model("echo").promote(2)
    assert client.classify(["a"], model="echo").wait(timeout_s=120).version == 2
    for name in ("trains", "serves"):
        store = store_on(empty_cluster, bucket, name)
        assert store.labels("echo") == {"production": 2, "latest": 2}
        assert [one.to_version for one in store.history("echo")] == [1, 2]
    assert {name.split("/")[0] for name in bucket.names()} == {"format.json", "models", "versions"}
    log = serves.whole_log() + trains.whole_log()
    for secret in bucket.server.writer.values():
        assert secret not in log
    assert "ERROR" not in log


def test_a_training_whose_host_dies_goes_on_on_another_from_what_is_in_the_store(
    empty_cluster: Cluster, bucket: Bucket, host: Hosts
) -> None:
    first = host("first").wait_until_ready()
    client = empty_cluster.client()
    job = client.train(RECORDS, model="echo", parameters={"epochs": 6, "trick": "held"})
    next(one for one in job.events() if isinstance(one, Epoch) and one.epoch == 3)
    wait_until(lambda: bool(bucket.names("checkpoints/")), "a checkpoint is in the store")

    first.kill()
    shutil.rmtree(empty_cluster.folder_of("first"))
    other = empty_cluster.folder_of("second")
    other.mkdir()
    (other / "cured").touch()
    second = host("second").wait_until_ready()

    record = job.wait(timeout_s=240)
    assert record.training is not None and record.training.version == 1
    events = list(job.events())
    assert [one.epoch for one in events if isinstance(one, Epoch)] == [1, 2, 3, 4, 5, 6]
    assert GOES_ON in [one.message for one in events if isinstance(one, Log)]
    wait_until(lambda: bucket.names("checkpoints/") == [], "its checkpoints are removed")
    assert client.classify(["a"], model="echo").wait(timeout_s=120).version == 1
    second.stop()


def test_a_store_that_is_away_stalls_what_needs_it_and_nothing_else(
    empty_cluster: Cluster, bucket: Bucket, host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    trains = host("trains", "train@cpu:0").wait_until_ready()
    client = empty_cluster.client()
    client.train(RECORDS, model="echo").wait(timeout_s=120)
    client.train(RECORDS, model="echo").wait(timeout_s=120)
    with TcpProxy(bucket.server.url) as line:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", line.url)
        serves = host("serves", "cpu:0").wait_until_ready()
        assert client.classify(["a"], model="echo@1").wait(timeout_s=120).counts.succeeded == 1

        line.refuse()

        assert client.classify(["a"], model="echo@1").wait(timeout_s=120).counts.succeeded == 1
        waits = client.classify(["a"], model="echo@2")
        wait_until(
            lambda: any(
                "does not answer" in one.message
                for worker in client.workers()
                for one in worker.unfit
            ),
            "the worker says why it does not run version 2",
        )
        line.accept()
        assert waits.wait(timeout_s=240).counts.succeeded == 1
    assert "Traceback" not in serves.whole_log()
    assert trains.is_up()


def test_a_host_that_may_not_write_serves_and_leaves_changes_to_others(
    empty_cluster: Cluster,
    bucket: Bucket,
    host: Hosts,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    writer = host("writer").wait_until_ready()
    client, operator = empty_cluster.client(), empty_cluster.operator()
    for _ in range(2):
        client.train(RECORDS, model="echo").wait(timeout_s=120)
    writer.stop()
    for name, value in bucket.server.reader.items():
        monkeypatch.setenv(name, value)
    reader = host("reader").wait_until_ready()

    assert client.classify(["a"], model="echo@2").wait(timeout_s=120).counts.succeeded == 1
    training = client.train(RECORDS, model="echo")
    wait_until(
        lambda: any("may not be written" in one.message for one in reader.known_status().unfit),
        "the worker says why it trains nothing",
    )
    for name, value in clean_environment(
        SEQD_REDIS_URL=str(empty_cluster.settings.redis_url),
        SEQD_PREFIX=empty_cluster.settings.prefix,
        SEQD_DATA_DIR=str(empty_cluster.folder_of("reader")),
        SEQD_STORE_URL=bucket.url,
    ).items():
        monkeypatch.setenv(name, value)
    findings = here(capsys, "doctor", "--json").json()["findings"]
    assert [one["id"] for one in findings if one["id"].startswith("store")] == ["store-unwritable"]
    with (
        monkeypatch.context() as patch,
        pytest.raises(NoFitWorker, match="has echo@2 in a store that it may write: "),
    ):
        patch.setattr("seqd.client.model.TAKE_S", 2.0)
        operator.model("echo").promote(2)
    for name, value in bucket.server.writer.items():
        monkeypatch.setenv(name, value)
    host("second", "all@cpu:0").wait_until_ready()
    operator.model("echo").promote(2)
    assert training.wait(timeout_s=240).training.version == 3
