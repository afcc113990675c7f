"""How good texts are beside references: exact matches, and chrF."""

from collections import Counter

import numpy as np

from seqd.analysis.paired import Floats
from seqd.analysis.task_report import TaskReport, share_of
from seqd_schemas import EvaluatedMetric, Text

#: Characters of the longest n-grams of chrF, and how many times as much recall counts.
ORDER = 6
BETA = 2.0

_MOST_CHARS = 1_048_576


class ChrF:
    """chrF of a whole set (Popović 2015): the F score of character n-grams, recall counting more.

    n is 1 to 6 and beta is 2. Spaces count for nothing. The n-grams of all items are summed by n;
    precision and recall are the means over those n of which both sides have some; chrF is
    (1 + beta²) P R / (beta² P + R), from 0 to 1.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(3 * ORDER)

    def add(self, reference: str, text: str) -> None:
        """Take one text and what it should be."""
        self._counts += ngram_counts(reference, text)

    @property
    def value(self) -> float:
        """The figure; 0 where a side has no characters."""
        return float(chrf_of(self._counts))


def ngram_counts(reference: str, text: str) -> list[int]:
    """Return the n-grams that a text has, its reference has, and both have, each by n from 1."""
    true, given = "".join(reference.split()), "".join(text.split())
    pairs = [(_ngrams(given, n), _ngrams(true, n)) for n in range(1, ORDER + 1)]
    return [
        *(of_given.total() for of_given, _ in pairs),
        *(of_true.total() for _, of_true in pairs),
        *((of_given & of_true).total() for of_given, of_true in pairs),
    ]


def chrf_of(counts: Floats) -> Floats:
    """Return chrF of sums of `ngram_counts`, which the last axis has."""
    given, true, shared = (counts[..., at : at + ORDER] for at in (0, ORDER, 2 * ORDER))
    known = (given > 0) & (true > 0)
    orders = np.maximum(known.sum(axis=-1), 1)
    precision = (np.where(known, shared, 0) / np.maximum(given, 1)).sum(axis=-1) / orders
    recall = (np.where(known, shared, 0) / np.maximum(true, 1)).sum(axis=-1) / orders
    below = BETA**2 * precision + recall
    found = (1 + BETA**2) * precision * recall / np.where(below > 0, below, 1)
    return np.asarray(found, dtype=np.float64)


class TextFigures:
    """Counts texts beside references, in memory that does not grow."""

    def __init__(self) -> None:
        self._items = self._exact = 0
        self._chrf = ChrF()

    def truth(self, value: object) -> str:
        """Return a text as it is."""
        if not isinstance(value, str) or len(value) > _MOST_CHARS:
            raise ValueError(f"allowed: a text of up to {_MOST_CHARS:,} characters")
        return value

    def add(self, truth: str, output: Text) -> None:
        """Count one item. A text is exact that is the reference but for spaces at its ends."""
        self._items += 1
        self._exact += truth.strip() == output.text.strip()
        self._chrf.add(truth, output.text)

    def report(self) -> TaskReport:
        """Return the share of exact texts, and chrF."""
        metrics = {
            "exact_match": share_of(self._exact, self._items),
            "chrf": EvaluatedMetric(value=self._chrf.value),
        }
        return TaskReport(self._items, metrics)


def _ngrams(text: str, length: int) -> Counter[str]:
    return Counter(text[at : at + length] for at in range(len(text) - length + 1))
