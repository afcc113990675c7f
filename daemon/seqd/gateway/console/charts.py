"""Lines over time as SVG, drawn here: coordinates of the points, and the scale in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from seqd.views.numbers import metric

#: The drawing's size, without its margin for the labels.
_WIDTH: Final = 600
_HEIGHT: Final = 140


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: its name, and its points as SVG has them."""

    name: str
    points: str
    last: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart with its lines and the ends of its scales."""

    title: str
    lines: Sequence[Line]
    top: str
    bottom: str
    left: str
    right: str
    width: int = _WIDTH
    height: int = _HEIGHT

    @property
    def said(self) -> str:
        """The chart in words, for who cannot see it."""
        told = ", ".join(f"{line.name} {line.last}" for line in self.lines)
        return f"{self.title}, from {self.left} to {self.right}: {told}."


def chart_of(
    title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    ends: tuple[str, str],
    said: Callable[[float], str] = metric,
) -> Chart:
    """Return a chart of named series of points (x, y), which has some, from zero up.

    `said` gives a value in words.
    """
    xs, ys = zip(*(point for _, line in series for point in line), strict=True)
    least_x, wide = min(xs), (max(xs) - min(xs)) or 1.0
    high = max(*ys, 0.0) or 1.0  # a level line at zero lies at the bottom

    def place(point: tuple[float, float]) -> str:
        x, y = point
        return f"{_WIDTH * (x - least_x) / wide:.1f},{_HEIGHT - _HEIGHT * y / high:.1f}"

    lines = [
        Line(name, " ".join(map(place, line)), said(line[-1][1])) for name, line in series if line
    ]
    return Chart(title, lines, said(high), said(0.0), *ends)
