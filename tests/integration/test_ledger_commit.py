"""A unit's results, its counts, the job's state and its events change together, and once."""

from itertools import pairwise

import pytest
from redis import ResponseError

from builders import (
    a_chunk,
    a_classify_job,
    a_text_chunk,
    a_train_job,
    a_training_result,
    some_results,
)
from ledger_fixtures import Environment
from seqd.ledger.blobs import unpack_results
from seqd.ledger.work import CommitOutcome
from seqd_schemas import Completed, Counts, JobState, Progress, UploadSource

pytestmark = [pytest.mark.processes, pytest.mark.smoke]


def progress_of(environment: Environment, job_id: str) -> list[Progress]:
    events = environment.ledger.jobs.events(job_id, longest_wait_s=0)
    return [event for event in events if isinstance(event, Progress)]


def test_a_commit_stores_the_results_in_their_order(environment: Environment) -> None:
    job_id = environment.submit_units(2)

    outcome = environment.commit(environment.claim_unit(), errored=1)

    assert outcome is CommitOutcome.COMMITTED
    blob = environment.ledger.jobs.outputs(job_id, [0])[0]
    assert blob is not None
    assert list(unpack_results(blob)) == some_results(2, errored=1)


def test_a_commit_counts_its_results(environment: Environment) -> None:
    job_id = environment.submit_units(2)

    environment.commit(environment.claim_unit(), errored=1)

    record = environment.record(job_id)
    assert record.counts == Counts(total=4, succeeded=1, errored=1, processing=2)
    assert record.units_done == 1


def test_the_input_of_a_unit_is_gone_when_it_is_done(environment: Environment) -> None:
    job_id = environment.submit_units(2)

    environment.commit(environment.claim_unit())

    assert environment.ledger.jobs.inputs(job_id, [0])[0] is None
    rest = environment.ledger.jobs.inputs(job_id, [1])[0]
    assert rest is not None
    assert (
        environment.redis.hget(environment.keys.job(job_id), "pending_bytes")
        == str(len(rest)).encode()
    )


def test_the_last_commit_completes_the_job(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    units = [environment.claim_unit(), environment.claim_unit()]

    outcomes = [environment.commit(unit) for unit in units]

    assert outcomes == [CommitOutcome.COMMITTED, CommitOutcome.COMPLETED]
    record = environment.record(job_id)
    assert record.state is JobState.COMPLETED
    assert record.counts == Counts(total=4, succeeded=4)
    completed = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(completed, Completed)
    assert completed.counts == record.counts
    assert completed.at_ms == record.ended_at_ms


def test_a_job_is_not_completed_while_its_input_is_open(environment: Environment) -> None:
    job_id = environment.submit(chunk=a_chunk())

    assert environment.commit(environment.claim_unit()) is CommitOutcome.COMMITTED
    assert environment.record(job_id).state is JobState.RUNNING


def test_the_first_commit_of_a_unit_wins(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    unit = environment.claim_unit()
    environment.commit(unit, label="first")

    outcome = environment.commit(unit, label="second")

    assert outcome is CommitOutcome.DUPLICATE
    assert environment.labels(job_id, 0) == ["first", "first"]
    assert environment.record(job_id).counts.succeeded == 2


def test_a_zombie_that_commits_late_changes_nothing(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    zombie = environment.claim_unit("worker-a")
    environment.ledger.work.release_worker("worker-a", crashed=True)
    environment.commit(environment.claim_unit("worker-b"), label="living")

    outcome = environment.commit(zombie, label="zombie")

    assert outcome is CommitOutcome.DUPLICATE
    assert environment.labels(job_id, 0) == ["living", "living"]


def test_a_zombie_that_is_faster_saves_the_work(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    zombie = environment.claim_unit("worker-a")
    environment.ledger.work.release_worker("worker-a", crashed=True)
    living = environment.claim_unit("worker-b")

    outcomes = [
        environment.commit(zombie, label="zombie"),
        environment.commit(living, label="living"),
    ]

    assert outcomes == [CommitOutcome.COMPLETED, CommitOutcome.DUPLICATE]
    assert environment.labels(job_id, 0) == ["zombie", "zombie"]
    assert environment.ledger.work.renew([living]) == [False]


def test_a_unit_that_a_zombie_committed_is_not_claimable_any_more(environment: Environment) -> None:
    environment.submit_units(2)
    zombie = environment.claim_unit("worker-a")
    environment.ledger.work.release_worker("worker-a", crashed=False)
    environment.commit(zombie)

    assert environment.claim_unit("worker-b").name == "1"
    assert environment.claim("worker-b") is None


def test_a_commit_after_a_cancel_is_not_counted(environment: Environment) -> None:
    job_id = environment.submit_units(2)
    unit = environment.claim_unit()
    environment.ledger.control.cancel(job_id)

    outcome = environment.commit(unit)

    assert outcome is CommitOutcome.ENDED
    assert environment.record(job_id).counts == Counts(total=4, cancelled=4)
    assert environment.ledger.jobs.outputs(job_id, [0]) == [None]


def test_a_commit_for_a_job_that_is_gone_brings_nothing_back(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    environment.ledger.control.cancel(job_id)
    for key in environment.redis.scan_iter(f"{environment.keys.job(job_id)}*"):
        environment.redis.delete(key)

    assert environment.commit(unit) is CommitOutcome.ENDED
    assert environment.redis.keys(f"{environment.keys.job(job_id)}*") == []


def test_results_that_do_not_match_the_unit_are_refused(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()

    with pytest.raises(ResponseError, match=r"seqd: 3 results for unit 0, which has 2 items"):
        environment.ledger.work.commit(unit, some_results(3))

    assert environment.record(job_id).counts == Counts(total=2, processing=2)
    assert environment.commit(unit) is CommitOutcome.COMPLETED


def test_a_training_is_recorded_with_the_version_that_it_made(environment: Environment) -> None:
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)
    result = a_training_result(version=7)

    outcome = environment.ledger.work.commit_training(environment.claim_unit(), result)

    assert outcome is CommitOutcome.COMPLETED
    assert environment.record(job_id).training == result
    assert environment.record(job_id).counts == Counts(total=1, succeeded=1)
    completed = environment.ledger.jobs.events(job_id, longest_wait_s=0)[-1]
    assert isinstance(completed, Completed)
    assert completed.training == result


def test_a_training_of_an_older_attempt_is_fenced_off(environment: Environment) -> None:
    job_id = environment.submit(a_train_job(), version=None, unit_items=1)
    zombie = environment.claim_unit("worker-a")
    environment.ledger.work.release_worker("worker-a", crashed=True)
    current = environment.claim_unit("worker-b")
    commit = environment.ledger.work.commit_training

    outcomes = [
        commit(zombie, a_training_result(version=1)),
        commit(current, a_training_result(version=2)),
    ]

    assert outcomes == [CommitOutcome.FENCED, CommitOutcome.COMPLETED]
    training = environment.record(job_id).training
    assert training is not None
    assert training.version == 2


def test_an_uploaded_training_set_goes_with_the_training(environment: Environment) -> None:
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, unit_items=1)
    environment.ledger.submissions.append(job, job_id, 0, a_text_chunk())
    environment.ledger.submissions.seal(job, job_id, 1)

    environment.ledger.work.commit_training(environment.claim_unit(), a_training_result())

    assert environment.ledger.jobs.input_units(job_id) == 0


def test_progress_is_emitted_at_most_four_times_a_second(environment: Environment) -> None:
    job_id = environment.submit_units(20)
    began_ms = environment.ledger.fleet.now_ms()

    for _ in range(19):
        environment.commit(environment.claim_unit())

    took_ms = environment.ledger.fleet.now_ms() - began_ms
    times = [event.at_ms for event in progress_of(environment, job_id)]
    assert 1 <= len(times) <= 1 + took_ms / 250
    assert all(later - earlier >= 250 for earlier, later in pairwise(times))


def test_progress_tells_the_rate_and_the_time_left(environment: Environment) -> None:
    job_id = environment.submit_units(5)

    environment.commit(environment.claim_unit())

    progress = progress_of(environment, job_id)[0]
    assert progress.counts == Counts(total=10, succeeded=2, processing=8)
    assert progress.rate_per_s > 0
    assert progress.eta_s == pytest.approx(8 / progress.rate_per_s, abs=0.06)


def test_the_time_left_counts_the_items_that_are_expected(environment: Environment) -> None:
    job_id = environment.submit(
        a_classify_job(source=UploadSource(expected_items=1_000)), chunk=a_chunk()
    )
    unit = environment.claim_unit()
    environment.wait_for_clock(
        environment.ledger.fleet.now_ms() + 20
    )  # else the rate is no number to test

    environment.commit(unit)

    progress = progress_of(environment, job_id)[0]
    assert progress.eta_s == pytest.approx(998 / progress.rate_per_s, rel=0.02)


def test_the_time_left_is_unknown_while_an_input_of_unknown_length_grows(
    environment: Environment,
) -> None:
    job_id = environment.submit(chunk=a_chunk())

    environment.commit(environment.claim_unit())

    assert progress_of(environment, job_id)[0].eta_s is None
