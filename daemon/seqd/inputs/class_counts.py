"""How many records of a data set are of which class, in memory that no data set can outgrow."""

from collections import Counter
from typing import Final

from seqd_schemas import MAX_CLASSES, MAX_LISTED_CLASSES

#: Different labels that are counted one by one, the first in the data.
MAX_COUNTED: Final = MAX_CLASSES


class ClassCounts:
    """The records of each class. `add` the label of each record, None where it has none."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._labelled = 0

    def add(self, label: str | None, records: int = 1) -> None:
        """Count records of a class. Of labels beyond `MAX_COUNTED` the sum alone is kept."""
        if label is None:
            return
        self._labelled += records
        if label in self._counts or len(self._counts) < MAX_COUNTED:
            self._counts[label] += records

    def listed(self) -> dict[str, int]:
        """Return the records of the most frequent classes, the most first, then by name."""
        order = sorted(self._counts.items(), key=lambda one: (-one[1], one[0]))
        return dict(order[:MAX_LISTED_CLASSES])

    def other(self) -> int:
        """Return the labelled records whose class is not among those that are `listed`."""
        return self._labelled - sum(self.listed().values())
