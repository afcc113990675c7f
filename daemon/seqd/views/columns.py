"""A table before it is drawn: what its columns say of each record."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell's text, and its style."""

    text: str
    style: str = ""


@dataclass(frozen=True)  # without slots: Python 3.11 could not make a `Column[Row]` with them
class Column(Generic[Row]):
    """A column of a table: its name, and what it says of a record."""

    name: str
    #: A text, or a number, which stands to the right.
    cell: Callable[[Row], object]
    #: Columns with a higher number are dropped first; those with 0 stay.
    drop: int = 0
    is_number: bool = False
    #: The fewest columns that its texts are cut to before others are; 0: they are cut last.
    least: int = 0
    #: Its texts may be broken over several lines.
    wraps: bool = False
    #: Left out where no cell of it says more than `-`.
    is_left_out_empty: bool = False


def cell_of(value: object) -> Cell:
    """Return what stands in a table for what a column says."""
    match value:
        case Cell():
            return value
        case float():
            return Cell(f"{value:.4f}")
        case int() if not isinstance(value, bool):
            return Cell(f"{value:,}")
    return Cell(str(value))


def laid_out(
    columns: Sequence[Column[Row]], records: Iterable[Row]
) -> tuple[list[Column[Row]], list[bool], list[list[Cell]]]:
    """Return the columns that are shown, whether each has numbers, and the cells of each record."""
    values = [[column.cell(one) for column in columns] for one in records]
    cells = [[cell_of(value) for value in row] for row in values]
    shown = [
        number
        for number, column in enumerate(columns)
        if not column.is_left_out_empty or any(row[number].text != "-" for row in cells)
    ]
    are_numbers = [
        columns[number].is_number
        or (bool(values) and all(isinstance(row[number], int | float) for row in values))
        for number in shown
    ]
    kept = [[row[number] for number in shown] for row in cells]
    return [columns[number] for number in shown], are_numbers, kept
