"""A job ends once; what was done stays readable; when its time is over, nothing is left of it."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

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
from ledger_fixtures import BRIEFLY_S, CLASSIFY, GENERATE, ROUTES, Environment, queues_of
from seqd.errors import UnknownJob
from seqd.ledger.blobs import pack, split_chunk, unpack_items
from seqd.ledger.ingests import IngestPosition
from seqd.ledger.ranges import Range, ReadUnit
from seqd.ledger.rollouts import VersionWork
from seqd.ledger.submissions import BatchTemplate
from seqd_schemas import (
    Cancelled,
    CordonAction,
    CordonRule,
    Counts,
    Failed,
    Failure,
    FileSource,
    JobState,
    Keys,
    ModelOrder,
    ModelPause,
    PlacementRule,
    Rejected,
    TaskSchema,
    TenantLimits,
)

pytestmark = pytest.mark.processes


def keys_of(environment: Environment, job_id: str) -> list[bytes]:
    return list(environment.redis.scan_iter(f"{environment.keys.job(job_id)}*"))


OF_NO_JOB = ("usage:", "wakeup.")


def all_keys(environment: Environment, *, but: tuple[str, ...] = OF_NO_JOB) -> set[str]:
    """Return all keys but those of what tenants have used, and wakeups, which belong to no job."""
    prefix = environment.keys.prefix
    names = {key.decode() for key in environment.redis.scan_iter(f"{prefix}:*")}
    return {name for name in names if not name.removeprefix(f"{prefix}:").startswith(but)}


def reconcile(environment: Environment) -> None:
    """Do what a worker's reconciler does."""
    environment.ledger.work.expire()
    environment.ledger.control.fail_abandoned(900.0, environment.ledger.fleet.now_ms())
    environment.ledger.jobs.forget_expired()
    environment.ledger.work.notify_where_due(queues_of(ROUTES))


def patterns_of(keys: Keys) -> dict[str, re.Pattern[str]]:
    """Return for each method of Keys the pattern of the names that it can make."""
    # Not inspect.getmembers: on some 3.11 it trips over `__weakref__` of a slotted dataclass.
    names = [name for name in dir(keys) if not name.startswith("_") and name != "prefix"]
    patterns = {}
    for name in names:
        method = getattr(keys, name)
        marks = ["MARK"] * len(inspect.signature(method).parameters)
        patterns[name] = re.compile(re.escape(method(*marks)).replace("MARK", "[^{}]+"))
    return patterns


def reject(environment: Environment, job_id: str, failure: Failure) -> None:
    """Refuse a request that a program in another language has added to the inbox."""
    environment.redis.xadd(environment.keys.inbox(), {"id": job_id, "job": "{}"})
    (entry,) = environment.ledger.inbox.read_new("worker-a", None)
    environment.ledger.inbox.reject(entry, job_id, failure, None)


def cancelled(environment: Environment) -> str:
    """A job with a unit done, one held, one that waits, one never touched; then cancelled."""
    job = a_classify_job(idempotency_key="7", results_ttl_s=60)
    job_id = environment.submit_units(4, job)
    environment.commit(environment.claim_unit())
    environment.claim_unit()
    environment.ledger.work.release_unit(environment.claim_unit(), wait_s=0.001, crashed=True)
    environment.ledger.control.cancel(job_id)
    return job_id


def completed(environment: Environment) -> str:
    job_id = environment.submit_units(2)
    for _ in range(2):
        environment.commit(environment.claim_unit())
    return job_id


def failed_training(environment: Environment) -> str:
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)
    unit = environment.claim_unit()
    environment.ledger.work.publish(unit, an_epoch(job_id))
    environment.ledger.work.fail_job(unit, a_failure())
    return job_id


def abandoned_upload(environment: Environment) -> str:
    job_id = environment.submit(chunk=a_chunk())
    environment.ledger.control.fail_abandoned(0.0, environment.ledger.fleet.now_ms() + 1)
    return job_id


def cancelled_ingest(environment: Environment) -> str:
    job_id = environment.submit(a_classify_job(source=FileSource(path="/data/reviews.jsonl")))
    environment.ledger.control.cancel(job_id)
    return job_id


ENDINGS = [cancelled, completed, failed_training, abandoned_upload, cancelled_ingest]


def test_a_job_is_cancelled_with_no_worker_up(environment: Environment) -> None:
    job_id = environment.submit_units(2)

    assert environment.ledger.control.cancel(job_id) is JobState.CANCELLED

    record = environment.record(job_id)
    assert record.state is JobState.CANCELLED
    assert record.counts == Counts(total=4, cancelled=4)
    event = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(event, Cancelled)
    assert (event.counts, event.at_ms) == (record.counts, record.ended_at_ms)


def test_nothing_of_a_cancelled_job_is_claimable(environment: Environment) -> None:
    job_id = cancelled(environment)

    reconcile(environment)

    assert environment.claim() is None
    assert (
        environment.redis.exists(environment.keys.todo(job_id), environment.keys.leases(job_id))
        == 0
    )
    assert environment.redis.zcard(environment.keys.timers()) == 0


def test_what_was_done_before_a_cancel_stays_readable(environment: Environment) -> None:
    job_id = cancelled(environment)

    assert environment.record(job_id).counts == Counts(total=8, succeeded=2, cancelled=6)
    assert environment.labels(job_id, 0) == ["like", "like"]
    # The input of the others is kept too, so that each can be named as undone.
    assert [blob is None for blob in environment.ledger.jobs.inputs(job_id, range(4))] == [
        True,
        False,
        False,
        False,
    ]


def test_a_job_that_has_ended_keeps_its_state(environment: Environment) -> None:
    job_id = completed(environment)
    before = environment.record(job_id)

    assert environment.ledger.control.cancel(job_id) is JobState.COMPLETED
    assert environment.ledger.control.fail(job_id, a_failure()) is JobState.COMPLETED

    assert environment.record(job_id) == before
    assert environment.events(job_id)[-1] == "completed"


def test_a_job_that_is_not_there_cannot_be_read_or_cancelled(environment: Environment) -> None:
    message = (
        "No job 'nowhere'. `seqd jobs list` shows those that are kept; they go with `seqd jobs "
        "rm`, when their time to live has passed, or with their Redis. Check the id, or hand the "
        "job in again, with the same idempotency key."
    )

    for act in (environment.ledger.jobs.get, environment.ledger.control.cancel):
        with pytest.raises(UnknownJob) as error:
            act("nowhere")
        assert str(error.value) == message


def test_a_worker_that_holds_a_unit_can_fail_the_job(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    failure = a_failure(message="No such weights.")

    assert environment.ledger.work.fail_job(environment.claim_unit(), failure)

    record = environment.record(job_id)
    assert (record.state, record.failure) == (JobState.FAILED, failure)
    event = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(event, Failed)
    assert event.failure == failure


def test_a_zombie_cannot_fail_a_job(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    zombie = environment.claim_unit("worker-a")
    environment.ledger.work.release_worker("worker-a", crashed=True)
    environment.claim_unit("worker-b")

    assert not environment.ledger.work.fail_job(zombie, a_failure())
    assert environment.record(job_id).state is JobState.RUNNING


def test_a_refused_request_is_answered_in_the_stream_that_its_producer_watches(
    environment: Environment,
) -> None:
    reject(environment, "theirs", a_failure(code="unknown_model"))

    (event,) = environment.ledger.jobs.events("theirs", longest_wait_s=0)

    assert isinstance(event, Rejected)
    assert event.failure == a_failure(code="unknown_model")
    assert environment.redis.ttl(environment.keys.events("theirs")) == 24 * 3600
    assert environment.redis.exists(environment.keys.job("theirs")) == 0


def test_a_refusal_does_not_touch_a_job_of_the_same_name(environment: Environment) -> None:
    job_id = environment.submit_units(1)

    reject(environment, job_id, a_failure())

    assert environment.events(job_id) == ["queued"]
    assert environment.redis.ttl(environment.keys.events(job_id)) == -1


def test_a_request_that_is_mended_starts_a_stream_of_its_own(environment: Environment) -> None:
    reject(environment, "theirs", a_failure())

    environment.submit(job_id="theirs", chunk=a_chunk())

    # A `rejected` before it would end the reading of whoever starts at the beginning.
    assert environment.events("theirs") == ["queued"]
    assert environment.redis.ttl(environment.keys.events("theirs")) == -1


def test_an_upload_whose_client_went_silent_is_ended(environment: Environment) -> None:
    silent, busy = environment.submit(chunk=a_chunk()), environment.submit(chunk=a_chunk())
    now_ms = environment.ledger.fleet.now_ms()
    environment.redis.zadd(environment.keys.uploads(), {silent: now_ms - 900_001})

    environment.ledger.control.fail_abandoned(900.0, now_ms)

    record = environment.record(silent)
    assert record.state is JobState.FAILED
    assert record.failure is not None
    assert (record.failure.code, record.failure.retryable) == ("upload_abandoned", True)
    assert record.failure.message == (
        "The client showed no sign of life for 900 s and had not said that its input was complete. "
        "Send the job again; what had finished stays readable."
    )
    assert environment.record(busy).state is JobState.QUEUED


def test_a_client_that_waits_for_the_workers_is_not_silent(environment: Environment) -> None:
    small = environment.with_settings(max_pending_bytes=1)
    job_id = small.submit(chunk=a_chunk())
    environment.redis.zadd(environment.keys.uploads(), {job_id: 1})

    assert small.append(job_id, 1) == "full"

    environment.ledger.control.fail_abandoned(900.0, environment.ledger.fleet.now_ms())
    assert environment.record(job_id).state is JobState.QUEUED


def test_an_upload_that_was_deleted_by_hand_does_not_stop_the_task(
    environment: Environment,
) -> None:
    deleted, silent = environment.submit(chunk=a_chunk()), environment.submit(chunk=a_chunk())
    environment.redis.delete(environment.keys.job(deleted))
    environment.redis.zadd(environment.keys.uploads(), {deleted: 1, silent: 2})

    environment.ledger.control.fail_abandoned(900.0, environment.ledger.fleet.now_ms())

    assert environment.record(silent).state is JobState.FAILED
    assert environment.redis.zcard(environment.keys.uploads()) == 0
    assert environment.redis.zcard(environment.keys.open_jobs()) == 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_key_of_an_ended_job_has_its_time_to_live(
    environment: Environment, ending: Callable[[Environment], str]
) -> None:
    job_id = ending(environment)

    ttl_s = environment.record(job_id).job.results_ttl_s
    lives = {key: environment.redis.ttl(key) for key in keys_of(environment, job_id)}
    assert len(lives) >= 2  # the job and its events, at least
    assert all(ttl_s - 5 <= life <= ttl_s for life in lives.values()), lives


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_is_left_of_a_job_whose_time_is_over(
    environment: Environment, ending: Callable[[Environment], str]
) -> None:
    before = all_keys(environment)
    job_id = ending(environment)
    for key in keys_of(environment, job_id):
        environment.redis.pexpire(key, 1)
    environment.wait_for_clock(environment.ledger.fleet.now_ms() + 2)
    for bucket in environment.redis.zrange(environment.keys.kept(), 0, -1):
        environment.redis.zadd(environment.keys.kept(), {bucket: 1})

    reconcile(environment)
    environment.ledger.retention.evict()

    # The streams of all jobs and of dead letters belong to no job; an idempotency key has the same
    # time to live as its job.
    kept = {
        environment.keys.all_events(),
        environment.keys.failures(),
        environment.keys.idempotency("default", "7"),
    }
    assert before == set()
    assert all_keys(environment) - kept == set()
    assert environment.ledger.jobs.newest(10) == []


def test_jobs_behind_long_lived_ones_are_forgotten_too(environment: Environment) -> None:
    # Past 128 entries Redis hands a sorted set out in pages.
    for number in range(300):
        environment.submit(a_classify_job(source=inline("good")), job_id=f"kept-{number}")
    gone = [environment.submit(a_classify_job(source=inline("good"))) for _ in range(30)]
    environment.redis.delete(*(environment.keys.job(job_id) for job_id in gone))

    for _ in range(40):
        environment.ledger.jobs.forget_expired(batch=10)

    assert environment.redis.zcard(environment.keys.jobs()) == 300


def test_an_old_job_that_has_not_ended_is_found_behind_any_number_of_ended_ones(
    environment: Environment,
) -> None:
    waiting = environment.submit_units(1)
    for _ in range(5):
        environment.ledger.control.cancel(environment.submit_units(1))

    found = environment.ledger.jobs.newest_open(2)

    assert [record.job_id for record in found] == [waiting]


def test_the_newest_jobs_come_first_and_those_that_are_gone_do_not_count(
    environment: Environment,
) -> None:
    jobs = []
    for _ in range(4):
        jobs.append(environment.submit_units(1))
        environment.wait_for_clock(environment.ledger.fleet.now_ms())
    environment.redis.delete(environment.keys.job(jobs[3]))

    newest = [record.job_id for record in environment.ledger.jobs.newest(2)]

    assert newest == [jobs[2], jobs[1]]
    assert environment.ledger.jobs.newest(0) == []


def read_ahead(environment: Environment) -> None:
    """Have a worker read the first unit of a file that another worker ingests."""
    job = a_generate_job(source=FileSource(path="/data/a.jsonl"))
    environment.submit(job)
    unit = environment.claim_unit(routes=(GENERATE,))
    begins = IngestPosition(
        units=0, entries=0, offset=0, line=0, file_bytes=9, modified_ns=1, checksum=0
    )
    ranges = environment.ledger.ranges
    ranges.offer(unit, [Range(begins, 1)])
    taken = ranges.take("worker-b", queues_of((GENERATE,)))
    assert taken is not None
    read = ReadUnit(begins, replace(begins, units=1, entries=2, offset=9, line=2))
    assert ranges.put(taken, "worker-b", read, pack(a_chunk()), b"") == "read"


def test_every_key_that_the_scripts_write_is_one_that_the_schemas_name(
    environment: Environment,
) -> None:
    quick = environment.with_settings(lease_s=BRIEFLY_S)
    template = BatchTemplate(a_classify_job(), version=3, unit_items=2, client="c1")
    environment.ledger.submissions.submit_each(template, [("told", a_chunk())])
    environment.commit(environment.claim_unit())
    for ending in ENDINGS:
        ending(environment)
    owned = environment.submit(a_classify_job(expires_in_s=60), chunk=a_chunk(), owner="client-a")
    environment.append(owned, 1, owner="client-a", digest="0" * 32)
    environment.commit(environment.claim_unit(), errored=1)
    environment.commit(environment.claim_unit())
    quick.submit_units(3)
    quick.claim_unit()
    quick.expire_due()
    unit = environment.claim_unit()
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    environment.ledger.work.split(unit, parts)
    environment.ledger.work.release_unit(environment.claim_unit(), faulted_by="worker-a")
    part = environment.claim_unit()
    environment.ledger.work.publish_deltas("worker-a", [(part, some_deltas("one", unit=part.name))])
    reject(environment, "theirs", a_failure())
    environment.ledger.fleet.publish_limits(environment.settings)
    environment.submit(chunk=a_chunk())
    environment.ledger.fleet.publish_worker(a_worker_status())
    task = TaskSchema(parameters={}, unit_items=1, result={}, digest="0" * 64)
    environment.ledger.fleet.publish_catalog([a_catalog_entry(run_tasks={"embed": task})])
    environment.ledger.fleet.take_lock("reconciler", "worker-a", 60.0)
    environment.ledger.work.follow_clock()
    environment.queue_wakeup(CLASSIFY)
    environment.submit_units(1, a_classify_job(priority="bulk"))
    environment.claim()
    read_ahead(environment)
    damaged = environment.submit_units(1, a_generate_job())
    environment.redis.set(environment.keys.job(damaged), "a string")
    environment.claim(routes=(GENERATE,))

    held = environment.submit_units(1)
    leases = {str(unit): "1 worker-a" for unit in range(600)}
    environment.redis.hset(environment.keys.leases(held), mapping=leases)
    environment.ledger.control.cancel(held)
    environment.ledger.tenants.set_limits("default", TenantLimits(jobs=1_000, weight=2))
    rule = CordonRule(target="host:h1", action=CordonAction.CORDON, by="ops@h1", at_ms=1)
    environment.ledger.cordons.change(add=[rule])
    environment.ledger.backlog.note_rate("classify.imdb_lstm@3", 10, 1.0)
    placed = PlacementRule(model="topics", targets=("host:h1",), by="ops@h1", at_ms=1)
    environment.ledger.placements.place(placed)
    environment.ledger.audit.note("models.place", "topics")
    environment.ledger.model_pauses.pause(ModelPause(model="topics", at_ms=1))
    order = ModelOrder(order_id="o1", action="promote", model="topics", version=2, ordered_at_ms=1)
    environment.ledger.orders.place(order, 60.0)
    environment.ledger.rollouts.add("topics", "0" * 16, VersionWork(2, items=1))
    environment.ledger.failures.note_replayed(["1-1"], "again")

    found = all_keys(environment, but=())
    without_delay = environment.with_settings(min_kept_s=0).settings
    environment.ledger.fleet.publish_limits(without_delay)
    environment.redis.set(environment.keys.memory(), "short")
    environment.ledger.retention.evict()
    found |= all_keys(environment)

    named = patterns_of(environment.keys)
    unnamed = [key for key in found if not any(name.fullmatch(key) for name in named.values())]
    unseen = [method for method, name in named.items() if not any(map(name.fullmatch, found))]
    assert unnamed == []
    # Written by whoever waits until the disk has it all, and while a recount has more jobs to see.
    assert sorted(unseen) == ["durability_mark", "work_left_recount"]
