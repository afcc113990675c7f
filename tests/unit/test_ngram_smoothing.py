"""The four smoothings, held against the textbook's formulas for one symbol at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngram_builders import SYMBOLS, counted, ids, orders, sequences
from seqd_modelkit.ngrams import Smoothing, combine, fit

texts = st.lists(st.integers(0, SYMBOLS - 1), min_size=1, max_size=80)


def probability(model, context, symbol) -> float:
    return float(model.probabilities(np.array([model.state_after(ids(*context))]))[0, symbol])


def contexts(text, order):
    """All contexts that a model knows, and what it must say of each."""
    return [(), *(s for s in sequences(text, order) if len(s) <= order)]


def total(counts, context):
    return sum(times for s, times in counts.items() if s[:-1] == context)


def successors(counts, context):
    return sum(s[:-1] == context for s in counts)


@settings(deadline=None)
@given(texts, orders)
def test_without_smoothing_the_longest_context_that_was_followed_decides(text, order):
    counts, model = sequences(text, order), fit(counted(text, order), Smoothing.NONE)

    for context in contexts(text, order):
        followed = next(
            context[first:] for first in range(len(context) + 1) if total(counts, context[first:])
        )
        for symbol in range(SYMBOLS):
            expected = counts[(*followed, symbol)] / total(counts, followed)
            assert probability(model, context, symbol) == pytest.approx(expected, abs=1e-15)


@settings(deadline=None)
@given(texts, orders)
def test_additive_smoothing_adds_the_same_to_each_count(text, order):
    counts, model = sequences(text, order), fit(counted(text, order), Smoothing.ADDITIVE, 0.7)

    for context in contexts(text, order):
        if total(counts, context):
            for symbol in range(SYMBOLS):
                expected = (counts[(*context, symbol)] + 0.7) / (
                    total(counts, context) + 0.7 * SYMBOLS
                )
                assert probability(model, context, symbol) == pytest.approx(expected)


def witten_bell(counts, context, symbol):
    lower = witten_bell(counts, context[1:], symbol) if context else 1 / SYMBOLS
    seen, kinds = total(counts, context), successors(counts, context)
    if not seen:
        return lower
    return (counts[(*context, symbol)] + kinds * lower) / (seen + kinds)


@settings(deadline=None)
@given(texts, orders)
def test_witten_bell_leaves_to_the_shorter_context_as_many_as_there_are_successors(text, order):
    counts, model = sequences(text, order), fit(counted(text, order), Smoothing.WITTEN_BELL)

    for context in contexts(text, order):
        for symbol in range(SYMBOLS):
            expected = witten_bell(counts, context, symbol)
            assert probability(model, context, symbol) == pytest.approx(expected)


class KneserNey:
    """Chen and Goodman's modified Kneser-Ney, one symbol at a time."""

    def __init__(self, text, order):
        self.counts = {}
        plain = sequences(text, order)
        for sequence, times in plain.items():
            before = {s[0] for s in plain if s[1:] == sequence}
            first = sequence == tuple(text[: len(sequence)])
            is_longest = len(sequence) == order + 1
            self.counts[sequence] = times if is_longest else len(before) + first
        self.discounts = [self.discount(length) for length in range(1, order + 2)]

    def discount(self, length):
        found = [times for s, times in self.counts.items() if len(s) == length]
        n1, n2, n3, n4 = (found.count(times) for times in (1, 2, 3, 4))
        if not n1 or not n2:
            return [0.5] * 3
        y = n1 / (n1 + 2 * n2)
        if not n3 or not n4:
            return [y] * 3
        all_ = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
        return all_ if min(all_) > 0 else [y] * 3

    def probability(self, context, symbol):
        lower = self.probability(context[1:], symbol) if context else 1 / SYMBOLS
        seen = {s[-1]: times for s, times in self.counts.items() if s[:-1] == context}
        if not seen:
            return lower
        cut = {s: self.discounts[len(context)][min(t, 3) - 1] for s, t in seen.items()}
        whole = sum(seen.values())
        kept = seen[symbol] - cut[symbol] if symbol in seen else 0.0
        return (kept + sum(cut.values()) * lower) / whole


@settings(deadline=None)
@given(texts, orders)
def test_kneser_ney_is_that_of_chen_and_goodman(text, order):
    reference, model = KneserNey(text, order), fit(counted(text, order))

    for context in contexts(text, order):
        for symbol in range(SYMBOLS):
            expected = reference.probability(context, symbol)
            assert probability(model, context, symbol) == pytest.approx(expected)


def test_kneser_ney_has_three_discounts_where_the_text_is_long_enough():
    rng = np.random.default_rng(5)
    text = (rng.zipf(1.4, 3_000) % 40).tolist()
    reference, model = KneserNey(text, 1), fit(counted(text, 1, symbols=40))

    assert len(set(reference.discounts[1])) == 3
    state = model.state_after(ids(text[0]))
    rows = model.probabilities(np.array([state]))
    seen = {s[1]: times for s, times in reference.counts.items() if s[:-1] == (text[0],)}
    single = model.probabilities(np.array([0]))[0]
    cut = {s: reference.discounts[1][min(times, 3) - 1] for s, times in seen.items()}
    for symbol, times in seen.items():
        expected = (times - cut[symbol] + sum(cut.values()) * single[symbol]) / sum(seen.values())
        assert rows[0, symbol] == pytest.approx(expected)


def test_a_symbol_that_follows_one_other_only_is_improbable_after_anything_else():
    san, francisco, of, a, b, c, d = range(7)  # `francisco` is frequent, but only after `san`
    text = [san, francisco] * 20 + [a, of, b, of, c, of, d, of]
    model = fit(counted(text, 1, symbols=8))

    after_nothing_known = model.probabilities(np.array([0]))[0]

    assert after_nothing_known[francisco] < after_nothing_known[of]


def test_what_was_pruned_from_a_context_backs_off():
    text = [0, 1] * 9 + [0, 2]  # 1 follows 0 nine times, 2 once
    model = fit(counted(text, 1).pruned(2), Smoothing.NONE)

    alone = model.probabilities(np.array([0]))[0]
    assert probability(model, [0], 1) == pytest.approx(0.9 + 0.1 * alone[1])
    assert probability(model, [0], 2) == pytest.approx(0.1 * alone[2])


def test_kneser_neys_discounts_are_those_before_pruning():
    rng = np.random.default_rng(5)
    text = (rng.zipf(1.4, 3_000) % 40).tolist()

    pruned = counted(text, 2, symbols=40).pruned(3)

    assert pruned.discounts == pytest.approx(np.array(KneserNey(text, 2).discounts))


def test_a_count_of_less_than_one_is_never_discounted_below_nothing():
    counts = combine([counted([0, 1, 2, 0, 1, 1], 2), counted([3, 3, 2], 2)], [0.01, 2.5])

    rows = fit(counts).probabilities(np.arange(fit(counts).states))

    assert rows.min() > 0
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12


def test_longer_contexts_predict_a_language_better_until_they_are_too_rare():
    """A text with structure: the held-out bits fall from order to order."""
    sentence = "the cat sat on the mat and the dog sat on the cat . "
    text = np.array([ord(c) - 32 for c in sentence * 30], np.int32)
    train, held_out = text[:1_200], text[1_200:]

    bits = [
        -fit(counted(train, order, symbols=96)).log_probs(held_out).mean() / math.log(2)
        for order in (1, 3, 5)
    ]

    assert bits[0] > bits[1] > bits[2]
