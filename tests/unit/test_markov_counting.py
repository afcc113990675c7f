"""Counting a chain: exact counts, whatever the spans, and the measures on them."""

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqd_markov.chain
from seqd_markov.chain import count

TEXTS = st.text(st.sampled_from("ab \né日🙂"), min_size=2, max_size=60)


def counted(chain):
    return {
        (chain.alphabet[state], chain.alphabet[successor]): int(times)
        for state, successor, times in zip(
            chain.states, chain.successors, chain.counts, strict=True
        )
    }


@given(TEXTS)
def test_each_pair_of_neighbours_is_counted_once(text):
    chain = count(text)

    assert counted(chain) == Counter(pairwise(text))
    assert dict(zip(chain.alphabet, chain.character_counts, strict=True)) == Counter(text)


@given(TEXTS)
def test_a_text_cut_into_spans_gives_the_same_chain(text):
    whole = count(text)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seqd_markov.chain, "SPAN_CHARACTERS", 7)
        in_spans = count(text)

        assert counted(in_spans) == counted(whole)
        assert list(in_spans.character_counts) == list(whole.character_counts)
        assert in_spans.bits_per_char_of(text) == pytest.approx(whole.bits_per_char_of(text))


@given(TEXTS)
def test_the_probabilities_of_a_state_with_successors_sum_to_one(text):
    chain = count(text)

    sums = [
        chain.probabilities[chain.states == state].sum()
        for state in range(len(chain.alphabet))
        if chain.totals[state]
    ]

    assert sums == pytest.approx([1.0] * len(sums))


def test_a_last_character_that_stands_nowhere_else_has_no_successor():
    chain = count("aab!")

    assert chain.totals[chain.state_of("!")] == 0


def test_a_character_outside_the_text_is_no_state():
    assert count("ab").state_of("c") is None


def test_the_training_bits_are_the_texts_mean_code_length():
    chain = count("aabab")  # a: a once, b twice; b: a once

    assert chain.bits_per_char() == pytest.approx((-math.log2(1 / 3) - 2 * math.log2(2 / 3)) / 4)


def test_held_out_bits_follow_the_stated_smoothing():
    chain = count("aabab")  # three outcomes: a, b, and all unknown characters together

    expected = {
        "ab": (2 + 0.1) / (3 + 0.3),
        "bb": (0 + 0.1) / (1 + 0.3),
        "a?": (0 + 0.1) / (3 + 0.3),
        "?a": 1 / 3,
    }

    for text, probability in expected.items():
        assert chain.bits_per_char_of(text) == pytest.approx(-math.log2(probability))


@given(TEXTS, st.sampled_from("ab?"))
def test_smoothed_probabilities_of_a_known_text_sum_to_one(text, state):
    chain = count(text)

    outcomes = [*chain.alphabet, "\x00"]  # NUL is in none of the texts

    total = sum(2 ** -chain.bits_per_char_of(state + outcome) for outcome in outcomes)
    assert total == pytest.approx(1.0)
