"""A job's events can be followed, replayed and trusted; a zombie cannot add to them."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from builders import a_train_job, an_epoch
from ledger_fixtures import DEADLINE_S, Scene
from seqd.errors import LeaseLost
from seqd.ledger.jobs import read_events
from seqd.ledger.work import Unit
from seqd_schemas import Epoch, Queued, Sample

pytestmark = pytest.mark.processes


def a_training(scene: Scene, worker: str = "worker-a") -> Unit:
    """A training that a worker has begun."""
    scene.submit(a_train_job(), version=None, unit_items=1)
    return scene.claim_unit(worker)


def test_an_event_gets_its_time_from_the_server(scene: Scene) -> None:
    unit = a_training(scene)
    before_ms = scene.ledger.fleet.now_ms()

    scene.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=2))

    event = scene.ledger.jobs.events(unit.job_id, block=False)[-1]
    assert isinstance(event, Epoch)
    assert event.epoch == 2
    assert before_ms <= event.at_ms <= scene.ledger.fleet.now_ms()


def test_a_text_that_looks_like_the_time_is_left_alone(scene: Scene) -> None:
    unit = a_training(scene)
    text = '"at_ms":0 and \\"at_ms\\":0 and %1 %%'
    sample = Sample(
        job_id=unit.job_id, at_ms=0, epoch=1, temperature=0.5, prompt='"at_ms":0', text=text
    )

    scene.ledger.work.publish(unit, sample)

    event = scene.ledger.jobs.events(unit.job_id, block=False)[-1]
    assert isinstance(event, Sample)
    assert event.at_ms > 0
    assert (event.prompt, event.text) == ('"at_ms":0', text)


def test_an_event_that_brings_a_time_along_is_a_mistake(scene: Scene) -> None:
    unit = a_training(scene)

    with pytest.raises(ValueError, match="an event gets its time from the server"):
        scene.ledger.work.publish(unit, an_epoch(unit.job_id, at_ms=5))


def test_a_zombie_cannot_publish(scene: Scene) -> None:
    zombie = a_training(scene)
    scene.ledger.work.release_worker("worker-a", crashed=True)
    current = scene.claim_unit("worker-b")

    with pytest.raises(LeaseLost) as error:
        scene.ledger.work.publish(zombie, an_epoch(zombie.job_id))
    scene.ledger.work.publish(current, an_epoch(zombie.job_id))

    assert str(error.value) == f"Unit train of job {zombie.job_id} is not ours any more."
    assert scene.events(zombie.job_id) == ["queued", "started", "epoch"]


def test_nobody_publishes_for_a_job_that_has_ended(scene: Scene) -> None:
    unit = a_training(scene)
    scene.ledger.control.cancel(unit.job_id)

    with pytest.raises(LeaseLost):
        scene.ledger.work.publish(unit, an_epoch(unit.job_id))

    assert scene.events(unit.job_id)[-1] == "cancelled"


def test_a_reader_goes_on_where_it_left_off(scene: Scene) -> None:
    unit = a_training(scene)
    first = scene.ledger.jobs.events(unit.job_id, block=False)
    for epoch in (1, 2):
        scene.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch))

    rest = scene.ledger.jobs.events(unit.job_id, first[-1].id, block=False)

    assert [event.event for event in first] == ["queued", "started"]
    assert [event.epoch for event in rest if isinstance(event, Epoch)] == [1, 2]
    assert scene.ledger.jobs.last_event_id(unit.job_id) == rest[-1].id
    assert scene.ledger.jobs.events(unit.job_id, rest[-1].id, block=False) == []


def test_a_reader_that_waits_is_woken_by_the_next_event(scene: Scene) -> None:
    unit = a_training(scene)
    after = scene.ledger.jobs.last_event_id(unit.job_id)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(scene.ledger.jobs.events, unit.job_id, after)
        scene.ledger.work.publish(unit, an_epoch(unit.job_id))
        events = waiting.result(timeout=DEADLINE_S)

    assert [event.event for event in events] == ["epoch"]


def test_a_job_without_events_has_no_last_one(scene: Scene) -> None:
    assert scene.ledger.jobs.last_event_id("nowhere") == "0-0"
    assert scene.ledger.jobs.events("nowhere", block=False) == []


def test_a_jobs_stream_is_bounded(scene: Scene) -> None:
    unit = a_training(scene)

    for epoch in range(1, 1_301):
        scene.ledger.work.publish(unit, an_epoch(unit.job_id, epoch=epoch))

    # Redis cuts whole nodes of a hundred entries off.
    kept = scene.redis.xlen(scene.keys.events(unit.job_id))
    assert 1_000 <= kept < 1_200


def test_state_changes_of_all_jobs_stand_in_one_stream_and_progress_does_not(
    scene: Scene,
) -> None:
    jobs = [scene.submit_units(2) for _ in range(2)]
    for _ in range(4):
        scene.commit(scene.claim_unit())

    events = list(read_events(scene.redis.xrange(scene.keys.all_events())))

    assert [(event.job_id, event.event) for event in events] == [
        (jobs[0], "queued"),
        (jobs[1], "queued"),
        (jobs[0], "started"),
        (jobs[1], "started"),
        (jobs[0], "completed"),
        (jobs[1], "completed"),
    ]
    assert isinstance(events[0], Queued)
