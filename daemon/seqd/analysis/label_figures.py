"""How good sets of labels are: F1 over all of them and over the labels, and exact matches."""

from collections import Counter
from collections.abc import Sequence

from seqd.analysis.task_report import SetCounts, TaskReport
from seqd_schemas import MAX_LABELS, Labels

#: Parts the labels of a text, as a cell of CSV has them.
SEPARATOR = "|"

_MOST_CHARS = 256


class LabelFigures:
    """Counts sets of labels beside true ones, in memory that grows with the labels alone."""

    def __init__(self) -> None:
        self._counts = SetCounts()

    def truth(self, value: object) -> frozenset[str]:
        """Return the labels of a list, or of a text that has `|` between them; `[]` is none."""
        parts = value
        if isinstance(value, str):
            parts = [] if value.strip() == "[]" else value.split(SEPARATOR)
        if not isinstance(parts, Sequence) or not all(isinstance(one, str) for one in parts):
            raise ValueError('allowed: a list of labels, such as ["a", "b"], or a text such as a|b')
        labels = frozenset(stripped for one in parts if (stripped := one.strip()))
        if len(labels) > MAX_LABELS or any(len(one) > _MOST_CHARS for one in labels):
            raise ValueError(f"allowed: {MAX_LABELS:,} labels of {_MOST_CHARS} characters each")
        return labels

    def add(self, truth: frozenset[str], output: Labels) -> None:
        """Count one item. The scores of its labels count for nothing."""
        given = {one.label for one in output.labels}
        self._counts.add(Counter(truth), Counter(given), Counter(truth & given))

    def report(self) -> TaskReport:
        """Return micro and macro F1, precision, recall, and the share of sets that are exact."""
        return TaskReport(self._counts.items, self._counts.metrics(), self._counts.classes())
