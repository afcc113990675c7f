"""Statistics of paired answers: published values, exact fractions, and what holds for any."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.analysis.paired import (
    Codes,
    LabelCells,
    cohens_kappa,
    mcnemar_exact,
    mean_interval,
    newcombe_interval,
)

COUNTS = st.integers(0, 400)


def exactly(first_only: int, second_only: int) -> float:
    """Return McNemar's exact p by whole numbers alone."""
    items, less = first_only + second_only, min(first_only, second_only)
    tail = sum(comb(items, successes) for successes in range(less + 1))
    return float(min(Fraction(1), Fraction(2 * tail, 2**items)))


def codes(text: str) -> Codes:
    """Return the labels of a word, a letter each, as numbers."""
    return np.array([ord(letter) - ord("a") for letter in text], np.int64)


@pytest.mark.parametrize(
    ("first_only", "second_only", "published"),
    [
        # Bentur et al. 2009 and Cavo et al. 2012, as Fagerland, Lydersen & Laake (2014) have them.
        (1, 7, 0.0703),
        (6, 16, 0.0525),
        # The table of statsmodels' and SPSS's own examples.
        (121, 59, 4.434e-06),
    ],
)
def test_mcnemars_exact_test_has_the_published_values(
    first_only: int, second_only: int, published: float
) -> None:
    assert mcnemar_exact(first_only, second_only) == pytest.approx(published, rel=1e-3)


@given(COUNTS, COUNTS)
def test_mcnemars_exact_test_is_what_fractions_give(first_only: int, second_only: int) -> None:
    p = mcnemar_exact(first_only, second_only)

    assert p == pytest.approx(exactly(first_only, second_only), rel=1e-9)
    assert p == mcnemar_exact(second_only, first_only)


@pytest.mark.parametrize(
    ("first_only", "second_only", "p"),
    [
        # By the normal distribution with a correction for continuity, which fits such counts.
        (1_000_000, 998_000, 0.1573),
        (0, 1_000_000, 0.0),
        (10**9, 10**9, 1.0),
    ],
)
def test_millions_of_changed_items_overflow_nothing(
    first_only: int, second_only: int, p: float
) -> None:
    assert mcnemar_exact(first_only, second_only) == pytest.approx(p, abs=1e-4)


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


def test_an_interval_of_no_items_is_refused() -> None:
    with pytest.raises(ValueError, match="there are no items"):
        newcombe_interval(0, 0, 0, 0)


def test_kappa_has_the_value_of_a_hand_count() -> None:
    first, second = codes("a" * 25 + "b" * 25), codes("a" * 20 + "b" * 5 + "a" * 10 + "b" * 15)

    # 35 of 50 agree; by chance it were half.
    assert cohens_kappa(first, second) == pytest.approx(0.4)


def test_kappa_of_one_label_alone_is_not_known() -> None:
    assert cohens_kappa(codes("aaa"), codes("aaa")) is None


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    low, high = mean_interval(np.array([1.0, 2.0, 3.0, 4.0])) or (0.0, 0.0)

    # The mean is 2.5 and its standard error, 1.2910 by the root of 4, is 0.6455.
    assert (low, high) == pytest.approx((2.5 - 1.2652, 2.5 + 1.2652), abs=1e-4)


def test_one_item_has_no_interval() -> None:
    assert mean_interval(np.array([1.0])) is None
    assert LabelCells.of(codes("a"), codes("a"), codes("b")).macro_f1_interval() is None


def test_macro_f1_is_the_mean_over_the_classes_that_are_there() -> None:
    cells = LabelCells.of(codes("aaabb"), codes("aabbb"), codes("aaccc"))

    first, second = cells.macro_f1(cells.counts)

    # First: F1 of a is 4/5, of b 4/5. Second: of a 4/5, of b 0; c is no true label.
    assert (first, second) == pytest.approx((0.8, 0.4))


def test_the_bootstrap_covers_the_difference_and_is_the_same_each_time() -> None:
    random = np.random.default_rng(3)
    truth = random.integers(0, 3, 500)
    first = np.where(random.random(500) < 0.7, truth, 0)
    second = np.where(random.random(500) < 0.8, truth, 0)
    cells = LabelCells.of(truth, first, second)

    low, high = cells.macro_f1_interval() or (0.0, 0.0)

    one, other = cells.macro_f1(cells.counts)
    assert low < other - one < high
    # About twice 1.96 standard errors of a difference of independent shares, which is more.
    assert 0.05 < high - low < 0.15
    assert cells.macro_f1_interval() == (low, high)
