"""Jobs expire and results are dropped in their time, with a warning before, with no worker up."""

import pytest

from builders import a_classify_job, a_train_job, inline
from ledger_fixtures import Environment
from seqd.ledger.jobs import read_events
from seqd.ledger.work import CommitOutcome
from seqd_schemas import Expired, Expiring, JobState

pytestmark = pytest.mark.processes


def overdue(environment: Environment, job_id: str) -> None:
    """Put a job's deadline into the past, as time would."""
    past_ms = environment.ledger.fleet.now_ms() - 1
    assert (
        environment.redis.zadd(environment.keys.deadlines(), {job_id: past_ms}, xx=True, ch=True)
        == 1
    )
    environment.redis.hset(environment.keys.job(job_id), "expires_at", past_ms)


def warnings_due(environment: Environment) -> None:
    """Make every warning due, as time would."""
    for member in environment.redis.zrange(environment.keys.warnings(), 0, -1):
        environment.redis.zadd(environment.keys.warnings(), {member: 1})


def test_a_job_knows_when_it_must_have_ended(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=3_600))

    record = environment.record(job_id)

    assert record.expires_at_ms == record.created_at_ms + 3_600_000
    assert environment.record(environment.submit_units(1)).expires_at_ms is None


def test_whoever_reads_an_overdue_job_finds_it_expired_though_no_worker_is_up(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(3, a_classify_job(expires_in_s=60))
    environment.commit(environment.claim_unit())

    overdue(environment, job_id)

    record = environment.record(job_id)
    assert record.state is JobState.EXPIRED
    assert (record.counts.succeeded, record.counts.expired, record.counts.processing) == (2, 4, 0)
    assert record.failure is not None
    assert (record.failure.code, record.failure.retryable) == ("expired", True)
    assert record.failure.message == (
        "The job was not done within its expires_in_s of 60 seconds. What had finished stays "
        "readable. Retry what is undone with `seqd jobs retry`, or hand it in again with "
        "more time."
    )
    (event,) = [
        e for e in environment.ledger.jobs.events(job_id, longest_wait_s=0) if e.event == "expired"
    ]
    assert isinstance(event, Expired)
    assert (event.counts, event.failure) == (record.counts, record.failure)


def test_no_unit_of_an_overdue_job_is_handed_out(environment: Environment) -> None:
    job_id = environment.submit_units(2, a_classify_job(expires_in_s=60))
    overdue(environment, job_id)

    assert environment.claim() is None
    assert environment.events(job_id) == ["queued", "expired"]


def test_of_many_overdue_jobs_none_is_handed_out(environment: Environment) -> None:
    for _ in range(14):
        overdue(environment, environment.submit_units(1, a_classify_job(expires_in_s=60)))
    in_time = environment.submit_units(1)

    assert environment.claim_names() == [(in_time, "0")]


def test_a_late_commit_of_an_expired_job_changes_nothing(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=60))
    unit = environment.claim_unit()
    overdue(environment, job_id)
    environment.ledger.work.expire()

    assert environment.commit(unit) is CommitOutcome.ENDED
    assert environment.record(job_id).counts.expired == 2


def test_a_paused_job_expires_too(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=60))
    environment.ledger.control.pause(job_id)
    overdue(environment, job_id)

    environment.ledger.work.expire()

    assert environment.record(job_id).state is JobState.EXPIRED


def test_a_job_with_time_left_is_not_touched(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=60))

    assert environment.ledger.control.end_if_overdue(job_id) is False
    environment.ledger.work.expire()

    assert environment.record(job_id).state is JobState.QUEUED


def test_a_job_that_ended_in_time_does_not_expire_afterwards(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=60))
    environment.commit(environment.claim_unit())

    assert environment.redis.exists(environment.keys.deadlines()) == 0
    assert environment.record(job_id).state is JobState.COMPLETED


def test_a_job_and_then_its_results_are_warned_of_once_before_they_go(
    environment: Environment,
) -> None:
    job_id = environment.submit_units(2, a_classify_job(expires_in_s=600, results_ttl_s=6_000))
    warnings_due(environment)
    environment.ledger.work.expire()
    for _ in range(2):
        environment.commit(environment.claim_unit())
    warnings_due(environment)
    for _ in range(2):
        environment.ledger.work.expire()

    record = environment.record(job_id)
    events = environment.ledger.jobs.events(job_id, longest_wait_s=0)
    warnings = [event for event in events if isinstance(event, Expiring)]
    assert [warning.what for warning in warnings] == ["job", "results"]
    assert [w.expires_at_ms for w in warnings] == [record.expires_at_ms, record.kept_until_ms]
    everywhere = read_events(environment.redis.xrange(environment.keys.all_events()))
    assert [event.event for event in everywhere].count("expiring") == 2


@pytest.mark.parametrize(
    ("ttl_s", "notice_s"), [(600, 60), (7 * 24 * 3_600, 3_600)], ids=["a tenth", "an hour at most"]
)
def test_the_warning_comes_when_a_tenth_of_the_time_is_left(
    environment: Environment, ttl_s: int, notice_s: int
) -> None:
    job = a_classify_job(source=inline("good"), results_ttl_s=ttl_s)
    job_id = environment.submit(job)
    environment.ledger.control.cancel(job_id)

    warn_at_ms = environment.redis.zscore(environment.keys.warnings(), f"{job_id} results")

    kept_until_ms = environment.record(job_id).kept_until_ms
    assert kept_until_ms is not None and warn_at_ms is not None
    assert kept_until_ms - warn_at_ms == notice_s * 1000


def test_a_job_that_ended_before_its_warning_is_not_warned_of(environment: Environment) -> None:
    job_id = environment.submit_units(1, a_train_job(expires_in_s=60))
    environment.ledger.control.cancel(job_id)

    assert environment.redis.zrange(environment.keys.warnings(), 0, -1) == [
        f"{job_id} results".encode()
    ]
