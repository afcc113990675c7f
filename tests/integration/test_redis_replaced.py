"""Redis is replaced by an empty one in the middle of a job, as after a failover without data.

The workers go on living, the owner of the job is told that it is gone, and handing it in again
with the same idempotency key runs it to its end.
"""

import pytest

from builders import a_classify_job, inline
from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd.errors import UnknownJob
from seqd.ledger import connect
from seqd_schemas import ItemSuccess
from worker_fixtures import Cluster, LiveWorker, wait_until

pytestmark = pytest.mark.processes

TEXTS = [f"text {n}" for n in range(160)]


def hand_in(client: Client) -> JobHandle:
    return client.classify(
        TEXTS, model="echo", parameters={"delay_ms": 5}, idempotency_key="reviews-of-today"
    )


def wait_until_back(worker: LiveWorker, client: Client) -> None:
    """Wait until the fleet has a worker and a catalog again."""
    worker.wait_until_ready()
    wait_until(lambda: "echo" in client.catalog(), "the catalog is published again")


@pytest.mark.slow
def test_a_fleet_goes_on_with_an_empty_redis_and_runs_a_job_again_that_went_with_the_former(
    private_cluster: Cluster, private_server: PrivateServer
) -> None:
    worker = private_cluster.start_ready()
    client = private_cluster.client()
    lost = hand_in(client)
    events = lost.events()
    next(events)
    next(iter(lost.results()))

    private_server.empty()

    with pytest.raises(UnknownJob, match="or with their Redis"):
        list(events)
    with pytest.raises(UnknownJob, match="or with their Redis"):
        list(lost.results())
    wait_until_back(worker, client)
    with pytest.raises(UnknownJob) as gone:
        lost.wait(timeout_s=120)
    assert str(gone.value) == (
        f"No job {lost.job_id!r}. `seqd jobs list` shows those that are kept; they go with `seqd "
        "jobs rm`, when their time to live has passed, or with their Redis. Check the id, or hand "
        "the job in again, with the same idempotency key."
    )

    results = list(hand_in(client).results())

    assert all(isinstance(result, ItemSuccess) for result in results)
    assert [result.custom_id for result in results] == [f"row-{n}" for n in range(1, 161)]

    job = a_classify_job(model="echo", source=inline("a", "b"))
    with connect(private_server.url) as producer:
        fields = {"id": "from-php", "job": job.model_dump_json()}
        producer.xadd(private_cluster.settings.keys.inbox(), fields)

    wait_until(lambda: is_done(client, "from-php"), "the inbox job is done")

    with connect(private_server.url) as operator:
        operator.flushall()
        operator.script_flush()
    wait_until_back(worker, client)

    assert hand_in(client).wait(timeout_s=120).counts.succeeded == len(TEXTS)
    assert worker.child_pid() > 0


def is_done(client: Client, job_id: str) -> bool:
    try:
        return client.job(job_id).record().counts.succeeded == 2
    except UnknownJob:
        return False
