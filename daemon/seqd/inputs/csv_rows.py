"""Rows of a CSV file, in bounded memory and in work bounded by its bytes, whatever is in it.

A row that cannot be read costs its first line: the lines behind it are read again, as rows of their
own, so that a broken quote hides none of them. Followed anew from each line, a quote that no line
closes would cost the square of the lines. Between two lines a parser of CSV is either between two
rows or within quotes. So it is enough to remember which lines stay within quotes where they begin
so, and each line is parsed a few times at most.
"""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from seqd.inputs.items import BadEntry, invalid, undecodable
from seqd.inputs.streams import MAX_LINE_BYTES, START, FilePosition, Line

#: Lines that one row may span; they are kept until it ends, at about 100 bytes each.
MAX_ROW_LINES = 65_536

#: Times that a line is parsed at most: in a row that fails, twice, alone, within quotes, and in a
#: row that ends.
MAX_PARSES = 5

#: A row's cells, or why it is none.
CsvRow = list[str] | BadEntry

#: A line that opens a quoted field: what is parsed behind it begins within quotes.
_OPENING = '"\n'


class _Unfinished(Exception):
    """The row does not end with the lines that the parser was given."""


@dataclass(slots=True)
class _QuotedRun:
    """Lines that stay within quotes to their end, where they begin within quotes."""

    #: Number of the last of them; the first is behind a line that has been dealt with.
    last: int
    #: Where that one ends, in bytes of the file.
    end: int
    #: Why the line behind cannot be read where it begins within quotes; None if that is not known.
    failure: BadEntry | None = None


class CsvRows(Iterator[tuple[int, CsvRow]]):
    """Each row with the number of the line that it begins on; blank lines are left out."""

    def __init__(
        self, lines: Iterator[Line], start: FilePosition = START, delimiter: str = ","
    ) -> None:
        # One limit for the whole process; the row's own limit is the one that counts.
        csv.field_size_limit(max(csv.field_size_limit(), 2 * MAX_LINE_BYTES))
        #: Bytes that the parser was given: `MAX_PARSES` times those of the lines at most.
        self.parsed_bytes = 0
        self._lines = lines
        self._start = start
        self._delimiter = delimiter
        self._ahead: deque[Line] = deque()
        self._run: _QuotedRun | None = None
        #: The lines of a row that were taken so far, and how many of them the parser was given.
        self._taken: list[Line] = []
        self._given = 0
        self._is_at_end = False
        self._undecodable: BadEntry | None = None
        self._rows = self._parser(self._feed())

    @property
    def position(self) -> FilePosition:
        """Where the row after the last one begins. Reading from there gives the same rows."""
        return self._taken[-1].position if self._taken else self._start

    def __next__(self) -> tuple[int, CsvRow]:
        while (first := self._take()) is not None:
            self._taken, self._given, self._undecodable = [first], 0, None
            row = self._row_at(first)
            if row:
                return first.number, row
        raise StopIteration

    def _row_at(self, first: Line) -> CsvRow:
        """Read the row that a line begins; no other line is taken where it is none."""
        if isinstance(first.content, BadEntry):
            return first.content
        if self._run is None or first.number > self._run.last:
            return self._row_to_its_end()
        try:
            row = self._parsed(first)
        except _Unfinished:
            failure = self._failure_behind(first, self._run)
            return self._row_to_its_end() if failure is None else failure
        except csv.Error as error:
            return _not_csv(error)
        return self._undecodable or row

    def _row_to_its_end(self) -> CsvRow:
        """Parse line by line until the row ends; remember what was seen where it does not."""
        try:
            row = next(self._rows)
        except BadEntry as unclosed:  # the last line that was taken was not parsed
            is_known = isinstance(self._taken[-1].content, BadEntry)
            self._step_back(unclosed if is_known else None, stay=len(self._taken) - 1)
            return unclosed
        except csv.Error as error:
            failure = _not_csv(error)
            self._step_back(failure, stay=len(self._taken) - (not self._is_at_end))
            return failure
        return self._undecodable or row

    def _step_back(self, failure: BadEntry | None, stay: int) -> None:
        """Have all but the first line read again, the first `stay` of which end within quotes."""
        if stay > 0:
            last = self._taken[stay - 1]
            self._run = _QuotedRun(last.number, last.end, failure)
        self._ahead.extendleft(reversed(self._taken[1:]))
        del self._taken[1:]
        self._rows = self._parser(self._feed())

    def _feed(self) -> Iterator[str]:
        """Yield the lines of a row, for as long as the parser asks for them; then of the next."""
        while True:
            if self._given == len(self._taken):
                line = self._take()
                if line is None:
                    self._is_at_end = True
                    return
                self._taken.append(line)
                if _is_too_long(self._taken[0], line):
                    raise _unclosed()
            self._given += 1
            yield self._text(self._taken[-1])

    def _failure_behind(self, first: Line, run: _QuotedRun) -> BadEntry | None:
        """Return why a row that does not end with its first line is none; None where it ends."""
        while not _exceeds(first, run.last, run.end):
            behind = self._peek(run.last - first.number)
            if behind is not None and _is_too_long(first, behind):
                break
            if run.failure is not None:
                return run.failure
            if behind is None:
                run.failure = invalid("it is not CSV (unexpected end of data)")
                return run.failure
            try:
                self._parsed(behind, within_quotes=True)
            except _Unfinished:
                run.last, run.end = behind.number, behind.end
            except csv.Error as error:
                run.failure = _not_csv(error)
                return run.failure
            else:
                self._undecodable = None
                return None
        return _unclosed()

    def _parsed(self, line: Line, *, within_quotes: bool = False) -> list[str]:
        """Parse one line; raises csv.Error, and _Unfinished where the row does not end with it."""

        def feed() -> Iterator[str]:
            if within_quotes:
                yield _OPENING
            yield self._text(line)
            raise _Unfinished

        return next(self._parser(feed()))

    def _parser(self, lines: Iterator[str]) -> Iterator[list[str]]:
        return csv.reader(lines, delimiter=self._delimiter, strict=True)

    def _text(self, line: Line) -> str:
        content = line.content
        assert isinstance(content, bytes), "looked at before"
        self.parsed_bytes += len(content)
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            # The row has to be parsed all the same, to find its end.
            self._undecodable = undecodable(error)
            return content.decode("utf-8", "replace")

    def _take(self) -> Line | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)

    def _peek(self, place: int) -> Line | None:
        """Return a line that was not taken yet, `place` lines ahead; at most one is read."""
        if place == len(self._ahead):
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[place]


def _is_too_long(first: Line, last: Line) -> bool:
    """Return True where no row begins with the one and goes on to the end of the other."""
    return isinstance(last.content, BadEntry) or _exceeds(first, last.number, last.end)


def _exceeds(first: Line, last: int, end: int) -> bool:
    return end - first.start > MAX_LINE_BYTES or last - first.number >= MAX_ROW_LINES


def _not_csv(error: csv.Error) -> BadEntry:
    return invalid(f"it is not CSV ({error})")


def _unclosed() -> BadEntry:
    return invalid(
        "a quoted field that begins here does not end within "
        f"{MAX_LINE_BYTES:,} bytes and {MAX_ROW_LINES:,} lines. Double each quote inside a field"
    )
