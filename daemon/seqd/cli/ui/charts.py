"""Courses of figures as bars in one line, a column each, and the learning curve of a training."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from seqd.analysis.curves import curve_of, spoken
from seqd.cli.ui.numbers import count
from seqd_schemas import EpochMetrics

_BARS: Final = "▁▂▃▄▅▆▇█"

#: The most columns of a learning curve, and the fewest that show anything.
MOST_COLUMNS: Final = 100
_LEAST_COLUMNS: Final = 10

_STYLES: Final = {"training": "blue", "held out": "yellow"}


def bars(course: Sequence[float], low: float, high: float) -> str:
    """Return a course as bars, those of `high` as high as a line."""
    return "".join(_BARS[round((one - low) / (high - low) * (len(_BARS) - 1))] for one in course)


def epochs_chart(epochs: Sequence[EpochMetrics], width: int) -> list[Text]:
    """Return the chart of a training's epochs; nothing for less than two, or without room.

    The figure of the training data and that of held-out data have a line each, with its first and
    last value, and one scale.
    """
    curve = curve_of(epochs) if len(epochs) > 1 else None
    if curve is None:
        return []
    courses = {
        name: [value for _, value in points]
        for name, points in (("training", curve.training), ("held out", curve.held_out))
        if points
    }
    every = [value for course in courses.values() for value in course]
    low, high = min(every), max(every)
    numbers = {name: (f"{one[0]:.4f}", f"{one[-1]:.4f}") for name, one in courses.items()}
    longest = max(len(number) for pair in numbers.values() for number in pair)
    room = min(width, MOST_COLUMNS) - max(map(len, _STYLES)) - 2 * longest - 5
    if room < _LEAST_COLUMNS:
        return []
    ends = f"epoch {count(epochs[0].epoch)} to {count(epochs[-1].epoch)}"
    chart = [Text(f"{spoken(curve.figure)}, {ends}", style="bold")]
    for name, course in courses.items():
        first, last = numbers[name]
        drawn = bars(_thinned(course, room), low, high if high > low else low + 1.0)
        chart.append(
            Text.assemble(
                (f"{name:<8}  {first:>{longest}} ", "dim"), (drawn, _STYLES[name]), f" {last}"
            )
        )
    return chart


def _thinned(course: Sequence[float], most: int) -> list[float]:
    """Return at most so many values of a course, evenly, the first and the last among them."""
    if len(course) <= most:
        return list(course)
    return [course[round(at * (len(course) - 1) / (most - 1))] for at in range(most)]
