"""What a job that goes on from an ended one asks for, and how the two sets of results join."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_classify_job, a_train_job, some_results
from seqd.client.continuing import merged, resumption_of, retry_of
from seqd.errors import InvalidRequest, WrongState
from seqd_schemas import Counts, InlineSource, JobRecord, JobState, UploadSource


def a_record(**changes: object) -> JobRecord:
    """An ended classification of four items, one of which has an error."""
    job = changes.pop("job", a_classify_job(tenant="shop", idempotency_key="k", expires_in_s=60))
    fields = {
        "job_id": "j1",
        "kind": job.kind,  # type: ignore[attr-defined]
        "model": "imdb_lstm",
        "version": 3,
        "state": JobState.COMPLETED,
        "counts": Counts(total=4, succeeded=3, errored=1),
        "sealed": True,
        "unit_items": 2,
        "units": 2,
        "units_done": 2,
        "priority": "normal",
        "tenant": "shop",
        "created_at_ms": 1,
        "job": job,
    }
    return JobRecord.model_validate(fields | changes)


def test_a_retry_asks_for_the_same_on_the_same_version() -> None:
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
            {"job": a_train_job(), "kind": "train"},
            InvalidRequest,
            "Job j1 is a training: it has no items to retry. Go on with it from its last "
            "checkpoint: seqd jobs resume j1",
        ),
    ],
    ids=["it runs", "nothing failed", "a training"],
)
def test_what_cannot_be_retried_says_why(
    changes: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refused:
        retry_of(a_record(**changes))

    assert str(refused.value) == message


def test_a_training_that_ended_early_goes_on_with_the_same_request() -> None:
    job = a_train_job(parameters={"epochs": 3})
    record = a_record(job=job, version=None, state=JobState.CANCELLED)

    assert resumption_of(record) == job.model_copy(update={"continues": "j1"})


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            a_record(),
            "Job j1 is completed; only a paused job, or a training that ended early, can be "
            "resumed. Retry its failed items: seqd jobs retry j1 --failed",
        ),
        (
            a_record(job=a_train_job(), version=None),
            "Training j1 is completed: nothing is left to resume.",
        ),
    ],
    ids=["no training", "a completed training"],
)
def test_what_cannot_be_resumed_says_why(record: JobRecord, message: str) -> None:
    with pytest.raises(WrongState) as refused:
        resumption_of(record)

    assert str(refused.value) == message


@given(failed=st.lists(st.booleans(), max_size=12), data=st.data())
def test_each_error_that_was_answered_is_replaced_and_nothing_else(
    failed: list[bool], data: st.DataObject
) -> None:
    first = [
        some_results(1, first=number, errored=int(has_failed))[0]
        for number, has_failed in enumerate(failed)
    ]
    # An entry that never was readable is not retried: its error stays.
    retried = [number for number, has_failed in enumerate(failed) if has_failed]
    retried = [number for number in retried if data.draw(st.booleans())]
    answers = [some_results(1, first=number, label="again")[0] for number in retried]

    together = list(merged(iter(first), iter(answers)))

    expected = list(first)
    for number, answer in zip(retried, answers, strict=True):
        expected[number] = answer
    assert together == expected
