"""A job that continues an ended one: what it finds there, how long, and when it is refused.

Retries of items, and the times to live of both jobs, are walks of `tests/model`.
"""

import pytest

from builders import (
    a_chunk,
    a_classify_job,
    a_failure,
    a_text_chunk,
    a_train_job,
    some_results,
)
from ledger_fixtures import Environment, failed_items
from seqd.errors import JobDamaged, UnknownJob, WrongState
from seqd.ledger.blobs import unpack_items
from seqd_schemas import ItemChunk, ItemError, ItemErrorCode, RefusedItem, UploadSource

pytestmark = pytest.mark.processes

TTL_S = 60
A_TRAINING = a_train_job(source=UploadSource())


def lose(environment: Environment, job_id: str) -> None:
    """Let all keys of a job go, as Redis does when their time to live has passed."""
    for key in environment.redis.scan_iter(f"{environment.keys.job(job_id)}*"):
        environment.redis.delete(key)


def expires_in(environment: Environment, job_id: str) -> set[int]:
    """Seconds of life that the keys of a job have left; -1 for those without an end."""
    keys = environment.redis.scan_iter(f"{environment.keys.job(job_id)}*")
    return {environment.redis.ttl(key) for key in keys}


def cancelled(environment: Environment) -> str:
    """An ended job of three units, of which one is done; kept for a minute."""
    ended = environment.submit_units(3, a_classify_job(results_ttl_s=TTL_S))
    environment.commit(environment.claim_unit())
    environment.ledger.control.cancel(ended)
    return ended


def cancelled_training(environment: Environment) -> str:
    """A training with two uploaded chunks, cancelled while it ran."""
    job_id = environment.submit(A_TRAINING, version=None, unit_items=1)
    for number in range(2):
        environment.ledger.submissions.append(A_TRAINING, job_id, number, a_text_chunk())
    environment.ledger.submissions.seal(A_TRAINING, job_id, 2)
    environment.claim_unit()
    environment.ledger.control.cancel(job_id)
    return job_id


def train_on(environment: Environment, ended: str) -> str:
    job = A_TRAINING.model_copy(update={"continues": ended})
    return environment.submit(job, version=None, unit_items=1)


def retry(environment: Environment, ended: str, results_ttl_s: int = TTL_S) -> str:
    request = a_classify_job(continues=ended, results_ttl_s=results_ttl_s)
    return environment.submit(request, chunk=a_chunk(4, first=2), sealed=True, unit_items=4)


def complete(environment: Environment) -> None:
    """Commit a success for each item of the retry that is open."""
    unit = environment.claim_unit()
    environment.ledger.work.commit(unit, some_results(4, first=2), unpack_items(unit.blob))


def merged(environment: Environment, job_id: str) -> list[bool]:
    """Read a job and its retries as one; return whether each item has an output."""
    origin = environment.handle(job_id).origin()
    return [result.ok for result in origin.merged_results()]


def test_an_entry_that_was_never_readable_is_not_tried_again(environment: Environment) -> None:
    error = ItemError(code=ItemErrorCode.DECODE_ERROR, message="no text")
    refused = RefusedItem(custom_id="item-1", refused=error)
    chunk = ItemChunk(first_index=0, items=(*a_chunk(1).items, refused))
    job_id = environment.submit(chunk=chunk, sealed=True)

    environment.commit(environment.claim_unit(), errored=2)

    assert [item.custom_id for item in failed_items(environment.ledger, job_id)] == ["item-0"]


def test_a_training_that_goes_on_has_the_uploaded_data_which_comes_back_with_its_removal(
    environment: Environment,
) -> None:
    inputs, control = environment.ledger.jobs.inputs, environment.ledger.control
    ended = cancelled_training(environment)
    uploaded = inputs(ended, [0, 1])

    job_id = train_on(environment, ended)

    assert None not in uploaded
    assert environment.claim_names() == [(job_id, "train")]
    assert (inputs(job_id, [0, 1]), inputs(ended, [0, 1])) == (uploaded, [None, None])
    assert expires_in(environment, ended) == {-1}
    assert environment.redis.ttl(environment.keys.input(job_id)) == -1
    waiting = environment.ledger.tenants.record("default").waiting_bytes
    assert waiting == sum(len(blob or b"") for blob in uploaded)

    control.cancel(job_id)
    control.remove(job_id)
    lives = expires_in(environment, ended)
    assert inputs(ended, [0, 1]) == uploaded
    assert min(lives) > 0 and max(lives) - min(lives) <= 1
    assert environment.claim_names() == []
    again = train_on(environment, ended)
    assert environment.claim_names() == [(again, "train")]


@pytest.mark.parametrize("what", ["never complete", "gone"])
def test_a_training_does_not_go_on_with_part_of_its_data(
    environment: Environment, what: str
) -> None:
    if what == "gone":
        ended = cancelled_training(environment)
        environment.redis.delete(environment.keys.input(ended))
    else:
        ended = environment.submit(A_TRAINING, version=None, unit_items=1)
        environment.ledger.submissions.append(A_TRAINING, ended, 0, a_text_chunk())
        environment.ledger.control.cancel(ended)

    with pytest.raises(WrongState) as refused:
        train_on(environment, ended)

    assert str(refused.value) == (
        f"Training {ended} cannot be continued: its data was not uploaded completely before it "
        "ended, or is not kept any more. Hand the training in again with all of it."
    )
    assert environment.record(ended).continued_by is None


@pytest.mark.parametrize(
    "what", ["running", "unknown", "completed training", "continued", "continued training"]
)
def test_a_job_cannot_continue_one_that_is_not_fit_for_it(
    environment: Environment, what: str
) -> None:
    job, other = a_classify_job(), ""
    if what == "running":
        ended = environment.submit_units(1)
    elif what == "unknown":
        ended = "nowhere"
    elif what == "completed training":
        ended, job = environment.submit(a_train_job(), version=None, unit_items=1), a_train_job()
        environment.complete_training(environment.claim_unit())
    elif what == "continued":
        ended = cancelled(environment)
        other = retry(environment, ended)
    else:
        ended, job = cancelled_training(environment), A_TRAINING
        other = train_on(environment, ended)
    messages = {
        "running": f"Job {ended} is queued; only a job that has ended can be continued. Wait for "
        "its end, or cancel it.",
        "unknown": "There is no job 'nowhere' to continue; it is not kept (any more).",
        "completed training": f"Training {ended} is completed: there is nothing left to continue. "
        "Train anew, without `continues`.",
        "continued": f"Job {ended} was already continued by job {other}. What that one leaves "
        f"undone: seqd jobs retry {other}. All results: seqd jobs results {ended} --merged",
        "continued training": f"Job {ended} was already continued by job {other}. Where that one "
        f"stops: seqd jobs resume {other}",
    }

    with pytest.raises(WrongState) as refused:
        environment.submit(job.model_copy(update={"continues": ended}), job_id="late")

    assert str(refused.value) == messages[what]
    assert not environment.ledger.jobs.exists("late")


def test_what_is_held_for_a_job_that_is_gone_is_let_go(environment: Environment) -> None:
    ended = cancelled(environment)
    job_id = retry(environment, ended)
    warnings, member = environment.keys.warnings(), f"{ended} results"
    environment.redis.zadd(warnings, {member: 1})
    environment.ledger.work.expire()
    while_open = expires_in(environment, ended)

    environment.redis.delete(environment.keys.job(job_id))
    environment.redis.zadd(warnings, {member: 1})
    environment.ledger.work.expire()

    assert while_open == {-1}
    assert expires_in(environment, ended) <= {59, 60, 61}
    assert "expiring" not in environment.events(ended)
    assert environment.redis.zscore(warnings, member) > 1  # and is warned of before its end


def test_results_of_more_retries_than_one_call_lets_go_are_read_as_one(
    environment: Environment,
) -> None:
    first = last = cancelled(environment)
    for _ in range(110):
        last = retry(environment, last)
        environment.ledger.control.cancel(last)
    retry(environment, last)
    complete(environment)

    assert merged(environment, first) == [True] * 6


@pytest.mark.parametrize("is_first", [True, False], ids=["the first job", "the last retry"])
@pytest.mark.parametrize("is_between", [True, False], ids=["one between two", "one of two"])
def test_a_job_that_is_gone_is_missed_by_who_reads_it_and_its_retries_as_one(
    environment: Environment, is_between: bool, is_first: bool
) -> None:
    jobs = [cancelled(environment)]
    for _ in range(1 + is_between):
        jobs.append(retry(environment, jobs[-1]))
        environment.ledger.control.cancel(jobs[-1])
    reads = jobs[0 if is_first else -1]
    gone = jobs[1] if is_between else jobs[-1 if is_first else 0]

    environment.ledger.control.remove(gone) if is_between else lose(environment, gone)
    with pytest.raises(UnknownJob) as missing:
        merged(environment, reads)

    verb = "continues" if is_first else "is continued by"
    assert str(missing.value) == (
        f"Job {gone}, which {verb} {reads}, is not kept any more, so the results of both cannot be "
        f"read as one. Those that are left: seqd jobs results {reads}"
    )


def test_items_to_try_again_that_go_while_they_are_read_are_an_error(
    environment: Environment,
) -> None:
    ended = cancelled(environment)
    items = failed_items(environment.ledger, ended)
    first = [next(items), next(items)]

    lose(environment, ended)

    assert [item.custom_id for item in first] == ["item-2", "item-3"]
    with pytest.raises(UnknownJob) as missing:
        next(items)
    assert str(missing.value) == (
        f"Job {ended} went while it was read, and with it unit 2 of the items to try again: its "
        "time to live has passed, or somebody has removed it. Hand its input in again as a new job."
    )
    with pytest.raises(UnknownJob, match="and with it all of the items to try again: "):
        list(failed_items(environment.ledger, ended))


def test_results_of_a_job_that_are_missing_or_go_while_they_are_read_are_an_error(
    environment: Environment,
) -> None:
    handle = environment.handle(cancelled(environment))
    environment.redis.hdel(environment.keys.input(handle.job_id), "2")

    with pytest.raises(JobDamaged, match="there is no unit 2 of the results"):
        list(handle.results())

    results = handle.results()
    next(results)
    lose(environment, handle.job_id)
    with pytest.raises(UnknownJob):
        list(results)


def test_a_failed_upload_is_continued_by_a_job_with_the_rest(environment: Environment) -> None:
    ended = environment.submit(chunk=a_chunk(), owner="sender")
    environment.ledger.control.fail_upload(ended, a_failure(code="upload_failed"), "sender")

    job_id = retry(environment, ended)

    assert environment.record(ended).continued_by == job_id
