"""What a client with many jobs leaves behind in Redis: the jobs, and nothing of Celery's.

Celery's own results would subscribe a producer to one channel a job and keep a key for each.
"""

from pathlib import Path

import pytest

from redis_fixtures import PrivateServer
from seqd.client import Client
from seqd.ledger import connect
from seqd_schemas import route_of
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = pytest.mark.processes

JOBS = 1_000


@pytest.mark.slow
def test_a_thousand_jobs_leave_no_channel_no_result_and_no_connection(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(private_server, tmp_path), tmp_path)
    cluster.publish_catalog()
    wakeup = cluster.settings.keys.wakeup(route_of("classify", "echo"))
    with connect(private_server.url) as operator, cluster.client() as client:
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
        assert operator.zcard(cluster.settings.keys.jobs()) == JOBS


def test_a_client_that_is_closed_leaves_no_connection(
    private_server: PrivateServer, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(private_server, tmp_path), tmp_path)
    cluster.publish_catalog()
    with connect(private_server.url) as operator:
        client = Client(settings=cluster.settings)
        job = client.classify((f"text {number}" for number in range(2_000)), model="echo")
        job.pause()
        operator.delete(cluster.settings.keys.wakeup(route_of("classify", "echo")))
        job.resume()  # sends a wakeup, by a connection of its own
        held = len(operator.client_list())

        client.close()

        assert held > 1
        # The server takes a moment to see that a connection has ended.
        wait_until(lambda: len(operator.client_list()) == 1, "no connection is left")
    assert job.job_id  # it is held all the time, as a service may hold a closed client
