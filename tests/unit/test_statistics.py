"""Statistics of figures: those of SciPy and scikit-learn, published values, what always holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score, f1_score

from seqd.analysis.statistics import (
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

LABELS = st.integers(0, 3)
COUNTS = st.integers(0, 2_000)


@given(COUNTS, COUNTS.filter(bool))
def test_wilsons_interval_and_mcnemars_test_are_those_of_scipy(first, second):
    binomial = stats.binomtest(first, first + second)

    low, high = binomial.proportion_ci(method="wilson")
    assert wilson_interval(first, first + second) == pytest.approx((low, high))
    assert mcnemar_exact(first, second) == pytest.approx(binomial.pvalue)


def test_mcnemars_test_bears_a_billion_items_and_wilsons_interval_needs_one():
    # By the normal distribution with a correction for continuity, which fits such counts.
    assert mcnemar_exact(1_000_000, 998_000) == pytest.approx(0.1573, rel=1e-3)
    assert mcnemar_exact(10**9, 10**9) == 1.0
    with pytest.raises(ValueError, match="there are no items"):
        wilson_interval(0, 0)


@pytest.mark.parametrize(
    ("counts", "published"),
    [
        # The two examples of Fagerland, Lydersen & Laake (2014), "Newcombe square-and-add".
        ((1, 1, 7, 12), (0.026, 0.507)),
        ((59, 6, 16, 80), (0.005, 0.119)),
    ],
)
def test_newcombes_interval_has_the_published_values(counts, published):
    assert newcombe_interval(*counts) == pytest.approx(published, abs=5e-4)


@given(st.lists(st.tuples(LABELS, LABELS), min_size=2, max_size=60))
def test_kappa_and_macro_f1_are_those_of_scikit_learn(pairs):
    truth, labels = np.array(pairs, np.int64).T

    figure, interval = macro_f1(truth, labels)

    # Only classes that occur among the true labels count.
    due = f1_score(truth, labels, labels=np.unique(truth), average="macro", zero_division=0)
    assert figure == pytest.approx(due)
    assert interval is not None
    assert 0.0 <= interval[0] <= interval[1] <= 1.0
    if len({*truth, *labels}) > 1:
        assert cohens_kappa(truth, labels) == pytest.approx(cohen_kappa_score(truth, labels))
    else:
        assert cohens_kappa(truth, labels) is None


@given(st.lists(st.tuples(*[st.integers(-20, 20)] * 2), min_size=3, max_size=40))
def test_correlations_are_those_of_scipy_and_there_is_none_with_what_never_changes(pairs):
    first, second = np.array(pairs, float).T
    if len({*first}) == 1 or len({*second}) == 1:
        assert (pearson(first, second), spearman(first, second)) == (None, None)
        return

    assert pearson(first, second) == pytest.approx(stats.pearsonr(first, second)[0], abs=1e-9)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second)[0], abs=1e-9)


def test_correlations_of_huge_and_tiny_numbers_are_finite():
    huge, tiny = (np.array([1.0, 2.0, 3.0]) * by for by in (1e200, 1e-200))

    assert pearson(huge, tiny) == pytest.approx(1.0)


def test_the_interval_of_a_mean_ends_where_its_values_end_and_one_value_has_none():
    few = [0.0, 0.0, 2.0]
    low = mean_interval(np.array(few), least=0.0, most=2.0)
    high = mean_interval(np.array([*few, 2.0, 2.0, 2.0, 1.9]), least=0.0, most=2.0)

    assert low == (0.0, pytest.approx(1.97331, abs=1e-5))
    assert high == (pytest.approx(0.69806, abs=1e-5), 2.0)
    assert mean_interval(np.array([2.0])) is None


def test_the_interval_of_a_ratio_holds_the_true_one_in_95_of_100_cases():
    draw = np.random.default_rng(11)
    held = 0
    for _ in range(400):
        wholes = draw.integers(0, 6, size=150)
        parts = draw.binomial(wholes, 0.7)
        low, high = ratio_interval(parts.astype(float), wholes.astype(float)) or (0.0, 0.0)
        held += low <= 0.7 <= high

    assert 0.92 <= held / 400 <= 0.98
    assert ratio_interval(np.array([1.0]), np.array([2.0])) is None


def test_the_bootstrap_covers_the_difference_and_is_the_same_each_time():
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
    assert macro_f1_difference(*np.array([[0], [0], [1]])) == (1.0, 0.0, None)
