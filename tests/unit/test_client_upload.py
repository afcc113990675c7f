"""An upload that fails, beside a thread that waits for its job; on a ledger that takes its time."""

from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from seqd.client.upload import Upload
from seqd.errors import InvalidData
from seqd_schemas import ClassifyJob, ItemChunk, UploadSource


class SlowToEnd:
    """A ledger that ends a job only when it is allowed to."""

    def __init__(self) -> None:
        self.control = SimpleNamespace(fail=self._fail)
        self.is_ending, self.may_end = Event(), Event()
        self.ended = False

    def _fail(self, *arguments: object) -> None:
        self.is_ending.set()
        assert self.may_end.wait(10)
        self.ended = True


def an_upload(ledger: Any) -> Upload:
    def draw() -> Iterator[ItemChunk]:
        raise InvalidData("line 7 has no label")
        yield

    job = ClassifyJob(model="echo", source=UploadSource())
    return Upload(ledger, job, "j1", draw(), 0)


def test_whoever_finds_the_job_ended_is_told_why_the_input_broke_off() -> None:
    ledger = SlowToEnd()
    upload = an_upload(ledger)
    upload.start()
    assert ledger.is_ending.wait(10)

    # The job may end at any moment now, and a thread that waits may see it at once.
    ledger.may_end.set()
    with pytest.raises(InvalidData, match="line 7 has no label"):
        upload.raise_error()

    assert ledger.ended
    assert not upload.is_running
