"""Draws a distribution that a plugin shows of a version: a bar for each share, as it lists them."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.hookspecs import Inspection
from seqd.plots.canvas import BLUE, Canvas, canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bars that a picture has; of more, those that are listed first.
_MOST_BARS: Final = 48
#: Longest name that stands below a bar; with a longer one bars lie, their names beside them.
_UPRIGHT_CHARS: Final = 4
#: Longest name beside a bar, in characters.
_NAME_CHARS: Final = 30
#: Bars that still have room for their numbers.
_NUMBERED_BARS: Final = 24


def draw_distribution(table: Inspection, path: Path, *, model: str) -> Canvas:
    """Draw a table that is a distribution into a PNG file.

    Raises InvalidRequest, see `canvas`, and ValueError for another table or one without rows.
    """
    if table.distribution is None or not table.rows:
        raise ValueError(f"the table {table.title!r} is no distribution to draw")
    columns = [table.columns.index(table.distribution.names)]
    columns += [table.columns.index(table.distribution.shares)]
    pairs = [(str(row[columns[0]]), float(row[columns[1]])) for row in table.rows[:_MOST_BARS]]
    names, shares = [name for name, _ in pairs], [share for _, share in pairs]
    is_upright = max(map(len, names)) <= _UPRIGHT_CHARS
    long = 1.6 + 0.26 * max(8, len(names))
    with canvas(path, long if is_upright else 8.0, 4.4 if is_upright else long) as sheet:
        left_out = len(table.rows) - len(names)
        more = f", the first {len(names)} of {len(table.rows)}" if left_out else ""
        axes = sheet.figure.add_subplot()
        axes.set_title(f"{model}. {table.title}{more}", fontsize=10, loc="left", wrap=True)
        if is_upright:
            _draw_upright(axes, names, shares)
        else:
            _draw_lying(axes, names, shares)
    return sheet


def _draw_upright(axes: "Axes", names: list[str], shares: list[float]) -> None:
    bars = axes.bar(range(len(names)), shares, color=BLUE, width=0.75)
    if len(names) <= _NUMBERED_BARS:
        numbers = [f"{share:.3f}" for share in shares]
        axes.bar_label(bars, numbers, padding=2, fontsize=7, rotation=90)
    axes.set_xticks(range(len(names)), names, fontsize=9)
    axes.set_ylabel("probability")
    axes.margins(x=0.5 / len(names), y=0.15)


def _draw_lying(axes: "Axes", names: list[str], shares: list[float]) -> None:
    short = [name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…" for name in names]
    bars = axes.barh(range(len(names)), shares, color=BLUE, height=0.75)
    axes.bar_label(bars, [f"{share:.3f}" for share in shares], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), short, fontsize=9)
    axes.set_xlabel("probability")
    axes.margins(x=0.1, y=0.5 / len(names))
    axes.invert_yaxis()
