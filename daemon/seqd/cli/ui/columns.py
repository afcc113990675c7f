"""Tables that fit a width: columns are narrowed, then dropped, and no line is ever broken.

For views that are drawn again and again, where a line that wraps would push others off the screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from seqd.escaping import one_line

#: Columns between two columns of a table.
_GAP: Final = 2

#: Characters of a cell that are looked at, and the fewest columns that a name keeps.
_MOST_CHARS: Final = 400
_LEAST: Final = 3


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    name: str
    #: Columns with a higher number are dropped first; those with 0 stay.
    drop: int = 0
    is_number: bool = False
    #: The fewest columns that its cells may be cut to; 0: they are not cut.
    least: int = 0
    #: Left out where no cell of it says more than `-`.
    is_left_out_empty: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and its style."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Signs:
    """What stands for what is left out, by what a terminal can show."""

    #: The encoding that the text has to be written in.
    encoding: str = "utf-8"

    @property
    def is_unicode(self) -> bool:
        """True where every character can be written."""
        return self.encoding.lower().replace("-", "").startswith("utf")

    @property
    def ellipsis(self) -> str:
        """What stands at the end of a text that is cut."""
        return "…" if self.is_unicode else "~"

    def clean(self, text: str, most_chars: int = _MOST_CHARS) -> str:
        """Return a text as one line that the terminal shows as it is, controls escaped."""
        line = one_line(text, most_chars).replace("\t", " ")
        if self.is_unicode:
            return line
        return line.encode(self.encoding, "replace").decode(self.encoding)

    def cut(self, text: str, width: int) -> str:
        """Return a text of at most `width` columns."""
        if cell_len(text) <= width:
            return text
        return set_cell_size(text, max(0, width - 1)).rstrip() + self.ellipsis[: max(0, width)]


def fitted(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, signs: Signs
) -> list[Text]:
    """Return a heading and a line for each row, each of at most `width` columns."""
    texts = [[signs.clean(cell.text) for cell in row] for row in rows]
    natural = [
        max([cell_len(column.name), *(cell_len(row[number]) for row in texts)])
        for number, column in enumerate(columns)
    ]
    empty = [n for n in range(len(columns)) if all(row[n] == "-" for row in texts)]
    shown = _shown(columns, natural, empty, width)
    widths = _narrowed([columns[number] for number in shown], [natural[n] for n in shown], width)
    lines = [_line([Cell(columns[n].name, "dim") for n in shown], columns, shown, widths, signs)]
    for row, cells in zip(texts, rows, strict=True):
        kept = [Cell(row[number], cells[number].style) for number in shown]
        lines.append(_line(kept, columns, shown, widths, signs))
    return lines


def _shown(
    columns: Sequence[Column], natural: Sequence[int], empty: Sequence[int], width: int
) -> list[int]:
    """Return the columns that have room once they are narrowed, by number."""
    shown = [n for n, one in enumerate(columns) if not one.is_left_out_empty or n not in empty]
    while True:
        least = sum(min(natural[n], columns[n].least or natural[n]) for n in shown)
        droppable = [n for n in shown if columns[n].drop]
        if least + _GAP * (len(shown) - 1) <= width or not droppable:
            return shown
        shown.remove(max(droppable, key=lambda n: columns[n].drop))


def _narrowed(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[int]:
    """Return the columns' widths: the widest that may be cut are, and then all."""
    widths, room = list(natural), width - _GAP * (len(columns) - 1)
    for least in ([column.least for column in columns], [_LEAST] * len(columns)):
        while sum(widths) > room:
            can = [n for n, one in enumerate(widths) if least[n] and one > least[n]]
            if not can:
                break
            widths[max(can, key=lambda n: widths[n])] -= 1
    return widths


def _line(
    cells: Sequence[Cell],
    columns: Sequence[Column],
    shown: Sequence[int],
    widths: Sequence[int],
    signs: Signs,
) -> Text:
    line = Text()
    for place, (cell, number, width) in enumerate(zip(cells, shown, widths, strict=True)):
        text = signs.cut(cell.text, width)
        blanks = " " * (width - cell_len(text))
        line.append(" " * _GAP if place else "")
        line.append(blanks if columns[number].is_number else "")
        line.append(text, cell.style)
        line.append("" if columns[number].is_number else blanks)
    line.rstrip()
    return line
