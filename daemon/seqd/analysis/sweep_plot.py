"""The picture of a sweep: how good each version is and how long it took, against the value.

Where a swept parameter is a number, its values are the axis, and a line stands for each
combination of the others. Anything else becomes bars, one a combination.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.analysis.plots import BLUE, GREY, ORANGE, Canvas, canvas, mark_best, shortened
from seqd.analysis.sweeps import SweepReport, is_less_better, shown
from seqd_schemas import ParameterValue, TrainedVersion

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Lines that can still be told apart; more become bars.
_MOST_LINES: Final = 8
#: Bars that a picture has; of more, the best.
_MOST_BARS: Final = 32
#: From this ratio of the largest to the smallest value on, the axis is logarithmic.
_LOG_FROM: Final = 8.0
#: Longest name beside a bar or in the legend, in characters.
_NAME_CHARS: Final = 40

#: Colours of Okabe and Ito, and marks, so that lines are told apart in grey too.
_COLOURS: Final = (BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#000000", "#f0e442", GREY)
_MARKS: Final = "osD^vP*X"

_Form = Callable[[float], str]
_FOUR_DIGITS: Final[_Form] = "{:.4f}".format
_ONE_DIGIT: Final[_Form] = "{:.1f}".format

_Lines = Mapping[str, Sequence[tuple[float, TrainedVersion]]]


def draw_sweep(report: SweepReport, path: Path) -> Canvas:
    """Draw a sweep into a PNG file, the best version in orange.

    Raises InvalidRequest, see `canvas`, and ValueError where the versions have no figure in common.
    """
    if report.figure is None:
        raise ValueError("the versions have no figure to compare by")
    axis = _axis_of(report)
    lines = {} if axis is None else _lines(report, axis)
    if axis is None or len(lines) > _MOST_LINES:
        return _draw_bars(report, report.figure, path)
    return _draw_lines(report, report.figure, axis, lines, path)


def _draw_lines(report: SweepReport, figure: str, axis: str, lines: _Lines, path: Path) -> Canvas:
    with canvas(path, 10.0, 4.6) as sheet:
        quality, time = sheet.figure.subplots(1, 2)
        sheet.figure.suptitle(f"{report.model}: the effect of {_listed(report.parameters)}")
        for number, (name, points) in enumerate(lines.items()):
            style = {
                "color": _COLOURS[number],
                "marker": _MARKS[number],
                "label": shortened(name, _NAME_CHARS),
            }
            values = [value for value, _ in points]
            quality.plot(values, [one.metrics[figure] for _, one in points], **style)
            time.plot(values, [one.seconds for _, one in points], **style)
        _label(quality, axis, _spoken(figure))
        _label(time, axis, "seconds to train")
        for axes in (quality, time):
            axes.margins(x=0.07, y=0.18)
        time.set_ylim(bottom=0.0)
        _mark_best(quality, report, figure, axis)
        for axes in (quality, time):
            _scale(axes, sorted({value for points in lines.values() for value, _ in points}))
        if len(lines) > 1:
            time.legend(frameon=False, fontsize=9)
        if len(lines) == 1:
            (points,) = lines.values()
            _write(quality, [(value, one.metrics[figure]) for value, one in points], _FOUR_DIGITS)
            _write(time, [(value, one.seconds) for value, one in points], _ONE_DIGIT)
    return sheet


def _draw_bars(report: SweepReport, figure: str, path: Path) -> Canvas:
    sign = 1.0 if is_less_better(figure) else -1.0
    ranked = sorted(report.trained, key=lambda name: sign * report.trained[name].metrics[figure])
    names = ranked[:_MOST_BARS]
    left_out = len(ranked) - len(names)
    with canvas(path, 10.0, 1.6 + 0.28 * len(names)) as sheet:
        quality, time = sheet.figure.subplots(1, 2, sharey=True)
        more = f", the best {len(names)} of {len(ranked)}" if left_out else ""
        sheet.figure.suptitle(f"{report.model}: the effect of {_listed(report.parameters)}{more}")
        versions = [report.trained[name] for name in names]
        colours = [ORANGE if name == report.best else BLUE for name in names]
        figures = [one.metrics[figure] for one in versions]
        _draw_one_bar_each(quality, figures, colours, _spoken(figure), _FOUR_DIGITS)
        _draw_one_bar_each(
            time, [one.seconds for one in versions], colours, "seconds to train", _ONE_DIGIT
        )
        values = [", ".join(map(shown, one.parameters.values())) for one in versions]
        quality.set_yticks(range(len(names)), [shortened(value, _NAME_CHARS) for value in values])
        quality.set_ylabel(", ".join(_spoken(name) for name in report.parameters))
        quality.margins(y=0.5 / len(names))
        quality.invert_yaxis()
        _zoom(quality, figures)
    return sheet


def _draw_one_bar_each(
    axes: "Axes", values: Sequence[float], colours: Sequence[str], name: str, form: _Form
) -> None:
    bars = axes.barh(range(len(values)), values, color=colours, height=0.7)
    axes.bar_label(bars, [form(value) for value in values], padding=3, fontsize=8)
    axes.set_xlabel(name)
    axes.margins(x=0.15)


def _zoom(axes: "Axes", values: Sequence[float]) -> None:
    """Begin the axis near the smallest value where all are alike, and say so."""
    low, high = min(values), max(values)
    if low > 0.0 and high - low < 0.2 * high:
        span = max(high - low, 0.01 * high)
        axes.set_xlim(low - 0.4 * span, high + 0.4 * span)
        axes.set_xlabel(f"{axes.get_xlabel()} (the axis does not begin at 0)")


def _axis_of(report: SweepReport) -> str | None:
    """Return the swept number with the most values; None without one that has at least two."""
    counts = {
        name: len({shown(one.parameters[name]) for one in report.trained.values()})
        for name in report.parameters
        if all(_is_number(one.parameters[name]) for one in report.trained.values())
    }
    axis = max(counts, key=lambda name: counts[name], default=None)
    return axis if axis is not None and counts[axis] > 1 else None


def _lines(report: SweepReport, axis: str) -> _Lines:
    """Return the points of each line, ascending, by the other parameters of its combinations."""
    lines: dict[str, list[tuple[float, TrainedVersion]]] = {}
    for one in report.trained.values():
        others = (
            f"{name}={shown(one.parameters[name])}" for name in report.parameters if name != axis
        )
        lines.setdefault(", ".join(others), []).append((_number(one, axis), one))
    for points in lines.values():
        points.sort(key=lambda point: point[0])
    return lines


def _mark_best(axes: "Axes", report: SweepReport, figure: str, axis: str) -> None:
    if report.best is None:
        return
    best = report.trained[report.best]
    title = f"best: {best.model}@{best.version}"
    mark_best(axes, _number(best, axis), best.metrics[figure], title)


def _write(axes: "Axes", points: Sequence[tuple[float, float]], form: _Form) -> None:
    """Write each point's number above it, on white, so that no line runs through it."""
    for x, y in points:
        axes.annotate(
            form(y),
            (x, y),
            xytext=(0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            bbox={"boxstyle": "square,pad=0.1", "color": "white"},
        )


def _label(axes: "Axes", axis: str, name: str) -> None:
    axes.set_xlabel(_spoken(axis))
    axes.set_ylabel(name)
    axes.grid(visible=True, alpha=0.25)


def _scale(axes: "Axes", values: Sequence[float]) -> None:
    """Put a tick at each value, on a logarithmic axis where they differ by much."""
    if values[0] > 0 and values[-1] / values[0] >= _LOG_FROM:
        axes.set_xscale("log", base=2)
        axes.minorticks_off()
    if len(values) <= 12:
        axes.set_xticks(values, [f"{value:g}" for value in values])


def _is_number(value: ParameterValue) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(version: TrainedVersion, axis: str) -> float:
    value = version.parameters[axis]
    assert isinstance(value, int | float), "an axis has numbers alone"
    return float(value)


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: Sequence[str]) -> str:
    *others, last = [_spoken(name) for name in names]
    return f"{', '.join(others)} and {last}" if others else last
