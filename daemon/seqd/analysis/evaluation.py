"""How good a version's predictions are on labelled data: accuracy, log loss, F1, calibration.

`Evaluation` counts predictions one by one, in memory that grows with the classes alone. So data of
any size can be evaluated. The report is no wire record: it never leaves the process. What is kept
with a version is made of it by `evaluation_record`.
"""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from seqd.analysis.intervals import OnlineMean, macro_f1, wilson_interval
from seqd_schemas import Classification

#: Bins of the calibration error, of equal width between 0 and 1.
BINS: Final = 15

#: Least probability that counts in the log loss: results are rounded to five decimals, so that
#: what is smaller arrives as 0.
LEAST_PROBABILITY: Final = 5e-6


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassFigures(_Record):
    """One class. A figure whose denominator is zero is None."""

    label: str = Field(description="Name of the class.")
    items: int = Field(ge=0, description="Items that are truly of it.")
    predicted: int = Field(ge=0, description="Items that the model predicted to be of it.")
    precision: float | None = Field(description="Share of those predicted that are truly of it.")
    recall: float | None = Field(description="Share of those truly of it that were predicted.")
    f1: float | None = Field(description="Harmonic mean of precision and recall.")
    is_known: bool = Field(description="False: the model has no such class, so it is never right.")


class CalibrationBin(_Record):
    """Predictions of similar confidence. Well calibrated, their accuracy is their mean score."""

    lower: float = Field(description="Lowest score, which belongs to the bin before.")
    upper: float = Field(description="Highest score.")
    items: int = Field(ge=0, description="Predictions with a score in between.")
    mean_score: float = Field(description="Mean of their scores.")
    accuracy: float = Field(description="Share of them that are right.")


class EvaluationReport(_Record):
    """Figures over the items that have both a true label and a prediction."""

    items: int = Field(ge=0, description="Items that the figures are of.")
    unlabelled: int = Field(ge=0, description="Items left out, since their true label is missing.")
    errored: int = Field(ge=0, description="Items left out, since the model gave an error.")
    unknown_labels: int = Field(
        ge=0, description="Items whose true label is none of the model's; they count as wrong."
    )
    accuracy: float = Field(description="Share of right predictions.")
    log_loss: float | None = Field(
        description="Mean negative natural logarithm of the true class's probability, over the "
        "items of known classes; None where the model gives no probability of it."
    )
    f1_macro: float = Field(description="Mean F1 of the classes that occur among the true labels.")
    brier_score: float | None = Field(
        description="Mean squared difference between the classes' probabilities and the truth, "
        "summed over the classes (Brier 1950): 0 at best, 2 at worst. None where the model gives "
        "no probabilities of all classes."
    )
    intervals: dict[str, tuple[float, float]] = Field(
        description="95% intervals by the figure's name: of the accuracy by Wilson's score, of "
        "macro F1 by up to 2,000 resamples, of log loss and Brier score by the normal distribution."
    )
    calibration_error: float = Field(
        description="Mean gap between score and accuracy, over 15 bins weighted by their items "
        "(expected calibration error; Guo et al. 2017)."
    )
    classes: tuple[ClassFigures, ...] = Field(description="Each class, in the model's order.")
    confusion: tuple[tuple[int, ...], ...] = Field(
        description="Items by true class (rows) and predicted class (columns), as in `classes`."
    )
    calibration: tuple[CalibrationBin, ...] = Field(description="The bins that have predictions.")


class Evaluation:
    """The counts of one set of data. `add` each item once, in any order, then make the `report`."""

    def __init__(self) -> None:
        self._confusion: Counter[tuple[str, str]] = Counter()
        self._model_classes: dict[str, None] = {}
        self._unlabelled = 0
        self._errored = 0
        self._loss = OnlineMean(least=0.0)
        self._brier = OnlineMean(least=0.0, most=2.0)
        self._bin_items = [0] * BINS
        self._bin_right = [0] * BINS
        self._bin_scores = [0.0] * BINS

    @property
    def items(self) -> int:
        """The number of items with both a true label and a prediction, so far."""
        return self._confusion.total()

    def add(self, truth: str | None, prediction: Classification | None) -> None:
        """Count one item: its true label or None, and the prediction, None for an error."""
        if prediction is None:
            self._errored += 1
            return
        for name in prediction.probabilities or (prediction.label,):
            self._model_classes.setdefault(name)
        if truth is None:
            self._unlabelled += 1
            return
        self._confusion[truth, prediction.label] += 1
        self._add_loss(truth, prediction)
        self._add_brier(truth, prediction)
        self._add_to_bin(prediction.score, truth == prediction.label)

    def report(self) -> EvaluationReport:
        """Return the figures. Raises ValueError while no item has a label and a prediction."""
        if not self.items:
            raise ValueError("no item has both a true label and a prediction")
        labels = self._labels()
        known = self._known()
        right = sum(self._confusion[label, label] for label in labels)
        truths = self._by_truth()
        f1, f1_interval = macro_f1(self._confusion)
        intervals = {
            "accuracy": wilson_interval(right, self.items),
            "f1_macro": f1_interval,
            "log_loss": self._loss.interval(),
            "brier_score": self._brier.interval(),
        }
        return EvaluationReport(
            items=self.items,
            unlabelled=self._unlabelled,
            errored=self._errored,
            unknown_labels=sum(n for label, n in truths.items() if label not in known),
            accuracy=right / self.items,
            log_loss=self._loss.mean if self._loss.items else None,
            f1_macro=f1,
            brier_score=self._brier.mean if self._brier.items else None,
            intervals={name: found for name, found in intervals.items() if found is not None},
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

    def _add_loss(self, truth: str, prediction: Classification) -> None:
        probability = _probability_of(truth, prediction)
        if probability is not None:
            self._loss.add(-math.log(max(probability, LEAST_PROBABILITY)))

    def _add_brier(self, truth: str, prediction: Classification) -> None:
        known = prediction.probabilities
        if not known:
            return
        misses = (share - (label == truth) for label, share in known.items())
        # A true class that the model does not know has a probability of 0.
        self._brier.add(sum(miss * miss for miss in misses) + (truth not in known))

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


def _probability_of(truth: str, prediction: Classification) -> float | None:
    """Return the true class's probability, None where the prediction does not have it."""
    known: Mapping[str, float] = prediction.probabilities or {}
    if truth in known:
        return known[truth]
    return prediction.score if truth == prediction.label and not known else None
