"""An evaluation as it is kept with a version: the report of all items, in a bounded record."""

from collections.abc import Mapping
from typing import Final, Literal

from seqd.analysis.evaluation import ClassFigures, EvaluationReport
from seqd.analysis.examples import HighestScored
from seqd.kinds import CLASSIFY
from seqd_schemas import (
    MAX_CONFUSIONS,
    MAX_LISTED_CLASSES,
    Confusion,
    DataFingerprint,
    EvaluatedClass,
    EvaluatedMetric,
    ParameterValue,
    ReliabilityBin,
    VersionEvaluation,
)

#: How each interval of a report is computed.
_METHODS: Final[Mapping[str, Literal["wilson", "bootstrap", "normal"]]] = {
    "accuracy": "wilson",
    "f1_macro": "bootstrap",
    "log_loss": "normal",
    "brier_score": "normal",
}


def evaluation_record(
    report: EvaluationReport,
    examples: HighestScored,
    data: DataFingerprint,
    *,
    at_ms: int,
    by: str,
    is_training_data: bool,
    parameters: Mapping[str, ParameterValue],
) -> VersionEvaluation:
    """Return the record of an evaluation.

    Of many classes those with most items stay, of the confusion matrix its largest cells.
    """
    cells = _cells(report)
    return VersionEvaluation(
        data=data,
        is_training_data=is_training_data,
        at_ms=at_ms,
        by=by,
        task=CLASSIFY,
        parameters=dict(parameters),
        items=report.items,
        unlabelled=report.unlabelled,
        errored=report.errored,
        unknown_labels=report.unknown_labels,
        metrics=_metrics(report),
        classes=tuple(_class(one) for one in _listed(report.classes)),
        confusion=tuple(cells[:MAX_CONFUSIONS]),
        confusion_left_out=sum(one.items for one in cells[MAX_CONFUSIONS:]),
        calibration=tuple(
            ReliabilityBin(
                lower=part.lower,
                upper=part.upper,
                items=part.items,
                # Summed one by one, the mean of scores of 1 may exceed it by a rounding.
                mean_score=min(1.0, part.mean_score),
                accuracy=part.accuracy,
            )
            for part in report.calibration
        ),
        right=examples.right(),
        wrong=examples.wrong(),
    )


def _metrics(report: EvaluationReport) -> dict[str, EvaluatedMetric]:
    figures = {
        "accuracy": report.accuracy,
        "f1_macro": report.f1_macro,
        "log_loss": report.log_loss,
        "brier_score": report.brier_score,
        "calibration_error": report.calibration_error,
    }
    metrics = {}
    for name, value in figures.items():
        if value is None:
            continue
        low, high = report.intervals.get(name, (None, None))
        method = None if low is None else _METHODS[name]
        metrics[name] = EvaluatedMetric(value=value, low=low, high=high, method=method)
    return metrics


def _listed(classes: tuple[ClassFigures, ...]) -> list[ClassFigures]:
    """Return the classes in their order, of too many those with most items."""
    if len(classes) <= MAX_LISTED_CLASSES:
        return list(classes)
    by_items = sorted(range(len(classes)), key=lambda number: -classes[number].items)
    return [classes[number] for number in sorted(by_items[:MAX_LISTED_CLASSES])]


def _class(figures: ClassFigures) -> EvaluatedClass:
    return EvaluatedClass.model_validate(figures.model_dump())


def _cells(report: EvaluationReport) -> list[Confusion]:
    """Return the cells of the confusion matrix that are not zero, the most items first."""
    labels = [one.label for one in report.classes]
    cells = [
        Confusion(truth=labels[truth], predicted=labels[predicted], items=items)
        for truth, row in enumerate(report.confusion)
        for predicted, items in enumerate(row)
        if items
    ]
    return sorted(cells, key=lambda one: (-one.items, one.truth, one.predicted))
