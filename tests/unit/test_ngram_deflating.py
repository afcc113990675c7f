"""Rows of numbers as packed bytes: they come back, and what is no packed row is refused."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seqd_modelkit.ngrams import deflate, inflate
from seqd_modelkit.ngrams.storage import DEFLATED_TYPES


@given(
    st.sampled_from(DEFLATED_TYPES).flatmap(
        lambda kind: arrays(
            kind, st.integers(0, 50), elements={"allow_nan": False} if "f" in kind else None
        )
    )
)
def test_what_was_packed_comes_back_to_the_bit(row):
    back = inflate(deflate(row), "row")

    assert back.dtype == row.dtype
    np.testing.assert_array_equal(back, row)


def test_small_numbers_take_less_room():
    row = np.arange(10_000, dtype=np.uint32) % 50

    assert deflate(row).nbytes < row.nbytes / 100


@pytest.mark.parametrize("array", [np.ones((2, 2), np.uint8), np.ones(3, np.complex64)])
def test_only_rows_of_numbers_are_packed(array):
    with pytest.raises(ValueError, match="is no row of numbers"):
        deflate(array)


SOUND = deflate(np.arange(5, dtype=np.uint16))
DAMAGED = {
    "words": (np.arange(5, dtype=np.uint16), r"'row' is uint16 of shape \(5,\); due is packed"),
    "nothing": (SOUND[:0], "due is packed bytes"),
    "an unknown kind": (np.append(np.uint8(99), SOUND[1:]), "in a way that this version does not"),
    "no stream": (np.array([0, 1, 2, 3], np.uint8), "'row' cannot be unpacked"),
    "a cut stream": (SOUND[:-3], "'row' is cut"),
    "something behind": (np.append(SOUND, np.uint8(0)), "something behind its end"),
    "half a number": (
        np.frombuffer(bytes([1]) + zlib.compress(b"abc"), np.uint8),
        "'row' is cut, too large",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_packed_row_is_refused(name):
    packed, reason = DAMAGED[name]

    with pytest.raises(ValueError, match=reason):
        inflate(packed, "row")


def test_a_row_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("seqd_modelkit.ngrams.storage.MAX_INFLATED_BYTES", 1_000)

    with pytest.raises(ValueError, match="too large"):
        inflate(deflate(np.zeros(2_000, np.uint8)), "row")
