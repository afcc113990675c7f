"""An upload that fails, beside a thread that waits for its job; on a ledger that takes its time."""

from collections.abc import Callable, Iterator
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from seqd.client.sources import Entries, Source, Texts
from seqd.client.upload import Upload
from seqd.errors import InvalidData, QuotaExceeded
from seqd.ledger.exchange import Exchange, Until
from seqd.ledger.transport import Transport
from seqd_schemas import ClassifyJob, Failure, Item, Job, LabelledText, TrainJob, UploadSource

#: Runs exchanges that send nothing.
DRIVER = Transport(None, "")


def answering(answer: Callable[..., object]) -> SimpleNamespace:
    """Return a method of the ledger that sends nothing."""

    def steps(*arguments: object, **options: object) -> Exchange[object]:
        yield from ()
        return answer(*arguments, **options)

    return SimpleNamespace(steps=steps)


def a_ledger(*, append: str, failures: list[Failure]) -> Any:
    return SimpleNamespace(
        driver=DRIVER,
        outage_s=60.0,
        submissions=SimpleNamespace(append=answering(lambda *_, **__: append)),
        control=SimpleNamespace(
            fail_upload=answering(lambda job_id, failure, _: failures.append(failure))
        ),
    )


class SlowToEnd:
    """A ledger that ends a job only when it is allowed to."""

    def __init__(self) -> None:
        self.driver = DRIVER
        self.control = SimpleNamespace(fail_upload=answering(self._fail))
        self.is_ending, self.may_end = Event(), Event()
        self.ended = False

    def _fail(self, *arguments: object) -> None:
        self.is_ending.set()
        assert self.may_end.wait(120)
        self.ended = True


def an_upload(ledger: Any, job: Job, source: Source) -> Upload:
    source.begin(1)
    return Upload(ledger, job, "j1", source, token="t", owns=True, silence_s=10)


def test_whoever_finds_the_job_ended_is_told_why_the_input_broke_off():
    def draw() -> Iterator[Item]:
        raise InvalidData("line 7 has no label")
        yield

    ledger = SlowToEnd()
    upload = an_upload(ledger, ClassifyJob(model="echo", source=UploadSource()), Entries(draw()))
    DRIVER.run(upload.start())
    assert ledger.is_ending.wait(120)

    # The job may end at any moment now, and a thread that waits may see it at once.
    ledger.may_end.set()
    with pytest.raises(InvalidData, match="line 7 has no label"):
        DRIVER.run(upload.raise_error())

    assert ledger.ended
    assert not upload.is_running


def test_a_training_does_not_wait_for_room_for_ever(monkeypatch):
    monkeypatch.setattr("seqd.client.upload.PATIENCE_S", 0.1)
    failures: list[Failure] = []
    job = TrainJob(model="echo", source=UploadSource(), tenant="shop")
    texts = Texts([LabelledText(text="a", label="b")])
    upload = an_upload(a_ledger(append="full", failures=failures), job, texts)

    DRIVER.run(upload.start())
    DRIVER.run(upload.join(120))

    with pytest.raises(
        QuotaExceeded, match=r"no room for the rest of the training data for 0\.1 s"
    ):
        DRIVER.run(upload.raise_error())
    assert [(failure.code, failure.retryable) for failure in failures] == [("quota_exceeded", True)]


def test_an_upload_that_has_found_room_is_given_its_time_again():
    outcomes = iter(["full", "added", "added"])
    ledger = a_ledger(append="", failures=[])
    ledger.submissions.append = answering(lambda *_, **__: next(outcomes))
    ledger.submissions.seal = answering(lambda *_, **__: True)
    ledger.submissions.heartbeat = answering(lambda *_: None)
    is_asked, may_go_on = Event(), Event()

    def draw() -> Iterator[Item]:
        yield Item(custom_id="a", text="b")
        is_asked.set()
        assert may_go_on.wait(120)
        yield Item(custom_id="c", text="d")

    job = ClassifyJob(model="echo", source=UploadSource())
    upload = an_upload(ledger, job, Entries(draw()))
    DRIVER.run(upload.start())
    assert is_asked.wait(120)

    waits = next(upload.let_go(10.0))

    assert isinstance(waits, Until) and not waits.holds()
    may_go_on.set()
    DRIVER.run(upload.join(120))
    assert waits.holds()
