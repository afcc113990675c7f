"""A server of a Redis Cluster is refused with one sentence, by workers and clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.errors import InvalidSettings
from seqd.ledger import connect, redis_errors
from seqd.ledger.topology import check_topology
from seqd.local.redis_binaries import find_server_binaries
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    folder = tmp_path_factory.mktemp("cluster")
    server = PrivateServer(find_server_binaries()[0], folder, ("cluster-enabled yes",))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def sentence(cluster_server: PrivateServer) -> str:
    return (
        f"Redis at 127.0.0.1:{cluster_server.port} is one of a Redis Cluster, which carries "
        "neither Celery's queues nor all keys of a job. Set SEQD_REDIS_URL to a single server "
        "(redis:// or rediss://), or to one with replicas and Sentinels (redis+sentinel://)."
    )


def test_a_worker_is_told_at_its_start(cluster_server: PrivateServer, sentence: str):
    with (
        connect(cluster_server.url) as redis,
        pytest.raises(InvalidSettings) as refusal,
    ):
        check_topology(redis)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize("has_slots", [False, True], ids=["CLUSTERDOWN", "MOVED"])
def test_a_command_that_only_a_cluster_refuses_says_so(
    cluster_server: PrivateServer, sentence: str, has_slots: bool
):
    with connect(cluster_server.url) as redis:
        if has_slots:
            redis.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        with pytest.raises(InvalidSettings) as refusal, redis_errors(redis):
            redis.execute_command("EVAL", "return 1", 2, "a", "b")

    assert str(refusal.value) == sentence


def test_a_client_is_told_at_once(cluster_server: PrivateServer, sentence: str, tmp_path: Path):
    with (
        Client(settings=live_settings(cluster_server, tmp_path)) as client,
        pytest.raises(InvalidSettings) as refusal,
    ):
        client.classify(["a text"], model="echo")

    assert str(refusal.value) == sentence


@pytest.mark.slow
def test_a_worker_ends_with_78(cluster_server: PrivateServer, sentence: str, tmp_path: Path):
    cluster = Cluster(live_settings(cluster_server, tmp_path), tmp_path)
    try:
        worker = cluster.start()

        assert worker.wait_for_end() == 78
        assert sentence in worker.log()
    finally:
        cluster.close()
