"""Rows of CSV come out as if each were read by itself, in work bounded by the bytes of the file."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.errors import InvalidInput
from seqd.inputs import csv_rows
from seqd.inputs.csv_rows import CsvRows
from seqd.inputs.items import BadEntry
from seqd.inputs.streams import START, FilePosition, Line

PATH = Path("a.csv")

#: What a parser of CSV changes its state at, and what it does not.
_LINES = st.lists(st.text('x",\r ', max_size=6).map(str.encode), max_size=40)


@pytest.fixture
def small_limits(monkeypatch):
    monkeypatch.setattr(csv_rows, "MAX_ROW_LINES", 6)
    monkeypatch.setattr(csv_rows, "MAX_LINE_BYTES", 24)


def lines_of(contents: Iterable[bytes | BadEntry], start: FilePosition = START) -> Iterator[Line]:
    number, end = start.line, start.offset
    for content in contents:
        number += 1
        end += 7 if isinstance(content, BadEntry) else len(content)
        yield Line(number, content, end)


def shown(rows: Iterable[tuple[int, list[str] | BadEntry]]) -> list[tuple[int, object]]:
    return [(at, row.reason if isinstance(row, BadEntry) else row) for at, row in rows]


def read_one_by_one(lines: list[Line]) -> Iterator[tuple[int, object]]:
    """The rule, as plainly as it can be put: each row that fails costs its first line."""
    at = 0
    while at < len(lines):
        used, row = _row_from(lines[at:])
        if row:
            yield lines[at].number, row
        at += used


def _row_from(lines: list[Line]) -> tuple[int, object]:
    taken = 0

    def feed() -> Iterator[str]:
        nonlocal taken
        size = 0
        for line in lines:
            taken += 1
            if isinstance(line.content, BadEntry):
                raise line.content if taken == 1 else csv_rows._unclosed()
            size += len(line.content)
            too_long = size > csv_rows.MAX_LINE_BYTES or taken > csv_rows.MAX_ROW_LINES
            if taken > 1 and too_long:
                raise csv_rows._unclosed()
            yield line.content.decode()

    try:
        row = next(csv.reader(feed(), strict=True))
    except BadEntry as bad:
        return 1, bad.reason
    except csv.Error as error:
        how = "Close each quote, and double each one inside a field"
        return 1, f"it is not CSV ({error}). {how}"
    return taken, row


@pytest.mark.usefixtures("small_limits")
@given(_LINES, st.integers(0, 39), st.booleans())
def test_rows_are_those_of_reading_each_by_itself(texts, place, has_long):
    contents: list[bytes | BadEntry] = [text + b"\n" for text in texts]
    if has_long:
        contents[place:place] = [csv_rows.invalid("the line is too long")]

    rows = CsvRows(PATH, lines_of(contents))

    assert shown(rows) == list(read_one_by_one(list(lines_of(contents))))


@pytest.mark.usefixtures("small_limits")
@given(_LINES)
def test_reading_goes_on_from_any_row_with_the_same_rows(texts):
    contents = [text + b"\n" for text in texts]
    whole = shown(CsvRows(PATH, lines_of(contents)))
    rows = CsvRows(PATH, lines_of(contents))

    for done in range(len(whole) + 1):
        at = rows.position
        rest = CsvRows(PATH, lines_of(contents[at.line :], at), at)
        assert shown(rest) == whole[done:]
        next(rows, None)


def test_a_file_of_quotes_that_no_line_closes_is_refused_in_time():
    rows = CsvRows(PATH, lines_of([b"x" * 400 + b'","\n'] * 400))

    # Followed from each line, they would take 200 times as long as one reading.
    with pytest.raises(
        InvalidInput, match=r"^a\.csv has too many quotes that are not closed, up to"
    ):
        list(rows)


def test_a_quote_that_nothing_closes_costs_its_line_in_a_long_file():
    contents = [*[b"a,b\n"] * 10, b'a,"b\n', *[b"a,b\n"] * 70_000]

    failed = [at for at, row in CsvRows(PATH, lines_of(contents)) if isinstance(row, BadEntry)]

    assert failed == [11]
