"""Tables for people, and the same records as JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.stdout import stdout
from seqd.escaping import printable, printable_json

if TYPE_CHECKING:
    from rich.table import Table

#: Columns of these names give way when a table is too wide; others stay whole.
_MAY_WRAP = frozenset(
    {
        "what it is",
        "models, or the reason",
        "value",
        "versions",
        "metrics",
        "takes",
        "loaded",
        "plugins",
        "done",
        "allowed",
        "on",
        "details",
    }
)


def print_table(
    screen: Screen, columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = ""
) -> None:
    """Print rows under a heading; numbers stand to the right."""
    from rich.table import Table

    cells = [tuple(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        is_number = bool(cells) and all(isinstance(row[number], int | float) for row in cells)
        table.add_column(
            name,
            justify="right" if is_number else "left",
            no_wrap=name not in _MAY_WRAP,
            overflow="fold" if name in _MAY_WRAP else "ellipsis",
            header_style="dim",
        )
    for row in cells:
        table.add_row(*(_cell(value) for value in row))
    if title:
        screen.say(title, "bold")
    _draw(screen, table)


def print_facts(screen: Screen, facts: Mapping[str, object]) -> None:
    """Print names with their values, a line each; without those that are empty."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for name, value in facts.items():
        if value not in ("", None):
            grid.add_row(name, _escaped(str(value)))
    _draw(screen, grid)


def values_line(values: Mapping[str, object]) -> str:
    """Return parameters as `--set` takes them, such as `epochs=3, lower_case=true`."""
    return ", ".join(
        f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in values.items()
    )


def print_json(value: object) -> None:
    """Print a wire record, or lists and mappings of them, as JSON on stdout."""
    print_line_of_json(json.dumps(value, default=_plain, indent=2, ensure_ascii=False))


def print_line_of_json(written: str) -> None:
    """Print JSON on stdout as it is written, control characters escaped."""
    print(printable_json(written), file=stdout(), flush=True)


def _draw(screen: Screen, table: "Table") -> None:
    if screen.is_live:
        screen.console.print(table)
        return
    # A pipe has no use for the blanks that fill the last column up.
    with screen.console.capture() as drawn:
        screen.console.print(table)
    for line in drawn.get().splitlines():
        screen.say(line.rstrip())


def _plain(value: object) -> object:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no record of the wire")


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return _escaped(str(value))


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(printable(text))
