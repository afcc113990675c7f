"""A small job after its end: few bytes, and all that its readers are promised."""

from collections.abc import Iterator

import pytest

from builders import a_classify_job, some_results
from ledger_fixtures import Environment, failed_items, open_environment
from redis_fixtures import PrivateServer
from seqd.client.handle import JobHandle
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


def a_small_job(environment: Environment, **changes: object) -> str:
    """Give the identifier of a small job that has completed."""
    job_id = environment.submit_units(1, a_classify_job(**changes))
    assert environment.commit(environment.claim_unit()) is CommitOutcome.COMPLETED
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


def run_reviews(environment: Environment, numbers: range) -> None:
    """Run jobs of one review each to their end, as `classify_each` and a worker do."""
    template = BatchTemplate(a_classify_job(), 3, 256, "client-a")
    inputs = ((f"{number:021x}", a_review(number)) for number in numbers)
    environment.ledger.submissions.submit_each(template, inputs)
    while (claim := environment.claim()) is not None:
        output = Classification(label="positive", score=0.98124, truncated=False)
        results = [ItemSuccess(custom_id="row-1", output=output)]
        done = (Finished(unit, results) for unit in claim.units)
        environment.ledger.work.commit_batch(done, "1.0.0")


def a_review(number: int) -> ItemChunk:
    text = f"A wonderful film, number {number}, moving and beautifully acted."
    return ItemChunk(first_index=0, items=(Item(custom_id="row-1", text=text),))


def used_bytes(environment: Environment, jobs: range) -> int:
    """Return what Redis uses once the events of these jobs have gone."""
    names = [f"{number:021x}" for number in jobs]
    parts = (environment.keys.events, environment.keys.attempts)
    for batch in _batches([part(name) for part in parts for name in names]):
        environment.redis.delete(*batch)
    return int(environment.redis.info("memory")["used_memory"])


def _batches(names: list[str]) -> Iterator[list[str]]:
    for at in range(0, len(names), 500):
        yield names[at : at + 500]


def test_a_small_job_takes_less_than_600_bytes(private_server: PrivateServer) -> None:
    with connect(private_server.url) as redis:
        environment = open_environment(redis, Settings(redis_url=private_server.url))
        each = bytes_of_a_small_job(environment)

    assert each < SMALL_JOB_BYTES, f"a small job takes {each:.0f} bytes"


def bytes_of_a_small_job(environment: Environment) -> float:
    """Weigh some on a server that has nothing else to do."""
    earlier, weighed = range(200), range(200, 200 + WEIGHED)
    fill_what_jobs_share(environment)
    run_reviews(environment, earlier)
    before = used_bytes(environment, earlier)
    run_reviews(environment, weighed)

    return (used_bytes(environment, weighed) - before) / WEIGHED


def test_a_small_job_is_one_key_and_reads_as_before(environment: Environment) -> None:
    job_id = a_small_job(environment, parameters={"loud": True}, tenant="acme")
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
    assert row.state is JobState.COMPLETED
    assert row.blob == environment.ledger.jobs.outputs(job_id, [0])[0]


def test_the_end_of_a_small_job_can_be_read_when_its_events_are_gone(
    environment: Environment,
) -> None:
    job_id = a_small_job(environment)
    handle = JobHandle(environment.ledger, job_id)
    live = list(handle.events())
    forget_events(environment, job_id)

    (last,) = handle.events()

    assert [event.event for event in live] == ["queued", "started", "completed"]
    assert (last.id, last.event) == (live[-1].id, "completed")
    assert last.counts == live[-1].counts  # type: ignore[union-attr]
    assert list(handle.events(after=live[1].id)) == [last]
    assert list(handle.events(after=last.id)) == []


def test_a_small_job_that_is_continued_is_held_and_then_kept_as_long_as_the_other(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(1)
    environment.commit(environment.claim_unit(), errored=1)
    before = environment.record(job_id)
    results = environment.ledger.jobs.outputs(job_id, [0])
    forget_events(environment, job_id)
    items = tuple(failed_items(environment.ledger, job_id))
    chunk = ItemChunk(first_index=0, items=items)

    retry = environment.submit(retry_of(before), chunk=chunk, sealed=True)
    held = environment.record(job_id)
    lives = [
        environment.redis.ttl(key)
        for key in (environment.keys.job(job_id), environment.keys.output(job_id))
    ]
    unit = environment.claim_unit()
    environment.ledger.work.commit(unit, some_results(1), chunk)

    changes = {"continued_by": retry, "kept_until_ms": None}  # while it is held
    assert held.model_dump() == before.model_copy(update=changes).model_dump()
    assert lives == [-1, -1]
    assert environment.ledger.jobs.outputs(job_id, [0]) == results
    assert [event.event for event in JobHandle(environment.ledger, job_id).events()] == [
        "completed"
    ]
    kept_s = environment.redis.ttl(environment.keys.job(retry))
    assert 0 < kept_s <= environment.redis.ttl(environment.keys.job(job_id)) + 1
    for name in (retry, job_id):
        environment.ledger.control.remove(name)
    assert not environment.redis.keys(f"{environment.keys.tenant('default')}*")


def test_what_small_jobs_share_goes_with_the_last_of_them(environment: Environment) -> None:
    first, second = a_small_job(environment), a_small_job(environment)
    template = environment.redis.hget(environment.keys.job(first), "template").decode()
    key = environment.keys.template(template)
    assert environment.redis.ttl(key) >= environment.redis.ttl(environment.keys.job(second))

    environment.ledger.control.remove(first)
    assert environment.record(second).model == "imdb_lstm"
    environment.ledger.control.remove(second)

    assert environment.redis.exists(key) == 0
