"""How often `markov` writes each symbol: against probabilities by hand, and those of `measure`."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from markov_builders import (
    CATS,
    a_generator,
    a_word_generator,
    generated,
    measured,
    sample_of,
)

#: Chi-square's critical values at 0.001, for 1 degree of freedom and more.
CRITICAL = [
    10.83, 13.82, 16.27, 18.47, 20.52, 22.46, 24.32, 26.12, 27.88, 29.59, 31.26, 32.91, 34.53,
    36.12, 37.70, 39.25, 40.79, 42.31, 43.82, 45.31,
]  # fmt: skip

TEXT = CATS * 2 + " a hat."
ALPHABET = sorted(set(TEXT))


def first_symbols(generator, prompt, **parameters) -> Counter:
    """How often each symbol is the first one of 2,048 samples."""
    outcomes = generated(*[prompt] * 32, generator=generator, samples=64, length=1, **parameters)
    return Counter(sample.text for outcome in outcomes for sample in outcome.samples)


def smoothed(generator, prompt):
    """The probability of each character after a prompt, by what `measure` says of both."""

    def bits(text):
        return measured(text, generator)["bits_per_char"] * len(text) if text else 0.0

    return np.array([2 ** (bits(prompt) - bits(prompt + one)) for one in ALPHABET])


def counted(text, prompt, order):
    """The relative frequency of each character after the longest context that is followed."""
    for first in range(max(0, len(prompt) - order), len(prompt) + 1):
        context = prompt[first:]
        after = Counter(
            text[place + len(context)]
            for place in range(len(text) - len(context))
            if text.startswith(context, place)
        )
        if after:
            return np.array([after[one] / after.total() for one in ALPHABET])
    raise AssertionError


def assert_drawn_by(counts: Counter, symbols, probabilities):
    """Chi-square; what is expected less than 5 times is put together."""
    seen = np.array([counts[symbol] for symbol in symbols])
    assert seen.sum() == counts.total()
    assert not seen[probabilities == 0].any()
    expected = probabilities * counts.total()
    rare = expected < 5
    seen = np.append(seen[~rare], seen[rare].sum())
    due = np.append(expected[~rare], expected[rare].sum())
    seen, due = seen[due > 0], due[due > 0]
    statistic = ((seen - due) ** 2 / due).sum()
    assert statistic < CRITICAL[max(0, len(due) - 2)], (counts, expected)


def at(probabilities, temperature):
    raised = probabilities ** (1 / temperature)
    return raised / raised.sum()


@pytest.mark.parametrize(
    ("kind", "temperature"),
    [
        ({"smoothing": "kneser_ney"}, 0.6),
        ({"smoothing": "kneser_ney"}, 1.8),
        ({"smoothing": "witten_bell"}, 1.0),
        ({"smoothing": "none"}, 1.0),
        ({"smoothing": "kneser_ney", "min_count": 2}, 1.0),
        ({"smoothing": "additive", "additive": 0.3, "min_count": 2}, 0.6),
    ],
    ids=str,
)
def test_characters_come_as_often_as_the_model_says_at_any_temperature(kind, temperature):
    generator = a_generator(TEXT, keep_text=False, **kind)

    counts = first_symbols(generator, "at", temperature=temperature)

    is_plain = kind["smoothing"] == "none"
    exact = counted(TEXT, "at", 2) if is_plain else smoothed(generator, "at")
    assert exact.sum() == pytest.approx(1.0)
    assert_drawn_by(counts, ALPHABET, at(exact, temperature))


@pytest.mark.parametrize(
    "cut",
    [{"top_k": 1}, {"top_k": 2}, {"top_k": 4}, {"top_p": 0.1}, {"top_p": 0.5}, {"top_p": 0.9}],
    ids=str,
)
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_top_k_and_top_p_leave_the_most_probable_characters_at_the_temperature(cut, temperature):
    generator = a_generator(TEXT, keep_text=False)
    exact = at(smoothed(generator, "at"), temperature)
    order = np.argsort(-exact, kind="stable")
    enough = 1 + int((np.cumsum(exact[order]) < cut.get("top_p", 1.0)).sum())
    kept = order[: cut.get("top_k", enough)]

    counts = first_symbols(generator, "at", temperature=temperature, **cut)

    left = np.zeros_like(exact)
    left[kept] = exact[kept] / exact[kept].sum()
    assert_drawn_by(counts, ALPHABET, left)


@pytest.mark.parametrize("times", [lambda number: 60 - number, lambda number: 1])
def test_of_many_characters_top_k_takes_the_first_of_the_most_probable(times):
    letters = [chr(0x4E00 + number) for number in range(60)]
    text = "".join(f"a{letter}" * times(number) for number, letter in enumerate(letters))
    generator = a_generator(text, order=1, smoothing="none", keep_text=False)

    assert set(first_symbols(generator, "a", top_k=3)) == set(letters[:3])


def test_of_top_k_and_top_p_together_the_narrower_one_counts():
    assert len(first_symbols(a_generator(TEXT, keep_text=False), "at", top_k=3, top_p=0.01)) == 1


def test_words_come_as_often_as_they_were_counted_and_none_begins_a_sentence_inside_another():
    generator = a_word_generator(smoothing="none")

    first = first_symbols(generator, "")
    after_the = first_symbols(generator, "on the")
    sample = sample_of("", generator, sentences=0, length=4_000)

    assert_drawn_by(first, ["The", "Did"], np.array([3 / 4, 1 / 4]))
    assert after_the == {" mat": 2_048}
    followers = Counter(
        b for a, b in pairwise(sample.text.split()) if a in ("sat.", "mat!", "it?", "did.")
    )
    assert set(followers) == {"The", "Did"}
    assert followers["The"] / followers.total() == pytest.approx(3 / 4, abs=0.07)


@pytest.mark.parametrize("temperature", [0.0, 5e-324, 1e-300])
def test_the_coldest_temperatures_take_the_most_probable_symbol_and_of_equals_the_first(
    temperature,
):
    clear = a_generator("ababacabba", order=1)
    equal = a_generator("acabad", order=1, smoothing="none")

    assert sample_of("", clear, temperature=temperature, length=6).text == "ababab"
    assert first_symbols(equal, "a", temperature=temperature) == {"b": 2_048}


@pytest.mark.parametrize("smoothing", ["kneser_ney", "witten_bell", "additive"])
@pytest.mark.parametrize(
    "rules",
    [{"temperature": 3.0}, {"temperature": 0.4}, {"temperature": 2.0, "top_k": 3}, {"top_p": 0.8}],
    ids=str,
)
def test_the_mean_log_probability_is_what_measure_says_of_the_text_whatever_the_rules(
    smoothing, rules
):
    generator = a_generator(CATS, order=3, smoothing=smoothing)

    sample = sample_of("the cat", generator, length=50, **rules)

    bits = [
        measured(text, generator)["bits_per_char"] for text in ("the cat", "the cat" + sample.text)
    ]
    written = bits[1] * 57 - bits[0] * 7
    assert -sample.mean_log_prob / math.log(2) == pytest.approx(written / 50)


def test_the_mean_log_probability_of_a_sentence_is_that_of_its_words_by_hand():
    generator = a_word_generator(smoothing="none")

    (outcome,) = generated("", generator=generator, samples=64)

    # "Did" begins one sentence of four; of what follows each of the other five symbols is sure.
    logs = {sample.text: sample.mean_log_prob for sample in outcome.samples}
    assert logs["Did the cat see it?"] == pytest.approx(math.log(1 / 4) / 6)
