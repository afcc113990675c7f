"""A job's events can be followed, replayed and trusted; a zombie cannot add to them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from builders import a_chunk, a_train_job, an_epoch, some_results
from ledger_fixtures import DEADLINE_S, Environment
from seqd.client import JobHandle
from seqd.ledger.jobs import read_events
from seqd.ledger.units import Unit
from seqd_schemas import Epoch, Event, Missed, Queued, Sample, Step

pytestmark = pytest.mark.processes


def a_training(environment: Environment, worker: str = "worker-a") -> Unit:
    """A training that a worker has begun."""
    environment.submit(a_train_job(), version=None, unit_items=1)
    return environment.claim_unit(worker)


def test_a_text_that_looks_like_the_time_is_left_alone(environment: Environment) -> None:
    unit = a_training(environment)
    text = '"at_ms":0 and \\"at_ms\\":0 and %1 %%'
    sample = Sample(
        job_id=unit.job_id, at_ms=0, epoch=1, temperature=0.5, prompt='"at_ms":0', text=text
    )

    environment.ledger.work.publish(unit, sample)

    event = environment.ledger.jobs.events(unit.job_id, longest_wait_s=0)[-1]
    assert isinstance(event, Sample)
    assert event.at_ms > 0
    assert (event.prompt, event.text) == ('"at_ms":0', text)


def test_an_event_that_brings_a_time_along_is_a_mistake(environment: Environment) -> None:
    unit = a_training(environment)

    with pytest.raises(ValueError, match="an event gets its time from the server"):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, at_ms=5))


def test_a_reader_goes_on_where_it_left_off(environment: Environment) -> None:
    unit = a_training(environment)
    first = environment.ledger.jobs.events(unit.job_id, longest_wait_s=0)
    for epoch in (1, 2):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch))

    rest = environment.ledger.jobs.events(unit.job_id, first[-1].id, longest_wait_s=0)

    assert [event.event for event in first] == ["queued", "started"]
    assert [event.epoch for event in rest if isinstance(event, Epoch)] == [1, 2]
    assert environment.ledger.jobs.last_event_id(unit.job_id) == rest[-1].id
    assert environment.ledger.jobs.events(unit.job_id, rest[-1].id, longest_wait_s=0) == []


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
    assert environment.ledger.jobs.events("nowhere", longest_wait_s=0) == []


def a_step(job_id: str, done: int = 1) -> Step:
    """An event of which a training has two a second."""
    return Step(job_id=job_id, at_ms=0, done=done, total=10_000)


def train(environment: Environment, unit: Unit, epochs: int, steps: int, *, first: int = 1) -> None:
    """Publish what a training does: so many epochs, each after so many steps, with a sample."""
    for epoch in range(first, first + epochs):
        for step in range(steps):
            environment.ledger.work.publish(unit, a_step(unit.job_id, step))
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch, epochs=10_000))
        sample = Sample(
            job_id=unit.job_id, at_ms=0, epoch=epoch, temperature=1, prompt="", text="a"
        )
        environment.ledger.work.publish(unit, sample)


def end(environment: Environment, unit: Unit) -> None:
    """End the training, so that who follows it comes to an end."""
    environment.ledger.control.cancel(unit.job_id)


def follow(environment: Environment, unit: Unit, after: str = "0-0") -> list[Event]:
    """Follow a training that has ended, as a client does."""
    return list(JobHandle(environment.ledger, unit.job_id).events(after))


def epochs_of(events: list[Event]) -> list[int]:
    return [event.epoch for event in events if isinstance(event, Epoch)]


def test_who_follows_a_long_training_late_has_all_of_its_epochs_and_samples(
    environment: Environment,
):
    unit = a_training(environment)
    train(environment, unit, epochs=34, steps=60)
    end(environment, unit)

    events = follow(environment, unit)

    assert epochs_of(events) == list(range(1, 35))
    assert [event.epoch for event in events if isinstance(event, Sample)] == list(range(1, 35))
    others = [e for e in events if e.event not in ("step", "epoch", "sample")]
    assert [event.event for event in others] == ["missed", "queued", "started", "cancelled"]
    # Those of the last minutes are there in full, and what is kept is bounded.
    assert 850 <= sum(isinstance(event, Step) for event in events) <= 1_016


def test_who_has_missed_steps_is_told_before_the_next_event(environment: Environment):
    unit = a_training(environment)
    train(environment, unit, epochs=1, steps=1)
    (*_, epoch, _) = environment.ledger.jobs.events(unit.job_id, longest_wait_s=0)
    train(environment, unit, epochs=20, steps=60, first=2)
    end(environment, unit)

    missed, *events = follow(environment, unit, epoch.id)

    assert isinstance(missed, Missed)
    assert (missed.lasting, missed.id) == (False, epoch.id)
    assert epoch.at_ms <= missed.at_ms <= environment.ledger.fleet.now_ms()
    assert "missed" not in {event.event for event in events}
    assert epochs_of(events) == list(range(2, 22))


def test_a_training_of_thousands_of_epochs_keeps_the_last_ones_and_says_so(
    environment: Environment,
):
    unit = a_training(environment)

    for epoch in range(1, 2_301):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch, epochs=10_000))

    assert environment.redis.xlen(environment.keys.events(unit.job_id)) <= 2_016
    end(environment, unit)
    missed, *events = follow(environment, unit)
    assert isinstance(missed, Missed)
    assert missed.lasting
    assert epochs_of(events) == list(range(2_301 - len(epochs_of(events)), 2_301))
    assert len(epochs_of(events)) >= 2_000


def test_who_reads_a_stream_that_an_older_release_has_cut_is_told(environment: Environment):
    unit = a_training(environment)
    train(environment, unit, epochs=4, steps=1)
    environment.redis.xtrim(environment.keys.events(unit.job_id), maxlen=6, approximate=False)
    end(environment, unit)

    missed, *events = follow(environment, unit)

    assert isinstance(missed, Missed)
    assert missed.lasting
    assert epochs_of(events) == [3, 4]


@pytest.mark.slow
def test_a_long_bulk_jobs_progress_is_bounded_and_its_begin_is_kept(environment: Environment):
    job_id = environment.submit(chunk=a_chunk(1))
    for unit in range(1_100):
        claimed = environment.claim_unit()
        environment.append(job_id, unit + 1, items=1)
        environment.redis.hdel(environment.keys.job(job_id), "event_at")  # as after a second
        environment.ledger.work.commit(claimed, some_results(1, first=unit))

    events = environment.ledger.jobs.events(job_id, longest_wait_s=0)

    assert [event.event for event in events[:3]] == ["queued", "started", "progress"]
    assert environment.redis.xlen(environment.keys.events(job_id)) <= 1_018


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
