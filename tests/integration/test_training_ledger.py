"""Which checkpoints of a training count: the last two of the attempt that holds the lease."""

import pytest

from builders import a_train_job
from ledger_fixtures import Scene
from seqd.ledger.work import CheckpointRecord, Unit
from seqd_schemas import JobState

pytestmark = pytest.mark.processes


def a_training(scene: Scene) -> Unit:
    scene.submit(a_train_job(), version=None)
    return scene.claim_unit()


def a_record(number: int) -> CheckpointRecord:
    return CheckpointRecord(f"000001-{number:06d}-ab12", f"{number}" * 64)


def save(scene: Scene, unit: Unit, number: int) -> list[str]:
    return scene.ledger.checkpoints.commit(unit, a_record(number))


def test_the_last_two_checkpoints_count_newest_first(scene: Scene):
    unit = a_training(scene)

    replies = [save(scene, unit, number) for number in (1, 2, 3)]

    assert scene.ledger.checkpoints.of(unit.job_id) == [a_record(3), a_record(2)]
    assert replies[-1] == [a_record(3).name, a_record(2).name]


def test_a_training_without_a_checkpoint_has_none(scene: Scene):
    unit = a_training(scene)

    assert scene.ledger.checkpoints.of(unit.job_id) == []
    assert scene.ledger.checkpoints.of("no-such-job") == []


def test_a_checkpoint_that_is_sent_twice_counts_once(scene: Scene):
    unit = a_training(scene)
    save(scene, unit, 1)

    save(scene, unit, 2)
    save(scene, unit, 2)

    assert scene.ledger.checkpoints.of(unit.job_id) == [a_record(2), a_record(1)]


def test_a_checkpoint_of_an_attempt_that_lost_its_lease_is_refused(scene: Scene):
    zombie = a_training(scene)
    save(scene, zombie, 1)
    scene.ledger.work.release_unit(zombie)
    holder = scene.claim_unit("worker-b")
    save(scene, holder, 2)

    reply = save(scene, zombie, 3)

    assert reply == []
    assert scene.ledger.checkpoints.of(holder.job_id) == [a_record(2), a_record(1)]


def test_a_cancelled_training_keeps_its_checkpoint_and_takes_no_more(scene: Scene):
    unit = a_training(scene)
    save(scene, unit, 1)

    scene.ledger.control.cancel(unit.job_id)

    assert save(scene, unit, 2) == []
    assert scene.record(unit.job_id).state is JobState.CANCELLED
    assert scene.ledger.checkpoints.of(unit.job_id) == [a_record(1)]


def test_a_paused_training_may_save_once_more_before_it_is_given_back(scene: Scene):
    unit = a_training(scene)

    scene.ledger.control.pause(unit.job_id)

    assert save(scene, unit, 1) == [a_record(1).name]


def test_a_training_that_gets_on_may_crash_as_often_as_it_likes(scene: Scene):
    unit = a_training(scene)
    crashes = []
    for number in range(5):
        save(scene, unit, number)
        scene.ledger.work.release_unit(unit, crashed=True)
        unit = scene.claim_unit()
        crashes.append(unit.crashes)

    scene.ledger.work.release_unit(unit, crashed=True)

    assert crashes == [1] * 5
    assert scene.claim_unit().crashes == 2
