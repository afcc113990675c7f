"""Chunks of steps between two checks of the stop request, and work split among threads."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import Stopped
from seqd_char_lstm import decoding
from seqd_char_lstm.decoding import ChunkSizes, ThreadMap, split_evenly


class Clock:
    """Stands still until it is put forward."""

    def __init__(self, monkeypatch):
        self.now_s = 100.0
        monkeypatch.setattr(decoding.time, "monotonic", lambda: self.now_s)


def chunk_steps(clock, step_s, count):
    """The steps of so many chunks, where each step takes so long."""
    chunks, steps = ChunkSizes(lambda: False, "The writing"), []
    for _ in range(count):
        steps.append(chunks.next_steps())
        clock.now_s += steps[-1] * step_s
    return steps


def test_quick_steps_come_in_ever_longer_chunks_up_to_a_limit(monkeypatch):
    assert chunk_steps(Clock(monkeypatch), 1e-5, 5) == [4, 16, 64, 64, 64]


def test_a_chunk_takes_a_tenth_of_a_second(monkeypatch):
    assert chunk_steps(Clock(monkeypatch), 0.0101, 4) == [4, 9, 9, 9]


def test_a_chunk_has_one_step_at_least(monkeypatch):
    assert chunk_steps(Clock(monkeypatch), 3.0, 3) == [4, 1, 1]


def test_it_asks_before_each_chunk_whether_to_stop():
    answers = iter([False, False, True])
    chunks = ChunkSizes(lambda: next(answers), "The reading")

    chunks.next_steps()
    chunks.next_steps()
    with pytest.raises(Stopped, match="The reading was stopped before its end; there is no result"):
        chunks.next_steps()


@given(st.integers(0, 300), st.integers(1, 5), st.integers(1, 128))
def test_what_is_split_is_there_once_and_in_order(count, threads, most):
    parts = split_evenly(count, threads, most)

    assert [number for part in parts for number in part] == list(range(count))
    assert all(1 <= len(part) <= most for part in parts)


@pytest.mark.parametrize(
    ("count", "threads", "sizes"),
    [(256, 2, [128, 128]), (1, 2, [1]), (2, 2, [1, 1]), (130, 2, [68, 62]), (300, 1, [100] * 3)],
)
def test_it_is_split_evenly_and_in_fours(count, threads, sizes):
    assert [len(part) for part in split_evenly(count, threads, 128)] == sizes


def test_a_thread_map_works_on_all_parts_at_the_same_time_and_keeps_their_order():
    meeting = threading.Barrier(3, timeout=60)

    with ThreadMap(3) as threads:
        results = threads.map(lambda part: (part, meeting.wait())[0], "abc")

    assert results == ["a", "b", "c"]


def test_an_error_of_a_part_is_raised():
    with ThreadMap(2) as threads, pytest.raises(ZeroDivisionError):
        threads.map(lambda part: 1 // part, [1, 0])
