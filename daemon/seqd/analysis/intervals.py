"""95% intervals of one version's figures: of shares, of means, and of macro F1.

Pure functions of counts and sums, so that data of any size can be evaluated one by one. `paired`
has those of the difference between two versions.
"""

import math
from collections.abc import Mapping

import numpy as np

from seqd.analysis.paired import RESAMPLES, SEED, Codes, Floats
from seqd.analysis.wilson import Interval, Z, wilson

#: Numbers of resamples that are in memory at a time, and that are drawn in all: a second or two.
_BLOCK_NUMBERS = 2**18
_MOST_NUMBERS = 2**22

#: Resamples that there are at least, however many pairs of labels.
_LEAST_RESAMPLES = 200


def wilson_interval(successes: int, items: int) -> Interval:
    """Return Wilson's score interval of a share (Wilson 1927).

    It holds with few items and with shares near 0 or 1. Raises ValueError without items.
    """
    if not items:
        raise ValueError("there are no items")
    low, high = wilson(successes / items, items)
    # What rounding leaves below 0 or above 1 is no share.
    return max(0.0, low), min(1.0, high)


class OnlineMean:
    """The mean of values that come one by one, and its interval (Welford 1962).

    No value is below `least` or above `most`, and so is no mean: the interval is cut there.
    """

    def __init__(self, least: float = -math.inf, most: float = math.inf) -> None:
        self._least, self._most = least, most
        self.items = 0
        self.mean = 0.0
        self._squares = 0.0

    def add(self, value: float) -> None:
        """Take the next value."""
        self.items += 1
        before = value - self.mean
        self.mean += before / self.items
        self._squares += before * (value - self.mean)

    def interval(self) -> Interval | None:
        """Return the interval by the normal distribution; None of fewer than two values."""
        if self.items < 2:
            return None
        half = Z * math.sqrt(self._squares / (self.items - 1) / self.items)
        return max(self._least, self.mean - half), min(self._most, self.mean + half)


class OnlineRatio:
    """The ratio of two sums over items that come one by one, such as F1, and its interval.

    The interval is by the normal distribution, with the variance of a ratio of means (Cochran
    1977, "Sampling Techniques", 6.3): of the residuals `part - ratio * whole`.
    """

    def __init__(self) -> None:
        self._items = 0
        self._parts = self._wholes = 0.0
        self._squares = self._products = self._whole_squares = 0.0

    def add(self, part: float, whole: float) -> None:
        """Take what the next item adds to both sums."""
        self._items += 1
        self._parts += part
        self._wholes += whole
        self._squares += part * part
        self._products += part * whole
        self._whole_squares += whole * whole

    @property
    def value(self) -> float | None:
        """The ratio; None while the sum below is zero."""
        return self._parts / self._wholes if self._wholes else None

    def interval(self) -> Interval | None:
        """Return the interval of a ratio from 0 to 1; None of fewer than two items."""
        ratio = self.value
        if ratio is None or self._items < 2:
            return None
        residuals = self._squares - 2 * ratio * self._products + ratio**2 * self._whole_squares
        # The residuals' mean is zero by the ratio's definition.
        variance = max(0.0, residuals) / (self._items - 1) * self._items / self._wholes**2
        if not variance:  # all items alike: by them it would be known for certain
            return None
        half = Z * math.sqrt(variance)
        return max(0.0, ratio - half), min(1.0, ratio + half)


def macro_f1(confusion: Mapping[tuple[str, str], int]) -> tuple[float, Interval | None]:
    """Return the mean F1 of the classes that occur among the true labels, and its interval.

    `confusion` has the items by true and predicted label. The interval is the middle 95% of
    `RESAMPLES` resamples of the items (percentile bootstrap, Efron 1979), of fewer where there are
    thousands of pairs of labels; None of fewer than two items.
    """
    pairs = [(pair, number) for pair, number in confusion.items() if number]
    codes: dict[str, int] = {}
    for pair, _ in pairs:
        for label in pair:
            codes.setdefault(label, len(codes))
    truth = np.array([codes[pair[0]] for pair, _ in pairs], dtype=np.int64)
    given = np.array([codes[pair[1]] for pair, _ in pairs], dtype=np.int64)
    counts = np.array([number for _, number in pairs], dtype=np.int64)
    figure = float(_macro_f1_of_each(counts[np.newaxis], truth, given, len(codes))[0])
    items = int(counts.sum())
    if items < 2:
        return figure, None
    random = np.random.default_rng(SEED)
    numbers = len(pairs) + len(codes)
    resamples = min(RESAMPLES, max(_LEAST_RESAMPLES, _MOST_NUMBERS // numbers))
    block = max(1, _BLOCK_NUMBERS // numbers)
    figures = [
        _macro_f1_of_each(
            random.multinomial(items, counts / items, size=min(block, resamples - begin)),
            truth,
            given,
            len(codes),
        )
        for begin in range(0, resamples, block)
    ]
    low, high = np.quantile(np.concatenate(figures), (0.025, 0.975))
    return figure, (float(low), float(high))


def _macro_f1_of_each(resamples: Codes, truth: Codes, given: Codes, classes: int) -> Floats:
    """Return macro F1 of each resample → (resamples,).

    `resamples` has a row for each, with the items of each pair of labels; `truth` and `given` are
    the labels of the pairs.
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
