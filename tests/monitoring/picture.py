"""Draws the dashboard as Grafana lays it out, from what Prometheus answers to the same queries."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from monitoring.files import Panel, panels
from monitoring.prometheus import Prometheus, Series

#: Inches of a column and of a row of the grid, of which a panel takes many.
_COLUMN, _ROW = 0.62, 0.33
COLUMNS = 24
DPI = 80

_INK, _FAINT, _BEHIND, _PANEL = "#d8d9da", "#8e8e8e", "#111217", "#1b1d22"
_COLOURS = {
    "red": "#c4162a",
    "orange": "#e0752d",
    "yellow": "#c9a227",
    "green": "#37872d",
    "blue": "#1f60c4",
}
_LINES = (
    *("#73bf69", "#f2cc0c", "#5794f2", "#ff780a", "#f2495c", "#b877d9", "#37a2b0", "#c0d8ff"),
    *("#8f3bb8", "#96d98d"),
)

#: Answers to a query.
Ask = Callable[[str], list[Series]]


def draw(running: Prometheus, start_s: float, end_s: float, path: Path) -> None:
    """Write a picture of what the dashboard shows of a span of time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    found = panels()
    rows = max(panel.y + panel.height for panel in found)
    width, height = COLUMNS * _COLUMN, rows * _ROW
    figure = pyplot.figure(figsize=(width, height), facecolor=_BEHIND)

    def ask(expr: str) -> list[Series]:
        return running.query_range(expr, start_s, end_s)

    for panel in found:
        inside = (panel.x + 0.1, panel.y + 0.1, panel.width - 0.2, panel.height - 0.2)
        left, top, wide, high = inside
        place = (left / COLUMNS, 1 - (top + high) / rows, wide / COLUMNS, high / rows)
        if panel.kind == "row":
            _draw_row(figure, panel, place)
        else:
            figure.patches.append(_background(place, figure))
            _draw_panel(figure, panel, place, ask, (start_s, end_s))
    figure.savefig(path, dpi=DPI, facecolor=_BEHIND, pil_kwargs={"optimize": True})
    pyplot.close(figure)
    _reduce(path)


def scaled(value: float, unit: str) -> str:
    """Return a value as Grafana writes it in a unit."""
    if unit == "s":
        for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s" if value >= 1 or value == 0 else f"{value * 1000:.3g} ms"
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.0f} B"
    return f"{value / 1000:.3g} K" if abs(value) >= 1000 else f"{value:.3g}"


def name_of(legend: str, labels: dict[str, str]) -> str:
    """Return the name of a line: its legend with the values of labels."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend).strip() or "none"


def _draw_row(figure: Any, panel: Panel, place: Sequence[float]) -> None:
    left, bottom, _, high = place
    figure.text(
        left, bottom + high / 2, panel.title, color=_INK, size=12, weight="bold", va="center"
    )


def _draw_panel(
    figure: Any, panel: Panel, place: Sequence[float], ask: Ask, span: tuple[float, float]
) -> None:
    left, bottom, wide, high = place
    line = 1 / (figure.get_figheight() * 72)  # a point
    figure.text(left + 0.004, bottom + high - 13 * line, panel.title, color=_INK, size=8.5)
    series = [
        (name_of(query.legend, one.labels), one)
        for query in panel.queries
        for one in ask(query.asked("10s"))
    ]
    if panel.kind == "stat":
        _draw_stat(figure, panel, place, series)
        return
    has_states = panel.kind == "state-timeline"
    legend = 0 if has_states else 26 if len(series) > 3 else 14
    names = 0.125 if has_states else 0.034  # what stands left of the axis
    inner = figure.add_axes(
        (
            left + names,
            bottom + (legend + 16) * line,
            wide - names - 0.006,
            high - (legend + 16 + 20) * line,
        ),
        facecolor=_PANEL,
    )
    _style(inner, span)
    if has_states:
        _draw_states(inner, panel, series)
        return
    if not series:
        inner.text(0.5, 0.5, "No data", color=_FAINT, transform=inner.transAxes, ha="center")
    _draw_lines(inner, panel, series)
    if series:
        inner.legend(
            loc="upper left",
            bbox_to_anchor=(
                -0.06,
                -16 / (72 * figure.get_figheight() * inner.get_position().height),
            ),
            ncols=4 if len(series) > 6 else 3,
            fontsize=6.5 if len(series) <= 6 else 5.5,
            frameon=False,
            labelcolor=_INK,
            handlelength=1,
            columnspacing=1,
            borderaxespad=0,
        )


def _draw_stat(
    figure: Any, panel: Panel, place: Sequence[float], series: list[tuple[str, Series]]
) -> None:
    left, bottom, wide, high = place
    value = series[0][1].points[-1][1] if series else None
    text = "No data" if value is None else scaled(value, panel.unit)
    if value is not None:
        text = panel.texts.get(f"{value:g}", text)
    colour = _INK
    for least, name in panel.colours:
        if value is not None and value >= least:
            colour = _COLOURS[name]
    if value is not None:
        figure.patches.append(_background(place, figure, colour))
    figure.text(
        left + wide / 2,
        bottom + high * 0.38,
        text,
        color="white",
        size=17,
        ha="center",
        va="center",
    )


def _draw_lines(axes: Any, panel: Panel, series: list[tuple[str, Series]]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: scaled(value, panel.unit)))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    below: dict[float, float] = {}
    for at, (name, one) in enumerate(series):
        colour = _LINES[at % len(_LINES)]
        times = [at_s for at_s, value in one.points if value == value]
        values = [value for _, value in one.points if value == value]
        if panel.is_stacked:
            lower = [below.get(at_s, 0.0) for at_s in times]
            values = [low + value for low, value in zip(lower, values, strict=True)]
            axes.fill_between(times, lower, values, color=colour, alpha=0.4, linewidth=0)
            # Nothing of a series is no line on top of the others.
            drawn = zip(lower, values, strict=True)
            below.update(zip(times, values, strict=True))
            values = [value if value > low else float("nan") for low, value in drawn]
        axes.plot(times, values, color=colour, linewidth=1, label=name)
    highest = max(
        (value for _, one in series for _, value in one.points if value == value), default=0
    )
    axes.set_ylim(0, panel.most or (axes.get_ylim()[1] if highest > 0 else 1))


def _draw_states(axes: Any, panel: Panel, series: list[tuple[str, Series]]) -> None:
    names = sorted({name for name, _ in series}, reverse=True)
    for name, one in series:
        for at_s, value in one.points:
            colour = [name for least, name in panel.colours if value >= least][-1]
            axes.barh(names.index(name), 1, left=at_s, height=0.7, color=_COLOURS[colour])
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", colors=_INK)


def _style(axes: Any, span: tuple[float, float]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlim(*span)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda at_s, _: datetime.fromtimestamp(at_s, UTC).strftime("%H:%M:%S"))
    )
    axes.tick_params(colors=_FAINT, labelsize=6.5, length=0)
    axes.grid(color="#2c3038", linewidth=0.5)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _background(place: Sequence[float], figure: Any, colour: str = _PANEL) -> Any:
    from matplotlib.patches import Rectangle

    left, bottom, wide, high = place
    return Rectangle(
        (left, bottom), wide, high, transform=figure.transFigure, facecolor=colour, zorder=-1
    )


def _reduce(path: Path) -> None:
    """Keep as many colours as the legends need, in half of the bytes."""
    from PIL import Image

    with Image.open(path) as whole:
        reduced = whole.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)
    reduced.save(path, optimize=True)
