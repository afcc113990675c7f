"""What is left of each queue, as the scripts count it: waiting and leased, to the last item.

That the count is right after any step, also in the middle of a recount, is held by the walks of
`test_ledger_walks`.
"""

import json

import pytest

from builders import (
    a_chunk,
    a_classify_job,
    a_train_job,
    a_training_result,
    a_worker_status,
)
from ledger_fixtures import CLASSIFY, TRAIN, Environment
from seqd.ledger.backlog import RECOUNT_JOBS
from seqd.scaling import RouteWork
from seqd_schemas import FileSource, Step, queue_of

pytestmark = pytest.mark.processes

QUEUE = queue_of(CLASSIFY, 3)
A_FILE = a_classify_job(source=FileSource(path="/data/reviews.jsonl"))


def see_worker(environment: Environment) -> None:
    environment.ledger.fleet.publish_worker(a_worker_status(worker="w"))


def left(environment: Environment, task: str = "classify") -> RouteWork:
    """Return what is left of a task; of nothing, zeros."""
    routes = environment.ledger.backlog.routes(environment.ledger.fleet.workers())
    return next((r for r in routes if r.task == task), RouteWork(task, "imdb_lstm"))


def test_what_waits_and_what_is_leased_are_left_until_they_are_committed(environment: Environment):
    backlog = environment.ledger.backlog
    backlog.note_rate(QUEUE, 100, 5.0)
    environment.submit_units(2)
    see_worker(environment)

    assert (left(environment).items, left(environment).seconds) == (4, pytest.approx(0.2))
    unit = environment.claim_unit("w")
    assert (left(environment).items, left(environment).leased_items) == (4, 2)
    environment.commit(unit)
    assert (left(environment).items, left(environment).leased_items) == (2, 0)
    environment.commit(environment.claim_unit("w"))

    assert left(environment) == RouteWork("classify", "imdb_lstm")


def test_a_file_counts_as_a_unit_and_then_by_what_is_estimated_to_be_unread(
    environment: Environment,
):
    environment.submit(A_FILE, unit_items=32)
    unopened = left(environment).items
    unit = environment.claim_unit("w")

    assert environment.ledger.backlog.note_unread(unit, 5_000)
    opened = left(environment).items
    environment.ledger.control.cancel(unit.job_id)

    assert (unopened, opened, left(environment).items) == (32, 5_000, 0)


def test_a_training_counts_as_long_as_it_says(environment: Environment):
    environment.ledger.backlog.note_rate(TRAIN, 1, 300.0)
    environment.submit(a_train_job(), version=None)
    environment.submit(a_train_job(), version=None)
    see_worker(environment)
    unit = environment.claim_unit("w", (TRAIN,))
    event = Step(job_id=unit.job_id, at_ms=0, done=1, total=10, metrics={}, eta_s=45.0)

    environment.ledger.work.publish(unit, event)
    both = left(environment, "train").seconds
    environment.ledger.work.commit_training(unit, a_training_result())

    assert both == pytest.approx(345, abs=5)
    assert left(environment, "train").seconds == 300


def test_a_count_that_is_wrong_is_mended_by_a_recount(environment: Environment):
    environment.submit_units(3)
    paused = environment.submit_units(2)
    environment.ledger.control.pause(paused)
    environment.redis.hset(environment.keys.work_left(), mapping={QUEUE: 77, "classify.gone@1": 5})

    is_done = environment.ledger.backlog.recount(begins=True)

    assert is_done
    assert environment.redis.hgetall(environment.keys.work_left()) == {QUEUE.encode(): b"6"}


@pytest.mark.slow
def test_a_recount_of_many_jobs_goes_on_where_it_was_and_counts_what_changes_meanwhile(
    environment: Environment,
):
    for _ in range(2 * RECOUNT_JOBS + 10):
        environment.submit(chunk=a_chunk(), sealed=True)
    backlog = environment.ledger.backlog

    steps = [backlog.recount(begins=True)]
    environment.commit(environment.claim_unit("w"))  # of a job that was counted
    environment.submit_units(4)
    steps += [backlog.recount(begins=False), backlog.recount(begins=False)]

    assert steps == [False, False, True]
    assert left(environment).items == 2 * (2 * RECOUNT_JOBS + 9) + 8


def test_a_recount_that_was_given_up_changes_nothing(environment: Environment):
    environment.submit_units(3)
    environment.redis.delete(environment.keys.work_left_recount())

    assert environment.ledger.backlog.recount(begins=False) is False
    assert left(environment).items == 6


def test_a_rate_follows_what_slots_do_lately(environment: Environment):
    backlog = environment.ledger.backlog
    backlog.note_rate(QUEUE, 1_000, 10.0)
    before = backlog.rates()[QUEUE].item_s

    for _ in range(20):
        backlog.note_rate(QUEUE, 1_000, 100.0)

    assert before == pytest.approx(0.01)
    assert backlog.rates()[QUEUE].item_s == pytest.approx(0.1, rel=0.01)


def test_rates_of_a_bounded_number_of_queues_are_kept_and_the_newest_among_them(
    environment: Environment,
):
    for number in range(1_050):
        environment.ledger.backlog.note_rate(f"classify.m{number}@1", 1, 1.0)

    rates = environment.ledger.backlog.rates()

    assert len(rates) == 1_000
    assert "classify.m1049@1" in rates


def test_what_somebody_has_written_by_hand_is_no_rate(environment: Environment):
    environment.redis.hset(environment.keys.rates(), QUEUE, "quick")

    assert environment.ledger.backlog.rates() == {}


def test_the_wait_of_the_oldest_job_that_nobody_has_begun_is_told(environment: Environment):
    begun = environment.submit_units(1)
    environment.claim_unit("w")
    waiting = environment.submit_units(1)
    key = environment.keys.job(begun), environment.keys.job(waiting)
    now_ms = environment.ledger.fleet.now_ms()
    for name, ago_ms in zip(key, (90_000, 60_000), strict=True):
        environment.redis.hset(name, "created", now_ms - ago_ms)

    assert left(environment).oldest_wait_s == pytest.approx(60, abs=2)


def test_a_damaged_job_keeps_nobody_from_reading_what_is_left(environment: Environment):
    see_worker(environment)
    job_id = environment.submit_units(2)
    environment.claim_unit("w")
    environment.redis.delete(environment.keys.job(job_id))
    environment.redis.set(environment.keys.job(job_id), json.dumps("damaged"))

    assert left(environment).items == 4
    assert environment.ledger.backlog.recount(begins=True)
    assert left(environment).items == 0
