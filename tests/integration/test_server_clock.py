"""A clock of Redis that is stepped, as NTP does it, or a failover to a server with another clock.

Leases, back-offs and signs of life end by the server's clock. Stepped back, it holds what the dead
have left until it is there again; stepped forward, it takes nothing from who is alive.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from builders import a_chunk, a_worker_status
from clock_fixtures import ClockServer, HeldClock
from ledger_fixtures import Environment, open_environment
from seqd.ledger import connect
from seqd.ledger.work import Renewal
from seqd.settings import Settings
from seqd.worker.background import RENEWAL_GRACE_S, Reconciler
from seqd_schemas import JobState, UnfitCode, UnfitVersion
from worker_fixtures import Cluster, LiveWorker, live_settings, wait_until

pytestmark = pytest.mark.processes

HOUR_S = 3_600
STEP_S = 600


@pytest.fixture
def clocked(clock_server: ClockServer, tmp_path: Path) -> Iterator[Environment]:
    """A ledger on a server whose clock can be stepped.

    Its leases outlast a test on a busy machine: they end by the steps alone.
    """
    settings = Settings(
        redis_url=clock_server.url,
        data_dir=tmp_path / "seqd",
        lease_s=10.0,
        heartbeat_s=5.0,
        reconcile_s=0.05,
        abandoned_upload_s=20.0,
        upload_silence_s=10.0,
    )
    with connect(clock_server.url) as redis:
        yield open_environment(redis, settings)


def a_reconciler(
    environment: Environment, clock: HeldClock, queues: Callable[[], tuple[str, ...]] = tuple
) -> Reconciler:
    """Return the reconciler of a worker that is alive; its rounds are the test's."""
    ledger, settings = environment.ledger, environment.settings
    return Reconciler(ledger, settings, "worker-b", (), queues, lambda: None, clock=clock)


@pytest.mark.parametrize("is_dead", [False, True])
def test_a_unit_of_a_dead_worker_alone_waits_until_the_clock_is_there_again(
    clocked: Environment, clock_server: ClockServer, is_dead: bool
):
    job_id = clocked.submit_units(2)
    held = clocked.claim_unit("worker-a")

    clock_server.step(-STEP_S)
    if not is_dead:
        clocked.ledger.work.renew([held])
    clocked.commit(clocked.claim_unit("worker-b"))  # all other work goes on
    clock_server.step(2 * clocked.settings.lease_s)
    clocked.ledger.work.expire()
    claimed_soon = clocked.claim("worker-b") is not None
    clock_server.step(STEP_S)
    clocked.ledger.work.expire()
    again = clocked.claim("worker-b")

    assert claimed_soon is not is_dead
    assert (again is not None) is is_dead
    for unit in (held, *(again.units if again else ())):
        clocked.commit(unit)
    assert clocked.record(job_id).counts.succeeded == 4


def test_a_task_of_a_dead_worker_is_anothers_when_the_clock_is_there_again(
    clocked: Environment, clock_server: ClockServer
):
    take = clocked.ledger.fleet.take_lock
    take("task", "alive", 60.0)
    take("other", "dead", 60.0)

    clock_server.step(-STEP_S)
    kept, early = take("task", "alive", 60.0), take("other", "alive", 60.0)
    clock_server.step(61)
    of_the_alive = take("task", "worker-b", 60.0)
    clock_server.step(STEP_S)

    assert (kept, early, of_the_alive) == (True, False, True)
    assert take("other", "worker-b", 60.0)


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


@pytest.mark.parametrize("is_dead", [False, True])
@pytest.mark.parametrize("away_s", [0, HOUR_S], ids=["a step", "an outage"])
def test_only_who_is_alive_keeps_lease_and_upload_over_a_step_forward_and_an_outage(
    clocked: Environment, clock_server: ClockServer, away_s: float, is_dead: bool
):
    uploaded = clocked.submit(chunk=a_chunk(), owner="a-client")
    unit, clock = clocked.claim_unit("worker-a"), HeldClock()
    reconciler = a_reconciler(clocked, clock)
    reconciler.run_once()

    clock_server.step(HOUR_S)
    clock.now_s += away_s
    reconciler.run_once()
    if not is_dead:
        assert clocked.ledger.work.renew([unit]) == [Renewal.KEPT]
        assert clocked.ledger.submissions.heartbeat(uploaded, "a-client")
    # Both are heard of within the time of a heartbeat.
    clock.now_s += clocked.settings.heartbeat_s + RENEWAL_GRACE_S
    reconciler.run_once()

    state = JobState.FAILED if is_dead else JobState.RUNNING
    assert clocked.ledger.work.renew([unit]) == [Renewal.LOST if is_dead else Renewal.KEPT]
    assert clocked.record(uploaded).state is state


def test_a_round_that_takes_long_is_no_outage(clocked: Environment, clock_server: ClockServer):
    clocked.submit_units(1)
    unit, clock = clocked.claim_unit("worker-a"), HeldClock()

    def queues() -> tuple[str, ...]:
        clock_server.step(HOUR_S)
        clock.now_s += HOUR_S
        return ()

    reconciler = a_reconciler(clocked, clock, queues)
    reconciler.run_once()
    reconciler.run_once()

    assert clocked.ledger.work.renew([unit]) == [Renewal.LOST]


def test_no_job_fails_for_want_of_a_worker_whose_record_ran_out_by_a_step(
    clocked: Environment, clock_server: ClockServer
):
    takes = {"tasks": ("classify",), "seen_at_ms": clocked.ledger.fleet.now_ms()}
    able = a_worker_status(worker="able", versions={"imdb_lstm": (3,)}, **takes)
    damaged = UnfitVersion(
        model="imdb_lstm", version=3, code=UnfitCode.DAMAGED, message="so it is.", since_ms=1
    )
    unfit = a_worker_status(worker="unfit", versions={"imdb_lstm": ()}, unfit=(damaged,), **takes)
    job_id = clocked.submit_units(1)
    reconciler = a_reconciler(clocked, HeldClock())
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
