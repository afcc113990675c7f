"""Takes a file's records apart: one reader per format, one entry out per record in.

Nothing here decides what an item is: `reading` makes items of the entries, `datasets`
training records. Every reader works in bounded memory and steps over a bad record.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from pydantic_core import from_json

from seqd.inputs.csv_records import CsvRow, column_names, read_csv
from seqd.inputs.faults import BadEntry, invalid, undecodable
from seqd.inputs.folders import read_text_file, text_files
from seqd.inputs.streams import read_lines
from seqd_schemas import FileFormat, FileSource

_Raw = TypeVar("_Raw")

#: A text, a record, or why it is neither.
Value = str | Mapping[str, object] | BadEntry


class Entry(NamedTuple):
    """One record of an input."""

    #: Identifier of a record that has none of its own, such as `line-7`.
    position: str
    #: How a person finds it, such as `line 7`.
    where: str
    value: Value


class RecordReader(ABC, Generic[_Raw]):
    """Reads one source, in order, in two steps: split it, then read each entry's value."""

    def __init__(self, path: Path, source: FileSource) -> None:
        self.path = path
        self.source = source

    def entries(self) -> Iterator[Entry]:
        """Give all entries. Raises InvalidInput for the file as a whole."""
        for number, raw in self.raws():
            position, where = self.place(number, raw)
            try:
                value: Value = self.value(raw)
            except BadEntry as bad:
                value = bad
            yield Entry(position, where, value)

    def place(self, number: int, raw: _Raw) -> tuple[str, str]:
        """Give the position and the place in words of the entry at a line."""
        return f"line-{number}", f"line {number}"

    @abstractmethod
    def raws(self) -> Iterator[tuple[int, _Raw]]:
        """Split the source, and no more: the number of each entry with its raw form."""

    @abstractmethod
    def value(self, raw: _Raw) -> str | Mapping[str, object]:
        """Make a text or a record of the raw form; raise BadEntry if it is neither."""


class LinesReader(RecordReader[bytes | BadEntry]):
    """A text a line; blank lines are no entries."""

    def raws(self) -> Iterator[tuple[int, bytes | BadEntry]]:
        """Split at newlines."""
        for number, line in read_lines(self.path):
            if isinstance(line, BadEntry) or not line.isspace():
                yield number, line

    def value(self, raw: bytes | BadEntry) -> str | Mapping[str, object]:
        """Decode the line, without its end."""
        return _decode(raw)


class JsonlReader(LinesReader):
    """A JSON object or a JSON string a line; blank lines are no entries."""

    def value(self, raw: bytes | BadEntry) -> str | Mapping[str, object]:
        """Parse the line."""
        try:
            value = parsed_json(raw)
        except json.JSONDecodeError as error:
            raise invalid(
                f"it is not JSON ({error.msg}, at column {error.colno:,}). Each line must be "
                "one whole JSON object or string"
            ) from None
        except (RecursionError, ValueError) as error:  # nested too deep; a number of 4,300 digits
            raise invalid(f"its JSON cannot be read ({error})") from None
        if isinstance(value, str | dict):
            return value
        kind = "null" if value is None else f"of type {type(value).__name__}"
        raise invalid(f"its JSON value is {kind}; allowed: an object or a string")


class CsvReader(RecordReader[CsvRow]):
    """RFC 4180 with a header line; the columns' names are the fields'."""

    def raws(self) -> Iterator[tuple[int, CsvRow]]:
        """Split into rows of cells; the header is no entry."""
        rows = read_csv(self.path)
        self._columns = column_names(self.path, rows, self.source.text_field)
        yield from rows

    def value(self, raw: CsvRow) -> str | Mapping[str, object]:
        """Name the cells. An empty cell is a field that is missing, except for the text."""
        if isinstance(raw, BadEntry):
            raise raw
        if len(raw) != len(self._columns):
            raise invalid(
                f"it has {len(raw)} fields, the header has {len(self._columns)}. Quote a field "
                "that holds a comma"
            )
        text_field = self.source.text_field
        cells = zip(self._columns, raw, strict=True)
        return {name: cell for name, cell in cells if cell or name == text_field}


class FolderReader(RecordReader[str]):
    """`LABEL/*.txt`: one text a file, ordered by label and file name."""

    def raws(self) -> Iterator[tuple[int, str]]:
        """List the files, by their path within the folder."""
        return enumerate(text_files(self.path), start=1)

    def place(self, number: int, raw: str) -> tuple[str, str]:
        """Name the file."""
        return f"row-{number}", raw

    def value(self, raw: str) -> str | Mapping[str, object]:
        """Read the file; it is called by its path without `.txt`, its label is its folder."""
        return {
            self.source.id_field: raw.removesuffix(".txt"),
            self.source.text_field: read_text_file(self.path / raw),
            self.source.label_field: raw.partition("/")[0],
        }


Reader = LinesReader | CsvReader | FolderReader

_READERS: Mapping[FileFormat, type[Reader]] = {
    FileFormat.LINES: LinesReader,
    FileFormat.JSONL: JsonlReader,
    FileFormat.CSV: CsvReader,
    FileFormat.FOLDER: FolderReader,
}


def reader_of(path: Path, file_format: FileFormat, source: FileSource) -> Reader:
    """Give the reader of a format, which must not be AUTO; see `paths.format_of`."""
    return _READERS[file_format](path, source)


def parsed_json(raw: bytes | BadEntry) -> object:
    """Parse a line of JSON as `json.loads` does; raises what that does, and BadEntry."""
    if isinstance(raw, bytes):
        try:
            # Takes a review in 0.65 us, where `json` takes 2.4. It is the stricter of the two: lone
            # surrogates and deep nesting are left to the other one, and so are all complaints.
            return from_json(raw, cache_strings="keys")
        except ValueError:
            pass
    return json.loads(_decode(raw))


def _decode(raw: bytes | BadEntry) -> str:
    """Give a line as text, without its end."""
    if isinstance(raw, BadEntry):
        raise raw
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise undecodable(error) from None
