"""Counts answers against the truth, one by one, in memory that grows with the classes alone."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

from seqd.evaluation.report import CalibrationBin, ClassFigures, EvaluationReport
from seqd_schemas import Classification

#: Bins of the calibration error, of equal width between 0 and 1.
BINS: Final = 15

#: Least probability that counts in the log loss: results are rounded to five decimals, so that
#: what is smaller arrives as 0.
LEAST_PROBABILITY: Final = 5e-6


class Evaluation:
    """Counts of one set. `add` each item once, in any order, then ask for the `report`."""

    def __init__(self) -> None:
        self._confusion: Counter[tuple[str, str]] = Counter()
        self._model_classes: dict[str, None] = {}
        self._unlabelled = 0
        self._errored = 0
        self._loss_sum = 0.0
        self._losses = 0
        self._bin_items = [0] * BINS
        self._bin_right = [0] * BINS
        self._bin_scores = [0.0] * BINS

    @property
    def items(self) -> int:
        """Items with both a true label and an answer, so far."""
        return self._confusion.total()

    def add(self, truth: str | None, answer: Classification | None) -> None:
        """Take one item: its true label, None without one, and the answer, None for an error."""
        if answer is None:
            self._errored += 1
            return
        for name in answer.probabilities or (answer.label,):
            self._model_classes.setdefault(name)
        if truth is None:
            self._unlabelled += 1
            return
        self._confusion[truth, answer.label] += 1
        self._add_loss(truth, answer)
        self._add_to_bin(answer.score, truth == answer.label)

    def report(self) -> EvaluationReport:
        """Give the figures. Raises ValueError while there is no item to take them of."""
        if not self.items:
            raise ValueError("no item has both a true label and an answer")
        labels = self._labels()
        known = self._known()
        right = sum(self._confusion[label, label] for label in labels)
        truths = self._by_truth()
        return EvaluationReport(
            items=self.items,
            unlabelled=self._unlabelled,
            errored=self._errored,
            unknown_labels=sum(n for label, n in truths.items() if label not in known),
            accuracy=right / self.items,
            log_loss=self._loss_sum / self._losses if self._losses else None,
            calibration_error=self._calibration_error(),
            classes=tuple(self._figures(label) for label in labels),
            confusion=tuple(
                tuple(self._confusion[truth, got] for got in labels) for truth in labels
            ),
            calibration=self._bins(),
        )

    def _known(self) -> set[str]:
        return set(self._model_classes)

    def _labels(self) -> list[str]:
        """The model's classes in its order, then those that only the truth has, sorted."""
        return [*self._model_classes, *sorted(set(self._by_truth()) - self._known())]

    def _by_truth(self) -> Counter[str]:
        counts: Counter[str] = Counter()
        for (truth, _), number in self._confusion.items():
            counts[truth] += number
        return counts

    def _add_loss(self, truth: str, answer: Classification) -> None:
        probability = _probability_of(truth, answer)
        if probability is not None:
            self._loss_sum -= math.log(max(probability, LEAST_PROBABILITY))
            self._losses += 1

    def _add_to_bin(self, score: float, is_right: bool) -> None:
        number = min(max(math.ceil(score * BINS) - 1, 0), BINS - 1)
        self._bin_items[number] += 1
        self._bin_right[number] += is_right
        self._bin_scores[number] += score

    def _bins(self) -> tuple[CalibrationBin, ...]:
        return tuple(
            CalibrationBin(
                lower=number / BINS,
                upper=(number + 1) / BINS,
                items=items,
                mean_score=self._bin_scores[number] / items,
                accuracy=self._bin_right[number] / items,
            )
            for number, items in enumerate(self._bin_items)
            if items
        )

    def _calibration_error(self) -> float:
        gaps = (part.items * abs(part.mean_score - part.accuracy) for part in self._bins())
        return sum(gaps) / self.items

    def _figures(self, label: str) -> ClassFigures:
        right = self._confusion[label, label]
        items = sum(n for (truth, _), n in self._confusion.items() if truth == label)
        predicted = sum(n for (_, got), n in self._confusion.items() if got == label)
        return ClassFigures(
            label=label,
            items=items,
            predicted=predicted,
            precision=right / predicted if predicted else None,
            recall=right / items if items else None,
            f1=2 * right / (items + predicted) if items + predicted else None,
            is_known=label in self._known(),
        )


def _probability_of(truth: str, answer: Classification) -> float | None:
    """Give the true class's probability, None where the answer does not tell it."""
    told: Mapping[str, float] = answer.probabilities or {}
    if truth in told:
        return told[truth]
    return answer.score if truth == answer.label and not told else None
