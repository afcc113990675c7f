"""What a worker does in an outage of Redis: it keeps what it has, and is soon back at work."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event

import pytest
from redis import Redis

from clock_fixtures import ClockServer
from ledger_fixtures import Environment, open_environment
from plugin_builders import a_registry_of
from redis_fixtures import PrivateServer
from seqd.client import Client, JobHandle
from seqd.errors import RedisFull, Stopped
from seqd.ledger import connect
from seqd.ledger.outage import Outage
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim, Work
from seqd.local.slots import parse_slot
from seqd.models.store import ModelStore
from seqd.settings import Settings
from seqd.worker.child import WorkLoop
from seqd.worker.context import ModelCache, WorkerContext, identify
from seqd.worker.drain import DrainFlag
from seqd.worker.fitness import Fitness
from seqd.worker.items import ItemRunner
from seqd.worker.leases import LeaseKeeper
from seqd_schemas import Epoch, FileSource, WorkerState
from tcp_proxy import TcpProxy
from worker_fixtures import (
    Cluster,
    LiveWorker,
    light_plugin,
    live_settings,
    wait_until,
)

pytestmark = [pytest.mark.processes, pytest.mark.slow]

TEXTS = [f"text {number}" for number in range(160)]
SLOWLY = {"delay_ms": 25.0}

LEASE_S = 10.0


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


def wait_for_line(worker: LiveWorker, log_before: str, part: str) -> None:
    """Wait until it has written a line with this part since then."""
    wait_until(
        lambda: any(part in line for line in lines_since(worker, log_before)),
        f"a line with {part!r} in its log",
    )


def test_files_and_uploads_come_out_once_over_a_crash_of_redis_in_which_a_child_dies_too(
    cluster_on: Cluster, private_server: PrivateServer, tmp_path: Path
) -> None:
    worker = cluster_on.start_ready(lease_s=30.0, input_roots=(tmp_path,))
    client, child = cluster_on.client(), worker.child_pid()
    path = tmp_path / "input.txt"
    path.write_text("\n".join(TEXTS))
    is_half_drawn, may_go_on = Event(), Event()

    def draw() -> Iterator[str]:
        yield from TEXTS[:80]
        is_half_drawn.set()
        may_go_on.wait()
        yield from TEXTS[80:]

    file = client.classify(FileSource(path=str(path)), model="echo", parameters=SLOWLY)
    next(file.results())
    upload = client.classify(draw(), model="echo", parameters=SLOWLY)
    is_half_drawn.wait()

    private_server.kill()
    may_go_on.set()
    wait_for_line(worker, "", "is away")
    os.kill(child, signal.SIGKILL)
    private_server.start()

    for job in (upload, file):
        record = job.wait(timeout_s=120)
        assert record.counts.succeeded == record.counts.total == len(TEXTS)
        assert [result.output.label for result in job.results()] == TEXTS
    assert worker.child_pid() != child
    away, *_ = (line for line in worker.whole_log().splitlines() if "is away" in line)
    assert away.endswith("; workers keep what they have done, and go on when it is back")


def test_a_worker_that_ends_in_an_outage_counts_no_crash_and_one_that_was_killed_does(
    cluster_on: Cluster, private_server: PrivateServer
) -> None:
    worker = cluster_on.start_ready("same", lease_s=60.0)
    client = cluster_on.client()
    job = begun_job(client)

    # It is to end in the outage. What it had is released at its next start, without a crash.
    private_server.kill()
    wait_for_line(worker, "", "is away")
    worker.ask_to_end()

    assert worker.wait_for_end(45.0) == 0
    assert "leases not released: they run out, or its next start releases them" in worker.log()
    # One that starts in the outage waits for its end, for as long as it may.
    impatient, before = cluster_on.start(outage_s=1.0), worker.whole_log()
    following = cluster_on.start("same", lease_s=60.0)
    wait_for_line(worker, before, "is away")
    assert impatient.wait_for_end() == 2
    assert "error[redis_unreachable]: Redis at 127.0.0.1:" in impatient.log()
    leases = cluster_on.settings.keys.leases(job.job_id)
    private_server.start()
    with Redis.from_url(private_server.url) as redis:
        wait_until(lambda: not redis.exists(leases), "it is released")
        # Seen before its child is ready: a commit forgets the crashes of its unit.
        assert cluster_on.crashes(job.job_id) == 0
        assert job.wait(timeout_s=120).counts.succeeded == len(TEXTS)

        # It is killed with a unit in hand, which counts at its next start.
        job = begun_job(client)
        leases = cluster_on.settings.keys.leases(job.job_id)

        def frozen_with_a_unit() -> bool:
            following.freeze()
            if not redis.hlen(leases):
                following.thaw()
            return bool(redis.hlen(leases))

        wait_until(frozen_with_a_unit, "it has a unit")
    following.kill()
    cluster_on.start("same", lease_s=60.0)

    wait_until(lambda: cluster_on.crashes(job.job_id) == 1, "the crash counts")
    assert job.wait(timeout_s=120).counts.succeeded == len(TEXTS)
    assert "Traceback" not in worker.whole_log()


@pytest.mark.parametrize("is_done_in_it", [False, True], ids=["goes on after it", "done in it"])
def test_a_training_keeps_its_lease_over_an_outage_that_is_longer(
    clock_server: ClockServer, tmp_path: Path, is_done_in_it: bool
) -> None:
    # A lease of 2 s may run out by itself on a busy machine. Two outages within a lease would count
    # as a Redis that is slow, so each has workers of its own.
    settings = live_settings(clock_server, tmp_path).model_copy(update={"lease_s": LEASE_S})
    with closing(Cluster(settings, tmp_path)) as cluster:
        worker, client = cluster.start_ready(), cluster.client()
        store = ModelStore(cluster.settings.store_dir, {})
        job = client.train(
            [{"text": "fine", "label": "pos"}],
            model="echo",
            parameters={"epochs": 100 if is_done_in_it else 200, "step_ms": 50},
        )
        next(event for event in job.events() if isinstance(event, Epoch))

        before = worker.whole_log()
        clock_server.kill()
        wait_for_line(worker, before, "is away")
        if is_done_in_it:
            wait_until(lambda: store.staged() != [], "what it has learned is saved")
        clock_server.step(2 * LEASE_S)
        clock_server.start()

        assert job.wait(timeout_s=120).training is not None
        assert "made claimable units=" not in worker.whole_log()
        assert "commit of training" not in worker.whole_log()


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
        leases=LeaseKeeper(environment.ledger, 10.0),
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
    assert job.wait(timeout_s=120).counts.succeeded == 1
    cluster.close()


def test_a_worker_whose_work_stops_by_an_error_does_not_say_that_it_works_on(
    private_server: PrivateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(live_settings(private_server, tmp_path), tmp_path)
    cluster.publish_catalog()
    cluster.client().classify(["a"], model="echo")
    with connect(private_server.url) as redis:
        environment = open_environment(redis, cluster.settings)
        loop = WorkLoop(a_context(environment, cluster.settings), cluster.settings)

        def stop(runner: ItemRunner, claim: Claim) -> None:
            raise Stopped("asked to stop")

        def refuse(work: Work, unit: Unit, wait_s: float = 0.0) -> None:
            raise RedisFull("no memory")

        monkeypatch.setattr(ItemRunner, "run", stop)
        monkeypatch.setattr(Work, "release_unit", refuse)

        with pytest.raises(RedisFull):
            loop.run_slice()

        assert loop.status().state is WorkerState.READY
    cluster.close()
