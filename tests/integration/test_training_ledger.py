"""Which checkpoints of a training count: the last two of the attempt that holds the lease."""

import pytest

from builders import a_train_job
from ledger_fixtures import Environment
from seqd.ledger.units import Unit
from seqd.ledger.work import CheckpointRecord
from seqd_schemas import JobState

pytestmark = pytest.mark.processes


def a_training(environment: Environment) -> Unit:
    environment.submit(a_train_job(), version=None)
    return environment.claim_unit()


def a_record(number: int) -> CheckpointRecord:
    return CheckpointRecord(f"000001-{number:06d}-ab12", f"{number}" * 64)


def save(environment: Environment, unit: Unit, number: int) -> list[str]:
    return environment.ledger.checkpoints.commit(unit, a_record(number))


def test_the_last_two_checkpoints_count_newest_first(environment: Environment):
    unit = a_training(environment)

    replies = [save(environment, unit, number) for number in (1, 2, 3)]

    assert environment.ledger.checkpoints.of(unit.job_id) == [a_record(3), a_record(2)]
    assert replies[-1] == [a_record(3).name, a_record(2).name]


def test_a_training_without_a_checkpoint_has_none(environment: Environment):
    unit = a_training(environment)

    assert environment.ledger.checkpoints.of(unit.job_id) == []
    assert environment.ledger.checkpoints.of("no-such-job") == []


def test_a_checkpoint_that_is_sent_twice_counts_once(environment: Environment):
    unit = a_training(environment)
    save(environment, unit, 1)

    save(environment, unit, 2)
    save(environment, unit, 2)

    assert environment.ledger.checkpoints.of(unit.job_id) == [a_record(2), a_record(1)]


def test_a_checkpoint_of_an_attempt_that_lost_its_lease_is_refused(environment: Environment):
    zombie = a_training(environment)
    save(environment, zombie, 1)
    environment.ledger.work.release_unit(zombie)
    holder = environment.claim_unit("worker-b")
    save(environment, holder, 2)

    reply = save(environment, zombie, 3)

    assert reply == []
    assert environment.ledger.checkpoints.of(holder.job_id) == [a_record(2), a_record(1)]


def test_a_cancelled_training_keeps_its_checkpoint_and_takes_no_more(environment: Environment):
    unit = a_training(environment)
    save(environment, unit, 1)

    environment.ledger.control.cancel(unit.job_id)

    assert save(environment, unit, 2) == []
    assert environment.record(unit.job_id).state is JobState.CANCELLED
    assert environment.ledger.checkpoints.of(unit.job_id) == [a_record(1)]


def test_a_paused_training_may_save_once_more_before_it_is_released(environment: Environment):
    unit = a_training(environment)

    environment.ledger.control.pause(unit.job_id)

    assert save(environment, unit, 1) == [a_record(1).name]


def test_a_training_that_gets_on_may_crash_as_often_as_it_likes(environment: Environment):
    unit = a_training(environment)
    crashes = []
    for number in range(5):
        save(environment, unit, number)
        environment.ledger.work.release_unit(unit, crashed=True)
        unit = environment.claim_unit()
        crashes.append(unit.crashes)

    environment.ledger.work.release_unit(unit, crashed=True)

    assert crashes == [1] * 5
    assert environment.claim_unit().crashes == 2


def test_a_checkpoint_takes_off_what_its_training_was_killed_before(environment: Environment):
    unit = a_training(environment)
    environment.redis.hset(environment.keys.crashes(unit.job_id), unit.name, 2)

    save(environment, unit, 1)

    assert environment.redis.hgetall(environment.keys.crashes(unit.job_id)) == {}
