"""`seqd_markov.ngrams`: counting, back-off, smoothing and files, by plain means and formulas."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd_markov.ngrams.counting import NgramCounter, NgramCounts, combine, count
from seqd_markov.ngrams.model import NgramModel, fit
from seqd_markov.ngrams.smoothing import Smoothing
from seqd_modelkit.packing import deflate, inflate

#: Ids of texts over a few symbols, -1 among them; 3 is a beginning where there is one.
SYMBOLS, BEGIN = 4, 3
texts = st.lists(st.integers(-1, SYMBOLS - 1), max_size=60)
orders = st.integers(1, 4)
begins = st.sampled_from([None, BEGIN])


def ids(*symbols: int) -> np.ndarray:
    return np.array(symbols, np.int32)


def counted(text, order, begin=None, symbols=SYMBOLS) -> NgramCounts:
    return count(np.array(text, np.int32), order=order, symbols=symbols, begin=begin)


def sequences(text, order, begin=None) -> Counter:
    """How often each sequence of 1 to order + 1 symbols is in a text, one by one."""
    found: Counter = Counter()
    for first in range(len(text)):
        for length in range(1, order + 2):
            sequence = tuple(text[first : first + length])
            if len(sequence) < length or -1 in sequence or begin in sequence[1:]:
                break
            found[sequence] += 1
    return found


def known_sequences(counts: NgramCounts) -> dict:
    """The same, as counts have it."""
    trie = counts.trie
    spelled = [()]
    for parent, label in zip(trie.parents, trie.labels, strict=True):
        spelled.append((*spelled[parent], int(label)))
    return dict(zip(spelled[1:], trie.counts.tolist(), strict=True))


# Counting


@given(texts, orders, begins)
def test_each_sequence_is_counted_as_often_as_it_is_there(text, order, begin):
    counts = counted(text, order, begin)

    assert known_sequences(counts) == sequences(text, order, begin)


@given(st.lists(st.sampled_from([0, 1, 70_000, 99_999, -1]), max_size=40), st.integers(5, 8))
def test_sequences_that_no_integer_holds_are_counted_as_well(text, order):
    counts = counted(text, order, symbols=100_000)

    assert len(counts.keys) > 1
    assert known_sequences(counts) == sequences(text, order)


@given(texts, orders, begins, st.lists(st.integers(0, 60), max_size=5))
def test_a_text_cut_into_spans_is_counted_as_the_whole(text, order, begin, cuts):
    whole = counted(text, order, begin)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    counter = NgramCounter(order, SYMBOLS, begin)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqd_markov.ngrams.counting.SPAN_SYMBOLS", 7)
        for first, last in itertools.pairwise(edges):
            counter.add(ids(*text[first:last]))
        in_spans = counter.counts()

    assert np.array_equal(in_spans.keys, whole.keys)
    assert np.array_equal(in_spans.counts, whole.counts)


@given(st.lists(texts, min_size=1, max_size=3), orders, begins)
def test_counts_are_additive(parts, order, begin):
    together = combine([counted(part, order, begin) for part in parts], [1.0] * len(parts))

    apart = sum((sequences(part, order, begin) for part in parts), start=sequences([], order))
    assert known_sequences(together) == apart


@given(texts, orders, begins, st.integers(2, 4))
def test_pruning_leaves_out_what_is_rare_and_keeps_single_symbols(text, order, begin, least):
    pruned = counted(text, order, begin).pruned(least)

    all_ = sequences(text, order, begin)
    kept = {s: times for s, times in all_.items() if len(s) == 1 or times >= least}
    assert known_sequences(pruned) == kept


# The back-off automaton: a proper distribution by the longest known context


smoothings = st.sampled_from(list(Smoothing))


@st.composite
def models(draw, smoothing=smoothings) -> NgramModel:
    """A model of any text, pruned or not."""
    counts = counted(draw(texts), draw(orders), draw(begins))
    least = draw(st.integers(1, 3))
    return fit(counts.pruned(least) if least > 1 else counts, draw(smoothing), 0.3)


def all_states(model):
    return np.arange(model.states)


@given(models())
def test_the_probabilities_after_each_context_sum_to_one(model):
    rows = model.probabilities(all_states(model))

    assert rows.shape == (model.states, SYMBOLS)
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12
    assert rows.min() >= 0


@given(models(), texts, texts)
def test_the_log_probabilities_of_a_text_are_those_met_on_the_way(model, before, text):
    state = model.state_after(ids(*before))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqd_markov.ngrams.model._SPAN_SYMBOLS", 7)
        logs = model.log_probs(ids(*text), state)

    states = np.array([state])
    for symbol, log in zip(text, logs, strict=True):
        if symbol in (-1, model.begin):
            assert np.isnan(log)
        else:
            with np.errstate(divide="ignore"):
                assert log == np.log(model.probabilities(states)[0, symbol])
        states = model.advance(states, ids(symbol))


def test_a_model_of_no_text_takes_all_symbols_as_alike():
    model = fit(counted([], 2))

    assert model.states == 1
    assert model.probabilities(np.array([0])).tolist() == [[0.25] * 4]


# Smoothing, held against the formulas for one symbol at a time


known_texts = st.lists(st.integers(0, SYMBOLS - 1), min_size=1, max_size=80)


def probability(model, context, symbol) -> float:
    return float(model.probabilities(np.array([model.state_after(ids(*context))]))[0, symbol])


def contexts(text, order):
    """All contexts that a model knows, and what it must say of each."""
    return [(), *(s for s in sequences(text, order) if len(s) <= order)]


def total(counts, context):
    return sum(times for s, times in counts.items() if s[:-1] == context)


def successors(counts, context):
    return sum(s[:-1] == context for s in counts)


@given(known_texts, orders)
def test_without_smoothing_the_longest_context_that_was_followed_decides(text, order):
    counts, model = sequences(text, order), fit(counted(text, order), Smoothing.NONE)

    for context in contexts(text, order):
        followed = next(
            context[first:] for first in range(len(context) + 1) if total(counts, context[first:])
        )
        for symbol in range(SYMBOLS):
            expected = counts[(*followed, symbol)] / total(counts, followed)
            assert probability(model, context, symbol) == pytest.approx(expected, abs=1e-15)


@given(known_texts, orders)
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


@given(known_texts, orders)
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


@given(known_texts, orders)
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


def test_what_was_pruned_from_a_context_backs_off():
    text = [0, 1] * 9 + [0, 2]  # 1 follows 0 nine times, 2 once
    model = fit(counted(text, 1).pruned(2), Smoothing.NONE)

    alone = model.probabilities(np.array([0]))[0]
    assert probability(model, [0], 1) == pytest.approx(0.9 + 0.1 * alone[1])
    assert probability(model, [0], 2) == pytest.approx(0.1 * alone[2])


def test_a_count_of_less_than_one_is_never_discounted_below_nothing():
    counts = combine([counted([0, 1, 2, 0, 1, 1], 2), counted([3, 3, 2], 2)], [0.01, 2.5])

    rows = fit(counts).probabilities(np.arange(fit(counts).states))

    assert rows.min() > 0
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12


def test_a_row_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("seqd_modelkit.packing.MAX_INFLATED_BYTES", 1_000)

    with pytest.raises(ValueError, match="too large"):
        inflate(deflate(np.zeros(2_000, np.uint8)), "row")


# Models as arrays: read back to the last bit, and never believed unseen


TEXT = [BEGIN, 0, 1, 2, 0, 1, BEGIN, 0, 0, 1, 2, 2, 1]


LONG = ("ngram_shared", "ngram_digits", "ngram_counts")


def unpacked() -> dict[str, np.ndarray]:
    """A model's arrays as they are before they are packed."""
    stored = fit(counted(TEXT, 2, BEGIN), "kneser_ney").arrays()
    return stored | {name: inflate(stored[name], name) for name in LONG}


def packed(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return rows | {name: deflate(rows[name]) for name in LONG if name in rows}


@given(texts, orders, begins, st.sampled_from(list(Smoothing)), st.integers(1, 3))
def test_a_model_is_read_back_to_the_last_bit(text, order, begin, smoothing, least):
    counts = counted(text, order, begin)
    model = fit(counts.pruned(least) if least > 1 else counts, smoothing, 0.3)

    again = NgramModel.from_arrays(model.arrays())

    states = np.arange(model.states)
    assert np.array_equal(model.probabilities(states), again.probabilities(states))
    assert (again.order, again.symbols, again.begin) == (order, 4, begin)
    assert (again.smoothing, again.additive) == (smoothing, 0.3)


DAMAGES = {
    "no counts": ({"ngram_counts": None}, "due are"),
    "unknown smoothing": ({"ngram_smoothing": np.array([4], np.uint8)}, "names no smoothing"),
    "format": ({"ngram_settings": np.array([2, 2, 4, 4], np.uint32)}, "has format 2; this"),
    "digits": ({"ngram_digits": np.ones(9, np.uint8)}, "'ngram_digits' has 9 digits; due are"),
    "nan": ({"ngram_counts": np.full(11, np.nan)}, "a count that is not above 0"),
    "discounts": ({"ngram_discounts": np.zeros((3, 3))}, "not above 0, or above its count"),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGES.values(), ids=DAMAGES)
def test_arrays_that_do_not_fit_together_are_refused(changes, message):
    damaged = {name: value for name, value in (unpacked() | changes).items() if value is not None}

    with pytest.raises(ValueError, match=message):
        NgramModel.from_arrays(packed(damaged))


@given(st.data())
def test_arrays_with_faults_anywhere_are_refused_or_make_a_sound_model(data):
    damaged = {name: array.copy() for name, array in unpacked().items()}
    for _ in range(data.draw(st.integers(1, 3))):
        array = damaged[data.draw(st.sampled_from(sorted(damaged)))]
        place = data.draw(st.integers(0, len(array) - 1))
        array[place] = data.draw(st.integers(0, 6))

    try:
        model = NgramModel.from_arrays(packed(damaged))
    except ValueError:
        return

    rows = model.probabilities(np.arange(model.states))
    assert rows.min() >= 0
    assert np.abs(rows.sum(axis=1) - 1).max() < 1e-12
    after = model.advance(np.arange(model.states), np.zeros(model.states, np.int64))
    assert after.max() < model.states
