"""Tables and facts for people: lines that fit a width, by what there is to say of a record.

Where a table is too wide, its columns are narrowed. A view that is drawn again and again drops some
then and cuts texts, for a line that is broken would push others off the screen; where a table is
printed once, nothing is left out, and texts of columns that `wrap` are broken between words.
"""

import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from operator import itemgetter
from typing import Final, Generic

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.text import Text

from seqd.cli.ui.screen import Screen
from seqd.escaping import MAX_LINE_CHARS, one_line
from seqd.views.columns import Cell, Column, Row, laid_out

#: Columns between two columns of a table.
_GAP: Final = 2

#: Characters of a cell that are looked at in a view which is drawn again and again.
_MOST_CHARS: Final = 400

#: The fewest columns that a text keeps, and one that is broken over lines.
_LEAST: Final = 3
_LEAST_WRAPPED: Final = 12

#: The most columns of a fact's name, and the fewest that stand beside it.
_MOST_LABEL: Final = 40
_LEAST_VALUE: Final = 16


def print_table(
    screen: Screen, columns: Sequence[Column[Row]], records: Iterable[Row], *, title: str = ""
) -> None:
    """Print a row for each record under a heading; numbers stand to the right."""
    if title:
        screen.say(title, "bold")
    width = screen.console.width
    screen.block(table_lines(columns, records, width, is_whole=True))


def print_rows(
    screen: Screen, names: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = ""
) -> None:
    """Print a table whose columns are known by now only."""
    columns = [Column(name, itemgetter(number)) for number, name in enumerate(names)]
    print_table(screen, columns, rows, title=title)


def print_facts(screen: Screen, facts: Mapping[str, object]) -> None:
    """Print names with their values, a line each; without those that are empty."""
    screen.block(fact_lines(facts, screen.console.width))


def table_lines(
    columns: Sequence[Column[Row]],
    records: Iterable[Row],
    width: int,
    *,
    is_whole: bool = False,
) -> list[Text]:
    """Return a heading and a line for each record, each of at most `width` columns.

    Columns without room are dropped and texts are cut, but of a table that `is_whole`.
    """
    table = _Table(columns, list(records), is_whole=is_whole)
    return table.lines(width)


def fact_lines(facts: Mapping[str, object], width: int) -> list[Text]:
    """Return a line for each fact that is not empty; a long one goes on below itself."""
    shown = {name: str(value) for name, value in facts.items() if value not in ("", None)}
    longest = max(map(cell_len, shown), default=0)
    label = min(_MOST_LABEL, longest, max(1, width - _LEAST_VALUE - _GAP))
    lines = []
    for name, value in shown.items():
        text = clean(value, MAX_LINE_CHARS)
        for number, part in enumerate(broken(text, max(1, width - label - _GAP))):
            head = cut_to(clean(name), label) if number == 0 else ""
            lines.append(Text.assemble((_padded(head, label + _GAP), "dim"), part))
    return lines


def clean(text: str, most_chars: int = _MOST_CHARS) -> str:
    """Return a text as one line that the terminal shows as it is, controls escaped."""
    return one_line(text, most_chars).replace("\t", " ")


def cut_to(text: str, width: int) -> str:
    """Return a text of at most `width` columns."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(0, width - 1)).rstrip() + "…"[: max(0, width)]


def cut(text: str, most_chars: int) -> str:
    """Return a text of at most so many characters, which ends in `…` where some are left out."""
    return text if len(text) <= most_chars else f"{text[: most_chars - 1]}…"


def broken(text: str, room: int) -> list[str]:
    """Return a text as parts of at most `room` columns, broken between words where that can be."""
    parts = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    return [fitting for part in parts for fitting in (chop_cells(part, room) or [""])]


def values_line(values: Mapping[str, object]) -> str:
    """Return parameters as `--set` takes them, such as `epochs=3, lower_case=true`."""
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()
    )


class _Table(Generic[Row]):
    """A table before its width is known."""

    def __init__(
        self,
        columns: Sequence[Column[Row]],
        records: Sequence[Row],
        *,
        is_whole: bool,
    ) -> None:
        self._columns, self._to_the_right, cells = laid_out(columns, records)
        self._is_whole = is_whole
        most_chars = MAX_LINE_CHARS if is_whole else _MOST_CHARS
        self._rows = [
            [Cell(clean(cell.text, most_chars), cell.style) for cell in row] for row in cells
        ]
        self._natural = [
            max([cell_len(column.name), *(cell_len(row[number].text) for row in self._rows)])
            for number, column in enumerate(self._columns)
        ]

    def lines(self, width: int) -> list[Text]:
        """Return the heading and the rows."""
        shown = self._shown(width)
        widths = self._narrowed(shown, width)
        heading = [Cell(column.name, "dim") for column in self._columns]
        return [
            line for row in (heading, *self._rows) for line in self._row_lines(row, shown, widths)
        ]

    def _shown(self, width: int) -> list[int]:
        """Return the columns that have room once they are narrowed, by number."""
        shown = list(range(len(self._columns)))
        while not self._is_whole:
            least = sum(self._least(number) or self._natural[number] for number in shown)
            droppable = [number for number in shown if self._columns[number].drop]
            if least + _GAP * (len(shown) - 1) <= width or not droppable:
                break
            shown.remove(max(droppable, key=lambda number: self._columns[number].drop))
        return shown

    def _least(self, number: int) -> int:
        """Return the columns to which one is narrowed before others are; 0: it is one of these."""
        column = self._columns[number]
        least = _LEAST_WRAPPED if self._is_whole and column.wraps else column.least
        return min(least, self._natural[number])

    def _narrowed(self, shown: Sequence[int], width: int) -> list[int]:
        """Return the columns' widths: the widest that may be narrowed are, and then all."""
        widths = [self._natural[number] for number in shown]
        room = width - _GAP * (len(shown) - 1)
        for least in ([self._least(number) for number in shown], [_LEAST] * len(shown)):
            while sum(widths) > room:
                can = [n for n, one in enumerate(widths) if least[n] and one > least[n]]
                if not can:
                    break
                widths[max(can, key=lambda n: widths[n])] -= 1
        return widths

    def _row_lines(
        self, row: Sequence[Cell], shown: Sequence[int], widths: Sequence[int]
    ) -> list[Text]:
        """Return a row as a line, or as several where texts of it are broken."""
        parts = [
            broken(row[number].text, width)
            if self._is_whole and self._columns[number].wraps
            else [cut_to(row[number].text, width)]
            for number, width in zip(shown, widths, strict=True)
        ]
        lines = []
        for texts in zip_longest(*parts, fillvalue=""):
            line = Text()
            for text, number, width in zip(texts, shown, widths, strict=True):
                padded = _padded(text, width, to_the_right=self._to_the_right[number])
                line.append(padded, row[number].style)
                line.append(" " * _GAP)
            line.rstrip()
            lines.append(line)
        return lines


def fitting(line: Text, width: int) -> Text:
    """Return a line of at most `width` columns."""
    if line.cell_len > width:
        line.truncate(max(0, width - 1))
        line.append("…")
    return line


def _padded(text: str, width: int, *, to_the_right: bool = False) -> str:
    blanks = " " * (width - cell_len(text))
    return blanks + text if to_the_right else text + blanks
