"""A slot's rates: summed by queue, and written down now and then."""

from clock_fixtures import HeldClock
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


def test_many_small_jobs_are_noted_once_a_second():
    clock, notes = HeldClock(), list[tuple[str, int, float, int]]()
    meter = RateMeter(lambda *note: notes.append(note), clock=clock)
    for _ in range(30):
        meter.add("a", 1, 0.1)
        meter.note(if_due=True)
        clock.now_s += 0.1

    assert len(notes) == 2
    # What was not noted yet waits for the next heartbeat.
    assert sum(items for _, items, _, _ in notes) < 30
    meter.note()
    assert sum(items for _, items, _, _ in notes) == 30
