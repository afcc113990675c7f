"""Statistics of figures: published values, exact fractions, and what holds for any counts."""

import random

import numpy as np
import pytest

from seqd.analysis.statistics import (
    Codes,
    cohens_kappa,
    macro_f1,
    macro_f1_difference,
    mcnemar_exact,
    mean_interval,
    newcombe_interval,
    pearson,
    ratio_interval,
    spearman,
    wilson_interval,
)


def codes(text: str) -> Codes:
    """Return the labels of a word, a letter each, as numbers."""
    return np.array([ord(letter) - ord("a") for letter in text], np.int64)


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


@pytest.mark.parametrize(
    ("first_only", "second_only", "published"),
    [
        # Bentur et al. 2009 and Cavo et al. 2012, as Fagerland, Lydersen & Laake (2014) have them.
        (1, 7, 0.0703),
        (6, 16, 0.0525),
        # The table of statsmodels' and SPSS's own examples.
        (121, 59, 4.434e-06),
        # By the normal distribution with a correction for continuity, which fits such counts.
        (1_000_000, 998_000, 0.1573),
        (10**9, 10**9, 1.0),
    ],
)
def test_mcnemars_exact_test_has_the_published_values(
    first_only: int, second_only: int, published: float
) -> None:
    assert mcnemar_exact(first_only, second_only) == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        # The two examples of Fagerland, Lydersen & Laake (2014), "Newcombe square-and-add".
        ((1, 1, 7, 12), (0.026, 0.507)),
        ((59, 6, 16, 80), (0.005, 0.119)),
    ],
)
def test_newcombes_interval_has_the_published_values(
    counts: tuple[int, int, int, int], published: tuple[float, float]
) -> None:
    assert newcombe_interval(*counts) == pytest.approx(published, abs=5e-4)


def test_kappa_has_the_value_of_a_hand_count_and_is_not_known_of_one_label_alone() -> None:
    first, second = codes("a" * 25 + "b" * 25), codes("a" * 20 + "b" * 5 + "a" * 10 + "b" * 15)

    # 35 of 50 agree; by chance it were half.
    assert cohens_kappa(first, second) == pytest.approx(0.4)
    assert cohens_kappa(codes("aaa"), codes("aaa")) is None


def test_the_interval_of_a_mean_ends_where_its_values_end_and_one_value_has_none() -> None:
    few = [0.0, 0.0, 2.0]
    low = mean_interval(np.array(few), least=0.0, most=2.0)
    high = mean_interval(np.array([*few, 2.0, 2.0, 2.0, 1.9]), least=0.0, most=2.0)

    assert low == (0.0, pytest.approx(1.97331, abs=1e-5))
    assert high == (pytest.approx(0.69806, abs=1e-5), 2.0)
    assert mean_interval(np.array([2.0])) is None


def test_the_interval_of_a_ratio_holds_the_true_one_in_95_of_100_cases() -> None:
    draw = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        wholes = draw.integers(0, 6, size=150)
        parts = draw.binomial(wholes, 0.7)
        low, high = ratio_interval(parts.astype(float), wholes.astype(float)) or (0.0, 0.0)
        held += low <= 0.7 <= high

    assert 0.92 <= held / 400 <= 0.98
    assert ratio_interval(np.array([1.0]), np.array([2.0])) is None


@pytest.mark.parametrize(
    ("truth", "given", "expected"),
    [
        # Of `a` 8 are right, of 10 true and 9 given; of `b` 4, of 5 true and 6 given.
        ("a" * 10 + "b" * 5, "a" * 8 + "bb" + "bbbba", (16 / 19 + 8 / 11) / 2),
        # A class that is only predicted is none of those that count.
        ("aaaa", "aaac", 6 / 7),
    ],
)
def test_macro_f1_is_that_of_a_hand_count(truth: str, given: str, expected: float) -> None:
    figure, interval = macro_f1(codes(truth), codes(given))

    assert figure == pytest.approx(expected)
    assert interval is not None
    assert 0.0 <= interval[0] <= figure <= interval[1] <= 1.0
    assert macro_f1(codes("a"), codes("b")) == (0.0, None)


def test_the_bootstrap_covers_the_difference_and_is_the_same_each_time() -> None:
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 3, 500)
    first = np.where(draw.random(500) < 0.7, truth, 0)
    second = np.where(draw.random(500) < 0.8, truth, 0)

    one, other, interval = macro_f1_difference(truth, first, second)

    assert interval is not None
    low, high = interval
    assert low < other - one < high
    # About twice 1.96 standard errors of a difference of independent shares, which is more.
    assert 0.05 < high - low < 0.15
    assert (one, other) == (macro_f1(truth, first)[0], macro_f1(truth, second)[0])
    assert macro_f1_difference(truth, first, second) == (one, other, interval)
    assert macro_f1_difference(codes("a"), codes("a"), codes("b")) == (1.0, 0.0, None)


def test_spearman_is_one_less_six_times_the_squares_of_ranks_without_ties() -> None:
    draw = random.Random(3)
    first, second = ([draw.random() for _ in range(40)] for _ in range(2))
    ranks = [[sorted(numbers).index(one) + 1 for one in numbers] for numbers in (first, second)]
    squares = sum((a - b) ** 2 for a, b in zip(*ranks, strict=True))

    found = spearman(np.array(first), np.array(second))

    assert found == pytest.approx(1 - 6 * squares / (40 * (40**2 - 1)))


def test_correlations_of_huge_numbers_are_finite_and_there_is_none_with_what_never_changes() -> (
    None
):
    huge, tiny, same = (np.array([1.0, 2.0, 3.0]) * by for by in (1e200, 1e-200, 0.0))

    assert pearson(huge, tiny) == pytest.approx(1.0)
    assert (pearson(huge, same), spearman(huge, same)) == (None, None)
