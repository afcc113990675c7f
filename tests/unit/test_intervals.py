"""Intervals of one version's figures: known values, and what holds for any counts."""

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.analysis.intervals import OnlineMean, macro_f1, wilson_interval

LABELS = st.sampled_from(["a", "b", "c"])
CONFUSIONS = st.dictionaries(st.tuples(LABELS, LABELS), st.integers(1, 50), min_size=1)


@pytest.mark.parametrize(
    ("successes", "items", "interval"),
    [
        (81, 263, (0.2553, 0.3662)),  # Newcombe 1998, table I, score method
        (10, 10, (0.7225, 1.0)),  # all right is not surely all right
    ],
)
def test_wilsons_interval_has_known_values(
    successes: int, items: int, interval: tuple[float, float]
) -> None:
    assert wilson_interval(successes, items) == pytest.approx(interval, abs=1e-4)


def test_no_items_have_no_interval() -> None:
    with pytest.raises(ValueError, match="there are no items"):
        wilson_interval(0, 0)


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_wilsons_interval_holds_the_share_and_is_one_of_shares(items: int, share: float) -> None:
    successes = round(items * share)

    low, high = wilson_interval(successes, items)

    assert 0.0 <= low <= successes / items <= high <= 1.0


def mean_of(*values: float, **bounds: float) -> OnlineMean:
    online = OnlineMean(**bounds)
    for value in values:
        online.add(value)
    return online


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_an_online_mean_has_the_interval_of_all_its_values(values: list[float]) -> None:
    online = mean_of(*values)

    half = 1.959963984540054 * stdev(values) / math.sqrt(len(values))
    interval = (fmean(values) - half, fmean(values) + half)
    assert online.mean == pytest.approx(fmean(values), abs=1e-9)
    assert online.interval() == pytest.approx(interval, abs=1e-6)


def test_the_interval_of_a_mean_ends_where_its_values_end_and_one_value_has_none() -> None:
    few = [0.0, 0.0, 2.0]
    low = mean_of(*few, least=0.0, most=2.0).interval()
    high = mean_of(*few, *(2.0, 2.0, 2.0, 1.9), least=0.0, most=2.0).interval()
    one = mean_of(2.0)

    assert low == (0.0, pytest.approx(1.97331, abs=1e-5))
    assert high == (pytest.approx(0.69806, abs=1e-5), 2.0)
    assert (one.mean, one.interval()) == (2.0, None)


@pytest.mark.parametrize(
    ("confusion", "expected"),
    [
        # Of `a` 8 are right, of 10 true and 9 given; of `b` 4, of 5 true and 6 given.
        (
            {("a", "a"): 8, ("a", "b"): 2, ("b", "b"): 4, ("b", "a"): 1},
            (16 / 19 + 8 / 11) / 2,
        ),
        # A class that is only predicted is none of those that count.
        ({("a", "a"): 3, ("a", "c"): 1}, 6 / 7),
    ],
)
def test_macro_f1_is_that_of_a_hand_count(
    confusion: dict[tuple[str, str], int], expected: float
) -> None:
    figure, interval = macro_f1(confusion)

    assert figure == pytest.approx(expected)
    assert interval is not None
    assert interval[0] <= figure <= interval[1]


@given(CONFUSIONS)
def test_macro_f1_is_a_share_whatever_was_answered(confusion: dict[tuple[str, str], int]) -> None:
    figure, interval = macro_f1(confusion)

    assert 0.0 <= figure <= 1.0
    if sum(confusion.values()) > 1:
        assert interval is not None
        assert 0.0 <= interval[0] <= interval[1] <= 1.0
