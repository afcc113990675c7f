"""A server of a Redis Cluster is refused with one sentence, by workers and clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from async_builders import face_of, faces
from redis_fixtures import PrivateServer, installed_servers
from seqd.errors import InvalidSettings
from seqd.ledger import connect, redis_errors
from seqd.ledger.server_check import check_server
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def cluster_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateServer]:
    folder = tmp_path_factory.mktemp("cluster")
    server = PrivateServer(installed_servers()[0], folder, ("cluster-enabled yes",))
    try:
        server.start()
        yield server
    finally:
        server.stop()


def sentence(server: PrivateServer) -> str:
    return (
        f"Redis at 127.0.0.1:{server.port} is one of a Redis Cluster, which carries "
        "neither Celery's queues nor all keys of a job. Set SEQD_REDIS_URL to a single server "
        "(redis:// or rediss://), or to one with replicas and Sentinels (redis+sentinel://)."
    )


@pytest.mark.parametrize("has_slots", [False, True], ids=["CLUSTERDOWN", "MOVED"])
def test_a_command_that_only_a_cluster_refuses_says_so(
    cluster_server: PrivateServer, has_slots: bool
) -> None:
    with connect(cluster_server.url) as redis:
        if has_slots:
            redis.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
        with pytest.raises(InvalidSettings) as refusal, redis_errors(redis):
            redis.execute_command("EVAL", "return 1", 2, "a", "b")

    assert str(refusal.value) == sentence(cluster_server)


@faces
def test_a_client_is_told_at_once(cluster_server: PrivateServer, tmp_path: Path, face: str) -> None:
    cluster = Cluster(live_settings(cluster_server, tmp_path), tmp_path)

    with face_of(cluster, face) as asked, pytest.raises(InvalidSettings) as refusal:
        asked.do(lambda: asked.client.classify(["a text"], model="echo"))

    assert str(refusal.value) == sentence(cluster_server)


def test_a_worker_is_told_as_it_looks_at_its_server(cluster_server: PrivateServer) -> None:
    with connect(cluster_server.url) as redis, pytest.raises(InvalidSettings) as refusal:
        check_server(redis, allow_eviction=True, allow_volatile=True)

    assert str(refusal.value) == sentence(cluster_server)
