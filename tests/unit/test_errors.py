"""An error that has crossed a process border as a record is raised again as what it was."""

import pytest

from seqd.errors import (
    NoWorker,
    QuotaExceeded,
    SeqdError,
    ServiceChanged,
    StoreUnwritable,
    UnknownModel,
    error_of,
    failure_of,
)
from seqd_schemas import Failure


@pytest.mark.parametrize("kind", [ServiceChanged, UnknownModel, StoreUnwritable])
def test_an_error_is_of_its_class_again(kind):
    error = kind("what arrived")

    again = error_of(failure_of(error))

    assert (type(again), str(again)) == (kind, "what arrived")
    assert (again.code, again.exit_status) == (error.code, error.exit_status)
    assert again.retryable is error.retryable


@pytest.mark.parametrize("code", [NoWorker.code, "of_a_later_release"])
def test_an_error_that_cannot_be_made_of_its_message_alone_keeps_its_code(code):
    again = error_of(Failure(code=code, message="why", retryable=True))

    assert (type(again), again.code, str(again), again.retryable) == (SeqdError, code, "why", True)


def test_the_seconds_to_wait_are_kept():
    error = QuotaExceeded("too many", retry_after_s=5.0)

    again = error_of(failure_of(error))

    assert (again.code, again.retry_after_s) == ("quota_exceeded", 5.0)
