"""A job ends once; what was done stays readable; when its time is over, nothing is left of it."""

import inspect
import re
from collections.abc import Callable

import pytest

from builders import (
    a_catalog_entry,
    a_chunk,
    a_classify_job,
    a_failure,
    a_generate_job,
    a_train_job,
    a_worker_status,
    an_epoch,
    inline,
    some_deltas,
)
from ledger_fixtures import BRIEFLY_S, CLASSIFY, GENERATE, ROUTES, Scene
from seqd.errors import UnknownJob
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd.ledger.submissions import BatchTemplate
from seqd_schemas import Cancelled, Counts, Failed, FileSource, JobState, Keys, Rejected

pytestmark = pytest.mark.processes


def keys_of(scene: Scene, job_id: str) -> list[bytes]:
    return list(scene.redis.scan_iter(f"{scene.keys.job(job_id)}*"))


def all_keys(scene: Scene) -> set[str]:
    return {key.decode() for key in scene.redis.scan_iter(f"{scene.keys.prefix}:*")}


def reconcile(scene: Scene) -> None:
    """Do what a worker's reconciler does."""
    scene.ledger.work.expire()
    scene.ledger.control.fail_abandoned(900.0, scene.ledger.fleet.now_ms())
    scene.ledger.jobs.forget_expired()
    scene.ledger.work.notify_where_due(ROUTES)


def patterns_of(keys: Keys) -> dict[str, re.Pattern[str]]:
    """Give for each method of Keys the pattern of the names that it can make."""
    # Not inspect.getmembers: on some 3.11 it trips over `__weakref__` of a slotted dataclass.
    names = [name for name in dir(keys) if not name.startswith("_") and name != "prefix"]
    patterns = {}
    for name in names:
        method = getattr(keys, name)
        marks = ["MARK"] * len(inspect.signature(method).parameters)
        patterns[name] = re.compile(re.escape(method(*marks)).replace("MARK", "[^{}]+"))
    return patterns


def cancelled(scene: Scene) -> str:
    """A job with a unit done, one held, one that waits, one never touched; then cancelled."""
    job = a_classify_job(idempotency_key="7", results_ttl_s=60)
    job_id = scene.submit_units(4, job)
    scene.commit(scene.claim_unit())
    scene.claim_unit()
    scene.ledger.work.release_unit(scene.claim_unit(), wait_s=0.001, crashed=True)
    scene.ledger.control.cancel(job_id)
    return job_id


def completed(scene: Scene) -> str:
    job_id = scene.submit_units(2)
    for _ in range(2):
        scene.commit(scene.claim_unit())
    return job_id


def failed_training(scene: Scene) -> str:
    job_id = scene.submit(a_train_job(), version=None, unit_items=1)
    unit = scene.claim_unit()
    scene.ledger.work.publish(unit, an_epoch(job_id))
    scene.ledger.work.fail_job(unit, a_failure())
    return job_id


def abandoned_upload(scene: Scene) -> str:
    job_id = scene.submit(chunk=a_chunk())
    scene.ledger.control.fail_abandoned(0.0, scene.ledger.fleet.now_ms() + 1)
    return job_id


def cancelled_ingest(scene: Scene) -> str:
    job_id = scene.submit(a_classify_job(source=FileSource(path="/data/reviews.jsonl")))
    scene.ledger.control.cancel(job_id)
    return job_id


ENDINGS = [cancelled, completed, failed_training, abandoned_upload, cancelled_ingest]


def test_a_job_is_cancelled_with_no_worker_up(scene: Scene) -> None:
    job_id = scene.submit_units(2)

    assert scene.ledger.control.cancel(job_id) is JobState.CANCELLED

    record = scene.record(job_id)
    assert record.state is JobState.CANCELLED
    assert record.counts == Counts(total=4, cancelled=4)
    event = scene.ledger.jobs.events(job_id, block=False)[-1]
    assert isinstance(event, Cancelled)
    assert (event.counts, event.at_ms) == (record.counts, record.ended_at_ms)


def test_nothing_of_a_cancelled_job_is_claimable(scene: Scene) -> None:
    job_id = cancelled(scene)

    reconcile(scene)

    assert scene.claim() is None
    assert scene.redis.exists(scene.keys.todo(job_id), scene.keys.leases(job_id)) == 0
    assert scene.redis.zcard(scene.keys.timers()) == 0


def test_what_was_done_before_a_cancel_stays_readable(scene: Scene) -> None:
    job_id = cancelled(scene)

    assert scene.record(job_id).counts == Counts(total=8, succeeded=2, cancelled=6)
    assert scene.labels(job_id, 0) == ["like", "like"]
    # The input of the others is kept too, so that each can be named as undone.
    assert [blob is None for blob in scene.ledger.jobs.inputs(job_id, range(4))] == [
        True,
        False,
        False,
        False,
    ]


def test_a_job_that_has_ended_keeps_its_state(scene: Scene) -> None:
    job_id = completed(scene)
    before = scene.record(job_id)

    assert scene.ledger.control.cancel(job_id) is JobState.COMPLETED
    assert scene.ledger.control.fail(job_id, a_failure()) is JobState.COMPLETED

    assert scene.record(job_id) == before
    assert scene.events(job_id)[-1] == "completed"


def test_a_job_that_is_not_there_cannot_be_read_or_cancelled(scene: Scene) -> None:
    message = (
        "No job 'nowhere'. `seqd jobs list` shows those that are kept; they go with `seqd jobs "
        "rm`, when their time to live has passed, or with their Redis. Check the id, or hand the "
        "job in again, with the same idempotency key."
    )

    for act in (scene.ledger.jobs.get, scene.ledger.control.cancel):
        with pytest.raises(UnknownJob) as error:
            act("nowhere")
        assert str(error.value) == message


def test_a_worker_that_holds_a_unit_can_fail_the_job(scene: Scene) -> None:
    job_id = scene.submit_units(2)
    failure = a_failure(message="No such weights.")

    assert scene.ledger.work.fail_job(scene.claim_unit(), failure)

    record = scene.record(job_id)
    assert (record.state, record.failure) == (JobState.FAILED, failure)
    event = scene.ledger.jobs.events(job_id, block=False)[-1]
    assert isinstance(event, Failed)
    assert event.failure == failure


def test_a_zombie_cannot_fail_a_job(scene: Scene) -> None:
    job_id = scene.submit_units(1)
    zombie = scene.claim_unit("worker-a")
    scene.ledger.work.release_worker("worker-a", crashed=True)
    scene.claim_unit("worker-b")

    assert not scene.ledger.work.fail_job(zombie, a_failure())
    assert scene.record(job_id).state is JobState.RUNNING


def test_a_refused_request_is_answered_in_the_stream_that_its_producer_watches(
    scene: Scene,
) -> None:
    scene.ledger.submissions.reject("theirs", a_failure(code="unknown_model"))

    (event,) = scene.ledger.jobs.events("theirs", block=False)

    assert isinstance(event, Rejected)
    assert event.failure == a_failure(code="unknown_model")
    assert scene.redis.ttl(scene.keys.events("theirs")) == 24 * 3600
    assert scene.redis.exists(scene.keys.job("theirs")) == 0


def test_a_refusal_does_not_touch_a_job_of_the_same_name(scene: Scene) -> None:
    job_id = scene.submit_units(1)

    scene.ledger.submissions.reject(job_id, a_failure())

    assert scene.events(job_id) == ["queued"]
    assert scene.redis.ttl(scene.keys.events(job_id)) == -1


def test_a_request_that_is_mended_starts_a_stream_of_its_own(scene: Scene) -> None:
    scene.ledger.submissions.reject("theirs", a_failure())

    scene.submit(job_id="theirs", chunk=a_chunk())

    # A `rejected` before it would end the reading of whoever starts at the beginning.
    assert scene.events("theirs") == ["queued"]
    assert scene.redis.ttl(scene.keys.events("theirs")) == -1


def test_an_upload_whose_client_went_silent_is_ended(scene: Scene) -> None:
    silent, busy = scene.submit(chunk=a_chunk()), scene.submit(chunk=a_chunk())
    now_ms = scene.ledger.fleet.now_ms()
    scene.redis.zadd(scene.keys.uploads(), {silent: now_ms - 900_001})

    scene.ledger.control.fail_abandoned(900.0, now_ms)

    record = scene.record(silent)
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert (record.failure.code, record.failure.retryable) == ("upload_abandoned", True)
    assert record.failure.message == (
        "The client sent no more input for 900 s and did not say that it was done. Send the job "
        "again; what had finished stays readable."
    )
    assert scene.record(busy).state is JobState.QUEUED


def test_a_client_that_waits_for_the_workers_is_not_silent(scene: Scene) -> None:
    small = scene.with_settings(max_pending_bytes=1)
    job_id = small.submit(chunk=a_chunk())
    scene.redis.zadd(scene.keys.uploads(), {job_id: 1})

    assert small.append(job_id, 1) == "full"

    scene.ledger.control.fail_abandoned(900.0, scene.ledger.fleet.now_ms())
    assert scene.record(job_id).state is JobState.QUEUED


def test_an_upload_that_was_deleted_by_hand_does_not_stop_the_chore(scene: Scene) -> None:
    deleted, silent = scene.submit(chunk=a_chunk()), scene.submit(chunk=a_chunk())
    scene.redis.delete(scene.keys.job(deleted))
    scene.redis.zadd(scene.keys.uploads(), {deleted: 1, silent: 2})

    scene.ledger.control.fail_abandoned(900.0, scene.ledger.fleet.now_ms())

    assert scene.record(silent).state is JobState.FAILED
    assert scene.redis.zcard(scene.keys.uploads()) == 0
    assert scene.redis.zcard(scene.keys.open_jobs()) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_key_of_an_ended_job_has_its_time_to_live(
    scene: Scene, ending: Callable[[Scene], str]
) -> None:
    job_id = ending(scene)

    ttl_s = scene.record(job_id).job.results_ttl_s
    lives = {key: scene.redis.ttl(key) for key in keys_of(scene, job_id)}
    assert len(lives) >= 2  # the job and its events, at least
    assert all(ttl_s - 5 <= life <= ttl_s for life in lives.values()), lives


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_left_of_a_job_whose_time_is_over(
    scene: Scene, ending: Callable[[Scene], str]
) -> None:
    before = all_keys(scene)
    job_id = ending(scene)
    for key in keys_of(scene, job_id):
        scene.redis.pexpire(key, 1)
    scene.wait_for_clock(scene.ledger.fleet.now_ms() + 2)

    reconcile(scene)

    # The counter of positions and the stream of all jobs belong to no job; an idempotency key has
    # the same time to live as its job.
    kept = {
        scene.keys.route_position(),
        scene.keys.all_events(),
        scene.keys.idempotency("default", "7"),
    }
    assert before == set()
    assert all_keys(scene) - kept == set()
    assert scene.ledger.jobs.newest(10) == []


def test_jobs_behind_long_lived_ones_are_forgotten_too(scene: Scene) -> None:
    # Past 128 entries Redis hands a sorted set out in pages.
    for number in range(300):
        scene.submit(a_classify_job(source=inline("good")), job_id=f"kept-{number}")
    gone = [scene.submit(a_classify_job(source=inline("good"))) for _ in range(30)]
    scene.redis.delete(*(scene.keys.job(job_id) for job_id in gone))

    for _ in range(40):
        scene.ledger.jobs.forget_expired(batch=10)

    assert scene.redis.zcard(scene.keys.jobs()) == 300


def test_an_old_job_that_has_not_ended_is_found_behind_any_number_of_ended_ones(
    scene: Scene,
) -> None:
    waiting = scene.submit_units(1)
    for _ in range(5):
        scene.ledger.control.cancel(scene.submit_units(1))

    found = scene.ledger.jobs.newest_open(2)

    assert [record.job_id for record in found] == [waiting]


def test_the_newest_jobs_come_first_and_those_that_are_gone_do_not_count(scene: Scene) -> None:
    jobs = []
    for _ in range(4):
        jobs.append(scene.submit_units(1))
        scene.wait_for_clock(scene.ledger.fleet.now_ms())
    scene.redis.delete(scene.keys.job(jobs[3]))

    newest = [record.job_id for record in scene.ledger.jobs.newest(2)]

    assert newest == [jobs[2], jobs[1]]
    assert scene.ledger.jobs.newest(0) == []


def test_every_key_that_the_scripts_write_is_one_that_the_schemas_name(scene: Scene) -> None:
    quick = scene.with_settings(lease_s=BRIEFLY_S)
    template = BatchTemplate(a_classify_job(), version=3, unit_items=2, client="c1")
    scene.ledger.submissions.submit_each(template, [("told", a_chunk())])
    scene.commit(scene.claim_unit())
    for ending in ENDINGS:
        ending(scene)
    scene.append(scene.submit(a_classify_job(expires_in_s=60), chunk=a_chunk()), 1)
    scene.commit(scene.claim_unit(), errored=1)
    scene.commit(scene.claim_unit())
    quick.submit_units(3)
    quick.claim_unit()
    quick.expire_due()
    unit = scene.claim_unit()
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    scene.ledger.work.split(unit, parts)
    part = scene.claim_unit()
    scene.ledger.work.publish_deltas("worker-a", [(part, some_deltas("one", unit=part.name))])
    scene.ledger.fleet.publish_limits(scene.settings)
    scene.submit(chunk=a_chunk())
    scene.ledger.fleet.publish_worker(a_worker_status())
    scene.ledger.fleet.publish_catalog([a_catalog_entry()])
    scene.ledger.fleet.take_lock("reconciler", "worker-a", 60.0)
    scene.queue_wakeup(CLASSIFY)
    damaged = scene.submit_units(1, a_generate_job())
    scene.redis.set(scene.keys.job(damaged), "a string")
    scene.claim(routes=(GENERATE,))

    found = all_keys(scene)

    named = patterns_of(scene.keys)
    unnamed = [key for key in found if not any(name.fullmatch(key) for name in named.values())]
    unseen = [method for method, name in named.items() if not any(map(name.fullmatch, found))]
    assert unnamed == []
    # Written by producers, and by whoever waits until the disk has it all.
    assert unseen == ["durability_mark", "inbox"]
