"""Taking jobs: how they ended and their results, and nothing is left of them."""

import random

import pytest

from builders import a_chunk, a_classify_job
from ledger_fixtures import Environment
from seqd.ledger.blobs import unpack_results
from seqd.ledger.work import CommitOutcome
from seqd_schemas import Failure, JobState

pytestmark = pytest.mark.processes


def names_of(environment: Environment) -> set[bytes]:
    """The keys that there are, but for those of no job, and what expires soon."""
    prefix = environment.settings.prefix
    lasting = (":events", ":failures", ":memory", ":usage:", ":wakeup.")
    found = environment.redis.keys(f"{prefix}:*")
    return {key for key in found if not any(f"{prefix}{one}".encode() in key for one in lasting)}


def a_completed_job(environment: Environment, job_id: str, label: str = "like") -> str:
    environment.submit_units(1, job_id=job_id)
    assert environment.commit(environment.claim_unit(), label=label) is CommitOutcome.COMPLETED
    return job_id


def test_a_small_job_is_returned_with_its_results_and_is_gone(environment: Environment) -> None:
    before = names_of(environment)
    job_id = a_completed_job(environment, "one")

    (row,) = environment.ledger.jobs.take_ended([job_id])

    assert row.state is JobState.COMPLETED
    assert row.blob is not None
    assert [one.output.label for one in unpack_results(row.blob)] == ["like", "like"]  # type: ignore[union-attr]
    assert names_of(environment) == before
    assert environment.ledger.jobs.newest(10) == []


def test_results_that_are_not_small_go_with_the_job_too(environment: Environment) -> None:
    before = names_of(environment)
    letters = random.Random(15)
    label = "".join(chr(letters.randrange(0x4E00, 0x9FFF)) for _ in range(250))
    job_id = a_completed_job(environment, "one", label=label)
    assert environment.redis.exists(f"{environment.keys.job(job_id)}:out") == 1
    other = environment.submit_units(1, a_classify_job(), job_id="other")
    environment.commit(environment.claim_unit(), errored=1)

    rows = environment.ledger.jobs.take_ended([job_id, other])

    assert [len(list(unpack_results(row.blob or b""))) for row in rows] == [2, 2]
    assert names_of(environment) == before


def test_a_job_that_has_not_ended_is_left_unless_it_is_to_be_cancelled(
    environment: Environment,
) -> None:
    before = names_of(environment)
    waiting, held = environment.submit_units(1), environment.submit_units(1)
    unit = environment.claim_unit()

    left = environment.ledger.jobs.take_ended([waiting, held])
    taken = environment.ledger.jobs.take_ended([waiting, held], cancels=True)

    assert [(row.state, row.is_kept) for row in left] == [(None, True)] * 2
    assert [row.state for row in taken] == [JobState.CANCELLED] * 2
    assert environment.commit(unit) not in (CommitOutcome.COMMITTED, CommitOutcome.COMPLETED)
    assert names_of(environment) - before <= {environment.keys.usage(0).encode()}


def test_a_failed_job_is_returned_with_its_reason(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    failure = Failure(code="invalid_input", message="It is no chunk.")
    environment.ledger.control.fail(job_id, failure)

    (row,) = environment.ledger.jobs.take_ended([job_id])

    assert (row.state, row.failure) == (JobState.FAILED, failure)
    assert not environment.ledger.jobs.exists(job_id)


def test_a_job_that_is_not_there_is_said_to_be_gone(environment: Environment) -> None:
    (row,) = environment.ledger.jobs.take_ended(["never-was"], cancels=True)

    assert (row.state, row.is_kept, row.blob) == (None, False, None)


def test_a_completed_job_of_several_units_is_left_to_be_read(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    while (claim := environment.claim()) is not None:
        for unit in claim.units:
            environment.commit(unit)

    (row,) = environment.ledger.jobs.take_ended([job_id])

    assert (row.state, row.blob) == (JobState.COMPLETED, None)
    assert environment.ledger.jobs.exists(job_id)


def test_the_tenants_account_is_what_it_was(environment: Environment) -> None:
    kept = a_completed_job(environment, "kept")
    before = environment.redis.hgetall(environment.keys.tenant("default"))
    jobs = [a_completed_job(environment, f"job-{number}") for number in range(5)]

    environment.ledger.jobs.take_ended(jobs)

    assert environment.redis.hgetall(environment.keys.tenant("default")) == before
    assert [job.job_id for job in environment.ledger.jobs.newest(10)] == [kept]


def test_the_completion_stream_of_a_client_goes_with_its_jobs(environment: Environment) -> None:
    job = a_classify_job()
    environment.ledger.submissions.submit(
        job, job_id="one", version=3, unit_items=2, chunk=a_chunk(), sealed=True, client="one"
    )
    environment.commit(environment.claim_unit())
    stream = environment.keys.completions("one")
    assert environment.redis.exists(stream) == 1

    environment.ledger.jobs.take_ended(["one"], client="one")

    assert environment.redis.exists(stream) == 0
