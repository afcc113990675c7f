"""What is left of each queue, how fast it goes, and how the fleet stands.

That what is left is right after any step is held by `tests/model`.
"""

import pytest

from builders import (
    a_catalog_entry,
    a_classify_job,
    a_train_job,
    a_training_result,
    a_worker_status,
)
from ledger_fixtures import CLASSIFY, TRAIN, Environment, disturbed, publish_entries
from seqd.ledger.overview import MAX_JOBS, fleet_overview
from seqd.queue_states import QueueState, WorkerCounts
from seqd.scaling import RouteWork
from seqd_schemas import Failure, FileSource, JobState, ModelPause, Step, queue_of

pytestmark = pytest.mark.processes

QUEUE = queue_of(CLASSIFY, 3)


def see_worker(environment: Environment) -> None:
    status = a_worker_status(worker="w", versions={"imdb_lstm": (3,)})
    environment.ledger.fleet.publish_worker(status)


def left(environment: Environment, task: str = "classify") -> RouteWork:
    """Return what is left of a task; of nothing, zeros."""
    routes = environment.ledger.backlog.routes(environment.ledger.fleet.workers())
    return next((r for r in routes if r.task == task), RouteWork(task, "imdb_lstm"))


def the_queue(environment: Environment) -> QueueState:
    (state,) = environment.ledger.queues.states()
    return state


def test_what_waits_and_what_is_leased_are_left_until_they_are_committed(
    environment: Environment,
) -> None:
    environment.ledger.backlog.note_rate(QUEUE, 100, 5.0)
    environment.submit_units(2)
    see_worker(environment)
    seen = [left(environment)]

    unit = environment.claim_unit("w")
    seen.append(left(environment))
    environment.commit(unit)
    seen.append(left(environment))
    environment.commit(environment.claim_unit("w"))

    assert [(one.items, one.leased_items) for one in seen] == [(4, 0), (4, 2), (2, 0)]
    assert seen[0].seconds == pytest.approx(0.2)
    assert left(environment) == RouteWork("classify", "imdb_lstm")


def test_a_training_counts_as_long_as_it_says(environment: Environment) -> None:
    environment.ledger.backlog.note_rate(TRAIN, 1, 300.0)
    for _ in range(2):
        environment.submit(a_train_job(), version=None)
    see_worker(environment)
    unit = environment.claim_unit("w", (TRAIN,))
    event = Step(job_id=unit.job_id, at_ms=0, done=1, total=10, metrics={}, eta_s=45.0)

    environment.ledger.work.publish(unit, event)
    both = left(environment, "train").seconds
    environment.ledger.work.commit_training(unit, a_training_result())

    assert both == pytest.approx(345, abs=5)
    assert left(environment, "train").seconds == 300


def test_rates_follow_what_slots_do_lately_and_the_newest_of_a_bounded_number_are_kept(
    environment: Environment,
) -> None:
    backlog = environment.ledger.backlog
    backlog.note_rate(QUEUE, 1_000, 10.0)
    before = backlog.rates()[QUEUE].item_s
    for _ in range(20):
        backlog.note_rate(QUEUE, 1_000, 100.0)
    after = backlog.rates()[QUEUE].item_s
    for number in range(1_050):
        backlog.note_rate(f"classify.m{number}@1", 1, 1.0)

    rates = backlog.rates()

    assert (before, after) == (pytest.approx(0.01), pytest.approx(0.1, rel=0.01))
    assert (len(rates), "classify.m1049@1" in rates) == (1_000, True)


def test_the_wait_of_the_oldest_job_that_nobody_has_begun_is_told(environment: Environment) -> None:
    begun = environment.submit_units(1)
    environment.claim_unit("w")
    waiting = environment.submit_units(1)
    now_ms = environment.ledger.fleet.now_ms()
    for job_id, ago_ms in ((begun, 90_000), (waiting, 60_000)):
        environment.redis.hset(environment.keys.job(job_id), "created", now_ms - ago_ms)

    assert left(environment).oldest_wait_s == pytest.approx(60, abs=2)


def test_what_a_damaged_job_has_left_in_the_count_goes_with_the_last_open_job(
    environment: Environment,
) -> None:
    damaged, sound = (environment.submit_units(2) for _ in range(2))
    environment.redis.set(environment.keys.job(damaged), "a string")
    seen = []
    for _ in range(2):
        environment.commit(environment.claim_unit("w"))
        environment.ledger.work.expire()
        seen.append(left(environment).items)

    assert environment.record(sound).state is JobState.COMPLETED
    assert seen == [6, 0]


def test_a_queue_says_what_waits_what_was_done_and_who_can_run_it(environment: Environment) -> None:
    see_worker(environment)
    environment.submit_units(3)
    environment.ledger.backlog.note_rate(QUEUE, 600, 1.0, 60)

    waiting = the_queue(environment)
    environment.claim_unit("w")
    claimed = the_queue(environment)

    assert (waiting.waiting_items, waiting.items_in_hand) == (6, 0)
    assert waiting.workers == WorkerCounts(idle=1)
    assert (waiting.items_done, waiting.errors) == (600, 60)
    # 600 items in the last second, spread over the two that a rate is of at least.
    assert waiting.rate_per_s == pytest.approx(300, rel=0.05)
    # And 60 errors are 60 a minute.
    assert waiting.errors_per_s == pytest.approx(1, rel=0.05)
    assert (claimed.state, claimed.waiting_items, claimed.items_in_hand) == ("moving", 4, 2)


def test_what_was_done_adds_up_and_what_is_recent_begins_anew_after_a_rest(
    environment: Environment,
) -> None:
    backlog, key = environment.ledger.backlog, environment.keys.work_done()
    backlog.note_rate(QUEUE, 100, 1.0, 1)
    backlog.note_rate(QUEUE, 50, 1.0)
    row = environment.redis.hget(key, QUEUE).decode().split()
    items, errors, recent = int(row[0]), int(row[1]), float(row[2])

    rested = environment.ledger.fleet.now_ms() - 61_000
    environment.redis.hset(key, QUEUE, f"150 1 140 1 {rested - 9_000} {rested}")
    see_worker(environment)
    resting = environment.ledger.queues.states()
    backlog.note_rate(QUEUE, 30, 1.0)

    assert (items, errors, recent) == (150, 1, pytest.approx(150, rel=0.01))
    assert resting == []
    assert float(environment.redis.hget(key, QUEUE).split()[2]) == 30


def test_a_queue_without_work_is_idle_and_one_of_paused_jobs_or_a_paused_model_is_paused(
    environment: Environment,
) -> None:
    publish_entries(environment.ledger.fleet, [a_catalog_entry()])
    idle = the_queue(environment)

    environment.ledger.control.pause(environment.submit_units(2))
    by_job = the_queue(environment)
    environment.submit_units(1)
    pause = ModelPause(model="imdb_lstm", by="ana@h1", at_ms=1, reason="wrong labels")
    environment.ledger.model_pauses.pause(pause)
    by_model = the_queue(environment)

    assert (idle.state, idle.rate_per_s) == ("idle", 0.0)
    assert (by_job.state, by_job.paused_items) == ("paused", 4)
    assert (by_model.state, by_model.paused_items, by_model.waiting_items) == ("paused", 6, 0)
    assert by_model.model_pause.endswith(
        ": wrong labels. Its jobs go on by `seqd models resume imdb_lstm`."
    )


def test_what_a_worker_has_in_hand_of_a_paused_job_is_in_hand_until_it_is_done(
    environment: Environment,
) -> None:
    see_worker(environment)
    job_id = environment.submit_units(2)
    unit = environment.claim_unit("w")

    environment.ledger.control.pause(job_id)
    held, signal = the_queue(environment), left(environment)
    environment.commit(unit)
    after = the_queue(environment)

    assert (held.items_in_hand, held.paused_items, held.waiting_items) == (2, 2, 0)
    assert (signal.items, signal.leased_items) == (2, 2)
    assert (after.items_in_hand, after.paused_items, after.state) == (0, 2, "paused")


def test_by_tenant_each_has_its_own_row(environment: Environment) -> None:
    environment.submit_units(2, a_classify_job(tenant="acme"))
    environment.submit_units(1, a_classify_job(tenant="beta"))

    acme, beta = environment.ledger.queues.states(by_tenant=True)

    assert [(one.tenant, one.waiting_items, one.state) for one in (acme, beta)] == [
        ("acme", 4, "unserved"),
        ("beta", 2, "unserved"),
    ]
    assert acme.reason == "No worker is up: `seqd up` starts them, in some seconds."


def test_an_overview_has_the_newest_jobs_the_failures_and_numbers_of_the_rest(
    environment: Environment,
) -> None:
    see_worker(environment)
    environment.redis.zadd(environment.keys.workers(), {"gone": environment.ledger.fleet.now_ms()})
    with_errors = environment.submit_units(1)
    environment.commit(environment.claim_unit("w"), errored=1)
    environment.submit_units(1)
    environment.commit(environment.claim_unit("w"))
    failed = environment.submit(a_classify_job(source=FileSource(path="/gone.jsonl")))
    failure = Failure(code="unreadable_input", message="It is gone.")
    environment.ledger.control.fail(failed, failure)
    jobs = [environment.submit_units(1) for _ in range(MAX_JOBS + 5)]
    environment.claim_unit("w")

    overview = environment.ledger.transport.run(fleet_overview(environment.ledger))

    assert [one.job_id for one in overview.failures] == [failed, with_errors]
    assert overview.failure_count == 2
    assert overview.open_jobs == MAX_JOBS + 5
    # Jobs of one millisecond are in the order of their identifiers.
    age = {job: (environment.ledger.jobs.get(job).created_at_ms, job) for job in jobs}
    newest = sorted(jobs, key=lambda job: age[job], reverse=True)[:MAX_JOBS]
    assert [one.job_id for one in overview.jobs] == newest
    assert (overview.units_in_hand, list(overview.silent)) == ({"w": 1}, ["gone"])
    assert overview.memory is not None and overview.inbox.entries == 0


def test_what_an_overview_says_of_jobs_and_of_their_queue_is_of_one_moment(
    environment: Environment,
) -> None:
    see_worker(environment)
    job = environment.submit_units(40)

    def commit() -> None:
        environment.commit(environment.claim_unit("w"))

    reading = disturbed(fleet_overview(environment.ledger), commit)
    overview = environment.ledger.transport.run(reading)

    assert [one.job_id for one in overview.jobs] == [job]
    (queue,) = overview.queues
    assert overview.jobs[0].counts.processing == queue.waiting_items + queue.items_in_hand
    (route,) = overview.work_left
    assert route.items == overview.jobs[0].counts.processing
