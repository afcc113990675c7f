"""What a job that continues an ended one asks for, and how the two sets of results join."""

from collections.abc import Iterable
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_classify_job, a_train_job, some_results
from cli_builders import a_record as a_running_record
from seqd.client.job import expiry_of
from seqd.client.requests import resumption_of, retry_of
from seqd.client.results import merged_results
from seqd.errors import InvalidRequest, WrongState
from seqd.ledger.exchange import Give, Reading
from seqd.ledger.transport import Transport
from seqd_schemas import Counts, InlineSource, JobRecord, JobState, UploadSource

T = TypeVar("T")

#: Reads readings that send nothing.
DRIVER = Transport(None, "")


def giving(values: Iterable[T]) -> Reading[T]:
    yield Give(values)


def a_record(**changes: object) -> JobRecord:
    """An ended classification of four items, one of which has an error."""
    job = changes.pop("job", a_classify_job(tenant="shop", idempotency_key="k", expires_in_s=60))
    fields = {
        "job": job,
        "kind": job.kind,
        "version": 3,
        "state": JobState.COMPLETED,
        "counts": Counts(total=4, succeeded=3, errored=1),
        "tenant": "shop",
    }
    return a_running_record(**fields | changes)


def test_a_retry_asks_for_the_same_on_the_same_version():
    job = retry_of(a_record())

    assert (job.model, job.continues, job.tenant) == ("imdb_lstm@3", "j1", "shop")
    assert job.source == UploadSource(expected_items=1)
    assert (job.idempotency_key, job.expires_in_s) == (None, None)
    assert not isinstance(job.source, InlineSource)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"state": JobState.RUNNING},
            WrongState,
            "Job j1 is running; only the failed items of a job that has ended can be retried. "
            "Wait for its end: seqd jobs watch j1",
        ),
        (
            {"counts": Counts(total=4, succeeded=4)},
            WrongState,
            "Job j1 has no failed items: there is nothing to retry.",
        ),
        (
            {"state": JobState.PAUSED},
            WrongState,
            "Job j1 is paused; only the failed items of a job that has ended can be retried. "
            "Resume it (seqd jobs resume j1) or cancel it first.",
        ),
        (
            {"sealed": False, "state": JobState.CANCELLED},
            WrongState,
            "Job j1 ended before its input was complete, so a retry would leave out what had not "
            "been read. Hand the whole job in again; what was done stays readable.",
        ),
        (
            {"job": a_train_job(), "kind": "train", "state": JobState.CANCELLED},
            InvalidRequest,
            "Job j1 is a training, which is cancelled: it has no items to retry. Resume it: seqd "
            "jobs resume j1",
        ),
        (
            {"job": a_train_job(), "kind": "train"},
            InvalidRequest,
            "Job j1 is a training, which is completed: it has no items to retry. The version that "
            "it made: seqd jobs show j1",
        ),
        (
            {"job": a_train_job(), "kind": "train", "state": JobState.RUNNING},
            InvalidRequest,
            "Job j1 is a training, which is running: it has no items to retry. Watch it: seqd jobs "
            "watch j1",
        ),
        (
            {
                "job": a_train_job(source=UploadSource()),
                "kind": "train",
                "state": JobState.CANCELLED,
                "sealed": False,
            },
            InvalidRequest,
            "Job j1 is a training, which is cancelled: it has no items to retry. Its data was not "
            "uploaded completely: hand the training in again with all of it.",
        ),
    ],
    ids=[
        "it runs",
        "nothing failed",
        "it is paused",
        "half an input",
        "a training",
        "a completed training",
        "a training that runs",
        "a training without its data",
    ],
)
def test_what_cannot_be_retried_says_why(changes, error, message):
    with pytest.raises(error) as refused:
        retry_of(a_record(**changes))

    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Job j1 expired after 60 s with 4 of 9 items done. The rest: seqd jobs retry j1"),
        (
            {"sealed": False},
            "Job j1 expired after 60 s with 4 of 9 items done. Its input was not complete by then: "
            "hand it in again with more time.",
        ),
        (
            {"job": a_train_job(expires_in_s=3_600), "kind": "train"},
            "Job j1 expired after 3,600 s, before it had made a version. The rest: seqd jobs "
            "resume j1",
        ),
        (
            {"continued_by": "j2"},
            "Job j1 expired after 60 s with 4 of 9 items done. The job that continues it: seqd "
            "jobs show j2",
        ),
    ],
    ids=["items", "half an input", "a training", "retried already"],
)
def test_an_expired_job_says_how_to_do_the_rest(changes, message):
    counts = Counts(total=9, succeeded=3, errored=1, expired=5)
    record = a_record(counts=counts, state=JobState.EXPIRED, **changes)

    assert expiry_of(record) == message


def test_a_training_that_ended_early_goes_on_with_the_same_request():
    job = a_train_job(parameters={"epochs": 3})
    record = a_record(job=job, version=None, state=JobState.CANCELLED)

    assert resumption_of(record) == job.model_copy(update={"continues": "j1"})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            a_record(),
            "Job j1 is completed; only a paused job, or a training that ended early, can be "
            "resumed.",
        ),
        (
            a_record(state=JobState.CANCELLED),
            "Job j1 is cancelled; only a paused job, or a training that ended early, can be "
            "resumed. The rest: seqd jobs retry j1",
        ),
        (
            a_record(state=JobState.CANCELLED, continued_by="j2"),
            "Job j1 is cancelled; only a paused job, or a training that ended early, can be "
            "resumed. The job that continues it: seqd jobs show j2",
        ),
        (
            a_record(job=a_train_job(), version=None),
            "Training j1 is completed: nothing is left to resume.",
        ),
    ],
    ids=["no training", "one that ended early", "one that was retried", "a completed training"],
)
def test_what_cannot_be_resumed_says_why(record, message):
    with pytest.raises(WrongState) as refused:
        resumption_of(record)

    assert str(refused.value) == message


@given(failed=st.lists(st.booleans(), max_size=12), data=st.data())
def test_each_error_that_was_answered_is_replaced_and_nothing_else(failed, data):
    first = [
        some_results(1, first=number, errored=int(has_failed))[0]
        for number, has_failed in enumerate(failed)
    ]
    expected, retries = list(first), []
    for label in ("again", "once more", "at last"):
        # An entry that never was readable is not retried: its error stays.
        retried = [number for number, has_failed in enumerate(failed) if has_failed]
        retried = [number for number in retried if data.draw(st.booleans())]
        retries.append([some_results(1, first=number, label=label)[0] for number in retried])
        for number, answer in zip(retried, retries[-1], strict=True):
            expected[number] = answer

    together = list(DRIVER.read(merged_results(giving(first), [*map(giving, retries)])))

    assert together == expected
