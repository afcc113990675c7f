"""Alphabet, windows, and the text before a prompt."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_char_lstm.data import UNKNOWN, Alphabet, Windows, lead_in

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(TEXTS)
def test_a_text_encoded_and_decoded_is_the_text(text):
    alphabet = Alphabet.of(text)

    assert alphabet.decode(alphabet.encode(text)) == text


@given(TEXTS, TEXTS)
def test_exactly_the_characters_that_the_alphabet_lacks_become_unknown(known, text):
    alphabet = Alphabet.of(known)

    ids = alphabet.encode(text)

    assert [id_ == UNKNOWN for id_ in ids] == [character not in known for character in text]
    assert alphabet.unknown_in(text) == "".join(sorted(set(text) - set(known)))


@given(TEXTS, st.integers(1, 4))
def test_the_alphabet_has_what_the_text_has_often_enough(text, min_count):
    alphabet = Alphabet.of(text, min_count)

    assert set(alphabet.characters) == {one for one in text if text.count(one) >= min_count}


@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 5))
def test_windows_are_cut_as_the_tutorial_cuts_them(length, window, step):
    ids = np.arange(length, dtype=np.int32)
    windows = Windows(ids, window, step)

    expected = [
        (list(range(start, start + window)), start + window)
        for start in range(0, length - window, step)
    ]

    assert len(windows) == len(expected)
    cut = windows.batches(np.arange(len(windows)), 4)
    found = [
        pair
        for inputs, targets in cut
        for pair in zip(inputs.tolist(), targets.tolist(), strict=True)
    ]
    assert found == expected


def test_the_tutorials_corpus_has_200_285_windows():
    assert len(Windows(np.zeros(600_893, np.int32), 40, 3)) == 200_285


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("it rains. it snows. so", "it rains. "),  # nine and a space: just enough before it
        ("it is. it rains. so what", "it rains. "),  # the first end has too little before it
        ("no end of a sentence here", "no end of "),
        ("it costs 3.50 now! really", "3.50 now! "),  # a point within a number ends nothing
        ("我去。今天下午他们去公园。好", "今天下午他们去公园。"),  # no space behind it
        ("short.", "short."),
    ],
)
def test_the_lead_in_ends_with_the_first_sentence_that_fills_the_window(text, expected):
    assert lead_in(text, 10) == expected


@given(st.text("ab. !\n", min_size=8, max_size=60))
def test_the_lead_in_is_a_window_of_the_text(text):
    found = lead_in(text, 8)

    assert len(found) == 8
    assert found in text
