"""What a worker does in an outage of Redis: it keeps what it has, and is soon back at work."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import pytest
from redis import Redis

from builders import some_results
from ledger_fixtures import Environment, open_environment
from plugin_builders import a_registry_of
from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd.ledger import connect
from seqd.ledger.outage import Outage
from seqd.ledger.work import CommitOutcome, Finished
from seqd.local.slots import parse_slot
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd.worker import background
from seqd.worker.background import Reconciler
from seqd.worker.child import WorkLoop
from seqd.worker.context import ModelCache, WorkerContext, identify
from seqd.worker.drain import DrainFlag
from seqd.worker.fitness import Fitness
from seqd.worker.leases import LeaseKeeper
from seqd_schemas import Epoch, JobState
from tcp_proxy import TcpProxy
from worker_fixtures import Cluster, LiveWorker, light_plugin, live_settings, wait_until

pytestmark = pytest.mark.processes

TEXTS = [f"text {number}" for number in range(160)]
SLOWLY = {"delay_ms": 25.0}


@pytest.fixture
def cluster_on(private_server: PrivateServer, tmp_path: Path) -> Iterator[Cluster]:
    own = Cluster(live_settings(private_server, tmp_path), tmp_path)
    try:
        yield own
    finally:
        own.close()


def begun_job(client: Client) -> JobHandle:
    job = client.classify(TEXTS, model="echo", parameters=SLOWLY)
    wait_until(lambda: job.record().units_done >= 1, "it has begun")
    return job


def lines_since(worker: LiveWorker, log_before: str) -> list[str]:
    return worker.whole_log()[len(log_before) :].splitlines()


def make_read_only(server: PrivateServer) -> Callable[[], None]:
    with Redis.from_url(server.url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")

    def end() -> None:
        with Redis.from_url(server.url) as redis:
            redis.execute_command("REPLICAOF", "NO", "ONE")

    return end


def kill(server: PrivateServer) -> Callable[[], None]:
    server.kill()
    return server.start


@pytest.mark.slow
@pytest.mark.parametrize("begin", [kill, make_read_only])
def test_an_outage_costs_a_worker_two_lines_in_its_log(
    cluster_on: Cluster, private_server: PrivateServer, begin
) -> None:
    worker = cluster_on.start_ready(lease_s=30.0)
    job = begun_job(cluster_on.client())
    before = worker.whole_log()

    end = begin(private_server)
    time.sleep(4.0)
    end()
    job.wait(timeout_s=40)
    wait_until(lambda: "is back after" in worker.whole_log(), "it has noticed")

    lines = [line for line in lines_since(worker, before) if " job=" not in line]
    assert len(lines) == 2, lines
    assert " WARNING seqd.ledger.outage Redis at 127.0.0.1:" in lines[0]
    assert lines[0].endswith("; workers keep what they have done, and go on when it is back")
    assert " INFO seqd.ledger.outage Redis at 127.0.0.1:" in lines[1]


@pytest.mark.slow
def test_a_worker_outlives_a_full_redis_and_goes_on_when_it_has_room(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    worker = cluster_on.start_ready(lease_s=30.0)
    child = worker.child_pid()
    job = begun_job(cluster_on.client())
    with Redis.from_url(private_server.url) as operator:
        wait_until(lambda: job.record().sealed, "the input is complete")
        operator.config_set("maxmemory", int(operator.info("memory")["used_memory"]) // 2)
        time.sleep(5.0)
        done = job.record().counts.done
        operator.config_set("maxmemory", 0)
    began = time.monotonic()
    wait_until(lambda: job.record().counts.done > done, "it goes on")
    stall_s = time.monotonic() - began

    print(f"\nstall after a full Redis: {stall_s:.1f} s")
    assert stall_s < 4.0
    assert job.wait(timeout_s=30).counts.succeeded == len(TEXTS)
    assert worker.is_up()
    assert worker.child_pid() == child


@pytest.mark.slow
def test_a_worker_that_is_to_end_in_an_outage_ends_and_its_next_start_counts_no_crash(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    worker = cluster_on.start_ready("same", lease_s=30.0)
    job = begun_job(cluster_on.client())
    private_server.kill()
    time.sleep(1.0)

    began = time.monotonic()
    worker.ask_to_end(signal.SIGTERM)
    status = worker.wait_for_end()
    took_s = time.monotonic() - began
    private_server.start()
    cluster_on.start("same", lease_s=30.0)
    with Redis.from_url(private_server.url) as redis:
        leases = f"{cluster_on.settings.keys.job(job.job_id)}:leases"
        wait_until(lambda: not redis.exists(leases), "it is released")

    # Seen before its child is ready: a commit forgets the crashes of its unit.
    assert (status, cluster_on.crashes(job.job_id)) == (0, 0)
    assert job.wait(timeout_s=20).counts.succeeded == len(TEXTS)
    print(f"\nends {took_s:.1f} s after the signal")
    assert took_s < 15.0
    assert "Traceback" not in worker.whole_log()
    assert "leases not released: they run out, or its next start releases them" in worker.log()


@pytest.mark.slow
def test_a_worker_that_starts_in_an_outage_waits_for_its_end(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    private_server.kill()
    worker = cluster_on.start()
    wait_until(lambda: "is away" in worker.whole_log(), "it has noticed")

    private_server.start()

    worker.wait_until_ready()
    assert "Traceback" not in worker.whole_log()


@pytest.mark.slow
def test_a_worker_that_starts_without_a_redis_ends_when_it_has_waited(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    private_server.kill()
    worker = cluster_on.start(outage_s=1.0)

    assert worker.wait_for_end() == 2
    assert "error[redis_unreachable]: Redis at 127.0.0.1:" in worker.log()


@pytest.mark.slow
def test_a_worker_that_was_killed_has_its_units_counted_at_its_next_start(
    cluster_on: Cluster,
) -> None:
    worker = cluster_on.start_ready("same", lease_s=60.0)
    job = begun_job(cluster_on.client())
    units = cluster_on.settings.keys.job(job.job_id) + ":leases"
    assert cluster_on.settings.redis_url is not None
    with Redis.from_url(cluster_on.settings.redis_url) as redis:

        def frozen_with_a_unit() -> bool:
            worker.freeze()
            if not redis.hlen(units):
                worker.thaw()
            return bool(redis.hlen(units))

        wait_until(frozen_with_a_unit, "it has a unit")
    worker.kill()

    cluster_on.start("same", lease_s=60.0)

    # Seen before its child is ready: a commit forgets the crashes of its unit.
    wait_until(lambda: cluster_on.crashes(job.job_id) == 1, "the crash counts")
    assert job.wait(timeout_s=20).counts.succeeded == len(TEXTS)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [120, 30], ids=["goes on after it", "is done in it"])
def test_a_training_keeps_its_lease_over_an_outage_that_is_longer(
    cluster_on: Cluster, private_server: PrivateServer, epochs: int
) -> None:
    worker = cluster_on.start_ready()  # its leases are 2 s
    client = cluster_on.client()
    records = [{"text": "fine", "label": "pos"}]
    job = client.train(records, model="echo", parameters={"epochs": epochs, "step_ms": 50})
    next(event for event in job.events() if isinstance(event, Epoch))

    private_server.kill()
    time.sleep(4.0)
    private_server.start()

    assert job.wait(timeout_s=40).state is JobState.COMPLETED
    assert "made claimable units=" not in worker.whole_log()
    assert "commit of training" not in worker.whole_log()


def test_leases_that_ran_out_in_an_outage_may_be_renewed_before_they_count(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RENEWAL_GRACE_S", 0.5)
    environment.submit_units(1)
    brief = environment.settings.model_copy(update={"lease_s": 0.001, "reconcile_s": 0.1})
    ledger = open_environment(environment.redis, brief).ledger
    assert ledger.work.claim("worker-a", ("classify.imdb_lstm@3",)) is not None
    reconciler = Reconciler(ledger, brief, "worker-b", (), tuple, lambda: None)
    reconciler._succeeded_at = time.monotonic() - 10.0  # since when Redis was away

    reconciler.run_once()
    during = environment.claim("worker-b")
    wait_until(lambda: time.monotonic() > reconciler._renewed_by, "the grace is over")
    reconciler.run_once()

    assert during is None
    assert environment.claim("worker-b") is not None


def a_context(environment: Environment, settings: Settings) -> WorkerContext:
    registry = a_registry_of([("light", light_plugin())])
    identity = identify(parse_slot("all@cpu:0"), "worker-a")
    store = ModelStore(settings.store_dir, {})
    routes = ("classify.echo",)
    return WorkerContext(
        identity=identity,
        routes=routes,
        ledger=environment.ledger,
        registry=registry,
        store=store,
        cache=ModelCache(registry, store, identity.device, 0),
        leases=LeaseKeeper(environment.ledger, 10.0, 600.0),
        drain=DrainFlag(settings, identity.name),
        max_attempts=3,
        fitness=Fitness(routes, store),
    )


def test_units_whose_claim_was_answered_in_vain_are_claimed_anew_at_once(
    private_server: PrivateServer, proxy: TcpProxy, tmp_path: Path
) -> None:
    cluster = Cluster(live_settings(private_server, tmp_path), tmp_path)
    settings = cluster.settings.model_copy(update={"redis_url": proxy.url, "lease_s": 60.0})
    cluster.publish_catalog()
    job = cluster.client().classify(["a"], model="echo")
    with connect(proxy.url, outage=Outage(limit_s=30.0)) as redis:
        environment = open_environment(redis, settings)
        loop = WorkLoop(a_context(environment, settings), settings)
        redis.ping()
        proxy.drop_next_replies(1, b"EVALSHA")

        loop.run_slice()

    assert proxy.is_done
    assert job.wait(timeout_s=5).counts.succeeded == 1
    cluster.close()


def test_units_that_were_refused_just_now_are_committed_when_redis_takes_them(
    private_server: PrivateServer, prefix: str
) -> None:
    with connect(private_server.url, outage=Outage(limit_s=30.0)) as redis:
        environment = open_environment(redis, Settings(redis_url=private_server.url, prefix=prefix))
        for _ in range(2):
            environment.submit_units(1, unit_items=8)
        claim = environment.claim()
        assert claim is not None
        finished = [Finished(unit, some_results(2)) for unit in claim.units]
        assert len(finished) == 2
        end = make_read_only(private_server)
        Timer(1.0, end).start()
        began = time.monotonic()

        outcomes = environment.ledger.work.commit_batch(finished)

    assert outcomes == [CommitOutcome.COMPLETED] * 2
    assert 1.0 <= time.monotonic() - began < 3.0
