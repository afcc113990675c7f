"""Rows of CSV out of lines, in bounded memory and time, whatever is in it.

A row that cannot be read costs its first line: the lines behind it are read again, as rows of their
own, so that a broken quote hides none of them. Followed anew from each line, quotes that no line
closes would cost the square of the lines: a file of so many is refused as a whole.
"""

import csv
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from seqd.errors import InvalidInput
from seqd.inputs.items import BadEntry, invalid, undecodable
from seqd.inputs.paths import shown
from seqd.inputs.streams import MAX_LINE_BYTES, START, FilePosition, Line

#: Lines that one row may span; they are kept until it ends, at about 100 bytes each.
MAX_ROW_LINES = 65_536

#: Times that the lines so far are parsed at most, and bytes beyond it: a second's work.
MAX_PARSES = 5
FREE_PARSED_BYTES = 2 * MAX_LINE_BYTES

#: A row's cells, or why it is none.
CsvRow = list[str] | BadEntry


class CsvRows(Iterator[tuple[int, CsvRow]]):
    """Each row with the number of the line that it begins on; blank lines are left out.

    Raises InvalidInput for a file in which too many quotes are not closed.
    """

    def __init__(
        self, path: Path, lines: Iterator[Line], start: FilePosition = START, delimiter: str = ","
    ) -> None:
        """`path` is how messages call the file."""
        # One limit for the whole process; the row's own limit is the one that counts.
        csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_LINE_BYTES))
        self._path = path
        self._lines = lines
        self._start = start
        self._delimiter = delimiter
        #: Bytes that may still be parsed.
        self._budget_bytes = FREE_PARSED_BYTES
        self._ahead: deque[Line] = deque()
        #: The lines of a row that were taken so far, and how many of them the parser was given.
        self._taken: list[Line] = []
        self._given = 0
        self._undecodable: BadEntry | None = None
        self._rows = self._parser()

    @property
    def position(self) -> FilePosition:
        """Where the row after the last one begins. Reading from there gives the same rows."""
        return self._taken[-1].position if self._taken else self._start

    def __next__(self) -> tuple[int, CsvRow]:
        while (first := self._take()) is not None:
            self._taken, self._given, self._undecodable = [first], 0, None
            row = first.content if isinstance(first.content, BadEntry) else self._row()
            if row:
                return first.number, row
        raise StopIteration

    def _row(self) -> CsvRow:
        """Parse line by line until the row ends; where it fails, all but the first come again."""
        try:
            row = next(self._rows)
        except BadEntry as unclosed:
            failure = unclosed
        except csv.Error as error:
            failure = invalid(
                f"it is not CSV ({error}). Close each quote, and double each one inside a field"
            )
        else:
            return self._undecodable or row
        self._ahead.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]
        self._rows = self._parser()
        return failure

    def _parser(self) -> Iterator[list[str]]:
        return csv.reader(self._feed(), delimiter=self._delimiter, strict=True)

    def _feed(self) -> Iterator[str]:
        """Yield the lines of a row, for as long as the parser asks for them; then of the next."""
        while True:
            if self._given == len(self._taken):
                line = self._take()
                if line is None:
                    return
                self._taken.append(line)
                if isinstance(line.content, BadEntry) or self._is_too_long():
                    raise _unclosed()
            self._given += 1
            yield self._text(self._taken[-1])

    def _is_too_long(self) -> bool:
        first, last = self._taken[0], self._taken[-1]
        return last.end - first.start > MAX_LINE_BYTES or len(self._taken) > MAX_ROW_LINES

    def _text(self, line: Line) -> str:
        content = line.content
        assert isinstance(content, bytes), "looked at before"
        self._budget_bytes -= len(content)
        if self._budget_bytes < 0:
            raise InvalidInput(
                f"{shown(self._path)} has too many quotes that are not closed, up to line "
                f"{line.number:,}: it is not known where its rows end. Double each quote inside a "
                "field"
            )
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            # The row has to be parsed all the same, to find its end.
            self._undecodable = undecodable(error)
            return content.decode("utf-8", "replace")

    def _take(self) -> Line | None:
        if self._ahead:
            return self._ahead.popleft()
        line = next(self._lines, None)
        if line is not None:
            self._budget_bytes += MAX_PARSES * (line.end - line.start)
        return line


def _unclosed() -> BadEntry:
    return invalid(
        "a quoted field that begins here does not end within "
        f"{MAX_LINE_BYTES:,} bytes and {MAX_ROW_LINES:,} lines. Double each quote inside a field"
    )
