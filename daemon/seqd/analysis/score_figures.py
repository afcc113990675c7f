"""How good scores are: how far from the true numbers, and how well they go with them."""

import math
from array import array

import numpy as np

from seqd.analysis.intervals import OnlineMean
from seqd.analysis.paired import Floats
from seqd.analysis.task_report import TaskReport, by_normal
from seqd.analysis.wilson import Interval, Z
from seqd_schemas import EvaluatedMetric, Score

#: Items whose numbers are kept for the correlations, 16 bytes each.
MOST_ITEMS = 1_000_000

_LARGEST = 1e30


class ScoreFigures:
    """Counts scores beside true numbers; keeps the numbers of the first million items."""

    def __init__(self) -> None:
        self._absolute = OnlineMean(least=0.0)
        self._square = OnlineMean(least=0.0)
        self._true = array("d")
        self._given = array("d")
        self._beyond = 0

    def truth(self, value: object) -> float:
        """Return a number, or what a text says of one."""
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            number = float(value)
            if not abs(number) <= _LARGEST:  # as of nan, too
                raise ValueError
        except (ValueError, OverflowError):
            raise ValueError("allowed: a finite number, such as 3.5") from None
        return number

    def add(self, truth: float, output: Score) -> None:
        """Count one item."""
        if len(self._true) == MOST_ITEMS:
            self._beyond += 1
            return
        error = output.score - truth
        self._absolute.add(abs(error))
        self._square.add(error * error)
        self._true.append(truth)
        self._given.append(output.score)

    def report(self) -> TaskReport:
        """Return the mean absolute error, the root of the mean square one, and correlations."""
        square = self._square.interval()
        roots = None if square is None else (_root(square[0]), _root(square[1]))
        metrics = {
            "mean_absolute_error": by_normal(self._absolute.mean, self._absolute.interval()),
            "root_mean_square_error": by_normal(_root(self._square.mean), roots),
        }
        true, given = np.array(self._true), np.array(self._given)
        items = len(true)
        r = pearson(true, given)
        if r is not None:
            metrics["pearson"] = _correlation(r, items, 1.0)
        rho = spearman(true, given)
        if rho is not None:
            # Bonett and Wright 2000: ranks have a larger variance than Fisher's.
            metrics["spearman"] = _correlation(rho, items, 1.0 + rho**2 / 2)
        return TaskReport(items, metrics, beyond_limit=self._beyond)


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
    return pearson(average_ranks(first), average_ranks(second))


def average_ranks(numbers: Floats) -> Floats:
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


def _correlation(value: float, items: int, variance: float) -> EvaluatedMetric:
    """Return a correlation with its interval by Fisher's transformation (Fisher 1921)."""
    interval = _fisher(value, items, variance)
    low, high = interval or (None, None)
    method = None if interval is None else "fisher"
    return EvaluatedMetric.model_validate(
        {"value": value, "low": low, "high": high, "method": method}
    )


def _fisher(value: float, items: int, variance: float) -> Interval | None:
    if items < 4 or abs(value) >= 1.0:
        return None
    middle, half = math.atanh(value), Z * math.sqrt(variance / (items - 3))
    return math.tanh(middle - half), math.tanh(middle + half)


def _root(square: float) -> float:
    return math.sqrt(max(0.0, square))
