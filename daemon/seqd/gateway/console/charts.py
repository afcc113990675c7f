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
    *,
    from_zero: bool = True,
    said: Callable[[float], str] = metric,
) -> Chart | None:
    """Return a chart of named series of points (x, y); None where no series has a point.

    `said` gives a value in words.
    """
    points = [point for _, line in series for point in line]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    least_x, most_x = min(xs), max(xs)
    least_y, most_y = (0.0 if from_zero else min(ys)), max(ys)
    if most_y <= least_y:
        most_y = least_y + 1.0  # a level line lies at the bottom
    wide, high = (most_x - least_x) or 1.0, most_y - least_y

    def place(point: tuple[float, float]) -> str:
        x, y = point
        across = _WIDTH * (x - least_x) / wide
        return f"{across:.1f},{_HEIGHT - _HEIGHT * (y - least_y) / high:.1f}"

    lines = [
        Line(name, " ".join(map(place, line)), said(line[-1][1])) for name, line in series if line
    ]
    return Chart(title, lines, said(most_y), said(least_y), *ends)
