"""Drawing from a chain: frequencies, temperature, back-off, and independence of the batch."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.errors import Stopped
from seqd.hookspecs import random_stream
from seqd_markov.chain import count
from seqd_markov.sampling import PIECE_CHARACTERS, Sampler


def drawn(text, start, *, temperature=1.0, length=10, seed=0):
    chain = count(text)
    state = chain.state_of(start) if start else None
    pieces = Sampler(chain, [temperature]).draw(
        [state], [0], [random_stream(seed, 0, 0)], length, lambda: False
    )
    return "".join(chain.decode(piece.states[0]) for piece in pieces)


def test_temperature_zero_takes_the_most_probable_character():
    assert drawn("abab" + "ac" + "abba", "a", temperature=0.0, length=6) == "bababa"


def test_of_equally_probable_characters_temperature_zero_takes_the_first_in_code_order():
    assert drawn("acabad", "a", temperature=0.0, length=3) == "bab"


def test_a_state_without_successors_goes_on_by_the_frequencies_of_single_characters():
    text = "a" * 50 + "z"  # nothing follows z

    assert drawn(text, "z", temperature=0.0, length=3) == "aaa"


def test_drawing_never_ends_at_a_state_without_successors():
    assert len(drawn("az", "a", length=5_000)) == 5_000


def test_an_empty_start_draws_by_the_frequencies_of_single_characters():
    assert drawn("aaab", "", temperature=0.0, length=1) == "a"


def test_the_frequencies_follow_the_probabilities():
    text = "ab" * 100 + "ac" * 300  # P(b | a) is 1/4; b and c are followed by a

    found = Counter(drawn(text, "a", length=20_000)[::2])

    # 10,000 draws: the standard deviation is 0.0043
    assert found["b"] / 10_000 == pytest.approx(0.25, abs=0.02)


def test_a_temperature_raises_the_probabilities_to_its_inverse():
    text = "ab" * 100 + "ac" * 300  # at 0.5 P(b | a) is (1/4)² / ((1/4)² + (3/4)²) = 1/10

    found = Counter(drawn(text, "a", temperature=0.5, length=20_000)[::2])

    assert found["b"] / 10_000 == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-9])
def test_a_tiny_temperature_is_as_zero(temperature):
    text = "abab" + "ac" + "abba"

    assert drawn(text, "a", temperature=temperature, length=6) == "bababa"


def test_log_probabilities_are_the_chains_own_at_every_temperature():
    chain = count("abacab")  # P(b | a) = 2/3, P(a | b) = 1

    pieces = list(Sampler(chain, [0.0]).draw([0], [0], [random_stream(0, 0, 0)], 2, lambda: False))

    assert pieces[0].log_probs[0] == pytest.approx([math.log(2 / 3), 0.0])


@settings(deadline=None, max_examples=30)
@given(
    st.text(st.sampled_from("abcd"), min_size=2, max_size=40),
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 2)), min_size=1, max_size=9),
    st.integers(1, 600),
)
def test_a_text_does_not_depend_on_its_batch(text, requests, length):
    chain = count(text)
    temperatures = [0.0, 0.7, 1.5]

    def write(batch):
        streams = [random_stream(5, index, 0) for index, _ in batch]
        ranks = [rank for _, rank in batch]
        pieces = list(
            Sampler(chain, temperatures).draw(
                [0] * len(batch), ranks, streams, length, lambda: False
            )
        )
        return np.concatenate([piece.states for piece in pieces], axis=1).tolist()

    together = write(requests)

    assert together == [write([request])[0] for request in requests]


def test_a_shorter_text_is_the_beginning_of_a_longer_one():
    text = "abcacbbca"

    longer = drawn(text, "a", length=2 * PIECE_CHARACTERS + 9)

    assert drawn(text, "a", length=PIECE_CHARACTERS + 1) == longer[: PIECE_CHARACTERS + 1]


def test_a_stop_ends_the_drawing_at_the_next_piece():
    answers = iter([False, True])
    pieces = Sampler(count("abab"), [1.0]).draw(
        [0], [0], [random_stream(0, 0, 0)], 10_000, lambda: next(answers)
    )

    first = next(pieces)

    assert first.states.shape == (1, PIECE_CHARACTERS)
    with pytest.raises(Stopped):
        next(pieces)
