"""A job's events can be followed, replayed and trusted; a zombie cannot add to them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from builders import a_train_job, an_epoch
from ledger_fixtures import DEADLINE_S, Environment
from seqd.errors import LeaseLost
from seqd.ledger.jobs import read_events
from seqd.ledger.work import Unit
from seqd_schemas import Epoch, Queued, Sample

pytestmark = pytest.mark.processes


def a_training(environment: Environment, worker: str = "worker-a") -> Unit:
    """A training that a worker has begun."""
    environment.submit(a_train_job(), version=None, unit_items=1)
    return environment.claim_unit(worker)


def test_an_event_gets_its_time_from_the_server(environment: Environment) -> None:
    unit = a_training(environment)
    before_ms = environment.ledger.fleet.now_ms()

    environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=2))

    event = environment.ledger.jobs.events(unit.job_id, block=False)[-1]
    assert isinstance(event, Epoch)
    assert event.epoch == 2
    assert before_ms <= event.at_ms <= environment.ledger.fleet.now_ms()


def test_a_text_that_looks_like_the_time_is_left_alone(environment: Environment) -> None:
    unit = a_training(environment)
    text = '"at_ms":0 and \\"at_ms\\":0 and %1 %%'
    sample = Sample(
        job_id=unit.job_id, at_ms=0, epoch=1, temperature=0.5, prompt='"at_ms":0', text=text
    )

    environment.ledger.work.publish(unit, sample)

    event = environment.ledger.jobs.events(unit.job_id, block=False)[-1]
    assert isinstance(event, Sample)
    assert event.at_ms > 0
    assert (event.prompt, event.text) == ('"at_ms":0', text)


def test_an_event_that_brings_a_time_along_is_a_mistake(environment: Environment) -> None:
    unit = a_training(environment)

    with pytest.raises(ValueError, match="an event gets its time from the server"):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, at_ms=5))


def test_a_zombie_cannot_publish(environment: Environment) -> None:
    zombie = a_training(environment)
    environment.ledger.work.release_worker("worker-a", crashed=True)
    current = environment.claim_unit("worker-b")

    with pytest.raises(LeaseLost) as error:
        environment.ledger.work.publish(zombie, an_epoch(zombie.job_id))
    environment.ledger.work.publish(current, an_epoch(zombie.job_id))

    assert str(error.value) == f"Unit train of job {zombie.job_id} is not ours any more."
    assert environment.events(zombie.job_id) == ["queued", "started", "epoch"]


def test_nobody_publishes_for_a_job_that_has_ended(environment: Environment) -> None:
    unit = a_training(environment)
    environment.ledger.control.cancel(unit.job_id)

    with pytest.raises(LeaseLost):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id))

    assert environment.events(unit.job_id)[-1] == "cancelled"


def test_a_reader_goes_on_where_it_left_off(environment: Environment) -> None:
    unit = a_training(environment)
    first = environment.ledger.jobs.events(unit.job_id, block=False)
    for epoch in (1, 2):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch))

    rest = environment.ledger.jobs.events(unit.job_id, first[-1].id, block=False)

    assert [event.event for event in first] == ["queued", "started"]
    assert [event.epoch for event in rest if isinstance(event, Epoch)] == [1, 2]
    assert environment.ledger.jobs.last_event_id(unit.job_id) == rest[-1].id
    assert environment.ledger.jobs.events(unit.job_id, rest[-1].id, block=False) == []


def test_a_reader_that_waits_is_woken_by_the_next_event(environment: Environment) -> None:
    unit = a_training(environment)
    after = environment.ledger.jobs.last_event_id(unit.job_id)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(environment.ledger.jobs.events, unit.job_id, after)
        environment.ledger.work.publish(unit, an_epoch(unit.job_id))
        events = waiting.result(timeout=DEADLINE_S)

    assert [event.event for event in events] == ["epoch"]


def test_a_job_without_events_has_no_last_one(environment: Environment) -> None:
    assert environment.ledger.jobs.last_event_id("nowhere") == "0-0"
    assert environment.ledger.jobs.events("nowhere", block=False) == []


def test_a_jobs_stream_is_bounded(environment: Environment) -> None:
    unit = a_training(environment)

    for epoch in range(1, 1_301):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch))

    # Redis cuts whole nodes of a hundred entries off.
    kept = environment.redis.xlen(environment.keys.events(unit.job_id))
    assert 1_000 <= kept < 1_200


def test_state_changes_of_all_jobs_stand_in_one_stream_and_progress_does_not(
    environment: Environment,
) -> None:
    jobs = [environment.submit_units(2) for _ in range(2)]
    for _ in range(4):
        environment.commit(environment.claim_unit())

    events = list(read_events(environment.redis.xrange(environment.keys.all_events())))

    assert [(event.job_id, event.event) for event in events] == [
        (jobs[0], "queued"),
        (jobs[1], "queued"),
        (jobs[0], "started"),
        (jobs[1], "started"),
        (jobs[0], "completed"),
        (jobs[1], "completed"),
    ]
    assert isinstance(events[0], Queued)
