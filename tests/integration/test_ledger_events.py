"""A job's events can be followed, replayed and trusted, and there are not too many of them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from builders import a_chunk, a_train_job, an_epoch, some_results
from ledger_fixtures import DEADLINE_S, Environment, disturbed
from seqd.ledger.jobs import read_events
from seqd.ledger.units import Unit
from seqd_schemas import Epoch, Event, Missed, Queued, Sample, Step

pytestmark = pytest.mark.processes


def a_training(environment: Environment) -> Unit:
    """A training that a worker has begun."""
    environment.submit(a_train_job(), version=None, unit_items=1)
    return environment.claim_unit()


def a_sample(job_id: str, **changes: object) -> Sample:
    fields = {"job_id": job_id, "at_ms": 0, "epoch": 1, "temperature": 1, "prompt": "", "text": "a"}
    return Sample.model_validate(fields | changes)


def train(environment: Environment, unit: Unit, epochs: int, steps: int, *, first: int = 1) -> None:
    """Publish what a training does: so many epochs, each after so many steps, with a sample."""
    publish = environment.ledger.work.publish
    for epoch in range(first, first + epochs):
        for step in range(steps):
            publish(unit, Step(job_id=unit.job_id, at_ms=0, done=step, total=10_000))
        publish(unit, an_epoch(unit.job_id, epoch=epoch, epochs=10_000))
        publish(unit, a_sample(unit.job_id, epoch=epoch))


def follow_to_the_end(environment: Environment, unit: Unit, after: str = "0-0") -> list[Event]:
    """End a training, and follow it as a client does."""
    environment.ledger.control.cancel(unit.job_id)
    return list(environment.handle(unit.job_id).events(after))


def epochs_of(events: list[Event]) -> list[int]:
    return [event.epoch for event in events if isinstance(event, Epoch)]


def test_an_event_gets_its_time_from_the_server_and_a_text_like_it_is_left_alone(
    environment: Environment,
) -> None:
    unit, before_ms = a_training(environment), environment.ledger.fleet.now_ms()
    text = '"at_ms":0 and \\"at_ms\\":0 and %1 %%'
    publish = environment.ledger.work.publish

    publish(unit, a_sample(unit.job_id, prompt='"at_ms":0', text=text))
    with pytest.raises(ValueError, match="an event gets its time from the server"):
        publish(unit, an_epoch(unit.job_id, at_ms=5))

    event = environment.ledger.jobs.events(unit.job_id, longest_wait_s=0)[-1]
    assert isinstance(event, Sample)
    assert before_ms <= event.at_ms <= environment.ledger.fleet.now_ms()
    assert (event.prompt, event.text) == ('"at_ms":0', text)


def test_a_reader_goes_on_where_it_left_off_and_is_woken_by_the_next_event(
    environment: Environment,
) -> None:
    jobs, unit = environment.ledger.jobs, a_training(environment)
    first = jobs.events(unit.job_id, longest_wait_s=0)
    for epoch in (1, 2):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch))
    rest = jobs.events(unit.job_id, first[-1].id, longest_wait_s=0)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(jobs.events, unit.job_id, rest[-1].id)
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=3))
        last = waiting.result(timeout=DEADLINE_S)

    assert [event.event for event in first] == ["queued", "started"]
    assert (epochs_of(rest), epochs_of(last)) == ([1, 2], [3])
    assert jobs.last_event_id(unit.job_id) == last[-1].id
    assert jobs.events(unit.job_id, last[-1].id, longest_wait_s=0) == []
    assert jobs.last_event_id("nowhere") == "0-0"
    assert jobs.events("nowhere", longest_wait_s=0) == []


def test_who_reads_while_a_small_job_begins_and_ends_has_each_of_its_events(
    environment: Environment,
) -> None:
    for moment in range(6):  # more than it reads
        job_id = environment.submit_units(1)
        (queued,) = environment.ledger.jobs.events(job_id, longest_wait_s=0)
        reads = count()

        def do_at(at: int = moment, reads: Iterator[int] = reads) -> None:
            if next(reads) == at:
                environment.commit(environment.claim_unit())

        reading = environment.ledger.jobs.events.steps(job_id, queued.id, longest_wait_s=0)
        found = environment.ledger.transport.run(disturbed(reading, do_at))

        assert [event.event for event in found] in ([], ["started", "completed"])
        if not found:
            do_at(next(reads))


def test_who_follows_a_long_training_late_has_all_of_its_epochs_and_samples(
    environment: Environment,
) -> None:
    unit = a_training(environment)
    train(environment, unit, epochs=34, steps=60)

    events = follow_to_the_end(environment, unit)

    assert epochs_of(events) == list(range(1, 35))
    assert [event.epoch for event in events if isinstance(event, Sample)] == list(range(1, 35))
    others = [e for e in events if e.event not in ("step", "epoch", "sample")]
    assert [event.event for event in others] == ["missed", "queued", "started", "cancelled"]
    # Those of the last minutes are there in full, and what is kept is bounded.
    assert 850 <= sum(isinstance(event, Step) for event in events) <= 1_016


def test_who_has_missed_steps_is_told_before_the_next_event_and_who_has_not_is_told_nothing(
    environment: Environment,
) -> None:
    unit = a_training(environment)
    train(environment, unit, epochs=1, steps=1)
    (*_, epoch, _) = environment.ledger.jobs.events(unit.job_id, longest_wait_s=0)
    train(environment, unit, epochs=20, steps=60, first=2)
    seen = environment.ledger.jobs.last_event_id(unit.job_id)
    train(environment, unit, epochs=10, steps=30, first=22)

    missed, *events = follow_to_the_end(environment, unit, epoch.id)

    assert isinstance(missed, Missed)
    assert (missed.lasting, missed.id) == (False, epoch.id)
    assert epoch.at_ms <= missed.at_ms <= environment.ledger.fleet.now_ms()
    assert "missed" not in {event.event for event in events}
    assert epochs_of(events) == list(range(2, 32))
    later = follow_to_the_end(environment, unit, seen)
    assert "missed" not in {event.event for event in later}


def test_a_training_of_thousands_of_epochs_keeps_the_last_ones_and_says_so(
    environment: Environment,
) -> None:
    unit = a_training(environment)

    for epoch in range(1, 2_301):
        environment.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch, epochs=10_000))

    assert environment.redis.xlen(environment.keys.events(unit.job_id)) <= 2_016
    missed, *events = follow_to_the_end(environment, unit)
    assert isinstance(missed, Missed) and missed.lasting
    kept = epochs_of(events)
    assert kept == list(range(2_301 - len(kept), 2_301))
    assert len(kept) >= 2_000


@pytest.mark.slow
def test_a_long_bulk_jobs_progress_is_bounded_and_its_begin_is_kept(
    environment: Environment,
) -> None:
    job_id = environment.submit(chunk=a_chunk(1))
    for unit in range(1_100):
        claimed = environment.claim_unit()
        environment.append(job_id, unit + 1, items=1)
        environment.redis.hdel(environment.keys.job(job_id), "event_at")  # as after a second
        environment.ledger.work.commit(claimed, some_results(1, first=unit))

    assert environment.events(job_id)[:3] == ["queued", "started", "progress"]
    assert environment.redis.xlen(environment.keys.events(job_id)) <= 1_018


def test_state_changes_of_all_jobs_stand_in_one_stream_and_progress_does_not(
    environment: Environment,
) -> None:
    jobs = [environment.submit_units(2) for _ in range(2)]
    for _ in range(4):
        environment.commit(environment.claim_unit())

    events = list(read_events(environment.redis.xrange(environment.keys.all_events())))

    assert [(event.job_id, event.event) for event in events] == [
        (job_id, name) for name in ("queued", "started", "completed") for job_id in jobs
    ]
    assert isinstance(events[0], Queued)
