"""Charts drawn in text: lines over an axis, and the learning curve of a training.

Lines are drawn with braille dots, four a row and two a column. Each line's name and last value
stand at its end, so that lines can be told apart without colours too.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from rich.text import Text

from seqd.analysis.curves import curve_of, spoken
from seqd.views.numbers import count
from seqd_schemas import EpochMetrics, ReliabilityBin

#: Fewest columns between a chart's numbers and names that show anything.
LEAST_COLUMNS: Final = 20

#: Bits of a braille character's dots, by row from the top and column from the left.
_DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_DOT_ROWS, _DOT_COLUMNS = len(_DOTS), len(_DOTS[0])
_BLANK: Final = 0x2800

#: What marks a line of a single point.
_POINT: Final = "●"

#: Rows of a learning curve, and the most columns of its chart.
_CURVE_ROWS: Final = 8
MOST_COLUMNS: Final = 100

_TRAINING_STYLE, _HELD_OUT_STYLE = "blue", "yellow"
_TRAINING, _HELD_OUT = "training", "held out"


def epochs_chart(epochs: Sequence[EpochMetrics], width: int) -> list[Text]:
    """Return the chart of a training's epochs; nothing for less than two, or without room."""
    curve = curve_of(epochs) if len(epochs) > 1 else None
    if curve is None:
        return []
    named = (
        Line(_TRAINING, curve.training, _TRAINING_STYLE),
        Line(_HELD_OUT, curve.held_out, _HELD_OUT_STYLE),
    )
    lines = [line for line in named if line.points]
    axis = Axis("epoch", count(epochs[0].epoch), count(epochs[-1].epoch))
    width = min(width, MOST_COLUMNS)
    return line_chart(lines, axis, width=width, rows=_CURVE_ROWS, title=spoken(curve.figure))


def reliability_chart(bins: Sequence[ReliabilityBin], width: int) -> list[Text]:
    """Return accuracy over mean score, beside the line of scores that are as good as they claim.

    Nothing for less than two bins, or without room.
    """
    if len(bins) < 2:
        return []
    first, last = bins[0].mean_score, bins[-1].mean_score
    lines = (
        Line("as claimed", ((first, first), (last, last)), _HELD_OUT_STYLE),
        Line("as it is", [(one.mean_score, one.accuracy) for one in bins], _TRAINING_STYLE),
    )
    axis = Axis("score", f"{first:.2f}", f"{last:.2f}")
    width = min(width, MOST_COLUMNS)
    return line_chart(lines, axis, width=width, rows=_CURVE_ROWS, title="accuracy")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its points ascending in x, at least one, all of them finite."""

    name: str
    points: Sequence[tuple[float, float]]
    style: str


@dataclass(frozen=True, slots=True)
class Axis:
    """The horizontal axis: its name, and what its two ends are."""

    name: str
    first: str
    last: str


def line_chart(
    lines: Sequence[Line], axis: Axis, *, width: int, rows: int, title: str
) -> list[Text]:
    """Return a chart of at least one line: its title, `rows` lines of plot, and its axis.

    Later lines are drawn over earlier ones. Nothing where `width` columns leave no room.
    """
    low, high = _range_of([y for line in lines for _, y in line.points])
    digits = _digits_of(high - low)
    ticks = {0: high, rows // 2: high - (high - low) * (rows // 2) / (rows - 1), rows - 1: low}
    left = max(len(f"{value:.{digits}f}") for value in ticks.values())
    longest = max(len(line.name) for line in lines)
    names = [f" {line.name:<{longest}} {line.points[-1][1]:.{digits + 2}f}" for line in lines]
    columns = width - left - 3 - max(map(len, names))
    if columns < LEAST_COLUMNS:
        return []
    plot = _Plot(lines, columns, rows, (low, high))
    at_rows = plot.rows_of_ends()
    chart = [Text(" " * (left + 3) + title, style="bold")]
    for row in range(rows):
        number = f"{ticks[row]:.{digits}f}" if row in ticks else ""
        text = Text.assemble((f" {number:>{left}} {'┤' if number else '│'}", "dim"), plot.row(row))
        for name, line, at in zip(names, lines, at_rows, strict=True):
            if at == row:
                text.append(name, style=line.style)
        text.rstrip()
        chart.append(text)
    chart.append(Text(" " * (left + 2) + "└" + _axis_line(axis, plot.columns), style="dim"))
    return chart


class _Plot:
    """The dots of all lines, in characters."""

    def __init__(
        self, lines: Sequence[Line], columns: int, rows: int, limits: tuple[float, float]
    ) -> None:
        self.columns = columns
        self._lines = lines
        self._rows = rows
        self._low, self._high = limits
        every_x = [x for line in lines for x, _ in line.points]
        self._first, self._last = min(every_x), max(every_x)
        self._bits = [[0] * columns for _ in range(rows)]
        self._styles = [[""] * columns for _ in range(rows)]
        for line in lines:
            self._draw(line)
        self._singles = {
            (y // _DOT_ROWS, x // _DOT_COLUMNS)
            for line in lines
            if len(line.points) == 1
            for x, y in [self._dot(line.points[0])]
        }

    def row(self, row: int) -> Text:
        """Return a row of the plot."""
        marks = [chr(_BLANK + bits) if bits else " " for bits in self._bits[row]]
        for at_row, column in self._singles:
            if at_row == row:
                marks[column] = _POINT
        text = Text()
        for style, cells in groupby(
            zip(self._styles[row], marks, strict=True), key=lambda cell: cell[0]
        ):
            text.append("".join(mark for _, mark in cells), style=style)
        return text

    def rows_of_ends(self) -> list[int]:
        """Return the row that each line ends in; of two in one row, the lower moves down."""
        ends = [self._dot(line.points[-1])[1] // _DOT_ROWS for line in self._lines]
        downwards = sorted(range(len(ends)), key=lambda at: -self._lines[at].points[-1][1])
        taken = -1
        for below, at in enumerate(reversed(downwards)):
            ends[at] = min(ends[at], self._rows - 1 - below)
        for at in downwards:
            ends[at] = taken = max(ends[at], taken + 1)
        return ends

    def _dot(self, point: tuple[float, float]) -> tuple[int, int]:
        """Return the dot of a point, counted from the left and from the top."""
        x, y = point
        across = self.columns * _DOT_COLUMNS - 1
        down = self._rows * _DOT_ROWS - 1
        span = self._last - self._first
        # A single moment stands at the right, where its name is.
        right = (x - self._first) / span if span else 1.0
        return round(right * across), round((self._high - y) / (self._high - self._low) * down)

    def _draw(self, line: Line) -> None:
        dots = [self._dot(point) for point in line.points]
        for start, end in zip(dots, dots[1:] or dots, strict=False):
            for x, y in _between(start, end):
                row, column = y // _DOT_ROWS, x // _DOT_COLUMNS
                self._bits[row][column] |= _DOTS[y % _DOT_ROWS][x % _DOT_COLUMNS]
                self._styles[row][column] = line.style


def _between(start: tuple[int, int], end: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """Yield the dots of a straight line, both ends included, without a gap."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    for step in range(steps + 1):
        yield (
            start[0] + round((end[0] - start[0]) * step / steps),
            start[1] + round((end[1] - start[1]) * step / steps),
        )


def _range_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest value, or limits around them where they are equal."""
    low, high = min(values), max(values)
    if high > low:
        return low, high
    apart = abs(high) * 0.01 or 1.0
    return low - apart, high + apart


def _digits_of(span: float) -> int:
    """Return how many decimals tell values of such a range apart."""
    return min(6, max(0, 1 - math.floor(math.log10(span))))


def _axis_line(axis: Axis, columns: int) -> str:
    first, last, name = f" {axis.first} ", f" {axis.last}", f" {axis.name} "
    left = (columns - len(name)) // 2 - len(first)
    right = columns - len(first) - max(0, left) - len(name) - len(last)
    return first + "─" * left + name + "─" * right + last
