"""Pause, resume and remove: they hold with no worker up, and a job loses nothing by them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import a_chunk, a_classify_job, a_train_job
from ledger_fixtures import BRIEFLY_S, CLASSIFY, Scene
from seqd.errors import UnknownJob, WrongState
from seqd.ledger.work import CommitOutcome, Renewal
from seqd_schemas import JobState

pytestmark = pytest.mark.processes


def test_no_unit_of_a_paused_job_is_handed_out(scene: Scene) -> None:
    job_id = scene.submit_units(3)

    state = scene.ledger.control.pause(job_id)

    assert state is JobState.PAUSED
    assert scene.claim() is None
    assert scene.record(job_id).state is JobState.PAUSED
    assert scene.events(job_id) == ["queued", "paused"]


def test_a_paused_job_does_not_stand_in_the_way_of_others(scene: Scene) -> None:
    paused, other = scene.submit_units(1), scene.submit_units(1)
    scene.ledger.control.pause(paused)

    assert scene.claim_names() == [(other, "0")]


def test_the_unit_in_hand_is_finished_and_counts(scene: Scene) -> None:
    job_id = scene.submit_units(2)
    unit = scene.claim_unit()
    scene.ledger.control.pause(job_id)

    assert scene.ledger.work.renew([unit]) == [Renewal.KEPT]
    assert scene.commit(unit) is CommitOutcome.COMMITTED
    assert scene.record(job_id).counts.succeeded == 2
    assert scene.claim() is None


def test_a_paused_job_whose_last_unit_was_in_hand_is_completed(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    unit = scene.claim_unit()
    scene.ledger.control.pause(job_id)

    assert scene.commit(unit) is CommitOutcome.COMPLETED
    assert scene.ledger.control.resume(job_id) is JobState.COMPLETED


def test_a_paused_training_has_its_lease_revoked(scene: Scene) -> None:
    job_id = scene.submit(a_train_job(), version=None, unit_items=1)
    unit = scene.claim_unit()

    scene.ledger.control.pause(job_id)

    assert scene.ledger.work.renew([unit]) == [Renewal.REVOKED]
    assert scene.ledger.work.release_unit(unit)
    assert scene.claim() is None
    scene.ledger.control.resume(job_id)
    assert scene.claim_unit().attempt == 2


def test_a_resumed_job_goes_on_where_it_was_and_is_notified_for(scene: Scene) -> None:
    job_id = scene.submit_units(2)
    scene.commit(scene.claim_unit())
    scene.ledger.control.pause(job_id)
    scene.notified.clear()

    assert scene.ledger.control.resume(job_id) is JobState.RUNNING
    assert scene.notified == [CLASSIFY]
    assert scene.commit(scene.claim_unit()) is CommitOutcome.COMPLETED
    events = ["queued", "started", "progress", "paused", "resumed", "completed"]
    assert scene.events(job_id) == events


def test_a_job_that_was_paused_before_its_first_unit_is_queued_again(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    scene.ledger.control.pause(job_id)

    assert scene.ledger.control.resume(job_id) is JobState.QUEUED


def test_input_goes_on_coming_while_a_job_is_paused(scene: Scene) -> None:
    job_id = scene.submit(chunk=a_chunk())
    scene.ledger.control.pause(job_id)

    assert scene.append(job_id, 1) == "added"
    assert scene.ledger.submissions.seal(a_classify_job(), job_id, 2)
    assert scene.claim() is None
    scene.ledger.control.resume(job_id)
    assert scene.claim_names() + scene.claim_names() == [(job_id, "0"), (job_id, "1")]


def test_a_dead_workers_unit_waits_for_the_resumption(scene: Scene) -> None:
    quick = scene.with_settings(lease_s=BRIEFLY_S)
    job_id = quick.submit_units(1)
    quick.claim_unit()
    scene.ledger.control.pause(job_id)

    quick.expire_due()

    assert scene.claim() is None
    scene.ledger.control.resume(job_id)
    assert scene.claim_unit().crashes == 1


def test_pausing_or_resuming_again_changes_nothing(scene: Scene) -> None:
    job_id = scene.submit_units(1)

    states = [scene.ledger.control.pause(job_id) for _ in range(2)]
    states += [scene.ledger.control.resume(job_id) for _ in range(2)]

    assert states == [JobState.PAUSED, JobState.PAUSED, JobState.QUEUED, JobState.QUEUED]
    assert scene.events(job_id) == ["queued", "paused", "resumed"]


def test_a_job_that_has_ended_stays_as_it_is(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    scene.ledger.control.cancel(job_id)

    assert scene.ledger.control.pause(job_id) is JobState.CANCELLED
    assert scene.ledger.control.resume(job_id) is JobState.CANCELLED


def test_a_paused_job_can_be_cancelled(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    scene.ledger.control.pause(job_id)

    assert scene.ledger.control.cancel(job_id) is JobState.CANCELLED
    assert scene.record(job_id).counts.cancelled == 2


def test_nothing_is_left_of_a_removed_job_and_its_key_is_free(scene: Scene) -> None:
    job = a_classify_job(idempotency_key="again")
    job_id = scene.submit_units(2, job)
    scene.commit(scene.claim_unit(), errored=1)
    scene.ledger.control.cancel(job_id)

    scene.ledger.control.remove(job_id)

    left = {key.decode() for key in scene.redis.scan_iter(f"{scene.keys.prefix}:*")}
    assert left == {scene.keys.route_position(), scene.keys.all_events()}
    assert scene.submit_units(1, job) != job_id


def test_a_job_that_runs_cannot_be_removed(scene: Scene) -> None:
    job_id = scene.submit_units(1)

    with pytest.raises(WrongState) as refused:
        scene.ledger.control.remove(job_id)

    assert str(refused.value) == (
        f"Job {job_id} is queued; only a job that has ended can be removed. Cancel it first: "
        f"seqd jobs cancel {job_id}"
    )
    assert scene.claim_names() == [(job_id, "0")]


def test_a_job_is_kept_while_the_one_that_continues_it_has_not_ended(scene: Scene) -> None:
    first = scene.submit_units(1)
    scene.ledger.control.cancel(first)
    retry = scene.submit(a_classify_job(continues=first), chunk=a_chunk(), sealed=True)
    scene.ledger.control.pause(retry)

    with pytest.raises(WrongState) as refused:
        scene.ledger.control.remove(first)

    assert str(refused.value) == (
        f"Job {first} is continued by {retry}, which has not ended and needs what is kept of it. "
        f"Wait for its end (seqd jobs watch {retry}), or cancel it first: seqd jobs cancel {retry}"
    )
    assert scene.record(first).continued_by == retry
    scene.ledger.control.cancel(retry)
    scene.ledger.control.remove(first)
    assert not scene.ledger.jobs.exists(first)


def test_a_job_whose_retry_was_removed_can_be_removed(scene: Scene) -> None:
    first = scene.submit_units(1)
    scene.ledger.control.cancel(first)
    retry = scene.submit(a_classify_job(continues=first), chunk=a_chunk(), sealed=True)
    scene.ledger.control.cancel(retry)

    scene.ledger.control.remove(retry)
    scene.ledger.control.remove(first)

    assert not scene.ledger.jobs.exists(first)


def test_a_job_that_is_not_there_can_be_neither_paused_nor_resumed_nor_removed(
    scene: Scene,
) -> None:
    control = scene.ledger.control

    for act in (control.pause, control.resume, control.remove):
        with pytest.raises(UnknownJob, match="No job 'nowhere'"):
            act("nowhere")


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(st.sampled_from(["pause", "resume", "claim", "commit", "die"]), max_size=30))
def test_however_often_a_job_is_paused_every_item_comes_out_once(
    scene: Scene, steps: list[str]
) -> None:
    quick = scene.with_settings(lease_s=BRIEFLY_S, backoff_s=0.0)
    job_id = scene.submit_units(3)
    held = []
    for step in steps:
        if step == "pause":
            scene.ledger.control.pause(job_id)
        elif step == "resume":
            scene.ledger.control.resume(job_id)
        elif step == "claim" and (claim := scene.claim()):
            held += claim.units
        elif step == "commit" and held:
            scene.commit(held.pop())
        elif step == "die" and quick.claim():
            quick.expire_due()
        counts = scene.record(job_id).counts
        assert counts.processing + counts.succeeded == counts.total == 6

    scene.ledger.control.resume(job_id)
    while claim := scene.claim():
        held += claim.units
    for unit in held:
        scene.commit(unit)

    assert scene.record(job_id).counts.succeeded == 6
    assert scene.record(job_id).state is JobState.COMPLETED
