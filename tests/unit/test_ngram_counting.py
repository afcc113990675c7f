"""Counting n-grams: exact, whatever the spans and the size of the alphabet; adding and pruning."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqd_modelkit.ngrams.counting
from ngram_builders import BEGIN, begins, counted, ids, known_sequences, orders, sequences, texts
from seqd_modelkit.ngrams import NgramCounter, combine, count


@settings(deadline=None)
@given(texts, orders, begins)
def test_each_sequence_is_counted_as_often_as_it_is_there(text, order, begin):
    counts = counted(text, order, begin)

    assert known_sequences(counts) == sequences(text, order, begin)


@settings(deadline=None)
@given(st.lists(st.sampled_from([0, 1, 70_000, 99_999, -1]), max_size=40), st.integers(5, 8))
def test_sequences_that_no_integer_holds_are_counted_as_well(text, order):
    counts = counted(text, order, symbols=100_000)

    assert len(counts.keys) > 1
    assert known_sequences(counts) == sequences(text, order)


@settings(deadline=None)
@given(texts, orders, begins, st.lists(st.integers(0, 60), max_size=5))
def test_a_text_cut_into_spans_is_counted_as_the_whole(text, order, begin, cuts):
    whole = counted(text, order, begin)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    spans = [ids(*text[a:b]) for a, b in itertools.pairwise(edges)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seqd_modelkit.ngrams.counting, "SPAN_SYMBOLS", 7)
        in_spans = count(spans, order=order, symbols=4, begin=begin)

    assert np.array_equal(in_spans.keys, whole.keys)
    assert np.array_equal(in_spans.counts, whole.counts)


def test_a_reader_is_told_how_far_the_count_is_before_each_span():
    told = []

    count([ids(0, 1), ids(1, 0, 1)], order=1, symbols=2, on_span=told.append)

    assert told == [0, 2]


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=3), orders, begins)
def test_counts_are_additive(parts, order, begin):
    together = combine([counted(part, order, begin) for part in parts])

    apart = sum((sequences(part, order, begin) for part in parts), start=sequences([], order))
    assert known_sequences(together) == apart


def test_weights_multiply_counts():
    first, second = counted([0, 1], 1), counted([0, 1, 1], 1)

    both = combine([first, second], [2.5, 1])

    assert known_sequences(both) == {(0,): 3.5, (1,): 4.5, (0, 1): 3.5, (1, 1): 1.0}


@pytest.mark.parametrize(
    ("parts", "weights", "message"),
    [
        ([], [], "0 counts and 0 weights; one for each is due."),
        ([counted([0], 1)], [1, 2], "1 counts and 2 weights; one for each is due."),
        ([counted([0], 1)], [0], r"The weights are \[0\]; each must be above 0 and finite."),
        ([counted([0], 1)], [float("nan")], r"The weights are \[nan\]; each must be above 0"),
        ([counted([0], 1), counted([0], 2)], None, "The counts differ in order or symbols."),
        ([counted([0, 0], 1).pruned(2)], None, "Combine first, then prune."),
    ],
)
def test_what_cannot_be_combined_is_refused(parts, weights, message):
    with pytest.raises(ValueError, match=message):
        combine(parts, weights)


@settings(deadline=None)
@given(texts, orders, begins, st.integers(2, 4))
def test_pruning_leaves_out_what_is_rare_and_keeps_single_symbols(text, order, begin, least):
    pruned = counted(text, order, begin).pruned(least)

    all_ = sequences(text, order, begin)
    kept = {s: times for s, times in all_.items() if len(s) == 1 or times >= least}
    assert known_sequences(pruned) == kept


@settings(deadline=None)
@given(texts, orders, begins, st.integers(2, 4))
def test_a_context_knows_how_much_was_pruned_from_it(text, order, begin, least):
    trie = counted(text, order, begin).pruned(least).trie

    whole = sequences(text, order, begin)
    rare = sum(times for s, times in whole.items() if len(s) > 1 and times < least)
    below = {
        s: times
        for s, times in whole.items()
        if len(s) > 2 and times < least and whole[s[:-1]] < least
    }
    assert trie.pruned.sum() == rare - sum(below.values())


def test_pruning_twice_is_pruning_by_the_larger_number():
    text = [0, 1, 0, 1, 2, 0, 1, 0, 2, 2, 1, 0, 1, 2]

    twice, once = counted(text, 3).pruned(2).pruned(3), counted(text, 3).pruned(3)

    assert np.array_equal(twice.keys, once.keys)
    assert np.array_equal(twice.counts, once.counts)


def test_a_beginning_begins_a_sequence_and_is_inside_of_none():
    counts = counted([BEGIN, 0, BEGIN, 1], 2, BEGIN)

    assert known_sequences(counts) == {
        (0,): 1, (1,): 1, (BEGIN,): 2, (BEGIN, 0): 1, (BEGIN, 1): 1,
    }  # fmt: skip


@pytest.mark.parametrize("text", [[0, 4], [-2, 0]])
def test_an_id_out_of_range_is_refused(text):
    with pytest.raises(ValueError, match="possible are -1 to 3"):
        counted(text, 1)


@pytest.mark.parametrize("order", [0, 9])
def test_an_order_out_of_range_is_refused(order):
    with pytest.raises(ValueError, match=f"The order is {order}; from 1 to 8 are possible."):
        NgramCounter(order, 4)


def test_an_alphabet_of_no_symbols_is_refused():
    with pytest.raises(ValueError, match="0 symbols are not possible"):
        NgramCounter(1, 0)
