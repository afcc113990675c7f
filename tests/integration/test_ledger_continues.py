"""A job that continues an ended one: what it finds there, and when it is refused."""

import pytest

from builders import (
    a_chunk,
    a_classify_job,
    a_text_chunk,
    a_train_job,
    a_training_result,
    some_results,
)
from ledger_fixtures import Environment, failed_items
from seqd.errors import WrongState
from seqd.ledger.blobs import split_chunk, unpack_items
from seqd_schemas import ItemChunk, ItemError, ItemErrorCode, JobState, RefusedItem, UploadSource

pytestmark = pytest.mark.processes


def failed_ids(environment: Environment, job_id: str) -> list[str]:
    """Names of the items that are kept to be tried again."""
    return [item.custom_id for item in failed_items(environment.ledger, job_id)]


def cancelled_training(environment: Environment) -> str:
    """A training with two uploaded chunks, cancelled while it ran."""
    job = a_train_job(source=UploadSource())
    job_id = environment.submit(job, version=None, unit_items=1)
    for number in range(2):
        environment.ledger.submissions.append(job, job_id, number, a_text_chunk())
    environment.ledger.submissions.seal(job, job_id, 2)
    environment.claim_unit()
    environment.ledger.control.cancel(job_id)
    return job_id


def test_items_with_errors_are_kept_in_their_order_and_no_others(environment: Environment) -> None:
    job_id = environment.submit_units(3)
    first, second, third = (
        environment.claim_unit(),
        environment.claim_unit(),
        environment.claim_unit(),
    )

    environment.commit(third, errored=1)
    environment.commit(second)
    environment.commit(first, errored=2)

    assert failed_ids(environment, job_id) == ["item-0", "item-1", "item-5"]


def test_failed_items_of_a_split_unit_are_kept_part_by_part(environment: Environment) -> None:
    job_id = environment.submit_units(1)
    unit = environment.claim_unit()
    parts = split_chunk(unpack_items(unit.blob))
    assert parts is not None
    environment.ledger.work.split(unit, parts)
    parts = [environment.claim_unit(), environment.claim_unit()]

    for part in reversed(parts):
        chunk = unpack_items(part.blob)
        results = some_results(1, first=chunk.first_index, errored=1)
        environment.ledger.work.commit(part, results, chunk)

    assert failed_ids(environment, job_id) == ["item-0", "item-1"]


def test_an_entry_that_was_never_readable_is_not_tried_again(environment: Environment) -> None:
    error = ItemError(code=ItemErrorCode.DECODE_ERROR, message="no text")
    refused = RefusedItem(custom_id="item-1", refused=error)
    chunk = ItemChunk(first_index=0, items=(*a_chunk(1).items, refused))
    job_id = environment.submit(chunk=chunk, sealed=True)

    environment.commit(environment.claim_unit(), errored=2)

    assert failed_ids(environment, job_id) == ["item-0"]


def test_an_ended_job_knows_the_job_that_goes_on_from_it(environment: Environment) -> None:
    ended = environment.submit_units(1)
    environment.commit(environment.claim_unit(), errored=1)

    job_id = environment.submit(a_classify_job(continues=ended), chunk=a_chunk(), sealed=True)

    assert environment.record(ended).continued_by == job_id
    assert environment.record(job_id).job.continues == ended


def test_a_training_that_goes_on_has_the_data_that_was_uploaded_for_the_first(
    environment: Environment,
) -> None:
    ended = cancelled_training(environment)
    uploaded = environment.ledger.jobs.inputs(ended, [0, 1])
    job = a_train_job(source=UploadSource(), continues=ended)

    job_id = environment.submit(job, version=None, unit_items=1)

    assert None not in uploaded
    assert environment.claim_names() == [(job_id, "train")]
    inputs = environment.ledger.jobs.inputs
    assert inputs(job_id, [0, 1]) == uploaded
    assert inputs(ended, [0, 1]) == [None, None]
    assert environment.redis.ttl(environment.keys.input(job_id)) == -1
    assert environment.redis.hget(environment.keys.job(ended), "held_by") == job_id.encode()
    bytes_waiting = sum(len(blob or b"") for blob in inputs(job_id, [0, 1]))
    assert int(environment.redis.hget(environment.keys.tenant("default"), "bytes")) == bytes_waiting


def test_the_data_of_a_training_comes_back_with_the_removal_of_the_job_that_went_on_with_it(
    environment: Environment,
) -> None:
    ended = cancelled_training(environment)
    uploaded = environment.ledger.jobs.inputs(ended, [0, 1])
    job = a_train_job(source=UploadSource(), continues=ended)
    removed = environment.submit(job, version=None, unit_items=1)
    environment.ledger.control.cancel(removed)

    environment.ledger.control.remove(removed)

    assert environment.ledger.jobs.inputs(ended, [0, 1]) == uploaded
    kept_s = environment.redis.ttl(environment.keys.job(ended))
    assert abs(environment.redis.ttl(environment.keys.input(ended)) - kept_s) <= 1
    job_id = environment.submit(job, version=None, unit_items=1)
    assert environment.claim_names() == [(job_id, "train")]


@pytest.mark.parametrize("what", ["never complete", "gone"])
def test_a_training_does_not_go_on_with_part_of_its_data(
    environment: Environment, what: str
) -> None:
    if what == "gone":
        ended = cancelled_training(environment)
        environment.redis.delete(environment.keys.input(ended))
    else:
        job = a_train_job(source=UploadSource())
        ended = environment.submit(job, version=None, unit_items=1)
        environment.ledger.submissions.append(job, ended, 0, a_text_chunk())
        environment.ledger.control.cancel(ended)

    with pytest.raises(WrongState) as refused:
        environment.submit(a_train_job(source=UploadSource(), continues=ended), version=None)

    assert str(refused.value) == (
        f"Training {ended} cannot be continued: its data was not uploaded completely before it "
        "ended, or is not kept any more. Hand the training in again with all of it."
    )
    assert environment.record(ended).continued_by is None


@pytest.mark.parametrize("what", ["running", "unknown", "completed training", "continued"])
def test_a_job_cannot_continue_one_that_is_not_fit_for_it(
    environment: Environment, what: str
) -> None:
    if what == "running":
        ended, job = environment.submit_units(1), a_classify_job()
        message = (
            f"Job {ended} is queued; only a job that has ended can be continued. Wait for its end, "
            "or cancel it."
        )
    elif what == "unknown":
        ended, job = "nowhere", a_classify_job()
        message = "There is no job 'nowhere' to continue; it is not kept (any more)."
    elif what == "completed training":
        ended, job = environment.submit(a_train_job(), version=None, unit_items=1), a_train_job()
        environment.ledger.work.commit_training(environment.claim_unit(), a_training_result())
        message = (
            f"Training {ended} is completed: there is nothing left to continue. Train anew, "
            "without `continues`."
        )
    else:
        ended, job = environment.submit_units(1), a_classify_job()
        environment.ledger.control.cancel(ended)
        other = environment.submit(a_classify_job(continues=ended))
        message = (
            f"Job {ended} was already continued by job {other}. Retry that one: seqd jobs retry "
            f"{other}; then all results: seqd jobs results {ended} --merged"
        )

    with pytest.raises(WrongState) as refused:
        environment.submit(job.model_copy(update={"continues": ended}), job_id="late")

    assert str(refused.value) == message
    assert environment.redis.exists(environment.keys.job("late")) == 0


def test_a_training_that_was_continued_says_which_one_to_resume(environment: Environment) -> None:
    ended = cancelled_training(environment)
    job = a_train_job(source=UploadSource(), continues=ended)
    other = environment.submit(job, version=None, unit_items=1)

    with pytest.raises(WrongState) as refused:
        environment.submit(job, version=None, unit_items=1)

    assert str(refused.value) == (
        f"Job {ended} was already continued by job {other}. Resume that one: seqd jobs resume "
        f"{other}"
    )


def test_sent_twice_it_goes_on_once(environment: Environment) -> None:
    ended = environment.submit_units(1)
    environment.ledger.control.cancel(ended)
    job = a_classify_job(continues=ended, idempotency_key="once")

    assert environment.submit(job) == environment.submit(job)


def test_when_the_job_that_went_on_is_removed_another_may_go_on(environment: Environment) -> None:
    ended = environment.submit_units(1)
    environment.ledger.control.cancel(ended)
    other = environment.submit(a_classify_job(continues=ended))
    environment.ledger.control.cancel(other)
    environment.ledger.control.remove(other)

    job_id = environment.submit(a_classify_job(continues=ended))

    assert environment.record(ended).continued_by == job_id
    assert environment.record(job_id).state is JobState.QUEUED
