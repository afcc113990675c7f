"""A slot's rates: summed by queue, and written down now and then."""

import pytest

from seqd.worker import counting
from seqd.worker.counting import RateMeter


def test_claims_of_a_queue_are_one_note():
    notes: list[tuple[str, int, float, int]] = []
    meter = RateMeter(lambda *note: notes.append(note))
    meter.add("a", 8, 0.5, 1)
    meter.add("b", 1, 2.0)
    meter.add("a", 4, 0.25, 2)

    meter.note()
    meter.note()

    assert notes == [("a", 12, 0.75, 3), ("b", 1, 2.0, 0)]


def test_many_small_jobs_are_noted_once_a_second(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(counting, "monotonic", lambda: now[0])
    notes: list[tuple[str, int, float, int]] = []
    meter = RateMeter(lambda *note: notes.append(note))
    for _ in range(30):
        meter.add("a", 1, 0.1)
        meter.note(if_due=True)
        now[0] += 0.1

    assert len(notes) == 2
    # What was not noted yet waits for the next heartbeat.
    assert sum(items for _, items, _, _ in notes) < 30
    meter.note()
    assert sum(items for _, items, _, _ in notes) == 30
