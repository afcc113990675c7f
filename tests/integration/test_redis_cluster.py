"""A server of a Redis Cluster is refused with one sentence, by workers and clients."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from async_builders import FACES, Face
from redis_fixtures import PrivateServer, installed_servers
from seqd.errors import InvalidSettings
from seqd.ledger import connect, redis_errors
from seqd.ledger.rights import check_server

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


def run_a_script(url: str) -> None:
    with connect(url) as redis, redis_errors(redis):
        redis.execute_command("EVAL", "return 1", 2, "a", "b")


def give_all_slots(url: str) -> None:
    with connect(url) as redis:
        redis.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
    run_a_script(url)


def look_as_a_worker(url: str) -> None:
    with connect(url) as redis:
        check_server(redis, allow_eviction=True, allow_volatile=True)


def hand_in(url: str, face: str) -> None:
    with Face(FACES[face](url)) as asked:
        asked.do(lambda: asked.client.classify(["a text"], model="echo"))


@pytest.mark.parametrize(
    "ask",
    [
        run_a_script,  # CLUSTERDOWN
        give_all_slots,  # MOVED
        look_as_a_worker,
        *(partial(hand_in, face=face) for face in FACES),
    ],
)
def test_whoever_asks_is_told_at_once(
    cluster_server: PrivateServer, ask: Callable[[str], None]
) -> None:
    with pytest.raises(InvalidSettings) as refusal:
        ask(cluster_server.url)

    assert str(refusal.value) == (
        f"Redis at 127.0.0.1:{cluster_server.port} is one of a Redis Cluster, which carries "
        "neither Celery's queues nor all keys of a job. Set SEQD_REDIS_URL to a single server "
        "(redis:// or rediss://), or to one with replicas and Sentinels (redis+sentinel://)."
    )
