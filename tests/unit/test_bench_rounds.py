"""The order of a bench's rounds, and their statistics."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqd.bench.rounds import in_turn, percentile, rates, ratios, spread

SECONDS = st.floats(min_value=1e-6, max_value=1e6)


def test_sides_take_turns_and_every_other_round_goes_backwards():
    calls: list[str] = []

    def side(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    figures = in_turn({"a": lambda: side("a"), "b": lambda: side("b")}, 3)

    assert calls == ["a", "b", "b", "a", "a", "b"]
    assert figures == {"a": [1.0, 4.0, 5.0], "b": [2.0, 3.0, 6.0]}


def test_who_asks_is_told_each_rounds_number():
    told: list[int] = []

    in_turn({"a": lambda: 1.0}, 3, told.append)

    assert told == [1, 2, 3]


def test_a_ratio_is_taken_within_a_round():
    ours, theirs = [10.0, 20.0, 30.0], [5.0, 2.0, 30.0]

    found = spread(ratios(ours, theirs))

    assert (found.median, found.lowest, found.highest) == (2.0, 1.0, 10.0)


def test_sides_of_different_rounds_have_no_ratios():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


def test_a_rate_is_the_amount_through_the_seconds():
    assert rates(100, [2.0, 4.0]) == [50.0, 25.0]


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=1))
def test_the_median_lies_between_the_ends_which_are_among_the_values(values):
    found = spread(values)

    assert found.lowest <= found.median <= found.highest
    assert {found.lowest, found.highest} <= set(values)


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=1), st.floats(min_value=0, max_value=1))
def test_a_percentile_is_the_least_value_that_a_share_does_not_exceed(values, share):
    found = percentile(values, share)

    below = sum(value <= found for value in values)
    less = sum(value < found for value in values)
    assert found in values
    assert below >= share * len(values) - 1e-6 * len(values)
    assert less < max(1, share * len(values))


@pytest.mark.parametrize(("share", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_percentiles_of_one_to_a_hundred(share, value):
    assert percentile(range(1, 101), share) == value
