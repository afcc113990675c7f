"""A clock of Redis that is stepped, as NTP does it, or a failover to a server with another clock.

Leases, back-offs and signs of life end by the server's clock. Stepped back it holds nothing for
longer than what it was meant to last; stepped forward it takes nothing from who is alive.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders import a_chunk, a_worker_status
from clock_fixtures import ClockServer
from ledger_fixtures import Environment, open_environment
from seqd.ledger import connect, inbox
from seqd.ledger.work import Renewal
from seqd.settings import Settings
from seqd.worker import background
from seqd.worker.background import Reconciler
from seqd_schemas import JobState, UnfitCode, UnfitVersion, WorkerState
from worker_fixtures import Cluster, LiveWorker, live_settings, wait_until

pytestmark = pytest.mark.processes

HOUR_S = 3_600

#: Time to run out in; far below an hour.
SOON_S = 6.0


@pytest.fixture
def clocked(clock_server: ClockServer, tmp_path: Path) -> Iterator[Environment]:
    """A ledger on a server whose clock can be stepped, with brief leases."""
    settings = Settings(
        redis_url=clock_server.url,
        data_dir=tmp_path / "seqd",
        lease_s=0.5,
        heartbeat_s=0.25,
        reconcile_s=0.05,
        abandoned_upload_s=1.0,
        upload_silence_s=0.5,
    )
    with connect(clock_server.url) as redis:
        yield open_environment(redis, settings)


def a_reconciler(environment: Environment) -> Reconciler:
    """Return the reconciler of a worker that is alive; its rounds are the test's."""
    ledger, settings = environment.ledger, environment.settings
    return Reconciler(ledger, settings, "worker-b", (), tuple, lambda: None)


@pytest.fixture
def reconciler(clocked: Environment) -> Iterator[Reconciler]:
    """A reconciler that runs, and has seen the clock before it is stepped."""
    running = a_reconciler(clocked)
    running.run_once()
    running.start()
    with closing(running):
        yield running


def a_dead_worker(environment: Environment) -> Callable[[], bool]:
    environment.submit_units(1)
    environment.claim_unit("worker-a")
    return lambda: environment.claim("worker-b") is not None


def a_back_off(environment: Environment) -> Callable[[], bool]:
    environment.submit_units(1)
    environment.ledger.work.release_unit(environment.claim_unit("worker-a"), wait_s=0.5)
    return lambda: environment.claim("worker-b") is not None


def a_dead_workers_record(environment: Environment) -> Callable[[], bool]:
    fleet = environment.ledger.fleet
    fleet.publish_worker(a_worker_status(worker="worker-a", seen_at_ms=fleet.now_ms()))
    return lambda: fleet.workers() == []


def an_abandoned_upload(environment: Environment) -> Callable[[], bool]:
    job_id = environment.submit(chunk=a_chunk())
    return lambda: environment.record(job_id).state is JobState.FAILED


def an_entry_of_the_inbox(environment: Environment) -> Callable[[], bool]:
    environment.redis.xadd(environment.keys.inbox(), {"id": "a", "job": "{}"})
    assert environment.ledger.inbox.read_new("worker-a", None)
    return lambda: bool(environment.ledger.inbox.claim_idle("worker-b"))


def a_measured_memory(environment: Environment) -> Callable[[], bool]:
    environment.ledger.fleet.publish_limits(environment.settings)
    assert not environment.ledger.inbox.memory_is_short()
    return lambda: not environment.redis.exists(environment.keys.memory())


@pytest.mark.parametrize(
    "arrange",
    [
        *(a_dead_worker, a_back_off, a_dead_workers_record, an_abandoned_upload),
        *(an_entry_of_the_inbox, a_measured_memory),
    ],
)
def test_what_was_meant_to_last_a_moment_is_over_soon_though_the_clock_stepped_back(
    clocked: Environment,
    clock_server: ClockServer,
    reconciler: Reconciler,
    monkeypatch: pytest.MonkeyPatch,
    arrange: Callable[[Environment], Callable[[], bool]],
):
    monkeypatch.setattr(inbox, "CLAIM_IDLE_MS", 300)
    is_over = arrange(clocked)

    clock_server.step(-HOUR_S)

    wait_until(is_over, "it is over", SOON_S)


def test_a_dead_workers_unit_is_claimed_again_soon_on_a_server_with_an_earlier_clock(
    clocked: Environment, clock_server: ClockServer
):
    clocked.ledger.work.follow_clock()
    clocked.ledger.fleet.take_lock("reconciler", "worker-a", 0.15)
    is_over = a_dead_worker(clocked)

    clock_server.stop()
    clock_server.step(-HOUR_S)
    clock_server.start()

    with closing(a_reconciler(clocked)) as reconciler:
        reconciler.start()
        wait_until(is_over, "it is claimed again", SOON_S)


def test_a_long_back_off_keeps_its_length_when_the_clock_steps_back(
    clocked: Environment, clock_server: ClockServer
):
    patient = clocked.with_settings(backoff_s=100.0)
    job_id = patient.submit_units(1)
    for _ in range(2):
        patient.claim_unit("worker-a")
        patient.ledger.work.release_worker("worker-a", crashed=True)
    timers = clocked.keys.timers()
    clocked.redis.zadd(timers, {"nonsense": clocked.ledger.fleet.now_ms() + 1_000})
    before = a_reconciler(patient)
    before.run_once()

    clock_server.step(-HOUR_S)
    before.run_once()

    ((unit, timer_ms),) = clocked.redis.zrange(timers, 0, -1, withscores=True)
    assert unit == f"{job_id} 0".encode()
    assert timer_ms == pytest.approx(clocked.ledger.fleet.now_ms() + 100_000, abs=2_000)


def test_progress_is_told_after_the_clock_stepped_back(
    clocked: Environment, clock_server: ClockServer
):
    job_id = clocked.submit_units(3)
    clocked.commit(clocked.claim_unit())

    clock_server.step(-HOUR_S)
    clocked.commit(clocked.claim_unit())

    told = [
        e for e in clocked.ledger.jobs.events(job_id, longest_wait_s=0) if e.event == "progress"
    ]
    assert [event.counts.succeeded for event in told] == [2, 4]  # type: ignore[union-attr]
    assert told[-1].rate_per_s == 0  # type: ignore[union-attr]


def test_who_is_alive_keeps_lease_and_upload_when_the_clock_steps_forward(
    clocked: Environment, clock_server: ClockServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(background, "RENEWAL_GRACE_S", 0.1)
    monkeypatch.setattr(background, "LONGEST_GAP_S", 60.0)  # no outage, however slow the machine
    uploaded = clocked.submit(chunk=a_chunk(), owner="a-client")
    unit = clocked.claim_unit("worker-a")
    reconciler = a_reconciler(clocked)
    reconciler.run_once()

    clock_server.step(HOUR_S)
    reconciler.run_once()
    # Both are heard of within the time of a heartbeat.
    renewed = clocked.ledger.work.renew([unit])
    assert clocked.ledger.submissions.heartbeat(uploaded, "a-client")
    reconciler.run_once()

    assert renewed == [Renewal.KEPT]
    assert clocked.ledger.work.renew([unit]) == [Renewal.KEPT]
    assert clocked.record(uploaded).state is JobState.RUNNING


def test_who_is_dead_loses_its_unit_when_the_clock_steps_forward(
    clocked: Environment,
    clock_server: ClockServer,
    reconciler: Reconciler,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(background, "RENEWAL_GRACE_S", 0.1)
    clocked.submit_units(1)
    patient = clocked.with_settings(lease_s=600.0)
    patient.claim_unit("worker-a")

    clock_server.step(HOUR_S)

    wait_until(lambda: clocked.claim("worker-b") is not None, "it is claimed again", SOON_S)


def test_no_job_fails_for_want_of_a_worker_whose_record_ran_out_by_a_step(
    clocked: Environment, clock_server: ClockServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(background, "LONGEST_GAP_S", 60.0)
    takes = {"tasks": ("classify",), "seen_at_ms": clocked.ledger.fleet.now_ms()}
    able = a_worker_status(worker="able", versions={"imdb_lstm": (3,)}, **takes)
    damaged = UnfitVersion(
        model="imdb_lstm", version=3, code=UnfitCode.DAMAGED, message="so it is.", since_ms=1
    )
    unfit = a_worker_status(worker="unfit", versions={"imdb_lstm": ()}, unfit=(damaged,), **takes)
    job_id = clocked.submit_units(1)
    reconciler = a_reconciler(clocked)
    for worker in (able, unfit):
        clocked.ledger.fleet.publish_worker(worker)
    reconciler.run_once()

    clock_server.step(HOUR_S)
    clocked.ledger.fleet.publish_worker(unfit)
    reconciler.run_once()

    assert clocked.record(job_id).state is JobState.QUEUED


@pytest.mark.slow
def test_a_worker_says_how_far_its_clock_is_off_that_of_redis(
    clock_server: ClockServer, tmp_path: Path
):
    cluster = Cluster(live_settings(clock_server, tmp_path), tmp_path)
    with closing(cluster):
        worker = cluster.start().wait_until_ready()
        at_first_ms = offset_ms_of(worker)
        clock_server.step(HOUR_S)
        wait_until(lambda: offset_ms_of(worker) not in (None, 0), "it says that it is behind")
        behind_ms = offset_ms_of(worker)
        clock_server.step(-HOUR_S)
        wait_until(lambda: offset_ms_of(worker) == 0, "it says that it is right again")

    assert at_first_ms == 0
    assert behind_ms == pytest.approx(-1_000 * HOUR_S, abs=1_000)


def offset_ms_of(worker: LiveWorker) -> int | None:
    status = worker.status()
    return None if status is None else status.clock_offset_ms


@pytest.mark.slow
def test_a_job_goes_on_within_a_lease_when_its_worker_dies_and_the_clock_steps_back(
    clock_server: ClockServer, tmp_path: Path
):
    cluster = Cluster(live_settings(clock_server, tmp_path), tmp_path)
    with closing(cluster):
        workers = [cluster.start(), cluster.start()]
        for worker in workers:
            worker.wait_until_ready()
        job = cluster.client().classify(["a"] * 8, model="echo", parameters={"delay_ms": 500.0})
        the_busy_one(workers).kill()

        clock_server.step(-HOUR_S)
        stepped_at = time.monotonic()
        wait_until(lambda: sum(cluster.starts_of_units(job.job_id)) == 2, "the other works")
        stalled_s = time.monotonic() - stepped_at

        print(f"stalled for {stalled_s:.1f} s")
        assert stalled_s < 2 * cluster.settings.lease_s + 2
        assert job.wait(timeout_s=30).counts.succeeded == 8


def the_busy_one(workers: list[LiveWorker]) -> LiveWorker:
    """Wait until one of the workers works; return it."""
    found: list[LiveWorker] = []

    def one_is_busy() -> bool:
        statuses = [(worker, worker.status()) for worker in workers]
        found[:] = [w for w, s in statuses if s is not None and s.state is WorkerState.BUSY]
        return bool(found)

    wait_until(one_is_busy, "a worker is busy")
    return found[0]
