"""Statistics of figures: 95% intervals of shares, means and ratios, correlations, differences.

Pure functions of counts and of NumPy arrays. A paired difference is the second version's figure
less the first's: both have the same items, so that what is hard is hard for both.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.analysis.wilson import Interval, Z, wilson

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Resamples of the bootstrap, and the seed that makes it the same in each run.
RESAMPLES: Final = 2_000
SEED: Final = 20_240_229

#: Numbers of resamples that are in memory at a time, and that are drawn in all: a second or two.
_BLOCK_NUMBERS: Final = 2**18
_MOST_NUMBERS: Final = 2**22

#: Resamples that there are at least, however many combinations of labels.
_LEAST_RESAMPLES: Final = 200


def wilson_interval(successes: int, items: int) -> Interval:
    """Return Wilson's score interval of a share (Wilson 1927).

    It holds with few items and with shares near 0 or 1. Raises ValueError without items.
    """
    if not items:
        raise ValueError("there are no items")
    low, high = wilson(successes / items, items)
    # What rounding leaves below 0 or above 1 is no share.
    return max(0.0, low), min(1.0, high)


def mean_interval(
    values: Floats, least: float = -math.inf, most: float = math.inf
) -> Interval | None:
    """Return the interval of a mean by the normal distribution; None of fewer than two values.

    No value is below `least` or above `most`, and so is no mean: the interval is cut there.
    """
    if len(values) < 2:
        return None
    mean = float(values.mean())
    half = Z * float(values.std(ddof=1)) / math.sqrt(len(values))
    return max(least, mean - half), min(most, mean + half)


def ratio_interval(parts: Floats, wholes: Floats, most: float = math.inf) -> Interval | None:
    """Return the interval of a ratio of two sums over items, such as F1; it is from 0 to `most`.

    It is by the normal distribution, with the variance of a ratio of means (Cochran 1977,
    "Sampling Techniques", 6.3): of the residuals `part - ratio * whole`. None of fewer than two
    items, and of items that are all alike, by which it would be known for certain.
    """
    whole = float(wholes.sum())
    if not whole or len(parts) < 2:
        return None
    ratio = float(parts.sum()) / whole
    # The residuals' mean is zero by the ratio's definition.
    squares = float(((parts - ratio * wholes) ** 2).sum())
    if not squares:
        return None
    half = Z * math.sqrt(squares / (len(parts) - 1) * len(parts)) / whole
    return max(0.0, ratio - half), min(most, ratio + half)


def mcnemar_exact(first_only: int, second_only: int) -> float:
    """Return the two-sided p of McNemar's exact test (McNemar 1947), by the binomial distribution.

    `first_only` items are right by the first version alone, `second_only` by the second alone. It
    is how probable so uneven a split is, or one less even, if both are as good. Computed by
    logarithms: exact to about 9 digits for a million of such items.
    """
    items, less = first_only + second_only, min(first_only, second_only)
    if first_only == second_only:
        return 1.0
    log_term = (
        math.lgamma(items + 1)
        - math.lgamma(less + 1)
        - math.lgamma(items - less + 1)
        - items * math.log(2)
    )
    total = share = 1.0
    for successes in range(less, 0, -1):
        # Each term of the lower tail by the one above it; they shrink, as `less` is below the half.
        share *= successes / (items - successes + 1)
        total += share
        if share < total * 1e-17:
            break
    return min(1.0, 2.0 * math.exp(log_term) * total)


def newcombe_interval(both: int, first_only: int, second_only: int, neither: int) -> Interval:
    """Return the interval of the difference of two paired shares (Newcombe 1998, method 10).

    Wilson's intervals of the two shares, combined by squares and their correlation. It holds with
    few items and with shares near 0 or 1, where the usual interval does not. The counts are of
    items that are right by both versions, by one alone, by none. Raises ValueError without items.
    """
    items = both + first_only + second_only + neither
    if not items:
        raise ValueError("there are no items")
    first, second = (both + first_only) / items, (both + second_only) / items
    phi = _phi(both, first_only, second_only, neither)
    low_first, high_first = wilson(first, items)
    low_second, high_second = wilson(second, items)
    below = _combined(second - low_second, high_first - first, phi)
    above = _combined(high_second - second, first - low_first, phi)
    difference = (second_only - first_only) / items
    return difference - below, difference + above


def cohens_kappa(first: Codes, second: Codes) -> float | None:
    """Return how far two versions agree beyond chance: 1 in all, 0 as by chance (Cohen 1960).

    `first` and `second` are the labels of each item. None where both give one label to all.
    """
    items = len(first)
    classes = int(max(first.max(), second.max())) + 1
    agreed = float(np.mean(first == second))
    shares = np.bincount(first, minlength=classes) / items
    expected = float(shares @ (np.bincount(second, minlength=classes) / items))
    return None if expected >= 1.0 else (agreed - expected) / (1.0 - expected)


def macro_f1(truth: Codes, given: Codes) -> tuple[float, Interval | None]:
    """Return the mean F1 of the classes that occur among the true labels, and its interval.

    The interval is the middle 95% of the resamples of the items (percentile bootstrap, Efron 1979),
    `RESAMPLES` of them, fewer where there are thousands of combinations of labels. None of fewer
    than two items.
    """
    figures, resampled = _macro_f1s(truth, given)
    return figures[0], None if resampled is None else _middle(resampled[0])


def macro_f1_difference(
    truth: Codes, first: Codes, second: Codes
) -> tuple[float, float, Interval | None]:
    """Return the macro F1 of two versions, and the interval of the difference, by one bootstrap.

    Resampled are the items with their three labels. The classes are the same for both versions, so
    that the two figures can be compared.
    """
    figures, resampled = _macro_f1s(truth, first, second)
    interval = None if resampled is None else _middle(resampled[1] - resampled[0])
    return figures[0], figures[1], interval


def pearson(first: Floats, second: Floats) -> float | None:
    """Return Pearson's r, the covariance over both standard deviations (Pearson 1895).

    None where one of the two is the same for all items, so that there is none.
    """
    first, second = _centred(first), _centred(second)
    size = math.sqrt(float(first @ first)) * math.sqrt(float(second @ second))
    return None if not size else max(-1.0, min(1.0, float(first @ second) / size))


def spearman(first: Floats, second: Floats) -> float | None:
    """Return Spearman's rho, Pearson's r of the ranks (Spearman 1904); equal numbers share theirs.

    None where one of the two is the same for all items.
    """
    return pearson(_ranks(first), _ranks(second))


def fisher_interval(correlation: float, items: int, variance: float) -> Interval | None:
    """Return the interval of a correlation by Fisher's transformation (Fisher 1921)."""
    if items < 4 or abs(correlation) >= 1.0:
        return None
    middle, half = math.atanh(correlation), Z * math.sqrt(variance / (items - 3))
    return math.tanh(middle - half), math.tanh(middle + half)


def _macro_f1s(truth: Codes, *given: Codes) -> tuple[list[float], list[Floats] | None]:
    """Return macro F1 of each version's labels, and of each in every resample of the items.

    Items with the same labels are one combination with its count: all that macro F1 needs, so that
    resamples are drawn from a few and not from all items. They stand in the order in which they
    first appear, which is the same when versions are swapped; so then are the resamples.
    """
    items, classes = len(truth), int(max(one.max() for one in (truth, *given))) + 1
    keys = truth
    for one in given:
        keys = keys * classes + one
    _, at, counts = np.unique(keys, return_index=True, return_counts=True)
    order = np.argsort(at)
    at, counts = at[order], counts[order].astype(np.int64)
    truth, labels = truth[at], [one[at] for one in given]
    figures = [
        float(_macro_f1_of_each(counts[np.newaxis], truth, one, classes)[0]) for one in labels
    ]
    if items < 2:
        return figures, None
    random = np.random.default_rng(SEED)
    numbers = len(counts) + classes
    resamples = min(RESAMPLES, max(_LEAST_RESAMPLES, _MOST_NUMBERS // numbers))
    block = max(1, _BLOCK_NUMBERS // numbers)
    drawn: list[list[Floats]] = [[] for _ in labels]
    for begin in range(0, resamples, block):
        size = min(block, resamples - begin)
        resampled = random.multinomial(items, counts / items, size=size)
        for one, found in zip(labels, drawn, strict=True):
            found.append(_macro_f1_of_each(resampled, truth, one, classes))
    return figures, [np.concatenate(found) for found in drawn]


def _macro_f1_of_each(resamples: Codes, truth: Codes, given: Codes, classes: int) -> Floats:
    """Return macro F1 of each resample → (resamples,).

    `resamples` has a row for each, with the items of each combination of labels; `truth` and
    `given` are the labels of the combinations.
    """
    true = _summed(resamples, truth, classes)
    predicted = _summed(resamples, given, classes)
    right = _summed(resamples * (truth == given), truth, classes)
    there = true > 0
    f1 = np.where(there, 2.0 * right / np.maximum(true + predicted, 1.0), 0.0)
    return np.asarray(f1.sum(axis=1) / there.sum(axis=1), dtype=np.float64)


def _summed(resamples: Codes, labels: Codes, classes: int) -> Floats:
    """Return the items of each label in each resample → (resamples, classes)."""
    rows = len(resamples)
    keys = np.arange(rows)[:, np.newaxis] * classes + labels
    sums = np.bincount(keys.ravel(), resamples.ravel(), rows * classes)
    return np.asarray(sums.reshape(rows, classes), dtype=np.float64)


def _middle(figures: Floats | Sequence[float]) -> Interval:
    low, high = np.quantile(figures, (0.025, 0.975))
    return float(low), float(high)


def _phi(both: int, first_only: int, second_only: int, neither: int) -> float:
    """Return phi of the two versions being right, corrected for continuity as method 10 is."""
    product = (
        (both + first_only)
        * (second_only + neither)
        * (both + second_only)
        * (first_only + neither)
    )
    if not product:
        return 0.0
    excess = both * neither - first_only * second_only
    items = both + first_only + second_only + neither
    if excess > 0:
        return max(excess - items / 2, 0.0) / math.sqrt(product)
    return excess / math.sqrt(product)


def _combined(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(one**2 - 2.0 * phi * one * other + other**2, 0.0))


def _ranks(numbers: Floats) -> Floats:
    """Return the rank of each number from 1, of equal ones the mean of theirs."""
    _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = last - (counts - 1) / 2
    return np.asarray(ranks[places], dtype=np.float64)


def _centred(numbers: Floats) -> Floats:
    """Return numbers less their mean, by their largest: so that no square is infinite, or zero."""
    if not len(numbers) or (numbers == numbers[0]).all():
        return np.zeros(len(numbers))
    rest = numbers - numbers.mean()
    return np.asarray(rest / np.abs(rest).max(), dtype=np.float64)
