"""Texts beside references: chrF of a whole set (Popović 2015), the F score of character n-grams.

n is 1 to 6 and beta is 2, so that recall counts more. Spaces count for nothing. The n-grams of all
items are summed by n; precision and recall are the means over those n of which both sides have
some; chrF is (1 + beta²) P R / (beta² P + R), from 0 to 1.
"""

from collections import Counter

import numpy as np

from seqd.analysis.statistics import Floats

#: Characters of the longest n-grams of chrF, and how many times as much recall counts.
ORDER = 6
BETA = 2.0


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


def _ngrams(text: str, length: int) -> Counter[str]:
    return Counter(text[at : at + length] for at in range(len(text) - length + 1))
