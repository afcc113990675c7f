"""Models as people see them: tables, a version in full, what it has learnt, and how good it is."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from seqd.analysis.evaluation import EvaluationReport
from seqd.cli.label_map import named_labels, suggested_options
from seqd.cli.ui.charts import epochs_chart
from seqd.cli.ui.numbers import age, clock, count, counted, metric, size
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_facts, print_table, values_line
from seqd.hookspecs import Inspection
from seqd_schemas import CatalogEntry, ModelManifest

#: Characters of the bar of the largest share, and the eighths that end a bar.
_BAR_CHARS: Final = 24
_EIGHTHS: Final = " ▏▎▍▌▋▊▉"

#: Classes whose whole confusion matrix fits on a screen.
_MATRIX_CLASSES: Final = 8

#: Confusions that are listed of a larger matrix, the most frequent.
_LISTED_CONFUSIONS: Final = 10


def print_models(screen: Screen, entries: Sequence[CatalogEntry]) -> None:
    """Print a table of models."""
    rows = [
        (
            entry.model,
            ", ".join(entry.tasks),
            ", ".join(with_labels(one.version, entry.labels) for one in entry.versions) or "none",
            entry.summary,
        )
        for entry in entries
    ]
    if rows:
        print_table(screen, ("model", "tasks", "versions", "what it is"), rows)
    else:
        screen.say("No models. `seqd plugins list` shows the plugins that should bring some.")


def print_version(screen: Screen, manifest: ModelManifest, labels: Mapping[str, int]) -> None:
    """Print a version's manifest."""
    facts = {
        "version": f"{manifest.model}@{with_labels(manifest.version, labels)}",
        "made": clock(manifest.created_at_ms)
        + (f" by job {manifest.job_id}" if manifest.job_id else ""),
        "preset": manifest.preset,
        "data": f"{manifest.data.description}, size {count(manifest.data.records)}, "
        f"sha256 {manifest.data.sha256[:12]}",
        "parameters": values_line(manifest.parameters),
        "seed": manifest.seed,
        "libraries": ", ".join(f"{name} {known}" for name, known in manifest.libraries.items()),
        "files": ", ".join(
            f"{name} ({size(digest.size_bytes)})" for name, digest in manifest.files.items()
        ),
    }
    metrics = {name.replace("_", " "): metric(value) for name, value in manifest.metrics.items()}
    print_facts(screen, facts)
    screen.say()
    print_facts(screen, metrics)
    chart = epochs_chart(manifest.epochs, screen.console.width)
    if chart:
        screen.say()
        screen.block(chart)


def print_versions(
    screen: Screen, versions: Sequence[ModelManifest], labels: Mapping[str, int]
) -> None:
    """Print a table of a model's versions, where there are several."""
    if len(versions) < 2:
        return
    now_ms = time.time_ns() // 1_000_000
    rows = [
        (
            with_labels(one.version, labels),
            one.preset or "",
            age(one.created_at_ms, now_ms),
            ", ".join(f"{name} {metric(value)}" for name, value in one.metrics.items()),
        )
        for one in versions
    ]
    screen.say()
    print_table(screen, ("version", "preset", "age", "metrics"), rows)


def print_inspections(
    screen: Screen, tables: Sequence[Inspection], *, is_first: bool = True
) -> None:
    """Print what a plugin shows of a version, a blank line between tables."""
    for number, table in enumerate(tables):
        if number or not is_first:
            screen.say()
        bars = bars_of(table) if screen.is_live else []
        rows = [(*row, bars[at]) for at, row in enumerate(table.rows)] if bars else table.rows
        columns = (*table.columns, "") if bars else table.columns
        print_table(screen, columns, rows, title=table.title)


def bars_of(table: Inspection) -> list[str]:
    """Return each row's share as a bar, the largest the longest; none of any other table."""
    if table.distribution is None or not table.rows:
        return []
    column = table.columns.index(table.distribution.shares)
    shares = [float(row[column]) for row in table.rows]
    longest = max(shares)
    return [_bar(share / longest if longest > 0 else 0.0) for share in shares]


def with_labels(version: int, labels: Mapping[str, int]) -> str:
    """Return a version with its labels, such as `3 (production)`."""
    names = sorted(label for label, number in labels.items() if number == version)
    return f"{version} ({', '.join(names)})" if names else str(version)


def print_evaluation(
    screen: Screen, report: EvaluationReport, *, model: str, data: str, plot: Path | None
) -> None:
    """Print an evaluation; `plot` is the picture that was drawn of it."""
    _say_unknown_labels(screen, report)
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
    _say_what_was_left_out(screen, report)
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


def _bar(share: float) -> str:
    eighths = round(share * _BAR_CHARS * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def _say_unknown_labels(screen: Screen, report: EvaluationReport) -> None:
    """Say first which items cannot be right, as the figures are of them, too."""
    if not report.unknown_labels:
        return
    names = [one.label for one in report.classes if not one.is_known]
    # Of classes that the data has not: it would not call one of them by two names.
    unused = [one.label for one in report.classes if one.is_known and not one.items]
    pairs = suggested_options(names, unused)
    advice = f" To map them: {pairs}" if pairs else ""
    screen.say(
        f"{counted(report.unknown_labels, 'item')} of classes that the model does not know "
        f"({named_labels(names)}) counted as wrong, and not in the log loss.{advice}",
        "yellow",
    )
    screen.say()


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
            (number, labels[truth], labels[predicted])
            for truth, row in enumerate(report.confusion)
            for predicted, number in enumerate(row)
            if truth != predicted and number
        ),
        reverse=True,
    )
    rows = [(truth, predicted, number) for number, truth, predicted in wrong[:_LISTED_CONFUSIONS]]
    print_table(screen, ("truth", "taken for", "items"), rows, title="Most frequent mistakes")


def _print_calibration(screen: Screen, report: EvaluationReport) -> None:
    rows = [
        (f"{part.lower:.2f}-{part.upper:.2f}", part.items, part.mean_score, part.accuracy)
        for part in report.calibration
    ]
    print_table(screen, ("score", "items", "mean score", "accuracy"), rows)


def _say_what_was_left_out(screen: Screen, report: EvaluationReport) -> None:
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
