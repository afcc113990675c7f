"""How jobs end and what is left of them, beside what `tests/model` says of it after each step."""

import pytest

from builders import (
    a_chunk,
    a_classify_job,
    inline,
)
from ledger_fixtures import (
    Environment,
)
from seqd.admission import Admitted
from seqd.errors import UnknownJob, WrongState
from seqd.ledger.jobs import ResultPosition
from seqd.ledger.submissions import BatchTemplate
from seqd_schemas import (
    JobState,
)

pytestmark = pytest.mark.processes


def overdue(environment: Environment, job_id: str) -> None:
    """Put a job's deadline into the past, as time would."""
    past_ms = environment.ledger.fleet.now_ms() - 1
    environment.redis.zadd(environment.keys.deadlines(), {job_id: past_ms}, xx=True)
    environment.redis.hset(environment.keys.job(job_id), "expires_at", past_ms)


def test_a_job_that_is_not_there_can_be_neither_read_nor_steered(environment: Environment) -> None:
    control = environment.ledger.control
    acts = (control.cancel, control.pause, control.resume, control.remove)

    for act in (environment.ledger.jobs.get, *acts):
        with pytest.raises(UnknownJob) as error:
            act("nowhere")
        assert str(error.value) == (
            "No job 'nowhere'. `seqd jobs list` shows those that are kept; they go with `seqd jobs "
            "rm`, when their time to live has passed, or with their Redis. Check the id, or hand "
            "the job in again, with the same idempotency key."
        )


def test_a_job_that_runs_or_that_an_open_one_continues_is_not_removed(
    environment: Environment,
) -> None:
    remove = environment.ledger.control.remove
    first = environment.submit_units(1)

    with pytest.raises(WrongState) as runs:
        remove(first)
    environment.ledger.control.cancel(first)
    retry = environment.submit(a_classify_job(continues=first), chunk=a_chunk(), sealed=True)
    with pytest.raises(WrongState) as is_needed:
        remove(first)

    assert str(runs.value) == (
        f"Job {first} is queued; only a job that has ended can be removed. Cancel it first: "
        f"seqd jobs cancel {first}"
    )
    assert str(is_needed.value) == (
        f"Job {first} is continued by {retry}, which has not ended and needs what is kept of it. "
        f"Wait for its end (seqd jobs watch {retry}), or cancel it first: seqd jobs cancel {retry}"
    )


@pytest.mark.parametrize("reads", ["its record", "its results"])
def test_a_job_that_was_not_done_in_time_says_so(environment: Environment, reads: str) -> None:
    jobs = environment.ledger.jobs
    job_id = environment.submit_units(1, a_classify_job(expires_in_s=60))
    overdue(environment, job_id)

    is_of_results = reads == "its results"
    record = jobs.results(job_id, ResultPosition(0)).record if is_of_results else jobs.get(job_id)
    failure = record.failure

    assert failure is not None
    assert failure.message == (
        "The job was not done within its expires_in_s of 60 seconds. What had finished stays "
        "readable."
    )


def test_none_of_many_overdue_jobs_is_handed_out_and_what_time_makes_due_ends_them(
    environment: Environment,
) -> None:
    late = [environment.submit_units(1, a_classify_job(expires_in_s=60)) for _ in range(20)]
    for job_id in late:
        overdue(environment, job_id)
    in_time = environment.submit_units(1)

    assert environment.claim_names() == [(in_time, "0")]
    environment.ledger.work.expire()
    states = environment.redis.pipeline(transaction=False)
    for job_id in late:
        states.hget(environment.keys.job(job_id), "state")
    assert {*states.execute()} == {b"expired"}


def test_an_upload_whose_client_went_silent_says_so(
    environment: Environment,
) -> None:
    silent = environment.submit(chunk=a_chunk())
    environment.redis.zadd(environment.keys.uploads(), {silent: 2})

    environment.ledger.control.fail_abandoned(900.0, environment.ledger.fleet.now_ms())

    record = environment.record(silent)
    assert (record.state, record.failure and record.failure.message) == (
        JobState.FAILED,
        "The client showed no sign of life for 900 s and had not said that its input was complete. "
        "Send the job again; what had finished stays readable.",
    )
    keys = environment.keys
    assert [environment.redis.zcard(key) for key in (keys.uploads(), keys.open_jobs())] == [0, 0]


def test_jobs_behind_long_lived_ones_are_forgotten_too(environment: Environment) -> None:
    # Past 128 entries Redis hands a sorted set out in pages.
    for number in range(300):
        environment.submit(a_classify_job(source=inline("good")), job_id=f"kept-{number}")
    gone = [environment.submit(a_classify_job(source=inline("good"))) for _ in range(30)]
    environment.redis.delete(*(environment.keys.job(job_id) for job_id in gone))

    for _ in range(40):
        environment.ledger.jobs.forget_expired(batch=10)

    assert environment.redis.zcard(environment.keys.jobs()) == 300


def test_a_client_that_takes_its_jobs_leaves_no_list_and_no_completion_stream(
    environment: Environment,
) -> None:
    template = BatchTemplate(a_classify_job(), Admitted(3, 2), "one")
    environment.ledger.submissions.submit_each(template, [("small", a_chunk())])
    environment.commit(environment.claim_unit())
    stream = environment.keys.completions("one")
    before = environment.redis.exists(stream), environment.redis.llen(environment.keys.small_jobs())

    environment.ledger.jobs.take_ended(["small"], client="one")

    after = environment.redis.exists(stream), environment.redis.llen(environment.keys.small_jobs())
    assert (before, after) == ((1, 1), (0, 0))
