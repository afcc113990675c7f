"""How good vectors are: how often the nearest other one is of an item of the same class."""

from collections import Counter

import numpy as np
import numpy.typing as npt

from seqd.analysis.intervals import macro_f1
from seqd.analysis.task_report import SetCounts, TaskReport, share_of
from seqd.errors import InvalidData
from seqd_schemas import Embedding, EvaluatedMetric

#: Items whose vectors are kept, and numbers of them in all: 512 MB.
MOST_ITEMS = 10_000
MOST_NUMBERS = 2**27

#: Vectors that are held against all others at once.
_BLOCK = 256

_MOST_CHARS = 256


class EmbeddingFigures:
    """Keeps the vectors and classes of the first 10,000 items, fewer of more than 13,421 numbers.

    The similarity is the cosine of the angle between two vectors.
    """

    def __init__(self) -> None:
        self._vectors: list[bytes] = []
        self._labels: list[str] = []
        self._dimensions = 0
        self._beyond = 0

    def truth(self, value: object) -> str:
        """Return the item's class, a text, a whole number or a boolean."""
        label = str(value).lower() if isinstance(value, int) else value
        if not isinstance(label, str) or not 1 <= len(label.strip()) <= _MOST_CHARS:
            raise ValueError(f"allowed: the name of a class, of 1 to {_MOST_CHARS} characters")
        return label.strip()

    def add(self, truth: str, output: Embedding) -> None:
        """Keep one item's vector. Raises InvalidData where it is longer or shorter than others."""
        numbers = len(output.vector)
        self._dimensions = self._dimensions or numbers
        if numbers != self._dimensions:
            raise InvalidData(
                f"the model gave vectors of {self._dimensions:,} and of {numbers:,} numbers, "
                "between which there is no angle; allowed: vectors of one length"
            )
        if len(self._vectors) == min(MOST_ITEMS, MOST_NUMBERS // numbers):
            self._beyond += 1
            return
        self._vectors.append(output.vector.data)
        self._labels.append(truth)

    def report(self) -> TaskReport:
        """Return leave-one-out nearest-neighbour accuracy, macro F1, and figures of each class.

        Of several vectors that are as near the first counts. Raises InvalidData of one item.
        """
        if len(self._vectors) < 2:
            raise InvalidData("there is one item with a class; allowed: two or more")
        matrix = np.frombuffer(b"".join(self._vectors), dtype="<f4")
        nearest = nearest_others(matrix.reshape(len(self._vectors), -1))
        given = [self._labels[at] for at in nearest]
        counts = SetCounts()
        for truth, label in zip(self._labels, given, strict=True):
            right = Counter([truth]) if truth == label else Counter[str]()
            counts.add(Counter([truth]), Counter([label]), right)
        f1, interval = macro_f1(Counter(zip(self._labels, given, strict=True)))
        low, high = interval or (None, None)
        method = "bootstrap" if interval else None
        metrics = {
            "neighbour_accuracy": share_of(counts.exact, counts.items),
            "f1_macro": EvaluatedMetric.model_validate(
                {"value": f1, "low": low, "high": high, "method": method}
            ),
        }
        return TaskReport(counts.items, metrics, counts.classes(), self._beyond)


def nearest_others(vectors: "npt.NDArray[np.float32]") -> "npt.NDArray[np.int64]":
    """Return the place of each vector's nearest other one by cosine; a zero is as near to all."""
    # By its greatest number first: the square of one above 1.8e19 is none of float32.
    greatest = np.abs(vectors).max(axis=1, keepdims=True)
    scaled = vectors / np.where(greatest > 0, greatest, 1)
    lengths = np.linalg.norm(scaled, axis=1, keepdims=True)
    units = scaled / np.where(lengths > 0, lengths, 1)
    nearest = np.empty(len(units), dtype=np.int64)
    for begin in range(0, len(units), _BLOCK):
        likeness = units[begin : begin + _BLOCK] @ units.T
        rows = np.arange(len(likeness))
        likeness[rows, begin + rows] = -np.inf
        nearest[begin : begin + _BLOCK] = likeness.argmax(axis=1)
    return nearest
