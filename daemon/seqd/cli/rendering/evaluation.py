"""An evaluation as tables: its figures, its classes, what was taken for what, and calibration.

Of a model that writes text: how well it predicts one.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from seqd.cli.rendering.numbers import counted, metric
from seqd.cli.rendering.screen import Screen
from seqd.cli.rendering.tables import print_facts, print_table
from seqd.evaluation import EvaluationReport

#: Classes of which the whole confusion matrix fits on a screen.
_MATRIX_CLASSES: Final = 8

#: Confusions that are listed of a larger one, the most frequent.
_LISTED: Final = 10


def print_evaluation(
    screen: Screen, report: EvaluationReport, *, model: str, data: str, plot: Path | None
) -> None:
    """Print all of a report; `plot` is the picture that was drawn of it."""
    _print_figures(screen, report, model, data)
    screen.say()
    _print_classes(screen, report)
    screen.say()
    if len(report.classes) <= _MATRIX_CLASSES:
        _print_matrix(screen, report)
    else:
        _print_confusions(screen, report)
    screen.say()
    _print_calibration(screen, report)
    _say_what_was_odd(screen, report)
    if plot is not None:
        screen.say(f"The picture is in {plot}.")


def print_text_figures(
    screen: Screen, figures: Mapping[str, float], *, model: str, data: str
) -> None:
    """Print how well a model predicts a text."""
    shown = {
        name.replace("_", " "): metric(figure) if math.isfinite(figure) else "infinite"
        for name, figure in figures.items()
    }
    print_facts(screen, {"model": model, "data": data} | shown)


def _print_figures(screen: Screen, report: EvaluationReport, model: str, data: str) -> None:
    loss = "not known" if report.log_loss is None else f"{report.log_loss:.4f} nats"
    facts = {
        "model": model,
        "data": f"{data}, {counted(report.items, 'labelled item')}",
        "accuracy": f"{report.accuracy:.2%}",
        "log loss": loss,
        "calibration error": f"{report.calibration_error:.2%}",
    }
    print_facts(screen, facts)


def _print_classes(screen: Screen, report: EvaluationReport) -> None:
    rows = [
        (
            one.label,
            one.items,
            one.predicted,
            _share(one.precision),
            _share(one.recall),
            _share(one.f1),
        )
        for one in report.classes
    ]
    print_table(screen, ("class", "items", "predicted", "precision", "recall", "f1"), rows)


def _print_matrix(screen: Screen, report: EvaluationReport) -> None:
    labels = [one.label for one in report.classes]
    rows = [(label, *row) for label, row in zip(labels, report.confusion, strict=True)]
    print_table(screen, ("truth \\ predicted", *labels), rows)


def _print_confusions(screen: Screen, report: EvaluationReport) -> None:
    labels = [one.label for one in report.classes]
    wrong = sorted(
        (
            (number, labels[truth], labels[got])
            for truth, row in enumerate(report.confusion)
            for got, number in enumerate(row)
            if truth != got and number
        ),
        reverse=True,
    )
    rows = [(truth, got, number) for number, truth, got in wrong[:_LISTED]]
    print_table(screen, ("truth", "taken for", "items"), rows, title="Most frequent mistakes")


def _print_calibration(screen: Screen, report: EvaluationReport) -> None:
    rows = [
        (f"{part.lower:.2f}-{part.upper:.2f}", part.items, part.mean_score, part.accuracy)
        for part in report.calibration
    ]
    print_table(screen, ("score", "items", "mean score", "accuracy"), rows)


def _say_what_was_odd(screen: Screen, report: EvaluationReport) -> None:
    if report.unknown_labels:
        names = [one.label for one in report.classes if not one.is_known]
        shown = ", ".join(repr(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
        screen.say(
            f"{counted(report.unknown_labels, 'item')} of classes that the model does not know "
            f"({shown}) counted as wrong, and not in the log loss.",
            "yellow",
        )
    if report.unlabelled:
        screen.say(f"{counted(report.unlabelled, 'item')} without a label left out.", "yellow")
    if report.errored:
        screen.say(
            f"{counted(report.errored, 'item')} left out, as the model gave an error: `seqd "
            "classify` on the file shows which.",
            "yellow",
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
