"""Which measure is that of a task: by the type of its outputs."""

from collections.abc import Collection, Mapping
from typing import Final, cast

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from seqd.analysis.classification import ClassAnswers, Classifying, LabelCodes
from seqd.analysis.comparison import MetricId
from seqd.analysis.evaluation import Measure, Pair
from seqd.analysis.evaluation import Report as Report
from seqd.analysis.task_outputs import OUTPUT_MEASURES
from seqd.errors import InvalidData, InvalidRequest
from seqd_schemas import Classification, Embedding, TaskSchema

#: Items whose vectors are kept, and numbers of them in all: 512 MB.
MOST_ITEMS = 10_000
_MOST_NUMBERS = 2**27

#: Vectors that are held against all others at once.
_BLOCK: Final = 256
_MOST_CHARS: Final = 256


class _Embedded:
    """How often the vector that is nearest to another is of an item of the same class.

    That is a figure of all items together, so there is no difference of two versions by item.
    """

    output: Final = Embedding
    truth_field: Final = "label"
    metrics: Collection[MetricId] = ()

    def truth(self, value: object) -> str:
        """Return the item's class, a text, a whole number or a boolean."""
        label = str(value).lower() if isinstance(value, int) else value
        if not isinstance(label, str) or not 1 <= len(label.strip()) <= _MOST_CHARS:
            raise ValueError(f"allowed: the name of a class, of 1 to {_MOST_CHARS} characters")
        return label.strip()

    def answers(self) -> "_Vectors":
        """Begin to keep the vectors of one version."""
        return _Vectors()

    def pair(self) -> Pair:
        """Raise TypeError: there is no figure by item."""
        raise TypeError("embeddings have no figure by item")


class _Vectors:
    """The vectors and classes of the first 10,000 items, fewer of more than 13,421 numbers.

    The similarity is the cosine of the angle between two vectors.
    """

    def __init__(self) -> None:
        self._vectors: list[bytes] = []
        self._labels: list[str] = []
        self._dimensions = 0
        self._beyond = 0
        self.errored = self.unlabelled = 0

    def add(self, truth: object | None, output: object | None) -> None:
        """Keep one item's vector. Raises InvalidData where it is longer or shorter than others."""
        if not isinstance(output, Embedding) or truth is None:
            self.errored += output is None
            self.unlabelled += output is not None
            return
        numbers = len(output.vector)
        self._dimensions = self._dimensions or numbers
        if numbers != self._dimensions:
            raise InvalidData(
                f"the model gave vectors of {self._dimensions:,} and of {numbers:,} numbers, "
                "between which there is no angle; allowed: vectors of one length"
            )
        if len(self._vectors) == min(MOST_ITEMS, _MOST_NUMBERS // numbers):
            self._beyond += 1
            return
        self._vectors.append(output.vector.data)
        self._labels.append(str(truth))

    def report(self) -> Report:
        """Return leave-one-out nearest-neighbour accuracy, macro F1, and figures of each class.

        Of several vectors that are as near the first counts. Raises InvalidData of one item.
        """
        if not self._vectors:
            raise ValueError("no item has both a true output and an answer")
        if len(self._vectors) < 2:
            raise InvalidData("there is one item with a class; allowed: two or more")
        matrix = np.frombuffer(b"".join(self._vectors), dtype="<f4")
        answers = ClassAnswers(LabelCodes())
        for truth, at in zip(
            self._labels, _nearest_others(matrix.reshape(len(self._vectors), -1)), strict=True
        ):
            nearest = Classification(label=self._labels[at], score=1.0, truncated=False)
            answers.add(truth, nearest)
        found = answers.report()
        metrics = {
            "neighbour_accuracy": found.metrics["accuracy"],
            "f1_macro": found.metrics["f1_macro"],
        }
        classes = tuple(
            one.model_copy(update={"is_known": True})
            for one in sorted(found.classes, key=lambda one: (-one.items, one.label))
        )
        return Report(
            found.items, self.unlabelled, self.errored, metrics, classes, beyond_limit=self._beyond
        )


def _nearest_others(vectors: "npt.NDArray[np.float32]") -> "npt.NDArray[np.int64]":
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


#: That of versions that classify.
CLASSIFICATION: Final[Measure] = Classifying()

#: Those of plugins' own tasks, by the `type` of the output.
MEASURES: Final[Mapping[str, Measure]] = {**OUTPUT_MEASURES, "embedding": _Embedded()}


def output_type(schema: TaskSchema) -> str | None:
    """Return the `type` of a task's outputs; None where they have none."""
    fields = (schema.result or {}).get("properties")
    kind = fields.get("type") if isinstance(fields, Mapping) else None
    name = cast("Mapping[str, JsonValue]", kind).get("const") if isinstance(kind, Mapping) else None
    return name if isinstance(name, str) else None


def measure_of(model: str, task: str, schema: TaskSchema) -> Measure:
    """Return what is measured of a task's outputs. Raises InvalidRequest where nothing can be."""
    kind = output_type(schema)
    if kind is not None and kind in MEASURES:
        return MEASURES[kind]
    title = (schema.result or {}).get("title")
    known = ", ".join(one.output.__name__ for one in MEASURES.values())
    raise InvalidRequest(
        f"the outputs of {model} {task} are {title or kind or 'of no known type'}, for which there "
        f"are no figures; allowed: {known}, and classes that derive from them"
    )
