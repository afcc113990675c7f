"""Pause, resume and remove: they hold with no worker up, and a job loses nothing by them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_chunk, a_classify_job, a_train_job
from ledger_fixtures import BRIEFLY_S, CLASSIFY, Environment
from seqd.errors import UnknownJob, WrongState
from seqd.ledger.work import CommitOutcome, Renewal
from seqd_schemas import JobState

pytestmark = pytest.mark.processes


def test_no_unit_of_a_paused_job_is_handed_out(environment: Environment) -> None:
    job_id = environment.submit_units(3)

    state = environment.ledger.control.pause(job_id)

    assert state is JobState.PAUSED
    assert environment.claim() is None
    assert environment.record(job_id).state is JobState.PAUSED
    assert environment.events(job_id) == ["queued", "paused"]


def test_a_paused_job_does_not_stand_in_the_way_of_others(environment: Environment) -> None:
    paused, other = environment.submit_units(1), environment.submit_units(1)
    environment.ledger.control.pause(paused)

    assert environment.claim_names() == [(other, "0")]


def test_the_unit_in_hand_is_finished_and_counts(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    unit = environment.claim_unit()
    environment.ledger.control.pause(job_id)

    assert environment.ledger.work.renew([unit]) == [Renewal.KEPT]
    assert environment.commit(unit) is CommitOutcome.COMMITTED
    assert environment.record(job_id).counts.succeeded == 2
    assert environment.claim() is None


def test_a_paused_job_whose_last_unit_was_in_hand_is_completed(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    environment.ledger.control.pause(job_id)

    assert environment.commit(unit) is CommitOutcome.COMPLETED
    assert environment.ledger.control.resume(job_id) is JobState.COMPLETED


def test_a_paused_training_has_its_lease_revoked(environment: Environment) -> None:
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)
    unit = environment.claim_unit()

    environment.ledger.control.pause(job_id)

    assert environment.ledger.work.renew([unit]) == [Renewal.REVOKED]
    assert environment.ledger.work.release_unit(unit)
    assert environment.claim() is None
    environment.ledger.control.resume(job_id)
    assert environment.claim_unit().attempt == 2


def test_a_resumed_job_goes_on_where_it_was_and_is_notified_for(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    environment.commit(environment.claim_unit())
    environment.ledger.control.pause(job_id)
    environment.notified.clear()

    assert environment.ledger.control.resume(job_id) is JobState.RUNNING
    assert environment.notified == [CLASSIFY]
    assert environment.commit(environment.claim_unit()) is CommitOutcome.COMPLETED
    events = ["queued", "started", "progress", "paused", "resumed", "completed"]
    assert environment.events(job_id) == events


def test_a_job_that_was_paused_before_its_first_unit_is_queued_again(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(1)
    environment.ledger.control.pause(job_id)

    assert environment.ledger.control.resume(job_id) is JobState.QUEUED


def test_input_goes_on_coming_while_a_job_is_paused(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())
    environment.ledger.control.pause(job_id)

    assert environment.append(job_id, 1) == "added"
    assert environment.ledger.submissions.seal(a_classify_job(), job_id, 2)
    assert environment.claim() is None
    environment.ledger.control.resume(job_id)
    assert environment.claim_names() + environment.claim_names() == [(job_id, "0"), (job_id, "1")]


def test_a_dead_workers_unit_waits_for_the_resumption(environment: Environment) -> None:
    quick = environment.with_settings(lease_s=BRIEFLY_S)
    job_id = quick.submit_units(1)
    quick.claim_unit()
    environment.ledger.control.pause(job_id)

    quick.expire_due()

    assert environment.claim() is None
    environment.ledger.control.resume(job_id)
    assert environment.claim_unit().crashes == 1


def test_pausing_or_resuming_again_changes_nothing(environment: Environment) -> None:
    job_id = environment.submit_units(1)

    states = [environment.ledger.control.pause(job_id) for _ in range(2)]
    states += [environment.ledger.control.resume(job_id) for _ in range(2)]

    assert states == [JobState.PAUSED, JobState.PAUSED, JobState.QUEUED, JobState.QUEUED]
    assert environment.events(job_id) == ["queued", "paused", "resumed"]


def test_a_job_that_has_ended_stays_as_it_is(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.ledger.control.cancel(job_id)

    assert environment.ledger.control.pause(job_id) is JobState.CANCELLED
    assert environment.ledger.control.resume(job_id) is JobState.CANCELLED


def test_a_paused_job_can_be_cancelled(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    environment.ledger.control.pause(job_id)

    assert environment.ledger.control.cancel(job_id) is JobState.CANCELLED
    assert environment.record(job_id).counts.cancelled == 2


def day_of(environment: Environment) -> int:
    """Return the day of the server's clock, by which usage is counted."""
    return environment.ledger.fleet.now_ms() // 86_400_000


def test_nothing_is_left_of_a_removed_job_and_its_key_is_free(environment: Environment) -> None:
    job = a_classify_job(idempotency_key="again")
    usage = {environment.keys.usage(day_of(environment))}
    job_id = environment.submit_units(2, job)
    environment.commit(environment.claim_unit(), errored=1)
    environment.ledger.control.cancel(job_id)

    environment.ledger.control.remove(job_id)
    environment.notified.clear()
    left = {key.decode() for key in environment.redis.scan_iter(f"{environment.keys.prefix}:*")}
    usage.add(environment.keys.usage(day_of(environment)))  # it may be midnight
    assert left & usage
    # A dead letter outlives its job.
    assert left - usage == {environment.keys.all_events(), environment.keys.failures()}
    assert environment.submit_units(1, job) != job_id


def test_a_job_that_runs_cannot_be_removed(environment: Environment) -> None:
    job_id = environment.submit_units(1)

    with pytest.raises(WrongState) as refused:
        environment.ledger.control.remove(job_id)

    assert str(refused.value) == (
        f"Job {job_id} is queued; only a job that has ended can be removed. Cancel it first: "
        f"seqd jobs cancel {job_id}"
    )
    assert environment.claim_names() == [(job_id, "0")]


def test_a_job_is_kept_while_the_one_that_continues_it_has_not_ended(
    environment: Environment,
) -> None:
    first = environment.submit_units(1)
    environment.ledger.control.cancel(first)
    retry = environment.submit(a_classify_job(continues=first), chunk=a_chunk(), sealed=True)
    environment.ledger.control.pause(retry)

    with pytest.raises(WrongState) as refused:
        environment.ledger.control.remove(first)

    assert str(refused.value) == (
        f"Job {first} is continued by {retry}, which has not ended and needs what is kept of it. "
        f"Wait for its end (seqd jobs watch {retry}), or cancel it first: seqd jobs cancel {retry}"
    )
    assert environment.record(first).continued_by == retry
    environment.ledger.control.cancel(retry)
    environment.ledger.control.remove(first)
    assert not environment.ledger.jobs.exists(first)


def test_a_job_whose_retry_was_removed_can_be_removed(environment: Environment) -> None:
    first = environment.submit_units(1)
    environment.ledger.control.cancel(first)
    retry = environment.submit(a_classify_job(continues=first), chunk=a_chunk(), sealed=True)
    environment.ledger.control.cancel(retry)

    environment.ledger.control.remove(retry)
    environment.ledger.control.remove(first)

    assert not environment.ledger.jobs.exists(first)


def test_a_job_that_is_not_there_can_be_neither_paused_nor_resumed_nor_removed(
    environment: Environment,
) -> None:
    control = environment.ledger.control

    for act in (control.pause, control.resume, control.remove):
        with pytest.raises(UnknownJob, match="No job 'nowhere'"):
            act("nowhere")


@settings(
    deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(st.sampled_from(["pause", "resume", "claim", "commit", "die"]), max_size=30))
def test_however_often_a_job_is_paused_every_item_comes_out_once(
    environment: Environment, steps: list[str]
) -> None:
    quick = environment.with_settings(lease_s=BRIEFLY_S, backoff_s=0.0)
    job_id = environment.submit_units(3)
    held = []
    for step in steps:
        if step == "pause":
            environment.ledger.control.pause(job_id)
        elif step == "resume":
            environment.ledger.control.resume(job_id)
        elif step == "claim" and (claim := environment.claim()):
            held += claim.units
        elif step == "commit" and held:
            environment.commit(held.pop())
        elif step == "die" and quick.claim():
            quick.expire_due()
        counts = environment.record(job_id).counts
        assert counts.processing + counts.succeeded == counts.total == 6

    environment.ledger.control.resume(job_id)
    while claim := environment.claim():
        held += claim.units
    for unit in held:
        environment.commit(unit)

    assert environment.record(job_id).counts.succeeded == 6
    assert environment.record(job_id).state is JobState.COMPLETED
