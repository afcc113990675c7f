"""A job goes on after Redis was away without waiting for a lease, which is ten minutes here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd_schemas import JobState
from worker_fixtures import Cluster, live_settings, wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

#: Longer than all that a test waits for.
LEASES: dict[str, object] = {"lease_s": 600.0, "heartbeat_s": 10.0, "reconcile_s": 2.0}

#: 200 units of eight items, each unit about 0.16 s: never done before the outage is over.
TEXTS = [f"text {number}" for number in range(1_600)]

Clusters = Callable[[str], Cluster]


@pytest.fixture
def cluster_on(private_server: PrivateServer, tmp_path: Path) -> Iterator[Clusters]:
    """Makes a cluster with such leases, on an address of the server."""
    made: list[Cluster] = []

    def make(url: str) -> Cluster:
        settings = live_settings(private_server, tmp_path)
        made.append(Cluster(settings.model_copy(update=LEASES | {"redis_url": url}), tmp_path))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


def begun_job(client: Client) -> JobHandle:
    """A long job whose first units are done."""
    job = client.classify(TEXTS, model="echo", parameters={"delay_ms": 20.0})
    wait_until(lambda: job.record().units_done >= 2, "it has begun")
    return job


def units_in_hand(url: str, cluster: Cluster, job: JobHandle) -> list[str]:
    """The units that a worker has claimed and not committed."""
    with Redis.from_url(url, decode_responses=True) as redis:
        return list(redis.hkeys(cluster.settings.keys.leases(job.job_id)))


def wait_for_what_is_in_hand(url: str, cluster: Cluster, job: JobHandle) -> None:
    """Wait until it is committed, far before a lease ends."""
    output = cluster.settings.keys.output(job.job_id)
    with Redis.from_url(url) as redis:
        for unit in units_in_hand(url, cluster, job):
            wait_until(lambda: bool(redis.hexists(output, unit)), f"unit {unit!r}")  # noqa: B023


def test_work_goes_on_after_an_outage_that_is_shorter_than_a_lease(
    cluster_on: Clusters, private_server: PrivateServer
) -> None:
    url, cluster = private_server.url, cluster_on(private_server.url)
    worker, client = cluster.start_ready("again"), cluster.client()

    redis = Redis.from_url(url)
    outages: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "a crash": (private_server.kill, private_server.start),
        "a freeze": (private_server.freeze, private_server.thaw),
        "a read-only server": (
            lambda: redis.execute_command("REPLICAOF", "127.0.0.1", "1"),
            lambda: redis.execute_command("REPLICAOF", "NO", "ONE"),
        ),
        "no replicas": (
            lambda: redis.config_set("min-replicas-to-write", 1),
            lambda: redis.config_set("min-replicas-to-write", 0),
        ),
    }

    def told(what: str) -> int:
        return worker.whole_log().count(what)

    def go_through(what: str) -> None:
        wait_until(lambda: told("is away") == told("is back after"), "the one before is over")
        before, (begin, end) = told("is away"), outages[what]
        begin()
        wait_until(lambda: told("is away") > before, f"it notices {what}")
        end()

    for what in outages:
        job = begun_job(client)
        go_through(what)

        wait_for_what_is_in_hand(url, cluster, job)
        assert cluster.crashes(job.job_id) == 0
        job.cancel()

    # So does an idle worker.
    worker.wait_until_idle()
    go_through("a crash")
    assert client.classify(["b"], model="echo").wait(timeout_s=120).state is JobState.COMPLETED

    # One that is started again under its name does not wait for its own lease.
    job = begun_job(client)

    def is_frozen_with_a_unit() -> bool:
        worker.freeze()
        if not units_in_hand(url, cluster, job):
            worker.thaw()
        return bool(units_in_hand(url, cluster, job))

    wait_until(is_frozen_with_a_unit, "it has a unit")
    worker.kill()
    cluster.start("again")

    wait_for_what_is_in_hand(url, cluster, job)
