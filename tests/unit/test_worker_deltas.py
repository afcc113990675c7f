"""Text deltas are published from a thread: soon, in order, bounded, whatever Redis does."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event

import pytest

from builders import a_chunk
from seqd.errors import RedisUnreachable
from seqd.hookspecs import WorkItem
from seqd.ledger.units import Unit
from seqd.worker import streaming
from seqd.worker.computing import UnitItems
from seqd.worker.streaming import DeltaPublisher
from seqd_schemas import TextDeltas
from worker_fixtures import wait_until

DEADLINE_S = 120.0


def a_unit(name: str = "0", job_id: str = "j", items: int = 2, first: int = 0) -> UnitItems:
    unit = Unit(job_id, name, attempt=2, crashes=0, blob=b"", started_job=False)
    return UnitItems(unit, a_chunk(items, first=first))


class Ledger:
    """Takes text deltas, or does what a test says."""

    def __init__(self) -> None:
        self.entries: list[tuple[Unit, TextDeltas]] = []
        self.calls = 0
        self.lost: list[Unit] = []
        self.told: list[Unit] = []
        self.error: Exception | None = None
        self.may_go_on = Event()
        self.may_go_on.set()

    def publish(self, entries: Sequence[tuple[Unit, TextDeltas]]) -> list[bool]:
        self.calls += 1
        assert self.may_go_on.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        self.entries += [entry for entry in entries if entry[0] not in self.lost]
        return [unit not in self.lost for unit, _ in entries]

    @property
    def written(self) -> int:
        """Characters of all deltas that have come, again and again."""
        return sum(len(delta.text) for _, entry in self.entries for delta in entry.deltas)

    def text(self, custom_id: str = "item-0", sample: int = 0) -> str:
        """Put together what has come of a sample; fails where a delta is missing."""
        text = ""
        for _, entry in self.entries:
            for delta in entry.deltas:
                if (delta.custom_id, delta.sample) == (custom_id, sample):
                    assert delta.offset <= len(text), f"{len(text)} characters, then {delta}"
                    text = text[: delta.offset] + delta.text
        return text


@contextmanager
def publishing(ledger: Ledger, *units: UnitItems) -> Iterator[DeltaPublisher]:
    items = (item for unit in units for item in unit.streamed())
    publisher = DeltaPublisher(items, ledger.publish, ledger.told.extend)
    with publisher.publishing():
        yield publisher


def test_whoever_writes_never_waits_and_what_is_too_much_is_left_out(monkeypatch):
    monkeypatch.setattr(streaming, "MOST_CHARS", 10)
    ledger, unit = Ledger(), a_unit()
    first, second = unit.work
    ledger.may_go_on.clear()

    with publishing(ledger, unit) as publisher:
        publisher.take(first, 0, "a")
        wait_until(lambda: ledger.calls == 1, "it is published")
        for _ in range(1_000):
            publisher.take(first, 0, "bcd")
        publisher.take(second, 0, "x")
        ledger.may_go_on.set()
        wait_until(lambda: len(ledger.text()) == 11, "it is published")
        publisher.take(first, 0, "e")
        wait_until(
            lambda: any(p.text == "e" for _, entry in ledger.entries for p in entry.deltas),
            "it is published",
        )

    assert ledger.text("item-1") == ""
    deltas = [delta for _, entry in ledger.entries for delta in entry.deltas]
    assert [(p.offset, p.text) for p in deltas] == [(0, "a"), (1, "bcdbcdbcdb"), (3_001, "e")]


def test_a_lost_unit_is_told_once_and_written_on_no_more():
    ledger, units = Ledger(), [a_unit(job_id="lost"), a_unit(job_id="kept")]
    ledger.lost = [units[0].unit]

    with publishing(ledger, *units) as publisher:
        for letter in "abc":
            for unit in units:
                publisher.take(unit.work[0], 0, letter)
            wait_until(lambda letter=letter: ledger.text().endswith(letter), "it is published")

    assert ledger.told == [units[0].unit]
    assert {unit.job_id for unit, _ in ledger.entries} == {"kept"}


@pytest.mark.parametrize("error", [RedisUnreachable("Redis is away."), ValueError("odd")])
def test_trouble_is_logged_once_and_passes(error, caplog):
    ledger, unit = Ledger(), a_unit()
    first, _ = unit.work
    ledger.error = error

    with caplog.at_level(logging.WARNING), publishing(ledger, unit) as publisher:
        for calls in (1, 2):
            publisher.take(first, 0, "lost")
            wait_until(lambda calls=calls: ledger.calls == calls, "it is published")
        ledger.error = None
        publisher.take(first, 0, "told")
        wait_until(lambda: bool(ledger.entries), "it is published")

    ((_, entry),) = ledger.entries
    assert (entry.deltas[0].offset, entry.deltas[0].text) == (8, "told")
    assert caplog.text.count("text deltas are left out") == 1


def test_what_is_no_delta_is_left_out_and_the_other_texts_go_on(caplog):
    ledger, unit = Ledger(), a_unit()
    first, second = unit.work

    with caplog.at_level(logging.WARNING), publishing(ledger, unit) as publisher:
        publisher.take(WorkItem(first.index, first.text), 0, "a stranger's")
        publisher.take(first, 0, "")
        publisher.take(first, 0, b"abc")
        publisher.take(first, None, "abc")
        publisher.take(first, 0, "a\ud800b")
        publisher.take(second, 0, "good")
        wait_until(
            lambda: ledger.text("item-1") == "good" and bool(ledger.text()), "it is published"
        )

    assert ledger.text() == "a?b"
    assert "context.stream() got the sample 0 and b'abc'" in caplog.text
