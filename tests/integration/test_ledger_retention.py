"""What ended jobs keep is on their tenant's account, and the oldest go where there is no room."""

from pathlib import Path

import pytest

from builders import a_chunk, a_classify_job, a_text_chunk, a_train_job
from clock_fixtures import ClockServer
from ledger_fixtures import Environment, open_environment
from seqd.client.handle import JobHandle
from seqd.client.requests import retry_of
from seqd.errors import RedisFull, UnknownJob
from seqd.ledger import connect
from seqd.ledger.retention import Evictions
from seqd.settings import Settings
from seqd_schemas import UploadSource

pytestmark = pytest.mark.processes

#: A year: Redis removes nothing by itself.
LONG_S = 365 * 24 * 3_600


def with_limits(environment: Environment, **limits: object) -> Environment:
    """Publish the limits that an operator has set, as a worker does when it boots."""
    changed = environment.with_settings(**limits)
    changed.ledger.fleet.publish_limits(changed.settings)
    return changed


def kept_bytes(environment: Environment, tenant: str = "default") -> int:
    return int(environment.redis.hget(environment.keys.tenant(tenant), "kept_bytes") or 0)


def a_small_job(environment: Environment, **changes: object) -> str:
    job_id = environment.submit_units(1, a_classify_job(**changes))
    environment.commit(environment.claim_unit())
    return job_id


def a_cancelled_upload(environment: Environment, chunks: int, **changes: object) -> str:
    """Give a job that ended with all its input undone: about 200 bytes a chunk."""
    job_id = environment.submit_units(chunks, a_classify_job(results_ttl_s=LONG_S, **changes))
    environment.ledger.control.cancel(job_id)
    return job_id


def exist(environment: Environment, *job_ids: str) -> list[bool]:
    return [environment.ledger.jobs.exists(job_id) for job_id in job_ids]


def make_memory_short(environment: Environment) -> None:
    """Let the scripts take memory for short until they have made room."""
    environment.redis.set(environment.keys.memory(), "short")


def test_input_that_ended_jobs_keep_is_on_the_account_and_bounded(environment: Environment) -> None:
    allowed = 64 * 1024
    with_limits(environment, max_tenant_kept_bytes=allowed)

    for _ in range(30):
        job_id = a_cancelled_upload(environment, 10)
        used = sum(map(len, environment.redis.hvals(environment.keys.input(job_id))))
        assert used < kept_bytes(environment) <= allowed

    assert environment.ledger.jobs.exists(job_id)
    assert environment.ledger.retention.evictions().tenant_kept_bytes > 0


def test_the_oldest_ended_jobs_of_a_tenant_go_first_and_no_others(environment: Environment) -> None:
    others = a_small_job(environment, tenant="other")
    open_job = environment.submit_units(2)
    first, second, third = (a_cancelled_upload(environment, 3) for _ in range(3))
    with_limits(environment, max_tenant_kept_bytes=kept_bytes(environment) - 1)

    last = a_cancelled_upload(environment, 3)

    jobs = (first, second, third, last, others, open_job)
    assert exist(environment, *jobs) == [False, False, True, True, True, True]
    assert environment.ledger.retention.evictions() == Evictions(tenant_kept_bytes=2, within_hour=2)


def test_figures_tell_what_a_tenant_keeps_of_what_it_may_and_how_many_jobs_were_removed_for_it(
    environment: Environment,
) -> None:
    a_small_job(environment)
    allowed = 2 * kept_bytes(environment) - 1
    with_limits(environment, max_tenant_kept_bytes=allowed)
    a_small_job(environment)

    figures = environment.ledger.figures.read()

    assert figures.evictions == Evictions(tenant_kept_bytes=1, within_hour=1)
    assert figures.tenants is not None
    kept = kept_bytes(environment)
    assert [(one.tenant, one.kept_bytes) for one in figures.tenants] == [
        ("default", (kept, allowed))
    ]
    assert 0.5 < figures.tenants[0].kept_ratio < 0.6


def test_the_last_ended_job_of_a_tenant_stays_though_it_is_larger_than_all_that_is_allowed(
    environment: Environment,
) -> None:
    with_limits(environment, max_tenant_kept_bytes=1)

    first, last = a_small_job(environment), a_small_job(environment)
    environment.ledger.retention.evict()

    assert exist(environment, first, last) == [False, True]


def test_a_count_of_removed_jobs_that_somebody_has_written_over_counts_as_none(
    environment: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    name, retention = environment.keys.evictions(), environment.ledger.retention
    environment.redis.hset(name, mapping={"tenant_kept_bytes": "many", "memory": "7"})
    of_a_part = retention.evictions()
    environment.redis.set(name, "none")
    of_all = retention.evictions()

    assert (of_a_part, of_all) == (Evictions(tenant_kept_bytes=0, memory=7), Evictions())
    assert [record.message for record in caplog.records] == [
        f"the field tenant_kept_bytes of the key {name} of removed jobs is 'many', and no number: "
        f"it counts as 0. Remove the key, and seqd begins it anew: redis-cli del {name}",
        f"the key {name} of removed jobs has a value of another type than seqd writes, and is read "
        f"as empty. Remove it, and seqd begins it anew: redis-cli del {name}",
    ]


@pytest.mark.parametrize("is_hash", [False, True])
def test_jobs_make_room_where_somebody_has_written_over_what_is_noted_of_it(
    environment: Environment, is_hash: bool
) -> None:
    keys, retention = environment.keys, environment.ledger.retention
    if is_hash:
        environment.redis.hset(keys.evictions(), mapping={"tenant_kept_bytes": "many"})
    else:
        environment.redis.set(keys.evictions(), "none")
    environment.redis.set(keys.evicted(), "none")
    with_limits(environment, max_tenant_kept_bytes=1)

    first, last = a_small_job(environment), a_small_job(environment)

    assert exist(environment, first, last) == [False, True]
    assert retention.evictions() == Evictions(tenant_kept_bytes=1, within_hour=1)
    assert retention.was_evicted(first)


def test_jobs_that_are_removed_within_an_hour_of_their_end_are_counted_as_such(
    clock_server: ClockServer, tmp_path: Path
) -> None:
    """Of a job that ended an hour before nobody can say that there was no time to fetch it."""
    settings = Settings(redis_url=clock_server.url, data_dir=tmp_path)
    with connect(clock_server.url) as redis:
        environment = open_environment(redis, settings)
        old = a_small_job(environment)
        with_limits(environment, max_tenant_kept_bytes=1)
        clock_server.step(3_600.0)
        recent = a_small_job(environment)
        after_an_hour = environment.ledger.retention.evictions()
        clock_server.step(3_500.0)
        last = a_small_job(environment)
        before_one = environment.ledger.retention.evictions()

        assert exist(environment, old, recent, last) == [False, False, True]
    assert after_an_hour == Evictions(tenant_kept_bytes=1, within_hour=0)
    assert before_one == Evictions(tenant_kept_bytes=2, within_hour=1)


def test_old_jobs_go_before_new_work_is_refused_for_want_of_memory(
    environment: Environment,
) -> None:
    small, large = a_small_job(environment, tenant="small"), a_cancelled_upload(environment, 30)
    with_limits(environment, min_kept_s=0)
    make_memory_short(environment)

    new = environment.submit_units(1)

    assert exist(environment, small, large, new) == [False, False, True]
    assert environment.ledger.retention.evictions() == Evictions(memory=2, within_hour=2)


def test_jobs_that_have_just_ended_are_not_removed_for_want_of_memory(
    environment: Environment,
) -> None:
    job_id = a_small_job(environment)
    with_limits(environment, min_kept_s=60)
    make_memory_short(environment)

    with pytest.raises(RedisFull):
        environment.submit_units(1)

    assert environment.ledger.retention.evict() == 0
    assert exist(environment, job_id) == [True]


def test_who_asks_for_a_job_that_had_to_make_room_is_told_so(environment: Environment) -> None:
    first = a_small_job(environment)
    handle = JobHandle(environment.ledger, first)
    with_limits(environment, max_tenant_kept_bytes=1)
    a_small_job(environment)

    for read in (handle.record, lambda: list(handle.results()), lambda: list(handle.events())):
        with pytest.raises(UnknownJob) as unknown:
            read()
        assert str(unknown.value) == (
            f"No job {first!r} any more. It had ended, and was removed before its time to make "
            "room: its tenant kept more than SEQD_MAX_TENANT_KEPT_BYTES of the workers, or Redis "
            "was short of memory. `seqd status` counts such jobs. Hand it in again, and fetch "
            "its results sooner, or give Redis more memory."
        )


def test_who_reads_a_job_that_has_to_make_room_is_told_so(environment: Environment) -> None:
    job_id = environment.submit_units(40)
    for _ in range(40):
        environment.commit(environment.claim_unit())
    lines = JobHandle(environment.ledger, job_id).result_lines()
    next(lines)
    with_limits(environment, max_tenant_kept_bytes=1)
    a_small_job(environment)

    with pytest.raises(UnknownJob, match="was removed before its time to make room"):
        list(lines)


def test_a_job_that_an_open_one_continues_does_not_go(environment: Environment) -> None:
    job_id = a_cancelled_upload(environment, 2)
    retry = environment.submit(retry_of(environment.record(job_id)), chunk=a_chunk(), sealed=True)
    environment.claim_unit()
    with_limits(environment, max_tenant_kept_bytes=1)

    later = [a_small_job(environment) for _ in range(3)]

    assert exist(environment, job_id, retry, *later) == [True, True, False, False, True]


def test_jobs_that_outlived_their_time_go_off_the_account(environment: Environment) -> None:
    expired = [a_small_job(environment, results_ttl_s=60) for _ in range(3)]
    kept = a_small_job(environment)
    environment.ledger.control.remove(kept)
    assert kept_bytes(environment) > 0
    # A second bucket where the jobs ended to both sides of a bound, of which there is one each 2 s.
    due = environment.redis.zrange(environment.keys.kept(), 0, -1, withscores=True)
    until_ms = [environment.record(job_id).kept_until_ms or 0 for job_id in expired]
    later_ms = 60_000 / 16 + 60_000 / 32
    assert min(until_ms) <= due[0][1] and due[-1][1] <= max(until_ms) + later_ms
    for job_id in expired:  # What time does.
        environment.redis.delete(environment.keys.job(job_id))
    environment.redis.zadd(environment.keys.kept(), {bucket: 1 for bucket, _ in due})

    environment.ledger.retention.evict()

    assert kept_bytes(environment) == 0
    assert not environment.redis.keys(f"{environment.keys.tenant('default')}*")
    assert environment.redis.exists(environment.keys.kept(), environment.keys.tenants()) == 0


def test_the_data_of_a_training_that_ended_is_on_the_account(environment: Environment) -> None:
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, version=None, unit_items=1)
    environment.ledger.submissions.append(job, job_id, 0, a_text_chunk(500))
    size = sum(map(len, environment.redis.hvals(environment.keys.input(job_id))))

    environment.ledger.control.cancel(job_id)

    assert kept_bytes(environment) > size > 0
    environment.ledger.control.remove(job_id)
    assert kept_bytes(environment) == 0
