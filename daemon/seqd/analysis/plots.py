"""The picture of a sweep as a PNG file.

It is drawn by the file back end of matplotlib, with no window and no global state, and written
whole or not at all. Text comes from data, so none of it is read as mathematics or markup.
"""

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.analysis.curves import spoken
from seqd.analysis.sweeps import SweepReport, is_less_better, shown
from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Dots an inch: a picture 8 inches wide has 1,120 dots, enough for a page and for a screen.
_DPI: Final = 140

#: Blue and orange of Okabe and Ito, told apart by people who see colours differently.
_BLUE: Final = "#0072b2"
_ORANGE: Final = "#d55e00"

#: Bars that a picture has; of more, the best.
_MOST_COMBINATIONS: Final = 32
#: Longest name beside the bar of a combination, in characters.
_NAME_CHARS: Final = 40

_Form = Callable[[float], str]
_FOUR_DIGITS: Final[_Form] = "{:.4f}".format
_ONE_DIGIT: Final[_Form] = "{:.1f}".format


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


def draw_sweep(report: SweepReport, path: Path) -> "Figure":
    """Draw a sweep into a PNG file: a bar for each combination, the best version in orange.

    Raises InvalidRequest where matplotlib is missing, the name does not end in `.png`, or the file
    cannot be written, and ValueError where the versions have no figure in common.
    """
    check_plot(path)
    import matplotlib
    from matplotlib.figure import Figure

    if report.figure is None:
        raise ValueError("the versions have no figure to compare by")
    sign = 1.0 if is_less_better(report.figure) else -1.0
    found = {name: one.metrics[report.figure] for name, one in report.trained.items()}
    names = sorted(found, key=lambda name: sign * found[name])[:_MOST_COMBINATIONS]
    with matplotlib.rc_context(
        {
            "text.parse_math": False,
            "text.usetex": False,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
        }
    ):
        height_in = 1.6 + 0.28 * len(names)
        sheet = Figure(figsize=(10.0, height_in), dpi=_DPI, layout="constrained")
        _draw_bars(sheet, report, report.figure, names)
        _write(sheet, path)
    return sheet


def _draw_bars(sheet: "Figure", report: SweepReport, figure: str, names: Sequence[str]) -> None:
    quality, time = sheet.subplots(1, 2, sharey=True)
    every = len(report.trained)
    more = f", the best {len(names)} of {every}" if every > len(names) else ""
    sheet.suptitle(f"{report.model}: the effect of {_joined(report.parameters)}{more}")
    versions = [report.trained[name] for name in names]
    colours = [_ORANGE if name == report.best else _BLUE for name in names]
    figures = [one.metrics[figure] for one in versions]
    _draw_one_bar_each(quality, figures, colours, spoken(figure), _FOUR_DIGITS)
    _draw_one_bar_each(
        time, [one.seconds for one in versions], colours, "seconds to train", _ONE_DIGIT
    )
    values = [", ".join(map(shown, one.parameters.values())) for one in versions]
    quality.set_yticks(range(len(names)), [_shortened(value) for value in values])
    quality.set_ylabel(", ".join(spoken(name) for name in report.parameters))
    quality.margins(y=0.5 / len(names))
    quality.invert_yaxis()
    if report.best is not None:
        best = report.trained[report.best]
        quality.set_title(f"best: {best.model}@{best.version}", fontsize=9, color=_ORANGE)
    _zoom(quality, figures)


def _write(figure: "Figure", path: Path) -> None:
    # A second name, so that nobody sees half a picture, and an old one stays if this fails.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with draft.open("xb") as file:
            figure.savefig(file, format="png")
        draft.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        draft.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> InvalidRequest:
    return InvalidRequest(
        f"the picture {str(path)!r} cannot be written ({error.strerror or error}). Name a file in "
        "a folder that is yours and has room"
    )


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


def _shortened(name: str) -> str:
    """Return a name of at most so many characters as stand beside a bar."""
    return name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1]}…"
