"""A small job after its end: few bytes, and all that its readers are promised."""

import pytest

from builders import a_chunk, a_classify_job, some_results
from ledger_fixtures import Environment, failed_items, open_environment
from redis_fixtures import PrivateServer
from seqd.client import JobHandle
from seqd.client.requests import retry_of
from seqd.ledger import connect
from seqd.ledger.submissions import BatchTemplate
from seqd.ledger.work import CommitOutcome, Finished
from seqd.settings import Settings
from seqd_schemas import Classification, Counts, Item, ItemChunk, ItemSuccess, JobState

pytestmark = pytest.mark.processes

#: Jobs that are weighed, and entries of the bounded stream and list that all jobs share.
WEIGHED, SHARED = 2_000, 10_000
#: What one may take, result, indexes and Redis's own overhead included.
SMALL_JOB_BYTES = 600


def a_small_job(environment: Environment, *, errored: int = 0, **changes: object) -> str:
    """Give the identifier of a small job that has completed."""
    job_id = environment.submit_units(1, a_classify_job(**changes))
    outcome = environment.commit(environment.claim_unit(), errored=errored)
    assert outcome is CommitOutcome.COMPLETED
    return job_id


def forget_events(environment: Environment, job_id: str) -> None:
    """Do what half a minute does."""
    assert 0 < environment.redis.ttl(environment.keys.events(job_id)) <= 30
    environment.redis.delete(environment.keys.events(job_id), environment.keys.attempts(job_id))


def fill_what_jobs_share(environment: Environment) -> None:
    """Leave what a thousand small jobs would leave that ended before."""
    names = [f"{number:021d}" for number in range(SHARED)]
    with environment.redis.pipeline(transaction=False) as pipe:
        pipe.zadd(environment.keys.jobs(), dict.fromkeys(names, 1))
        pipe.rpush(environment.keys.small_jobs(), *names)
        for name in names:
            pipe.xadd(environment.keys.all_events(), {"e": name * 8})
        pipe.execute()


def used_bytes_with_reviews(environment: Environment, numbers: range) -> int:
    """Run jobs of one review each to their end; return what Redis uses without their events."""
    names = [f"{number:021x}" for number in numbers]
    template = BatchTemplate(a_classify_job(), 3, 256, "client-a")
    texts = (f"A wonderful film, number {number}, moving and well acted." for number in numbers)
    chunks = (ItemChunk(first_index=0, items=(Item(custom_id="row-1", text=t),)) for t in texts)
    environment.ledger.submissions.submit_each(template, zip(names, chunks, strict=True))
    output = Classification(label="positive", score=0.98124, truncated=False)
    results = [ItemSuccess(custom_id="row-1", output=output)]
    while (claim := environment.claim()) is not None:
        done = (Finished(unit, results) for unit in claim.units)
        environment.ledger.work.commit_batch(done, "1.0.0")
    for part in (environment.keys.events, environment.keys.attempts):
        environment.redis.delete(*map(part, names))
    return int(environment.redis.info("memory")["used_memory"])


def test_a_small_job_takes_less_than_600_bytes(private_server: PrivateServer) -> None:
    with connect(private_server.url) as redis:
        environment = open_environment(redis, Settings(redis_url=private_server.url))
        fill_what_jobs_share(environment)
        before = used_bytes_with_reviews(environment, range(200))
        after = used_bytes_with_reviews(environment, range(200, 200 + WEIGHED))

    each = (after - before) / WEIGHED
    assert each < SMALL_JOB_BYTES, f"a small job takes {each:.0f} bytes"


def test_a_small_job_is_one_key_and_reads_as_before(environment: Environment) -> None:
    job_id = a_small_job(environment, parameters={"loud": True}, tenant="acme")
    handle = JobHandle(environment.ledger, job_id)
    live = list(handle.events())
    forget_events(environment, job_id)

    record = environment.record(job_id)

    names = environment.redis.keys(f"{environment.keys.prefix}:job:*")
    assert names == [environment.keys.job(job_id).encode()]
    assert record.state is JobState.COMPLETED
    assert record.counts == Counts(total=2, succeeded=2)
    assert (record.sealed, record.units, record.units_done, record.version) == (True, 1, 1, 3)
    assert (record.job.parameters, record.tenant) == ({"loud": True}, "acme")
    assert record.started_at_ms is not None and record.ended_at_ms is not None
    assert [found.job_id for found in environment.ledger.jobs.newest(1)] == [job_id]
    assert environment.labels(job_id, 0) == ["like", "like"]
    (row,) = environment.ledger.jobs.ended([job_id])
    assert row.blob == environment.ledger.jobs.outputs(job_id, [0])[0]
    # Of its events the last one is told on, under the same id.
    (last,) = handle.events()
    assert [event.event for event in live] == ["queued", "started", "completed"]
    assert (last.id, last.event) == (live[-1].id, "completed")
    assert last.counts == live[-1].counts  # type: ignore[union-attr]
    assert list(handle.events(after=live[1].id)) == [last]
    assert list(handle.events(after=last.id)) == []


def test_a_small_job_that_is_continued_is_held_and_then_kept_as_long_as_the_other(
    environment: Environment,
) -> None:
    job_id = a_small_job(environment, errored=1)
    before = environment.record(job_id)
    results = environment.ledger.jobs.outputs(job_id, [0])
    forget_events(environment, job_id)
    items = tuple(failed_items(environment.ledger, job_id))
    chunk = ItemChunk(first_index=0, items=items)

    retry = environment.submit(retry_of(before), chunk=chunk, sealed=True)
    held = environment.record(job_id)
    keys = environment.keys
    lives = [environment.redis.ttl(key) for key in (keys.job(job_id), keys.output(job_id))]
    environment.ledger.work.commit(environment.claim_unit(), some_results(1), chunk)

    changes = {"continued_by": retry, "kept_until_ms": None}  # while it is held
    assert held.model_dump() == before.model_copy(update=changes).model_dump()
    assert (len(items), lives) == (1, [-1, -1])
    assert environment.ledger.jobs.outputs(job_id, [0]) == results
    events = JobHandle(environment.ledger, job_id).events()
    assert [event.event for event in events] == ["completed"]
    kept_s = environment.redis.ttl(keys.job(retry))
    assert 0 < kept_s <= environment.redis.ttl(keys.job(job_id)) + 1
    for name in (retry, job_id):
        environment.ledger.control.remove(name)
    assert not environment.redis.keys(f"{keys.tenant('default')}*")


def test_a_small_job_that_ended_an_hour_ago_is_continued_with_all_its_results(
    environment: Environment,
) -> None:
    job_id = a_small_job(environment, errored=1)
    results = environment.ledger.jobs.outputs(job_id, [0])
    chunk = ItemChunk(first_index=0, items=tuple(failed_items(environment.ledger, job_id)))
    environment.redis.hincrby(environment.keys.job(job_id), "ended", -3_600_000)

    environment.submit(retry_of(environment.record(job_id)), chunk=chunk, sealed=True)

    assert environment.ledger.jobs.outputs(job_id, [0]) == results


def test_what_small_jobs_share_lives_as_long_as_they_and_goes_with_the_last_of_them(
    environment: Environment,
) -> None:
    first, second = a_small_job(environment), a_small_job(environment)
    template = environment.redis.hget(environment.keys.job(first), "template").decode()
    key = environment.keys.template(template)
    assert environment.redis.ttl(key) >= environment.redis.ttl(environment.keys.job(second))

    environment.ledger.control.remove(first)
    assert environment.record(second).model == "imdb_lstm"
    environment.ledger.control.remove(second)

    assert environment.redis.exists(key) == 0


def test_results_that_are_not_small_stay_in_a_key_of_their_own(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk(64), sealed=True, unit_items=64)
    results = [
        ItemSuccess(
            custom_id=f"row-{number}",
            output=Classification(label=f"{hash(str(number))}", score=0.5, truncated=False),
        )
        for number in range(64)
    ]

    environment.ledger.work.commit(environment.claim_unit(), results)

    assert environment.redis.hlen(environment.keys.output(job_id)) == 1
    assert environment.redis.ttl(environment.keys.events(job_id)) > 30
