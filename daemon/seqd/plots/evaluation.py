"""Draws an evaluation: what was taken for what, and how far scores can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from seqd.evaluation import EvaluationReport
from seqd.plots.canvas import BLUE, GREY, ORANGE, Canvas, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Classes whose cells still have room for a number and whose names still have room.
_NUMBERED_CLASSES: Final = 12
_NAMED_CLASSES: Final = 40

#: Longest name at an axis, in characters.
_NAME_CHARS: Final = 18


def draw_evaluation(report: EvaluationReport, path: Path, *, title: str) -> Canvas:
    """Draw a report into a PNG file. Raises InvalidRequest, see `canvas`."""
    with canvas(path, 10.0, 4.8) as sheet:
        figure = sheet.figure
        figure.suptitle(f"{title}: {report.accuracy:.2%} of {report.items:,} items right")
        matrix, reliability = figure.subplots(1, 2)
        _draw_confusion(matrix, report)
        _draw_calibration(reliability, report)
    return sheet


def _draw_confusion(axes: "Axes", report: EvaluationReport) -> None:
    """Shade each true class's items by where they went, as shares of the row."""
    counts = np.array(report.confusion, dtype=np.float64)  # (classes, classes)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title("share of each true class", fontsize=10)
    size = len(report.classes)
    if size <= _NAMED_CLASSES:
        names = [_short(one.label) for one in report.classes]
        axes.set_xticks(range(size), names)
        if size > 4:  # side by side they would run into each other
            axes.tick_params(axis="x", rotation=90)
        axes.set_yticks(range(size), names)
    if size <= _NUMBERED_CLASSES:
        _write_numbers(axes, counts, shares)


def _write_numbers(
    axes: "Axes",
    counts: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
    shares: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]",
) -> None:
    for (row, column), number in np.ndenumerate(counts):
        ink = "white" if shares[row, column] > 0.55 else "black"
        text = (
            f"{int(number):,}\n{shares[row, column]:.1%}" if len(counts) <= 6 else f"{number:.0f}"
        )
        axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)


def _draw_calibration(axes: "Axes", report: EvaluationReport) -> None:
    """Draw accuracy against score, with the number of answers as bars behind it."""
    scores = [part.mean_score for part in report.calibration]
    accuracies = [part.accuracy for part in report.calibration]
    axes.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linewidth=1, linestyle="--", label="as it claims")
    axes.plot(scores, accuracies, color=ORANGE, marker="o", label="as it is")
    shares = [part.items / report.items for part in report.calibration]
    lowers = [part.lower for part in report.calibration]
    width = report.calibration[0].upper - report.calibration[0].lower
    axes.bar(
        lowers, shares, width=width, align="edge", color=BLUE, alpha=0.25, label="share of answers"
    )
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("score of the answer")
    axes.set_ylabel("share of them that is right")
    axes.set_title(f"calibration error {report.calibration_error:.2%}", fontsize=10)
    axes.legend(loc="upper left", frameon=False)


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…"
