"""Draws a version's learning curve: its figures over the epochs, of training and held-out data."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.combinations import is_less_better
from seqd.curves import Curve, curves_of, spoken
from seqd.errors import InvalidRequest
from seqd.plots.canvas import BLUE, ORANGE, Canvas, canvas
from seqd_schemas import EpochMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Epochs up to which each point has a mark.
_MARKED_EPOCHS: Final = 40


def draw_curves(epochs: Sequence[EpochMetrics], path: Path, *, model: str) -> Canvas:
    """Draw the epochs of `model` into a PNG file, a panel for each of its curves.

    Raises InvalidRequest where no epoch has a figure, and as `canvas` does.
    """
    curves = curves_of(epochs)
    if not curves:
        raise InvalidRequest(f"the epochs of {model} have no figures, so there is no curve to draw")
    with canvas(path, 5.0 * len(curves) + 2.0, 4.4) as sheet:
        sheet.figure.suptitle(f"{model}: learning curve")
        for number, curve in enumerate(curves, 1):
            _draw(sheet.figure.add_subplot(1, len(curves), number), curve, len(epochs))
    return sheet


def _draw(axes: "Axes", curve: Curve, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    mark = "o" if epochs <= _MARKED_EPOCHS else None
    lines = (("training", curve.training, BLUE), ("held out", curve.held_out, ORANGE))
    for name, points, colour in lines:
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, marker=mark, markersize=4, label=name)
    if curve.held_out:
        _mark_best(axes, curve)
    axes.set_xlabel("epoch")
    axes.set_ylabel(spoken(curve.figure))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.25)
    axes.legend(frameon=False)


def _mark_best(axes: "Axes", curve: Curve) -> None:
    """Ring the best held-out epoch, and say above which it is."""
    best = min if is_less_better(curve.figure) else max
    epoch, value = best(curve.held_out, key=lambda point: point[1])
    axes.plot(
        [epoch],
        [value],
        color=ORANGE,
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgewidth=1.5,
        linestyle="none",
    )
    axes.set_title(f"best held out: {value:.4f} at epoch {epoch:g}", fontsize=9, color=ORANGE)
