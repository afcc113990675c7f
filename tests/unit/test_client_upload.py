"""An upload that fails, beside a thread that waits for its job; on a ledger that takes its time."""

from collections.abc import Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from seqd.client.upload import Upload
from seqd.errors import InvalidData, QuotaExceeded, UploadLost
from seqd.ledger.blobs import PackedChunk
from seqd_schemas import (
    ClassifyJob,
    Failure,
    Item,
    ItemChunk,
    LabelledText,
    TextChunk,
    TrainJob,
    UploadSource,
)


class SlowToEnd:
    """A ledger that ends a job only when it is allowed to."""

    def __init__(self) -> None:
        self.control = SimpleNamespace(fail_upload=self._fail)
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
    return Upload(ledger, job, "j1", draw(), token="t", owns=True, silence_s=10)


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


def test_a_training_does_not_wait_for_room_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seqd.client.upload.PATIENCE_S", 0.1)
    failures: list[Failure] = []
    ledger = SimpleNamespace(
        outage_s=60.0,
        submissions=SimpleNamespace(append=lambda *_, **__: "full"),
        control=SimpleNamespace(fail_upload=lambda job_id, failure, _: failures.append(failure)),
    )
    job = TrainJob(model="echo", source=UploadSource(), tenant="shop")
    chunks = iter([TextChunk(texts=(LabelledText(text="a", label="b"),))])
    upload = Upload(ledger, job, "j1", chunks, token="t", owns=True, silence_s=10)  # type: ignore[arg-type]

    upload.start()
    upload.join(10)

    with pytest.raises(
        QuotaExceeded, match=r"no room for the rest of the training data for 0\.1 s"
    ):
        upload.raise_error()
    assert [(failure.code, failure.retryable) for failure in failures] == [("quota_exceeded", True)]


def test_an_upload_whose_earlier_units_redis_has_lost_fails_and_may_be_sent_again() -> None:
    failures: list[Failure] = []
    ledger = SimpleNamespace(
        outage_s=60.0,
        submissions=SimpleNamespace(append=lambda *_, **__: "behind"),
        control=SimpleNamespace(fail_upload=lambda job_id, failure, _: failures.append(failure)),
    )
    chunk = ItemChunk(first_index=0, items=(Item(custom_id="a", text="b"),))
    job = ClassifyJob(model="echo", source=UploadSource())
    upload = Upload(ledger, job, "j1", iter([chunk]), token="t", owns=True, silence_s=10)  # type: ignore[arg-type]
    for _ in range(4):
        upload.skip(PackedChunk(chunk))

    upload.start()
    upload.join(10)

    with pytest.raises(UploadLost, match="has lost units of job j1 in front of unit 4"):
        upload.raise_error()
    assert [(failure.code, failure.retryable) for failure in failures] == [("upload_lost", True)]
