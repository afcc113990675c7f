"""Counts a text's ids, each label apart where labels have weights, and keeps the ids.

Counts are additive, so that a weighted sum of them is one model made of several. Used by
`training`.
"""

import numpy as np

from seqd.errors import InvalidData
from seqd_markov.tokens import Ids
from seqd_markov.train_parameters import TrainParameters
from seqd_ngrams import Counting, NgramModel, combine, fit

#: Symbols of a text that is kept: 50 MB of characters.
MAX_KEPT_SYMBOLS = 50_000_000

#: Ids, and records, that are counted at once where the labels take turns.
_COUNTED_TOGETHER, _RECORDS_TOGETHER = 100_000, 1_000


class WeighedCounting:
    """Counts of each label, to be added up by weight."""

    def __init__(self, parameters: TrainParameters, symbols: int, begin: int | None) -> None:
        self._parameters = parameters
        self._symbols, self._begin = symbols, begin
        self._of_label: dict[str | None, Counting] = {}
        #: What is to be counted, of each label; small records are counted together.
        self._waiting: dict[str | None, list[Ids]] = {}
        self._seen: set[str | None] = set()

    def add(self, ids: Ids, label: str | None) -> None:
        """Count the next ids of a label's text."""
        self._seen.add(label)
        known = label if label in self._parameters.weights else None
        waiting = self._waiting.setdefault(known, [])
        waiting.append(ids)
        if sum(map(len, waiting)) >= _COUNTED_TOGETHER or len(waiting) >= _RECORDS_TOGETHER:
            self._count(known)

    def _count(self, label: str | None) -> None:
        if label not in self._of_label:
            self._of_label[label] = Counting(self._parameters.order, self._symbols, self._begin)
        self._of_label[label].add(np.concatenate(self._waiting.pop(label)))

    def model(self) -> NgramModel:
        """Add up, prune and smooth. Raises InvalidData for a weight of no record."""
        weights = self._parameters.weights
        missing = weights.keys() - self._seen
        if missing:
            labels = ", ".join(repr(label) for label in sorted(filter(None, self._seen))[:20])
            raise InvalidData(
                f"No record has the label {min(missing)!r}, which label_weights has. Labels in the "
                f"data: {labels or 'none'}. Mend the data or the weights."
            )
        for label in list(self._waiting):
            self._count(label)
        parts = [counting.total() for counting in self._of_label.values()]
        counts = combine(parts, [weights.get(label or "", 1.0) for label in self._of_label])
        if self._parameters.min_count > 1:
            counts = counts.pruned(self._parameters.min_count)
        return fit(counts, self._parameters.smoothing, self._parameters.additive)


class KeptText:
    """The ids of a text in the smallest type, until there are too many."""

    def __init__(self, symbols: int) -> None:
        self._type = np.min_scalar_type(-symbols)  # signed, as -1 is an unknown word
        self._parts: list[Ids] = []
        self._size = 0

    def add(self, ids: Ids) -> None:
        """Keep the next ids."""
        self._size += len(ids)
        if self._size <= MAX_KEPT_SYMBOLS:
            self._parts.append(ids.astype(self._type))
        else:
            self._parts.clear()

    def ids(self) -> Ids | None:
        """The text; None where it was too long."""
        return np.concatenate(self._parts) if self._size <= MAX_KEPT_SYMBOLS else None
