"""A text cut into contiguous streams: what is read, in which order, and what is left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_char_lstm.data import Streams


def read(length: int, streams: int, steps: int, place: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """All batches of a text whose ids are their own places."""
    return list(Streams(np.arange(length, dtype=np.int32), streams, steps).batches(place))


def test_each_stream_is_a_part_of_the_text_and_goes_on_where_it_ended():
    first, second = read(length=14, streams=2, steps=3, place=0)

    # 14 // (2 · 3) are 2 batches, so each stream has 6 characters, and two are left out
    assert first[0].tolist() == [[0, 1, 2], [6, 7, 8]]
    assert second[0].tolist() == [[3, 4, 5], [9, 10, 11]]
    assert first[1].tolist() == [[1, 2, 3], [7, 8, 9]]


def test_an_epoch_that_begins_elsewhere_goes_on_from_the_texts_end_to_its_beginning():
    first, second = read(length=14, streams=2, steps=3, place=9)

    assert first[0].tolist() == [[9, 10, 11], [1, 2, 3]]
    assert second[0].tolist() == [[12, 13, 0], [4, 5, 6]]
    assert second[1].tolist() == [[13, 0, 1], [5, 6, 7]]


@given(st.integers(1, 300), st.integers(1, 6), st.integers(1, 9), st.integers(0, 299))
def test_an_epoch_reads_each_character_once_but_for_less_than_a_batch(length, streams, steps, at):
    batches = read(length, streams, steps, at % length)

    inputs = np.concatenate([inputs.ravel() for inputs, _ in batches]) if batches else np.array([])
    assert len(set(inputs.tolist())) == len(inputs)
    assert 0 <= length - len(inputs) < streams * steps
    for given_ids, targets in batches:
        assert np.array_equal(targets, (given_ids + 1) % length)


@pytest.mark.parametrize("first", [0, 1, 2])
def test_an_epoch_that_goes_on_reads_what_was_left(first):
    streams = Streams(np.arange(40, dtype=np.int32), 2, 5)

    left = list(streams.batches(7, first))

    everything = list(streams.batches(7))
    assert len(everything) == len(streams) == 4
    assert len(left) == 4 - first
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(left, everything[first:], strict=True))
