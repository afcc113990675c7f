"""Statistics of paired answers: two versions, the same items, so that what is hard is so for both.

Pure functions of counts and of NumPy arrays. A difference is the second version's figure less the
first's, and an interval is one of 95% for it.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.analysis.wilson import Interval, Z, wilson

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

#: Resamples of the bootstrap, and the seed that makes it the same in each run.
RESAMPLES: Final = 2_000
SEED: Final = 20_240_229


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
    phi = _correlation(both, first_only, second_only, neither)
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


def mean_interval(differences: Floats) -> Interval | None:
    """Return the interval of a mean of paired differences, by the normal distribution.

    None of fewer than two items, which have no spread.
    """
    if len(differences) < 2:
        return None
    mean = float(differences.mean())
    half = Z * float(differences.std(ddof=1)) / math.sqrt(len(differences))
    return mean - half, mean + half


@dataclass(frozen=True, slots=True)
class LabelCells:
    """Items by true label and both versions' labels: each combination once, with its count.

    All that macro F1 needs, so that resamples are drawn from a few cells and not from all items.
    """

    truth: Codes
    first: Codes
    second: Codes
    counts: Codes

    @classmethod
    def of(cls, truth: Codes, first: Codes, second: Codes) -> "LabelCells":
        """Count the combinations, in the order in which they first appear.

        That order is the same when the versions are swapped; so then are the resamples.
        """
        classes = int(max(truth.max(), first.max(), second.max())) + 1
        keys = (truth * classes + first) * classes + second
        _, at, counts = np.unique(keys, return_index=True, return_counts=True)
        order = np.argsort(at)
        at = at[order]
        return cls(truth[at], first[at], second[at], counts[order].astype(np.int64))

    def macro_f1(self, counts: Codes) -> tuple[float, float]:
        """Return macro F1 of both versions, each combination counted so many times.

        It is the mean F1 of the classes that occur among the true labels: the same classes for
        both versions, so that the two figures can be compared.
        """
        return self._macro_f1(self.first, counts), self._macro_f1(self.second, counts)

    def macro_f1_interval(self) -> Interval | None:
        """Return the interval of the difference of macro F1, by a paired bootstrap (Efron 1979).

        The middle 95% of `RESAMPLES` resamples of the items with their three labels. None of
        fewer than two items.
        """
        items = int(self.counts.sum())
        if items < 2:
            return None
        random = np.random.default_rng(SEED)
        shares = self.counts / items
        differences = np.empty(RESAMPLES)
        for number in range(RESAMPLES):
            first, second = self.macro_f1(random.multinomial(items, shares))
            differences[number] = second - first
        low, high = np.quantile(differences, (0.025, 0.975))
        return float(low), float(high)

    def _macro_f1(self, given: Codes, counts: Codes) -> float:
        classes = int(max(self.truth.max(), given.max())) + 1
        true = np.bincount(self.truth, counts, classes)
        predicted = np.bincount(given, counts, classes)
        right = np.bincount(self.truth, counts * (self.truth == given), classes)
        there = true > 0
        return float(np.mean(2.0 * right[there] / (true[there] + predicted[there])))


def _correlation(both: int, first_only: int, second_only: int, neither: int) -> float:
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
