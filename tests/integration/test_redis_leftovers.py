"""What a client with many jobs leaves behind in Redis: the jobs, and nothing of Celery's.

Celery's own results would subscribe a producer to one channel a job and keep a key for each.
"""

import asyncio

import pytest

from async_builders import an_async_client, run
from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.errors import ClientMisused
from seqd.ledger import connect
from seqd_schemas import JobRecord, route_of
from worker_fixtures import Cluster, wait_until

pytestmark = pytest.mark.processes

JOBS = 1_000


@pytest.mark.slow
def test_a_thousand_jobs_leave_no_channel_no_result_and_no_connection(
    private_server: PrivateServer, private_cluster: Cluster
) -> None:
    private_cluster.publish_catalog()
    wakeup = private_cluster.settings.keys.wakeup(route_of("classify", "echo"))
    with connect(private_server.url) as operator, private_cluster.client() as client:
        client.classify(["a"], model="echo")
        connections = len(operator.client_list())

        for number in range(JOBS - 1):
            # Heard at once, so that each job rings.
            assert operator.delete(wakeup) == 1, f"job {number} did not ring"
            client.classify(["a"], model="echo")

        assert operator.pubsub_channels() == []
        assert list(operator.scan_iter("*celery-task-meta*", count=10_000)) == []
        # The server takes a moment to see that a connection has ended, such as one that timed out.
        wait_until(lambda: len(operator.client_list()) == connections, "no connection is left")
        assert operator.zcard(private_cluster.settings.keys.jobs()) == JOBS


def test_a_client_that_is_closed_leaves_no_connection(
    private_server: PrivateServer, private_cluster: Cluster
) -> None:
    private_cluster.publish_catalog()
    with connect(private_server.url) as operator:
        client = Client(settings=private_cluster.settings)
        job = client.classify((f"text {number}" for number in range(2_000)), model="echo")
        job.pause()
        operator.delete(private_cluster.settings.keys.wakeup(route_of("classify", "echo")))
        job.resume()  # sends a wakeup, by a connection of its own
        held = len(operator.client_list())

        client.close()

        assert held > 1
        # The server takes a moment to see that a connection has ended.
        wait_until(lambda: len(operator.client_list()) == 1, "no connection is left")
    assert job.job_id  # it is held all the time, as a service may hold a closed client


def test_an_async_client_that_is_closed_amid_calls_leaves_no_connection(
    private_server: PrivateServer, private_cluster: Cluster
) -> None:
    private_cluster.publish_catalog()

    async def use() -> list[object]:
        async with an_async_client(private_cluster) as client:
            job = await client.classify(["a"], model="echo")
            # Many more than a client has connections, so most wait for their turn.
            calls = [asyncio.create_task(job.record()) for _ in range(200)]
            await asyncio.sleep(0)
        ends = await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.to_thread(wait_until, lambda: connections() == 1, "no connection is left")
        return ends

    def connections() -> int:
        return len(operator.client_list())

    with connect(private_server.url) as operator:
        ends = run(use())

    assert {type(end) for end in ends} <= {JobRecord, ClientMisused}
