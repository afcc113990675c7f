"""Intervals of one version's figures: known values, and what holds for any counts."""

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.analysis.intervals import OnlineMean, macro_f1, wilson_interval

LABELS = st.sampled_from(["a", "b", "c"])
CONFUSIONS = st.dictionaries(st.tuples(LABELS, LABELS), st.integers(1, 50), min_size=1)


def test_wilsons_interval_is_that_of_the_published_example() -> None:
    # Newcombe 1998, table I, case 81 of 263, score method.
    low, high = wilson_interval(81, 263)

    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_all_right_is_not_surely_all_right() -> None:
    low, high = wilson_interval(10, 10)

    assert high == 1.0
    assert low == pytest.approx(0.7225, abs=1e-4)


def test_no_items_have_no_interval() -> None:
    with pytest.raises(ValueError, match="there are no items"):
        wilson_interval(0, 0)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_wilsons_interval_holds_the_share_and_is_one_of_shares(items: int, share: float) -> None:
    successes = round(items * share)

    low, high = wilson_interval(successes, items)

    assert 0.0 <= low <= successes / items <= high <= 1.0


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_a_online_mean_has_the_interval_of_all_its_values(values: list[float]) -> None:
    online = OnlineMean()
    for value in values:
        online.add(value)

    half = 1.959963984540054 * stdev(values) / math.sqrt(len(values))

    interval = online.interval()
    assert interval is not None
    assert online.mean == pytest.approx(fmean(values), abs=1e-9)
    assert interval == pytest.approx((fmean(values) - half, fmean(values) + half), abs=1e-6)


def test_one_value_has_a_mean_and_no_interval() -> None:
    online = OnlineMean()
    online.add(2.0)

    assert (online.mean, online.interval()) == (2.0, None)


def test_the_interval_of_a_mean_ends_where_its_values_end() -> None:
    online = OnlineMean(least=0.0, most=2.0)
    for value in (0.0, 0.0, 2.0):
        online.add(value)

    assert online.interval() == (0.0, pytest.approx(1.97331, abs=1e-5))

    for value in (2.0, 2.0, 2.0, 1.9):
        online.add(value)

    assert online.interval() == (pytest.approx(0.69806, abs=1e-5), 2.0)


def test_macro_f1_is_that_of_a_hand_count() -> None:
    # Of `a` 8 are right, of 10 true and 9 given; of `b` 4, of 5 true and 6 given.
    figure, interval = macro_f1({("a", "a"): 8, ("a", "b"): 2, ("b", "b"): 4, ("b", "a"): 1})

    assert figure == pytest.approx((16 / 19 + 8 / 11) / 2)
    assert interval is not None
    assert interval[0] < figure < interval[1]


def test_a_class_that_is_only_predicted_is_none_of_those_that_count() -> None:
    figure, _ = macro_f1({("a", "a"): 3, ("a", "c"): 1})

    assert figure == pytest.approx(6 / 7)


def test_the_interval_of_macro_f1_is_the_same_each_time_and_narrower_of_more_items() -> None:
    few = {("a", "a"): 8, ("a", "b"): 2, ("b", "b"): 8, ("b", "a"): 2}
    many = {pair: 100 * items for pair, items in few.items()}

    first, again, narrow = macro_f1(few)[1], macro_f1(few)[1], macro_f1(many)[1]

    assert first is not None and narrow is not None
    assert first == again
    # A hundred times the items: a tenth of the width.
    assert narrow[1] - narrow[0] == pytest.approx((first[1] - first[0]) / 10, rel=0.2)


def test_thousands_of_pairs_of_labels_have_an_interval_of_fewer_resamples() -> None:
    labels = [f"c{number}" for number in range(200)]
    confusion = {(truth, given): 1 for truth in labels for given in labels if truth != given}
    confusion |= {(label, label): 500 for label in labels}

    figure, interval = macro_f1(confusion)

    assert interval is not None
    assert interval[0] < figure < interval[1]
    assert interval[1] - interval[0] < 0.01


@given(CONFUSIONS)
def test_macro_f1_is_a_share_whatever_was_answered(confusion: dict[tuple[str, str], int]) -> None:
    figure, interval = macro_f1(confusion)

    assert 0.0 <= figure <= 1.0
    if sum(confusion.values()) > 1:
        assert interval is not None
        assert 0.0 <= interval[0] <= interval[1] <= 1.0
