"""Pictures as PNG files: learning curves, distributions, evaluations and sweeps.

`canvas` makes the matplotlib figure that each is drawn on, by the file back end, with no window and
no global state, and writes the file whole or not at all. Text comes from data, so none of it is
read as mathematics or markup.
"""

import secrets
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.analysis.curves import Curve, curves_of, spoken
from seqd.analysis.sweeps import SweepReport, is_less_better, shown
from seqd.errors import InvalidRequest
from seqd_schemas import EpochMetrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqd.analysis.evaluation import Report
    from seqd.hookspecs import Inspection


#: Dots an inch: a picture 8 inches wide has 1,120 dots, enough for a page and for a screen.
_DPI: Final = 140

#: Blue and orange of Okabe and Ito, told apart by people who see colours differently.
_BLUE: Final = "#0072b2"
_ORANGE: Final = "#d55e00"
_GREY: Final = "#777777"

#: Tried in this order for what the first lacks; those that are not installed are left out.
_FONTS: Final = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "Noto Sans Devanagari",
    "Noto Sans Arabic",
    "Arial Unicode MS",
)

#: What to say of a picture that lacks characters.
NO_FONT: Final = (
    "No font on this machine has all characters of the names in the picture: some are boxes. "
    "Install one that has them, such as Noto Sans CJK."
)

#: Epochs up to which each point has a mark.
_MARKED_EPOCHS: Final = 40

#: Bars that a picture has; of more, those that are listed first.
_MOST_BARS: Final = 48
#: Longest name beside a bar, in characters.
_BAR_CHARS: Final = 30
#: Classes whose cells still have room for a number and whose names still have room.
_NUMBERED_CLASSES: Final = 12
_NAMED_CLASSES: Final = 40

#: Longest name at an axis, in characters.
_CLASS_CHARS: Final = 18

#: Bars that a picture has; of more, the best.
_MOST_COMBINATIONS: Final = 32
#: Longest name beside the bar of a combination, in characters.
_SWEEP_CHARS: Final = 40

_Form = Callable[[float], str]
_FOUR_DIGITS: Final[_Form] = "{:.4f}".format
_ONE_DIGIT: Final[_Form] = "{:.1f}".format


@dataclass(slots=True)
class Canvas:
    """A figure to draw on, and what is known of it once it is in its file."""

    figure: "Figure"
    #: True when no installed font has some of its characters, which are boxes then.
    lacks_characters: bool = False


@contextmanager
def canvas(path: Path, width_in: float, height_in: float) -> Iterator[Canvas]:
    """Yield an empty figure, in inches, and write it to `path` as PNG when the block ends well.

    Raises InvalidRequest where matplotlib is missing, the name does not end in `.png`, or the
    file cannot be written.
    """
    check_plot(path)
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    with matplotlib.rc_context(
        {
            "text.parse_math": False,
            "text.usetex": False,
            "font.family": [name for name in _FONTS if name in installed],
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        sheet = Canvas(Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained"))
        yield sheet
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _write(sheet.figure, path)
    for warning in caught:
        sheet.lacks_characters |= "missing from font" in str(warning.message)


def check_plot(path: Path) -> None:
    """Raise InvalidRequest where no picture can be drawn into `path`. For before the work."""
    if path.suffix.lower() != ".png":
        raise InvalidRequest(f"the picture is to be {path.name!r}; allowed: a name ending in .png")
    if not path.parent.is_dir():
        raise InvalidRequest(f"there is no folder {path.parent} to write {path.name} into")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InvalidRequest(
            "a picture needs matplotlib, which is not installed: pip install 'seqd[plots]'"
        ) from None


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
            _draw_curve(sheet.figure.add_subplot(1, len(curves), number), curve, len(epochs))
    return sheet


def draw_distribution(table: "Inspection", path: Path, *, model: str) -> Canvas:
    """Draw a table that is a distribution into a PNG file.

    Raises InvalidRequest, see `canvas`, and ValueError for another table or one without rows.
    """
    if table.distribution is None or not table.rows:
        raise ValueError(f"the table {table.title!r} is no distribution to draw")
    columns = [table.columns.index(table.distribution.names)]
    columns += [table.columns.index(table.distribution.shares)]
    pairs = [(str(row[columns[0]]), float(row[columns[1]])) for row in table.rows[:_MOST_BARS]]
    names, shares = [name for name, _ in pairs], [share for _, share in pairs]
    with canvas(path, 8.0, 1.6 + 0.26 * max(8, len(names))) as sheet:
        left_out = len(table.rows) - len(names)
        more = f", the first {len(names)} of {len(table.rows)}" if left_out else ""
        axes = sheet.figure.add_subplot()
        axes.set_title(f"{model}. {table.title}{more}", fontsize=10, loc="left", wrap=True)
        _draw_shares(axes, names, shares)
    return sheet


def draw_evaluation(report: "Report", path: Path, *, title: str) -> Canvas:
    """Draw a report into a PNG file. Raises InvalidRequest, see `canvas`."""
    with canvas(path, 10.0, 4.8) as sheet:
        figure, accuracy = sheet.figure, report.metrics["accuracy"].value
        figure.suptitle(f"{title}: {accuracy:.2%} of {report.items:,} items right")
        matrix, reliability = figure.subplots(1, 2)
        _draw_confusion(matrix, report)
        _draw_calibration(reliability, report)
    return sheet


def draw_sweep(report: SweepReport, path: Path) -> Canvas:
    """Draw a sweep into a PNG file: a bar for each combination, the best version in orange.

    Raises InvalidRequest, see `canvas`, and ValueError where the versions have no figure in common.
    """
    if report.figure is None:
        raise ValueError("the versions have no figure to compare by")
    figure = report.figure
    sign = 1.0 if is_less_better(figure) else -1.0
    ranked = sorted(report.trained, key=lambda name: sign * report.trained[name].metrics[figure])
    names = ranked[:_MOST_COMBINATIONS]
    left_out = len(ranked) - len(names)
    with canvas(path, 10.0, 1.6 + 0.28 * len(names)) as sheet:
        quality, time = sheet.figure.subplots(1, 2, sharey=True)
        more = f", the best {len(names)} of {len(ranked)}" if left_out else ""
        sheet.figure.suptitle(f"{report.model}: the effect of {_joined(report.parameters)}{more}")
        versions = [report.trained[name] for name in names]
        colours = [_ORANGE if name == report.best else _BLUE for name in names]
        figures = [one.metrics[figure] for one in versions]
        _draw_one_bar_each(quality, figures, colours, spoken(figure), _FOUR_DIGITS)
        _draw_one_bar_each(
            time, [one.seconds for one in versions], colours, "seconds to train", _ONE_DIGIT
        )
        values = [", ".join(map(shown, one.parameters.values())) for one in versions]
        quality.set_yticks(range(len(names)), [_shortened(value, _SWEEP_CHARS) for value in values])
        quality.set_ylabel(", ".join(spoken(name) for name in report.parameters))
        quality.margins(y=0.5 / len(names))
        quality.invert_yaxis()
        if report.best is not None:
            best = report.trained[report.best]
            quality.set_title(f"best: {best.model}@{best.version}", fontsize=9, color=_ORANGE)
        _zoom(quality, figures)
    return sheet


def _write(figure: "Figure", path: Path) -> None:
    # A second name, so that nobody sees half a picture, and an old one stays if this fails.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as file:
            figure.savefig(file, format="png")
        draft.replace(path)
    except OSError as error:
        raise InvalidRequest(
            f"the picture {str(path)!r} cannot be written ({error.strerror or error}). Name a file "
            "in a folder that is yours and has room"
        ) from None
    finally:
        draft.unlink(missing_ok=True)


def _draw_curve(axes: "Axes", curve: Curve, epochs: int) -> None:
    from matplotlib.ticker import MaxNLocator

    mark = "o" if epochs <= _MARKED_EPOCHS else None
    lines = (("training", curve.training, _BLUE), ("held out", curve.held_out, _ORANGE))
    for name, points, colour in lines:
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, marker=mark, markersize=4, label=name)
    if curve.held_out:
        best = min if is_less_better(curve.figure) else max
        epoch, value = best(curve.held_out, key=lambda point: point[1])
        _mark_best(axes, epoch, value, f"best held out: {value:.4f} at epoch {epoch:g}")
    axes.set_xlabel("epoch")
    axes.set_ylabel(spoken(curve.figure))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, alpha=0.25)
    axes.legend(frameon=False)


def _draw_shares(axes: "Axes", names: list[str], shares: list[float]) -> None:
    short = [_shortened(name, _BAR_CHARS) for name in names]
    bars = axes.barh(range(len(names)), shares, color=_BLUE, height=0.75)
    axes.bar_label(bars, [f"{share:.3f}" for share in shares], padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), short, fontsize=9)
    axes.set_xlabel("probability")
    axes.margins(x=0.1, y=0.5 / len(names))
    axes.invert_yaxis()


def _draw_confusion(axes: "Axes", report: "Report") -> None:
    """Shade each true class's items by their predicted class, as shares of the row."""
    size, confusion = len(report.classes), report.confusion
    if not confusion:
        axes.set_axis_off()
        axes.set_title(f"{size:,} classes are too many to draw", fontsize=10)
        return
    shares = [[number / (sum(row) or 1) for number in row] for row in confusion]
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_title("share of each true class", fontsize=10)
    if size <= _NAMED_CLASSES:
        names = [_shortened(one.label, _CLASS_CHARS) for one in report.classes]
        axes.set_xticks(range(size), names)
        if size > 4:  # side by side they would run into each other
            axes.tick_params(axis="x", rotation=90)
        axes.set_yticks(range(size), names)
    if size <= _NUMBERED_CLASSES:
        _write_numbers(axes, report, shares)


def _write_numbers(axes: "Axes", report: "Report", shares: Sequence[Sequence[float]]) -> None:
    for row, numbers in enumerate(report.confusion):
        for column, number in enumerate(numbers):
            share = shares[row][column]
            ink = "white" if share > 0.55 else "black"
            text = f"{number:,}\n{share:.1%}" if len(numbers) <= 6 else str(number)
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=9)


def _draw_calibration(axes: "Axes", report: "Report") -> None:
    """Draw accuracy against score, with the number of predictions as bars behind it."""
    scores = [part.mean_score for part in report.calibration]
    accuracies = [part.accuracy for part in report.calibration]
    axes.plot(
        [0.0, 1.0], [0.0, 1.0], color=_GREY, linewidth=1, linestyle="--", label="as it claims"
    )
    axes.plot(scores, accuracies, color=_ORANGE, marker="o", label="as it is")
    shares = [part.items / report.items for part in report.calibration]
    lowers = [part.lower for part in report.calibration]
    width = report.calibration[0].upper - report.calibration[0].lower
    axes.bar(
        lowers, shares, width=width, align="edge", color=_BLUE, alpha=0.25, label="share of answers"
    )
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("score of the answer")
    axes.set_ylabel("share of them that is right")
    error = report.metrics["calibration_error"].value
    axes.set_title(f"calibration error {error:.2%}", fontsize=10)
    axes.legend(loc="upper left", frameon=False)


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


def _joined(names: Sequence[str]) -> str:
    *others, last = [spoken(name) for name in names]
    return f"{', '.join(others)} and {last}" if others else last


def _mark_best(axes: "Axes", x: float, y: float, title: str) -> None:
    """Ring the best point, and say above the picture, where no point can be, which it is."""
    axes.plot(
        [x],
        [y],
        color=_ORANGE,
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgewidth=2,
        linestyle="none",
    )
    axes.set_title(title, fontsize=9, color=_ORANGE)


def _shortened(name: str, chars: int) -> str:
    """Return a name cut to so many characters, an ellipsis as the last of them."""
    return name if len(name) <= chars else f"{name[: chars - 1]}…"
