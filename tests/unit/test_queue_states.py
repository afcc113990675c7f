"""How each queue stands: what is in it, how fast it goes, and who can run it."""

from math import exp

import pytest

from builders import a_worker_status
from seqd.queue_states import (
    JobRow,
    QueueFacts,
    QueueState,
    WorkDone,
    WorkerCounts,
    queue_states,
    tenant_states,
)
from seqd.scaling import QueueWork, Rate
from seqd_schemas import ClaimInHand, Cordon, JobState, WorkerState, WorkerStatus

NOW_MS = 1_000_000
QUEUE = "classify.imdb_lstm@3"
RATES = {QUEUE: Rate(items=100, seconds=1.0, at_ms=0)}


def a_worker(name: str = "w1", **changes: object) -> WorkerStatus:
    fields = {"tasks": ("classify",), "versions": {"imdb_lstm": (3,)}}
    return a_worker_status(worker=name, **(fields | changes))


def a_claim(since_ms: int) -> ClaimInHand:
    return ClaimInHand(job_id="j1", unit="0", units=1, since_ms=since_ms)


def the_state(**facts: object) -> QueueState:
    (state,) = queue_states(
        QueueFacts(
            **{"now_ms": 0, "work": [], "rates": RATES, "done": {}, "workers": [], "jobs": []}
            | facts
        )
    )
    return state


@pytest.mark.parametrize(
    ("claimed_s", "left_s"),
    [
        ((0.5,), 0.5 + 4.0),
        ((0.5, 0.25), 0.25 + 4.0),
        # One that takes longer than it was reckoned to take is no work of others that is done.
        ((1.5,), 4.0),
        # By one that is overdue nobody knows how long the others take.
        ((70.0,), None),
        ((70.0, 0.25), None),
    ],
)
def test_the_time_to_the_end_of_what_is_in_hand_goes_down(claimed_s, left_s):
    busy = len(claimed_s)
    work = QueueWork(QUEUE, items=500, leased_items=100, busy_workers=busy)
    job = JobRow("j1", QUEUE, "acme", JobState.RUNNING, created_ms=0, items=500)
    workers = [a_worker(claim=a_claim(since_ms=NOW_MS - int(1_000 * s))) for s in claimed_s]

    state = the_state(now_ms=NOW_MS, work=[work], jobs=[job], workers=workers)

    assert state.work_left_s == 5.0
    assert state.eta_s == (None if left_s is None else pytest.approx(left_s / busy))


@pytest.mark.parametrize("leased_items", [0, 2])
def test_a_queue_whose_workers_start_waits_and_says_so(leased_items):
    starting = a_worker(state=WorkerState.STARTING, loading=("imdb_lstm@3",))
    work = QueueWork(QUEUE, items=5, leased_items=leased_items)

    state = the_state(work=[work], workers=[starting])

    assert (state.state, state.workers, state.eta_s) == ("waiting", WorkerCounts(starting=1), None)
    assert state.reason.startswith("A worker is still starting (w1). ")


def test_a_cordoned_worker_is_counted_and_cannot_run_it():
    cordon = Cordon(phase="cordoned", target="host:h1", since_ms=0)
    worker = a_worker(state=WorkerState.DRAINING, cordon=cordon)

    state = the_state(work=[QueueWork(QUEUE, items=5)], workers=[worker, a_worker("w2")])

    assert (state.state, state.workers) == ("waiting", WorkerCounts(idle=1, cordoned=1))


def test_a_queue_that_was_moving_waits_once_no_worker_can_go_on():
    done = {QUEUE: WorkDone(100, 0, 100.0, 0.0, since_ms=0, at_ms=0)}
    work = [QueueWork(QUEUE, items=5)]

    can = the_state(work=work, workers=[a_worker()], done=done)
    cannot = the_state(work=work, workers=[a_worker()], done=done, unheard={"w1": 75.0})

    assert (can.state, cannot.state) == ("moving", "waiting")


@pytest.mark.parametrize(
    ("now_ms", "expected"),
    [(10_000, 100.0), (20_000, 45.8), (69_000, 8.4), (71_000, 0.0)],
    ids=["at once", "half of the time", "a minute later", "when it has been at rest"],
)
def test_a_rate_is_of_the_last_minute_and_whole_at_once(now_ms, expected):
    # 100 items a second for 10 seconds, as `note_rate.lua` lets them fade.
    recent = 100 * 60 * (1 - exp(-10 / 60))
    done = WorkDone(1_000, 0, recent, 0.0, since_ms=0, at_ms=10_000)

    assert done.rates(now_ms) == (pytest.approx(expected, abs=0.1), 0.0)


def test_by_tenant_each_has_a_row_with_what_its_jobs_have_left():
    jobs = [
        JobRow("j3", QUEUE, "acme", JobState.QUEUED, created_ms=1_000, items=300),
        JobRow("j4", QUEUE, "acme", JobState.RUNNING, created_ms=0, items=100),
        JobRow("j5", QUEUE, "beta", JobState.PAUSED, created_ms=0, items=9),
    ]
    facts = QueueFacts(
        now_ms=4_000,
        work=[QueueWork(QUEUE, items=400, leased_items=100)],
        rates=RATES,
        done={},
        workers=[a_worker()],
        jobs=jobs,
    )

    acme, beta = tenant_states(facts)

    assert (acme.tenant, acme.state, acme.waiting_items) == ("acme", "moving", 400)
    assert (acme.oldest_wait_s, acme.work_left_s) == (3.0, 4.0)
    assert (beta.tenant, beta.state, beta.paused_items) == ("beta", "paused", 9)
