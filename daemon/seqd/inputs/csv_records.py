"""Splits CSV into rows in bounded memory, and finds its way back after a broken quote.

The standard library's parser does the parsing; this module decides which lines it sees. A
row that does not parse costs its first line only: reading goes on at the next one, so one
quote that is never closed does not swallow the rest of the file. Used by `records`.
"""

import csv
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path

from seqd.errors import InvalidInput
from seqd.inputs.faults import BadEntry, invalid, undecodable
from seqd.inputs.paths import shown
from seqd.inputs.streams import MAX_LINE_BYTES, Line, read_lines

#: Lines that one row may span; they are kept until it ends, at about 100 bytes each.
MAX_ROW_LINES = 65_536

#: A row's cells, or why it is none.
CsvRow = list[str] | BadEntry


def read_csv(path: Path) -> Generator[tuple[int, CsvRow]]:
    """Give each row with the line that it begins on, header included; blank lines are left out."""
    # One limit for the whole process; the row's own limit below is the one that counts.
    csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_LINE_BYTES))
    feed = _RowLines(read_lines(path))
    rows = csv.reader(feed, strict=True)
    while True:
        feed.begin_row()
        try:
            row = next(rows, None)
        except (csv.Error, BadEntry) as error:
            bad = error if isinstance(error, BadEntry) else invalid(f"it is not CSV ({error})")
            yield feed.step_over(), bad
            rows = csv.reader(feed, strict=True)
            continue
        if row is None:
            return
        if row:
            yield feed.first_number, feed.undecodable or row


def column_names(path: Path, rows: Iterator[tuple[int, CsvRow]], text_field: str) -> list[str]:
    """Take the header off the rows; raise InvalidInput if no column is named as the text field."""
    number, header = next(rows, (0, []))
    if isinstance(header, BadEntry):
        raise InvalidInput(
            f"the header of {shown(path)}, line {number}, cannot be read: {header.reason}"
        )
    shown_names = ", ".join(name[:40] for name in header[:12])
    if text_field not in header:
        raise InvalidInput(
            f"{shown(path)} has no column {text_field!r}; its header has: {shown_names or 'none'}. "
            "Name the column with the text as text_field (--text-field)"
        )
    if len(set(header)) < len(header):
        raise InvalidInput(
            f"two columns of {shown(path)} share a name; its header has: {shown_names}. Each "
            "column needs a name of its own"
        )
    return header


class _RowLines(Iterator[str]):
    """Hands the parser its lines and remembers a row's, so that they can be read again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self._row: list[Line] = []
        self._row_bytes = 0
        self.undecodable: BadEntry | None = None

    @property
    def first_number(self) -> int:
        """Number of the line that the row begins on."""
        return self._row[0][0]

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self._row.clear()
        self._row_bytes = 0
        self.undecodable = None

    def step_over(self) -> int:
        """Give the number of the row's first line; the others will be read again."""
        self._again.extendleft(reversed(self._row[1:]))
        return self.first_number

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self._row.append(line)
        content = line[1]
        if isinstance(content, BadEntry):
            raise content if len(self._row) == 1 else _unclosed()
        self._row_bytes += len(content)
        if len(self._row) > 1 and (
            self._row_bytes > MAX_LINE_BYTES or len(self._row) > MAX_ROW_LINES
        ):
            raise _unclosed()
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            # The row has to be parsed all the same, to find its end.
            self.undecodable = undecodable(error)
            return content.decode("utf-8", "replace")


def _unclosed() -> BadEntry:
    return invalid(
        "a quoted field that begins here does not end within "
        f"{MAX_LINE_BYTES:,} bytes and {MAX_ROW_LINES:,} lines. Double each quote inside a field"
    )
