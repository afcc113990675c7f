"""The sheet that every picture is drawn on, and how it becomes a file: whole or not at all.

No window, no global state: a figure of its own, drawn by matplotlib's file back end. Text comes
from data, so none of it is read as mathematics or markup.
"""

import secrets
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.errors import InvalidRequest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Dots an inch: a picture 8 inches wide has 1,120 dots, enough for a page and for a screen.
_DPI: Final = 140

#: Blue and orange of Okabe and Ito, told apart by people who see colours differently.
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREY: Final = "#777777"

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


@dataclass(slots=True)
class Canvas:
    """A figure to draw on, and what is known of it once it is written."""

    figure: "Figure"
    #: True when no installed font has some of its characters, which are boxes then.
    lacks_characters: bool = False


@contextmanager
def canvas(path: Path, width_in: float, height_in: float) -> Iterator[Canvas]:
    """Give an empty figure, and write it to `path` as PNG when the block ends well.

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
    """Say before the work what would keep its picture from being drawn. Raises InvalidRequest."""
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
