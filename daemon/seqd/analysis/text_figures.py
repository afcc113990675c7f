"""How good texts are beside references: exact matches, and chrF."""

from collections import Counter

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
        self._given = [0] * ORDER
        self._true = [0] * ORDER
        self._shared = [0] * ORDER

    def add(self, reference: str, text: str) -> None:
        """Take one text and what it should be."""
        true, given = "".join(reference.split()), "".join(text.split())
        for at in range(ORDER):
            of_true, of_given = _ngrams(true, at + 1), _ngrams(given, at + 1)
            self._true[at] += of_true.total()
            self._given[at] += of_given.total()
            self._shared[at] += (of_true & of_given).total()

    @property
    def value(self) -> float:
        """The figure; 0 where a side has no characters."""
        known = [at for at in range(ORDER) if self._given[at] and self._true[at]]
        if not known:
            return 0.0
        precision = sum(self._shared[at] / self._given[at] for at in known) / len(known)
        recall = sum(self._shared[at] / self._true[at] for at in known) / len(known)
        below = BETA**2 * precision + recall
        return (1 + BETA**2) * precision * recall / below if below else 0.0


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
