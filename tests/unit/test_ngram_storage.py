"""N-gram models as arrays: read back to the last bit, and never believed unseen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ngram_builders import BEGIN, begins, counted, known_sequences, orders, texts
from seqd_modelkit.ngrams import NgramModel, Smoothing, combine, deflate, fit, inflate

TEXT = [BEGIN, 0, 1, 2, 0, 1, BEGIN, 0, 0, 1, 2, 2, 1]


LONG = ("ngram_shared", "ngram_digits", "ngram_counts")


def arrays() -> dict[str, np.ndarray]:
    """A model's arrays as they are before they are packed."""
    stored = fit(counted(TEXT, 2, BEGIN), "kneser_ney").arrays()
    return stored | {name: inflate(stored[name], name) for name in LONG}


def packed(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return rows | {name: deflate(rows[name]) for name in LONG if name in rows}


@settings(deadline=None)
@given(texts, orders, begins, st.sampled_from(list(Smoothing)), st.integers(1, 3))
def test_a_model_is_read_back_to_the_last_bit(text, order, begin, smoothing, least):
    counts = counted(text, order, begin)
    model = fit(counts.pruned(least) if least > 1 else counts, smoothing, 0.3)

    again = NgramModel.from_arrays(model.arrays())

    states = np.arange(model.states)
    assert np.array_equal(model.probabilities(states), again.probabilities(states))
    assert (again.order, again.symbols, again.begin) == (order, 4, begin)
    assert (again.smoothing, again.additive) == (smoothing, 0.3)


def test_the_arrays_are_of_the_smallest_types():
    types = {name: array.dtype.name for name, array in arrays().items()}

    assert types == {
        "ngram_settings": "uint32",
        "ngram_shared": "uint8",
        "ngram_digits": "uint8",
        "ngram_counts": "uint8",
        "ngram_smoothing": "uint8",
        "ngram_additive": "float64",
    }


def test_counts_with_weights_are_kept_as_they_are():
    counts = combine([counted([0, 1, 1], 1)], [0.3])

    again = NgramModel.from_arrays(fit(counts).arrays()).counts()

    assert np.array_equal(again.counts, counts.counts)


def test_a_models_counts_can_be_combined_with_others():
    first, second = fit(counted([0, 1], 1)), fit(counted([1, 1], 1))

    both = combine([first.counts(), second.counts()])

    assert known_sequences(both) == {(0,): 1, (1,): 3, (0, 1): 1, (1, 1): 1}


DAMAGES = {
    "no counts": ({"ngram_counts": None}, "due are"),
    "more": ({"more": np.ones(1, np.uint8)}, "arrays .* are there; due are"),
    "no smoothing": ({"ngram_smoothing": None}, "'ngram_smoothing' is missing"),
    "unknown smoothing": ({"ngram_smoothing": np.array([4], np.uint8)}, "names no smoothing"),
    "no addition": ({"ngram_additive": np.array([np.nan])}, "must be above 0"),
    "settings": ({"ngram_settings": np.ones(3, np.uint32)}, "'ngram_settings' is uint32 of"),
    "format": ({"ngram_settings": np.array([2, 2, 4, 4], np.uint32)}, "has format 2; this"),
    "order": ({"ngram_settings": np.array([1, 9, 4, 4], np.uint32)}, "order 9, 4 symbols"),
    "begin": ({"ngram_settings": np.array([1, 2, 4, 5], np.uint32)}, "begin 5 are not possible"),
    "more symbols": ({"ngram_settings": np.array([1, 2, 2, 0], np.uint32)}, "the largest is 3"),
    "floats": ({"ngram_digits": np.ones(9, np.float32)}, "'ngram_digits' is float32 of shape"),
    "digits": ({"ngram_digits": np.ones(9, np.uint8)}, "'ngram_digits' has 9 digits; due are"),
    "shared": ({"ngram_shared": np.full(11, 3, np.uint8)}, "as the one before it"),
    "zero": ({"ngram_counts": np.zeros(11, np.uint8)}, "a count that is not above 0"),
    "nan": ({"ngram_counts": np.full(11, np.nan)}, "a count that is not above 0"),
    "too few": ({"ngram_counts": np.ones(3, np.uint8)}, r"of shape \(3,\); due 11"),
    "discounts": ({"ngram_discounts": np.zeros((3, 3))}, "not above 0, or above its count"),
    "discounts' shape": ({"ngram_discounts": np.ones(3)}, r"'ngram_discounts' is float64 of"),
}


@pytest.mark.parametrize(("changes", "message"), DAMAGES.values(), ids=DAMAGES)
def test_arrays_that_do_not_fit_together_are_refused(changes, message):
    damaged = {name: value for name, value in (arrays() | changes).items() if value is not None}

    with pytest.raises(ValueError, match=message):
        NgramModel.from_arrays(packed(damaged))


@pytest.mark.parametrize(
    ("digits", "message"),
    [
        ([1, 0, 1], "goes on after an end"),
        ([0, 0, 0], "an n-gram of no symbol"),
        ([1, 4, 0], "the beginning of a text inside of one"),
        ([1, 2, 1], "an n-gram is there whose ending is not"),
    ],
)
def test_an_n_gram_that_cannot_be_is_refused(digits, message):
    one = {
        "ngram_shared": np.zeros(1, np.uint8),
        "ngram_digits": np.array(digits, np.uint8),
        "ngram_counts": np.ones(1, np.uint8),
    }

    with pytest.raises(ValueError, match=message):
        NgramModel.from_arrays(packed(arrays() | one))


def test_n_grams_that_are_not_in_order_are_refused():
    swapped = {
        "ngram_shared": np.zeros(2, np.uint8),
        "ngram_digits": np.array([2, 0, 0, 1, 0, 0], np.uint8),
        "ngram_counts": np.ones(2, np.uint8),
    }

    with pytest.raises(ValueError, match="'ngram_digits' is not in order"):
        NgramModel.from_arrays(packed(arrays() | swapped))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_arrays_with_faults_anywhere_are_refused_or_make_a_sound_model(data):
    damaged = {name: array.copy() for name, array in arrays().items()}
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
