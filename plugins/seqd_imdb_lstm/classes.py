"""The classes of a training set: found while it is read, checked, numbered, and weighed.

Called by `corpus` and `training`. Knows labels and their numbers; texts are others' business.
"""

from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd_imdb_lstm.parameters import ClassWeights
from seqd_imdb_lstm.version import Floats
from seqd_schemas import MAX_CLASSES

#: (records,) each one's class, as its place among the labels in their order.
Targets = npt.NDArray[np.int32]

#: Longest name of a class, as in `Classification.label`.
MAX_LABEL_CHARS: Final = 256

#: So many classes are believed, however few records there are; of more of them, two records
#: each at least are wanted, on the average.
_BELIEVED_CLASSES: Final = 20

#: Classes that a message names before it only counts them.
_NAMED_CLASSES: Final = 5

_WHICH_FIELD: Final = "Is label_field (--label-field) the field that holds the class?"
_NO_CLASS: Final = (
    "It looks like an identifier or a measurement, of which nearly every record has its own. "
    f"{_WHICH_FIELD} Of numbers make classes first, such as `low` and `high`."
)


class ClassFinder:
    """Numbers classes in the order in which they are first seen."""

    def __init__(self, description: str) -> None:
        """`description` names the data set in messages."""
        self._description = description
        self._number_of_label: dict[str, int] = {}
        self._numbers = array("i")

    def add(self, label: str) -> None:
        """Take a record's label; raises InvalidData at the first class too many."""
        number = self._number_of_label.setdefault(label, len(self._number_of_label))
        self._numbers.append(number)
        if number >= MAX_CLASSES:
            raise InvalidData(
                f"{self._description} has more than {MAX_CLASSES:,} classes in its first "
                f"{len(self._numbers):,} records, such as {named(self._seen())}; imdb_lstm tells "
                f"at most {MAX_CLASSES:,} apart. {_NO_CLASS}"
            )

    def found(self) -> tuple[tuple[str, ...], Targets]:
        """Give the classes, sorted as text, and each record's; raises InvalidData.

        So that of two classes the last is the one which a person expects to be the network's 1:
        of negative and positive, of neg and pos, of 0 and 1.
        """
        self._check()
        labels = tuple(sorted(self._number_of_label))
        place_of_label = {label: place for place, label in enumerate(labels)}
        places = np.array([place_of_label[label] for label in self._seen()], dtype=np.int32)
        return labels, places[np.frombuffer(self._numbers, dtype=np.int32)]

    def _seen(self) -> list[str]:
        return list(self._number_of_label)

    def _check(self) -> None:
        classes, records, labels = len(self._number_of_label), len(self._numbers), self._seen()
        if not classes:
            raise InvalidData(
                f"{self._description} holds no reviews with words in them; imdb_lstm learns from "
                "labelled reviews of two classes or more."
            )
        if classes == 1:
            raise InvalidData(
                f"{self._description} has one class only, {named(labels)}; imdb_lstm tells two or "
                f"more apart. {_WHICH_FIELD}"
            )
        if classes > _BELIEVED_CLASSES and 2 * classes > records:
            raise InvalidData(
                f"{self._description} has {classes:,} classes in {records:,} records, such as "
                f"{named(labels)}; a class needs several records to be learnt from. {_NO_CLASS}"
            )
        longest = max(labels, key=len)
        if len(longest) > MAX_LABEL_CHARS:
            raise InvalidData(
                f"{self._description} has a class of {len(longest):,} characters, "
                f"{longest[:40]!r}...; at most {MAX_LABEL_CHARS} are allowed. {_WHICH_FIELD}"
            )


def class_counts(targets: Targets, classes: int) -> npt.NDArray[np.intp]:
    """Count the records of each class → (classes,)."""
    return np.bincount(targets, minlength=classes)


def class_shares(targets: Targets, classes: int, weights: ClassWeights) -> Floats:
    """Give what a record of each class counts, by the parameter `class_weight` → (classes,)."""
    if weights == "balanced":
        return balanced_weights(targets, classes)
    return np.ones(classes, dtype=np.float32)


def balanced_weights(targets: Targets, classes: int) -> Floats:
    """Give what a record of each class counts so that all classes count the same → (classes,).

    records / (classes · records of the class), the mean over all records being 1. Every class
    must have a record.
    """
    counts = class_counts(targets, classes)
    return np.asarray(len(targets) / (classes * counts), dtype=np.float32)


def named(labels: Sequence[str]) -> str:
    """List classes for a message, the first ones by name."""
    names = ", ".join(repr(label[:40]) for label in labels[:_NAMED_CLASSES])
    more = len(labels) - _NAMED_CLASSES
    return names + (f" and {more:,} more" if more > 0 else "")
