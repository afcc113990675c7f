"""The longest copied span, held against a search that tries every span."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqd_markov.copies
from seqd.errors import Stopped
from seqd_markov.copies import AlignedText, CopyFinder


def never():
    return False


def written(ids, widths=None):
    ends = np.cumsum(np.ones(len(ids), np.int64) if widths is None else widths)
    starts = np.append(np.zeros(1, np.int64), ends)[: len(ids)]
    return AlignedText(np.array(ids, np.int64), starts, ends)


def letters(text):
    return np.array([ord(letter) - ord("a") for letter in text], np.int64)


def longest(corpus, *texts):
    copies = CopyFinder(letters(corpus), 26)
    return copies.longest([written(letters(text)) for text in texts], never)


def tried(corpus, ids, widths):
    """Characters of the longest copy, by trying every span of the text."""
    held = [tuple(corpus[i : i + n]) for n in range(len(ids) + 1) for i in range(len(corpus))]
    spans = [(i, j) for i in range(len(ids)) for j in range(i + 1, len(ids) + 1)]
    known = set(held)
    return max((sum(widths[i:j]) for i, j in spans if tuple(ids[i:j]) in known), default=0)


def test_the_longest_span_that_stands_in_the_training_text_is_found():
    assert longest("thecatsatonthemat", "xxcatsonthexx", "zzz", "thecatsatonthemat", "") == [
        5,  # onthe
        0,
        17,
        0,
    ]


def test_a_copy_longer_than_what_is_compared_at_once_is_found_to_its_last_character():
    corpus = "".join(np.random.default_rng(0).choice(list("abcd"), 3_000))

    found = longest(corpus, "z" + corpus[100:1_900] + "z", corpus[7:72] + "z" + corpus[90:154])

    assert found == [1_800, 65]


def test_a_text_that_repeats_itself_is_found_in_one_that_does():
    assert longest("ab" * 500, "ab" * 300, "ba" * 700, "bb") == [600, 1_000, 1]


@pytest.mark.parametrize("symbols", [3, 254, 255, 70_000])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_longest_copy_is_the_one_that_a_search_of_every_span_finds(symbols, data):
    used = st.sampled_from([symbols, 0, 1, symbols - 1])
    corpus = data.draw(st.lists(used, max_size=40))
    texts = data.draw(
        st.lists(st.lists(used.filter(lambda i: i < symbols), max_size=20), max_size=3)
    )
    widths = [
        data.draw(st.lists(st.integers(1, 5), min_size=len(t), max_size=len(t))) for t in texts
    ]

    found = CopyFinder(np.array(corpus, np.int64), symbols).longest(
        [written(text, width) for text, width in zip(texts, widths, strict=True)], never
    )

    assert found == [tried(corpus, *pair) for pair in zip(texts, widths, strict=True)]


@settings(deadline=None, max_examples=30)
@given(st.text("ab", max_size=200), st.lists(st.text("ab", max_size=120), min_size=1, max_size=3))
def test_copies_of_any_length_are_found_in_texts_of_two_letters(corpus, texts):
    expected = [
        max((n for n in range(len(text) + 1) for i in range(len(text) - n + 1)
             if text[i : i + n] in corpus), default=0)
        for text in texts
    ]  # fmt: skip

    assert longest(corpus, *texts) == expected


def test_a_copy_over_the_border_of_two_parts_is_whole(monkeypatch):
    monkeypatch.setattr(seqd_markov.copies, "PART_SYMBOLS", 10)
    monkeypatch.setattr(seqd_markov.copies, "OVERLAP_SYMBOLS", 6)

    assert longest("abcdefghijklmnopqrstuvwxyz", "ijklmn", "xyz", "abcdefg") == [6, 3, 7]


def test_words_count_as_the_characters_that_they_are():
    copies = CopyFinder(np.array([0, 1, 2, 3]), 4)

    # 1 2 has 2 + 3 characters, 3 alone has 9.
    assert copies.longest([written([1, 2, 0, 3], [2, 3, 1, 9])], never) == [9]


def test_a_stop_ends_the_sorting_and_the_search():
    corpus = letters("ab" * 2_000)
    sorted_before = CopyFinder(corpus, 26)
    sorted_before.longest([], never)

    with pytest.raises(Stopped):
        CopyFinder(corpus, 26).longest([written(letters("ab"))], lambda: True)
    with pytest.raises(Stopped):
        sorted_before.longest([written(letters("ab"))], lambda: True)


def test_a_stopped_search_can_be_made_again():
    copies = CopyFinder(letters("ab" * 2_000), 26)
    with pytest.raises(Stopped):
        copies.longest([written(letters("aab"))], lambda: True)

    assert copies.longest([written(letters("aab"))], never) == [2]
