"""How good a version's answers are beside true ones: what is asked of a measure, and its report.

A `Measure` is what is measured of answers of one type: `classification` has that of classifiers,
`task_outputs` those of plugins' own tasks, by the type of their outputs. Each takes the answers of
a version one by one, reports the figures of one version, and compares two on the same items.
"""

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from seqd.analysis.comparison import AnswersCompared, Difference, MetricId
from seqd.analysis.statistics import wilson_interval
from seqd.analysis.wilson import Interval
from seqd_schemas import (
    MAX_CLASSES,
    MAX_CONFUSIONS,
    MAX_EXAMPLE_CHARS,
    MAX_EXAMPLES,
    MAX_LISTED_CLASSES,
    Classification,
    Confusion,
    EvaluatedClass,
    EvaluatedExample,
    EvaluatedMetric,
    ReliabilityBin,
)

#: Classes, those of the model and those that the data alone has, of which a whole confusion matrix
#: is made: 4 million cells.
MAX_MATRIX_CLASSES: Final = 2 * MAX_CLASSES


class Answers(Protocol):
    """A version's answers, `add`ed in the order of the items."""

    #: Items so far without an answer, and those with one and without a true output.
    errored: int
    unlabelled: int

    def add(self, truth: object | None, output: object | None) -> None:
        """Keep the next item's true output and answer; None stands for none, and for an error."""

    def report(self) -> "Report":
        """Return the figures. Raises ValueError while no item has a true output and an answer."""


class Pair(Protocol):
    """The answers of two versions to the same items."""

    @property
    def first(self) -> Answers:
        """Those of the first version."""

    @property
    def second(self) -> Answers:
        """Those of the second version."""

    def compare(self) -> tuple[dict[MetricId, Difference], AnswersCompared | None]:
        """Return the figures of both on the items that both answered, and how answers differ.

        Raises ValueError where no item has a true output and two answers.
        """


class Measure(Protocol):
    """What is measured of answers of one type."""

    @property
    def output(self) -> type[object]:
        """What an answer is read as."""

    @property
    def truth_field(self) -> str:
        """The field with the true output, where none is named."""

    @property
    def metrics(self) -> Collection[MetricId]:
        """The figures by which two versions are compared; without any they cannot be."""

    def truth(self, value: object) -> object | None:
        """Return a true output as a file has it. Raises ValueError, which says what is allowed."""

    def answers(self) -> Answers:
        """Begin to keep the answers of one version."""

    def pair(self) -> Pair:
        """Begin to keep the answers of two."""


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of one version on one set of items."""

    items: int
    #: Items left out, without a true output or with an error.
    unlabelled: int
    errored: int
    metrics: dict[str, EvaluatedMetric]
    #: Those of each label, where outputs have labels.
    classes: tuple[EvaluatedClass, ...] = ()
    #: Items whose true label is none of the model's; they count as wrong.
    unknown_labels: int = 0
    #: Items that were given and are in no figure, as there is no room for them.
    beyond_limit: int = 0
    #: Items by their true and predicted class, numbered as in `classes`; no cell is zero.
    confused: Mapping[tuple[int, int], int] = field(default_factory=dict)
    calibration: tuple[ReliabilityBin, ...] = ()

    @property
    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Items by true class (rows) and predicted class (columns); none of too many classes."""
        places = range(len(self.classes))
        if not self.confused or len(places) > MAX_MATRIX_CLASSES:
            return ()
        return tuple(tuple(self.confused.get((row, at), 0) for at in places) for row in places)

    def as_json(self) -> dict[str, object]:
        """Return the report for programs: all classes, and the confusion matrix."""
        found = self.metrics
        intervals = {name: (one.low, one.high) for name, one in found.items() if one.method}
        unknown = dict.fromkeys(("log_loss", "brier_score")) if self.confused else {}
        return {
            "items": self.items,
            "unlabelled": self.unlabelled,
            "errored": self.errored,
            "unknown_labels": self.unknown_labels,
            "beyond_limit": self.beyond_limit,
            **unknown,
            **{name: one.value for name, one in found.items()},
            "intervals": intervals,
            "classes": [one.model_dump() for one in self.classes],
            "confusion": self.confusion,
            "calibration": [one.model_dump() for one in self.calibration],
        }

    def kept(self) -> dict[str, object]:
        """Return the fields of a `VersionEvaluation`, which is bounded.

        Of many classes those with most items stay, of the confusion matrix its largest cells.
        """
        cells = self._cells()
        return {
            "items": self.items,
            "unlabelled": self.unlabelled,
            "errored": self.errored,
            "unknown_labels": self.unknown_labels,
            "beyond_limit": self.beyond_limit,
            "metrics": self.metrics,
            "classes": self._listed(),
            "confusion": tuple(cells[:MAX_CONFUSIONS]),
            "confusion_left_out": sum(one.items for one in cells[MAX_CONFUSIONS:]),
            "calibration": self.calibration,
        }

    def _listed(self) -> tuple[EvaluatedClass, ...]:
        """Return the classes in their order, of too many those with most items."""
        by_items = sorted(range(len(self.classes)), key=lambda at: -self.classes[at].items)
        return tuple(self.classes[at] for at in sorted(by_items[:MAX_LISTED_CLASSES]))

    def _cells(self) -> list[Confusion]:
        """Return the cells of the confusion matrix that are not zero, the most items first."""
        labels = [one.label for one in self.classes]
        cells = [
            Confusion(truth=labels[truth], predicted=labels[predicted], items=items)
            for (truth, predicted), items in self.confused.items()
        ]
        return sorted(cells, key=lambda one: (-one.items, one.truth, one.predicted))


def share_of(right: int, items: int) -> EvaluatedMetric:
    """Return a share of items with its interval (Wilson 1927)."""
    return figure_of(right / items, wilson_interval(right, items), "wilson")


def figure_of(
    value: float,
    interval: Interval | None,
    method: Literal["wilson", "bootstrap", "normal", "fisher"],
) -> EvaluatedMetric:
    """Return a figure with its interval, where there is one, and how that was computed."""
    if interval is None:
        return EvaluatedMetric(value=value)
    return EvaluatedMetric(value=value, low=interval[0], high=interval[1], method=method)


def class_figures(
    label: str, right: int, items: int, predicted: int, *, is_known: bool = True
) -> EvaluatedClass:
    """Return the figures of a label; one whose denominator is zero is None."""
    return EvaluatedClass(
        label=label,
        items=items,
        predicted=predicted,
        precision=right / predicted if predicted else None,
        recall=right / items if items else None,
        f1=2 * right / (items + predicted) if items + predicted else None,
        is_known=is_known,
    )


@dataclass(frozen=True, slots=True, order=True)
class _Ranked:
    score: float
    #: The later of two with the same score is the smaller one, and goes first.
    minus_number: int
    example: EvaluatedExample


class HighestScored:
    """The right and the wrong answers with the highest scores, `MAX_EXAMPLES` of each."""

    def __init__(self) -> None:
        self._kept: dict[bool, list[_Ranked]] = {True: [], False: []}
        self._number = 0

    def add(self, custom_id: str, text: str, truth: object | None, given: object | None) -> None:
        """Take one answer; one without a true label is left out. Of the text the start is kept."""
        self._number += 1
        if not isinstance(truth, str) or not isinstance(given, Classification):
            return
        kept = self._kept[truth == given.label]
        if len(kept) == MAX_EXAMPLES and given.score <= kept[0].score:
            return
        example = EvaluatedExample(
            custom_id=custom_id,
            text=text[:MAX_EXAMPLE_CHARS],
            truth=truth,
            predicted=given.label,
            score=given.score,
        )
        heapq.heappush(kept, _Ranked(given.score, -self._number, example))
        if len(kept) > MAX_EXAMPLES:
            heapq.heappop(kept)

    def right(self) -> tuple[EvaluatedExample, ...]:
        """Return the right answers, the highest score first; of equal ones the earlier."""
        return self._sorted(is_right=True)

    def wrong(self) -> tuple[EvaluatedExample, ...]:
        """Return the wrong answers, the highest score first; of equal ones the earlier."""
        return self._sorted(is_right=False)

    def _sorted(self, *, is_right: bool) -> tuple[EvaluatedExample, ...]:
        ranked = sorted(self._kept[is_right], reverse=True)
        return tuple(one.example for one in ranked)
