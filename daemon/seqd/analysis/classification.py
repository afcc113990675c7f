"""What is measured of versions that classify: accuracy, macro F1, log loss, calibration.

`ClassAnswers` keeps a version's answers in a few bytes an item. Two versions are compared by
figures whose differences are paired, and by who is right.
"""

import math
from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np

from seqd.analysis.comparison import (
    CLASSIFY_METRICS,
    AnswersCompared,
    ChangedItem,
    Difference,
    GivenLabel,
    LabelSets,
    MetricId,
    RightAndWrong,
    difference_of,
)
from seqd.analysis.evaluation import Report, class_figures, figure_of, share_of
from seqd.analysis.statistics import (
    Codes,
    Floats,
    cohens_kappa,
    macro_f1,
    macro_f1_difference,
    mcnemar_exact,
    mean_interval,
    newcombe_interval,
)
from seqd_schemas import (
    Classification,
    EvaluatedMetric,
    ItemFailure,
    ItemSuccess,
    ReliabilityBin,
)

#: Bins of the calibration error, of equal width between 0 and 1.
BINS: Final = 15

#: Least probability that counts in the log loss: results are rounded to five decimals, so that
#: what is smaller arrives as 0.
LEAST_PROBABILITY: Final = 5e-6

#: Code of a label or a true label that is not there.
_NONE: Final = -1


class LabelCodes:
    """Numbers for labels, from 0, in the order in which they come."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}
        #: The labels by their numbers.
        self.names: list[str] = []

    def code(self, label: str | None) -> int:
        """Return a label's number, -1 for none."""
        if label is None:
            return _NONE
        code = self._codes.get(label)
        if code is None:
            code = self._codes[label] = len(self.names)
            self.names.append(label)
        return code


class ClassAnswers:
    """A version's classifications, `add`ed in the order of the items; 32 bytes an item."""

    def __init__(self, codes: LabelCodes) -> None:
        """Keep answers; those of two versions to be compared share the `codes`."""
        self._codes = codes
        self._truths = array("i")
        self._labels = array("i")
        self._scores = array("d")
        self._chances = array("d")
        self._briers = array("d")
        self._classes: dict[str, None] = {}
        #: True while each answer has had all classes' probabilities, so that all are known.
        self.knows_classes = True
        self.errored = self.unlabelled = 0

    def add(self, truth: object | None, output: object | None) -> None:
        """Keep the next item's true label, and its answer; None stands for an error."""
        label = truth if isinstance(truth, str) else None
        self._truths.append(self._codes.code(label))
        if not isinstance(output, Classification):
            self.errored += 1
            self._keep(None, 0.0, math.nan, math.nan)
            return
        self.unlabelled += label is None
        shares = output.probabilities or {}
        if not shares:
            self.knows_classes = False
        for name in shares or (output.label,):
            self._classes.setdefault(name)
        # A true class that the model does not know has a probability of 0.
        misses = sum((share - (name == label)) ** 2 for name, share in shares.items())
        brier = misses + (label not in shares) if shares else math.nan
        self._keep(output.label, output.score, shares.get(label or "", math.nan), brier)

    @property
    def items(self) -> int:
        """The number of items so far."""
        return len(self._truths)

    @property
    def classes(self) -> set[str]:
        """The classes that are known so far: all, or else those that it gave."""
        return set(self._classes)

    def given(self, index: int) -> GivenLabel | None:
        """Return the answer to an item, from 0; None for an error."""
        code = self._labels[index]
        if code == _NONE:
            return None
        return GivenLabel(label=self._codes.names[code], score=self._scores[index])

    def truth(self, index: int) -> str | None:
        """Return the true label of an item, from 0."""
        code = self._truths[index]
        return None if code == _NONE else self._codes.names[code]

    def truths(self) -> Codes:
        """Return the codes of the true labels."""
        return np.array(self._truths, np.int64)

    def labels(self) -> Codes:
        """Return the codes of the labels that were given."""
        return np.array(self._labels, np.int64)

    def losses(self) -> Floats:
        """Return the negative logarithm of each true label's probability; NaN where not known."""
        chances = np.array(self._chances, np.float64)
        return -np.log(np.maximum(chances, LEAST_PROBABILITY))

    def kept(self, min_score: float) -> dict[str, EvaluatedMetric]:
        """Return the share of answers with at least a score, and the accuracy of these.

        Of items with a true label; no accuracy where no answer has the score.
        """
        is_counted = (self.truths() != _NONE) & (self.labels() != _NONE)
        is_kept = is_counted & (np.array(self._scores) >= min_score)
        items = int(is_kept.sum())
        figures = {"kept_share": share_of(items, int(is_counted.sum()))}
        if items:
            right = int((is_kept & (self.truths() == self.labels())).sum())
            figures["kept_accuracy"] = share_of(right, items)
        return figures

    def report(self) -> Report:
        """Return the figures. Raises ValueError while no item has a label and a prediction."""
        truth, given = self.truths(), self.labels()
        kept = (truth != _NONE) & (given != _NONE)
        items = int(kept.sum())
        if not items:
            raise ValueError("no item has both a true label and a prediction")
        truth, given = truth[kept], given[kept]
        names = self._codes.names
        # The model's classes in its order, then those that only the truth has, sorted.
        true_names = {names[code] for code in np.unique(truth)}
        labels = [*self._classes, *sorted(true_names - set(self._classes))]
        places, size = {label: place for place, label in enumerate(labels)}, len(labels)
        place_of = np.array([places.get(name, 0) for name in names], np.int64)
        rows, columns = place_of[truth], place_of[given]
        true, predicted = np.bincount(rows, minlength=size), np.bincount(columns, minlength=size)
        right = np.bincount(rows[rows == columns], minlength=size)
        cells, counts = np.unique(rows * size + columns, return_counts=True)
        calibration = _bins(np.array(self._scores)[kept], truth == given)
        metrics = {
            "accuracy": share_of(int(right.sum()), items),
            "f1_macro": figure_of(*macro_f1(truth, given), "bootstrap"),
            **_mean("log_loss", self.losses()[kept]),
            **_mean("brier_score", np.array(self._briers)[kept], most=2.0),
            "calibration_error": EvaluatedMetric(
                value=sum(b.items * abs(b.mean_score - b.accuracy) for b in calibration) / items
            ),
        }
        return Report(
            items=items,
            unlabelled=self.unlabelled,
            errored=self.errored,
            metrics=metrics,
            classes=tuple(
                class_figures(
                    label,
                    int(right[at]),
                    int(true[at]),
                    int(predicted[at]),
                    is_known=label in self._classes,
                )
                for at, label in enumerate(labels)
            ),
            unknown_labels=int(true[len(self._classes) :].sum()),
            confused={
                divmod(cell, size): count
                for cell, count in zip(cells.tolist(), counts.tolist(), strict=True)
            },
            calibration=calibration,
        )

    def _keep(self, label: str | None, score: float, chance: float, brier: float) -> None:
        self._labels.append(self._codes.code(label))
        self._scores.append(score)
        self._chances.append(chance)
        self._briers.append(brier)


class ClassPair:
    """The classifications of two versions of the same items, in the same order."""

    def __init__(self) -> None:
        self._codes = LabelCodes()
        self.first, self.second = ClassAnswers(self._codes), ClassAnswers(self._codes)

    @property
    def knows_classes(self) -> bool:
        """True while all classes of both are known."""
        return self.first.knows_classes and self.second.knows_classes

    def changed_item(self, custom_id: str, text: str) -> ChangedItem | None:
        """Return the last item of the second's answers where its label changed; None where not."""
        index = self.second.items - 1
        if index >= self.first.items:
            return None
        truth, one, other = (
            self.second.truth(index),
            self.first.given(index),
            self.second.given(index),
        )
        if truth is None or one is None or other is None or one.label == other.label:
            return None
        return ChangedItem(custom_id=custom_id, text=text, truth=truth, first=one, second=other)

    def compare(self) -> tuple[dict[MetricId, Difference], AnswersCompared]:
        """Return the figures on the items that both answered, and how answers differ.

        Raises ValueError where no item has a true label and two answers.
        """
        first, second = self.first, self.second
        truth, labels, other_labels = first.truths(), first.labels(), second.labels()
        answered = (labels != _NONE) & (other_labels != _NONE)
        kept = answered & (truth != _NONE)
        if not kept.any():
            raise ValueError("no item has a true label and two answers")
        columns = (truth[kept], labels[kept], other_labels[kept])
        losses = first.losses()[kept], second.losses()[kept]
        names = self._codes.names
        known = {code for code, name in enumerate(names) if name in first.classes | second.classes}
        same = columns[1] == columns[2]
        right = _right_and_wrong(*columns)
        compared = AnswersCompared(
            unlabelled=int((answered & ~kept).sum()),
            errored=int((~answered).sum()),
            errored_first=first.errored,
            errored_second=second.errored,
            unknown_items=int((~np.isin(columns[0], list(known))).sum()),
            right=right,
            mcnemar_p=mcnemar_exact(right.first_only, right.second_only),
            agreement=float(same.mean()),
            kappa=cohens_kappa(columns[1], columns[2]),
            changed=int((~same).sum()),
            labels=_label_sets([names[code] for code in np.unique(columns[0])], first, second),
        )
        return _metrics(columns, losses, right), compared


class Classifying:
    """The measure of versions that classify."""

    output: Final = Classification
    truth_field: Final = "label"
    metrics: Final = CLASSIFY_METRICS

    def truth(self, value: object) -> object | None:
        """Return a true label that is a text as it is."""
        return value if isinstance(value, str) else None

    def answers(self) -> ClassAnswers:
        """Begin to keep the answers of one version."""
        return ClassAnswers(LabelCodes())

    def pair(self) -> ClassPair:
        """Begin to keep the answers of two."""
        return ClassPair()


def prediction_of(result: ItemSuccess | ItemFailure) -> Classification | None:
    """Return the classification of a result; None of an error."""
    output = result.output if isinstance(result, ItemSuccess) else None
    return output if isinstance(output, Classification) else None


def _mean(name: str, values: Floats, most: float = math.inf) -> dict[str, EvaluatedMetric]:
    """Return the mean of what is known of them, as the figure `name`; nothing of none."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {}
    return {name: figure_of(float(known.mean()), mean_interval(known, 0.0, most), "normal")}


def _bins(
    scores: Floats, is_right: "np.ndarray[tuple[int], np.dtype[np.bool_]]"
) -> tuple[ReliabilityBin, ...]:
    """Return the bins of scores that have predictions."""
    numbers = np.clip(np.ceil(scores * BINS).astype(np.int64) - 1, 0, BINS - 1)
    items = np.bincount(numbers, minlength=BINS)
    right = np.bincount(numbers, is_right, BINS)
    sums = np.bincount(numbers, scores, BINS)
    return tuple(
        ReliabilityBin(
            lower=at / BINS,
            upper=(at + 1) / BINS,
            items=int(items[at]),
            # Summed one by one, the mean of scores of 1 may exceed it by a rounding.
            mean_score=min(1.0, float(sums[at] / items[at])),
            accuracy=float(right[at] / items[at]),
        )
        for at in np.flatnonzero(items).tolist()
    )


def _metrics(
    columns: tuple[Codes, Codes, Codes], losses: tuple[Floats, Floats], right: RightAndWrong
) -> dict[MetricId, Difference]:
    items = len(columns[0])
    interval = newcombe_interval(right.both, right.first_only, right.second_only, right.neither)
    one_f1, other_f1, spread = macro_f1_difference(*columns)
    found: dict[MetricId, Difference] = {
        "accuracy": difference_of(
            (right.both + right.first_only) / items,
            (right.both + right.second_only) / items,
            interval,
            "newcombe",
            items,
        ),
        "f1_macro": difference_of(one_f1, other_f1, spread, "bootstrap", items),
    }
    known = ~(np.isnan(losses[0]) | np.isnan(losses[1]))
    if known.any():
        one, other = losses[0][known], losses[1][known]
        found["log_loss"] = difference_of(
            float(one.mean()),
            float(other.mean()),
            mean_interval(other - one),
            "normal",
            int(known.sum()),
        )
    return found


def _right_and_wrong(truth: Codes, first: Codes, second: Codes) -> RightAndWrong:
    one, other = first == truth, second == truth
    return RightAndWrong(
        both=int((one & other).sum()),
        first_only=int((one & ~other).sum()),
        second_only=int((~one & other).sum()),
        neither=int((~one & ~other).sum()),
    )


def _label_sets(
    truths: Sequence[str], first: ClassAnswers, second: ClassAnswers
) -> LabelSets | None:
    if not (first.knows_classes and second.knows_classes):
        return None
    one, other, true = first.classes, second.classes, set(truths)
    return LabelSets(
        unknown_to_both=tuple(sorted(true - one - other)),
        unknown_to_first=tuple(sorted((true - one) & other)),
        unknown_to_second=tuple(sorted((true - other) & one)),
        only_first=tuple(sorted(one - other)),
        only_second=tuple(sorted(other - one)),
    )
