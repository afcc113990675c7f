"""Connections that break, and connections that hang: the work goes on when new ones can be made.

A half-open connection is one whose other end is gone without a word; only the lack of an answer
tells. The proxy makes them: it forwards nothing more on what is open, and serves new connections.
"""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis import TimeoutError as RedisTimeoutError

from seqd.ledger import connect
from seqd.ledger.async_redis import connect_async
from seqd_schemas import ItemFailure, ItemSuccess
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, live_settings

pytestmark = pytest.mark.processes

#: The least that is allowed; ten are the default.
TIMEOUT_S = 3.0


@pytest.fixture
def cluster_behind(proxy: TcpProxy, tmp_path: Path) -> Iterator[Cluster]:
    settings = live_settings(proxy, tmp_path).model_copy(update={"redis_timeout_s": TIMEOUT_S})
    cluster = Cluster(settings, tmp_path)
    try:
        yield cluster
    finally:
        proxy.cut()  # whoever hangs on a frozen connection goes on
        cluster.close()


def custom_ids(results: list[ItemSuccess | ItemFailure]) -> list[str]:
    assert all(isinstance(result, ItemSuccess) for result in results)
    return [result.custom_id for result in results]


def test_a_call_on_a_half_open_connection_is_made_again_on_a_new_one(proxy: TcpProxy) -> None:
    with connect(proxy.url, timeout_s=0.5) as redis:
        redis.set("number", 1)
        assert proxy.freeze() == 1

        assert redis.get("number") == b"1"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_never_answers_is_tried_six_times_in_all(is_async: bool) -> None:
    """Not six times for each step of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as hangs:
        url, options = f"redis://127.0.0.1:{hangs.getsockname()[1]}/0", {"timeout_s": 0.5}

        async def ask() -> None:
            async with connect_async(url, **options) as redis:
                await redis.ping()

        with pytest.raises(RedisTimeoutError):
            asyncio.run(ask()) if is_async else connect(url, **options).ping()

        hangs.settimeout(0)
        tries = 0
        with suppress(BlockingIOError):
            while True:
                hangs.accept()[0].close()
                tries += 1
        assert tries == 6


@pytest.mark.slow
def test_a_worker_whose_connections_are_half_open_takes_work_again_and_finishes_a_job_once(
    cluster_behind: Cluster, proxy: TcpProxy
) -> None:
    cluster_behind.start_ready().wait_until_idle()
    client = cluster_behind.client()
    assert proxy.freeze() > 3

    # Celery's listener finds out within twice the timeout and a second: 9 s here, measured.
    record = client.classify(["a"], model="echo").wait(timeout_s=120)

    assert record.counts.succeeded == 1

    texts = [f"text {n}" for n in range(160)]
    job = client.classify(texts, model="echo", parameters={"delay_ms": 10})
    next(iter(job.results()))
    assert proxy.freeze() > 3
    results = list(job.results())

    assert custom_ids(results) == [f"row-{n}" for n in range(1, 161)]
