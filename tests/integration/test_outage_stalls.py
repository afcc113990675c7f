"""How long a job stands still after Redis was away: from its return to the next commit.

Leases are the default's 30 s here, so that whoever waits for one to run out shows. The design
allows 5 s for an outage that is shorter than a lease.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd.local.redis_binaries import find_server_binaries
from seqd_schemas import JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, LiveWorker, live_settings, wait_until

pytestmark = pytest.mark.processes

#: What a default worker has, as a stall is measured against it.
DEFAULT_LEASES: dict[str, object] = {"lease_s": 30.0, "heartbeat_s": 10.0, "reconcile_s": 2.0}

#: Longest stall: what the design allows.
ALLOWED_S = 5.0

#: 200 units of eight items, each unit about 0.16 s: never done before the outage is over.
TEXTS = [f"text {number}" for number in range(1_600)]
PACE = {"delay_ms": 20.0}


@pytest.fixture
def cluster_on(private_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    settings = live_settings(private_server, tmp_path).model_copy(update=DEFAULT_LEASES)
    own = Cluster(settings, tmp_path)
    try:
        yield own
    finally:
        own.close()


@pytest.fixture
def replica(
    private_server: PrivateServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateServer]:
    """A replica of `private_server` that has caught up with it."""
    redis = Redis.from_url(private_server.url)
    redis.config_set("repl-diskless-sync-delay", 0)
    password = redis.connection_pool.connection_kwargs["password"]
    extra = (f"replicaof 127.0.0.1 {private_server.port}", f"masterauth {password}")
    own = PrivateServer(find_server_binaries()[0], tmp_path_factory.mktemp("replica"), extra)
    try:
        own.start()
        wait_until(lambda: '"up"' in repr(link_of(own)).replace("'", '"'), "it has caught up")
        yield own
    finally:
        redis.close()
        own.stop()


def link_of(replica: PrivateServer) -> object:
    with Redis.from_url(replica.url, decode_responses=True) as redis:
        return redis.info("replication").get("master_link_status")


def begun_job(client: Client) -> JobHandle:
    """A long job whose first units are done."""
    job = client.classify(TEXTS, model="echo", parameters=PACE)
    wait_until(lambda: job.record().units_done >= 2, "it has begun")
    return job


def stall_s(
    url: str, cluster: Cluster, job: JobHandle, since: float, timeout_s: float = 60
) -> float:
    """Seconds from `since`, when Redis was back, until what was in hand by then is committed.

    Readers get results in input order: they stand still at the first unit that is missing.
    """
    keys, held = cluster.settings.keys, units_in_hand(url, cluster, job)
    with Redis.from_url(url) as redis:
        for unit in held:
            output = keys.output(job.job_id)
            wait_until(lambda: bool(redis.hexists(output, unit)), f"unit {unit!r}", timeout_s)  # noqa: B023
    return time.monotonic() - since


def units_in_hand(url: str, cluster: Cluster, job: JobHandle) -> list[str]:
    """The units that a worker has claimed and not committed."""
    with Redis.from_url(url, decode_responses=True) as redis:
        return list(redis.hkeys(f"{cluster.settings.keys.job(job.job_id)}:leases"))


def crash(server: PrivateServer) -> None:
    server.kill()
    time.sleep(5.0)
    server.start()


def freeze(server: PrivateServer) -> None:
    server.freeze()
    time.sleep(6.0)
    server.thaw()


def read_only(server: PrivateServer) -> None:
    with Redis.from_url(server.url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        time.sleep(6.0)
        redis.execute_command("REPLICAOF", "NO", "ONE")


def no_replicas(server: PrivateServer) -> None:
    with Redis.from_url(server.url) as redis:
        redis.config_set("min-replicas-to-write", 1)
        time.sleep(6.0)
        redis.config_set("min-replicas-to-write", 0)


@pytest.mark.slow
def test_work_goes_on_soon_after_an_outage_that_is_shorter_than_a_lease(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    worker, client = cluster_on.start_ready("again"), cluster_on.client()

    for outage in (read_only, crash, freeze, no_replicas):
        job = begun_job(client)
        outage(private_server)
        stalled_s = stall_s(private_server.url, cluster_on, job, time.monotonic())

        print(f"\nstall after {outage.__name__}: {stalled_s:.1f} s")
        assert stalled_s <= ALLOWED_S
        assert cluster_on.crashes(job.job_id) == 0
        job.cancel()

    # So does an idle worker.
    worker.wait_until_idle()
    private_server.kill()
    time.sleep(13.0)
    private_server.start()
    back_at = time.monotonic()
    record = cluster_on.client().classify(["b"], model="echo").wait(timeout_s=60)
    waited_s = time.monotonic() - back_at

    print(f"\nidle worker after a crash: {waited_s:.1f} s")
    assert record.state is JobState.COMPLETED
    assert waited_s <= 3.0

    # One that is started again under its name does not wait for its own lease.
    job = begun_job(client)
    freeze_with_a_unit(worker, lambda: units_in_hand(private_server.url, cluster_on, job))
    worker.kill()
    begun_at = time.monotonic()
    cluster_on.start("again")
    waited_s = stall_s(private_server.url, cluster_on, job, begun_at)

    print(f"\nunits of the worker before: {waited_s:.1f} s after its start")
    assert waited_s <= 20.0  # a start, which takes its time on a busy machine, and no lease


@pytest.mark.slow
def test_a_job_goes_on_soon_after_a_failover(
    private_server: PrivateServer, replica: PrivateServer, proxy: TcpProxy, tmp_path: Path
) -> None:
    settings = live_settings(private_server, tmp_path).model_copy(
        update=DEFAULT_LEASES | {"redis_url": proxy.url}
    )
    cluster = Cluster(settings, tmp_path)
    try:
        cluster.start_ready()
        job = begun_job(cluster.client())

        private_server.kill()
        time.sleep(3.8)
        promote(replica, private_server, proxy)
        stalled_s = stall_s(proxy.url, cluster, job, time.monotonic())
    finally:
        cluster.close()

    print(f"\nstall after failover: {stalled_s:.1f} s")
    assert stalled_s <= ALLOWED_S


def promote(replica: PrivateServer, primary: PrivateServer, proxy: TcpProxy) -> None:
    """Make the replica the server that the proxy stands for."""
    with Redis.from_url(primary.url) as redis:
        password = redis.connection_pool.connection_kwargs["password"]
    with Redis.from_url(replica.url) as redis:
        redis.execute_command("REPLICAOF", "NO", "ONE")
        redis.config_set("requirepass", password)
    proxy.point_to("127.0.0.1", replica.port)


def freeze_with_a_unit(worker: LiveWorker, in_hand: Callable[[], list[str]]) -> None:
    """Freeze a busy worker at a moment when it has a unit."""

    def frozen() -> bool:
        worker.freeze()
        if not in_hand():
            worker.thaw()
        return bool(in_hand())

    wait_until(frozen, "it has a unit")
