"""Records of a file: JSON Lines, CSV, plain lines or a labelled folder, one entry a record.

A broken record becomes an entry that says why. A labelled folder is `LABEL/*.txt`, as `aclImdb` has
it.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar

from pydantic_core import from_json

from seqd.errors import InvalidInput
from seqd.inputs.csv_rows import CsvRow, CsvRows
from seqd.inputs.file_state import FileState, refuse_written, telling_changes
from seqd.inputs.items import BadEntry, invalid, undecodable
from seqd.inputs.paths import open_regular, shown
from seqd.inputs.streams import MAX_LINE_BYTES, START, FilePosition, Line, Opener, read_lines
from seqd.validation import did_you_mean
from seqd.wording import counted
from seqd_schemas import FileSource, ItemErrorCode

#: Label folder of reviews without a label, which nobody classifies or learns from.
UNLABELLED = "unsup"

_HALVES = ("test", "train")


def text_files(folder: Path) -> Iterator[str]:
    """Yield the paths of all `LABEL/NAME.txt` within the folder, ordered by label and name.

    Raises InvalidInput if there is none.
    """
    found = False
    for label in _subfolders(folder):
        for name in _listed(folder / label):
            if name.endswith(".txt"):
                found = True
                yield f"{label}/{name}"
    if not found:
        raise InvalidInput(_no_texts(folder))


def training_half(folder: Path) -> Path:
    """Return the folder's `train` folder if it has one with label folders in it, else itself."""
    half = folder / "train"
    is_half = half.is_dir() and not half.is_symlink() and bool(_subfolders(half))
    return half if is_half else folder


def read_text_file(path: Path) -> str:
    """Read one small text file whole; raise BadEntry if it is none, InvalidInput if no file."""
    try:
        descriptor = open_regular(path)
    except InvalidInput as error:
        raise BadEntry(ItemErrorCode.INVALID_INPUT, str(error)) from None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_LINE_BYTES + 1)
    if len(content) > MAX_LINE_BYTES:
        raise BadEntry(
            ItemErrorCode.TOO_LONG, f"the file is longer than {MAX_LINE_BYTES:,} bytes. Split it"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise undecodable(error) from None


def _subfolders(folder: Path) -> list[str]:
    names = []
    for name in _listed(folder):
        path = folder / name
        if path.is_symlink() and path.is_dir():
            raise InvalidInput(
                f"{shown(path)} is a link; label folders must be folders. Copy it there instead"
            )
        if path.is_dir() and name != UNLABELLED and not name.startswith("."):
            names.append(name)
    return names


def _listed(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise InvalidInput(f"{shown(folder)} cannot be listed: {error.strerror}") from error


def _no_texts(folder: Path) -> str:
    halves = [name for name in _HALVES if (folder / name).is_dir()]
    if halves:
        return (
            f"{shown(folder)} holds no LABEL/*.txt; it has {' and '.join(halves)}. "
            "Name the one to read"
        )
    return f"{shown(folder)} holds no LABEL/*.txt, such as pos/0_9.txt; that is what is due here"


def column_names(
    path: Path,
    rows: Iterator[tuple[int, CsvRow]],
    source: FileSource,
    fields: Mapping[str, bool] | None = None,
) -> list[str]:
    """Take the header off the rows; raises what `check_names` does."""
    number, header = next(rows, (0, []))
    if isinstance(header, BadEntry):
        raise InvalidInput(
            f"the header of {shown(path)}, line {number}, cannot be read: {header.reason}"
        )
    check_names(path, header, source, fields, "its header has")
    return header


def check_names(
    path: Path,
    names: Sequence[str],
    source: FileSource,
    fields: Mapping[str, bool] | None,
    it_has: str,
) -> None:
    """Raise InvalidInput where no column is named as a field is to be, or two share a name.

    Those with identifier and label are due where they are named otherwise than by default. Of a
    task that takes records, `check_columns` says which are due in the place of the text.
    """
    listed = ", ".join(name[:40] for name in names[:12])
    for field, what in (("id_field", "identifier"), ("label_field", "label")):
        name = getattr(source, field)
        if name not in names and name != FileSource.model_fields[field].default:
            raise InvalidInput(
                f"{shown(path)} has no column {name!r}; {it_has}: {listed or 'none'}. Name the "
                f"column with the {what} as {field} (--{field.replace('_', '-')}), or leave that "
                "out"
            )
    if fields is not None:
        check_columns(path, names, fields, (source.id_field, "id", source.label_field))
    elif source.text_field not in names:
        raise InvalidInput(
            f"{shown(path)} has no column {source.text_field!r}; {it_has}: {listed or 'none'}. "
            "Name the column with the text as text_field (--text-field)"
        )
    if len(set(names)) < len(names):
        raise InvalidInput(
            f"two columns of {shown(path)} share a name; {it_has}: {listed}. Each column needs a "
            "name of its own"
        )


def check_columns(
    path: Path, names: Sequence[str], fields: Mapping[str, bool], beside: Collection[str]
) -> None:
    """Raise InvalidInput where a field has no column that a record must have, or a column no field.

    `beside` are names that columns may have which are no fields, as that of the identifier.
    """
    missing = [name for name, is_required in fields.items() if is_required and name not in names]
    if missing:
        shown_names = ", ".join(name[:40] for name in names[:12])
        what = "column" if len(missing) == 1 else "columns"
        raise InvalidInput(
            f"{shown(path)} has no {what} {', '.join(map(repr, missing))}; its columns: "
            f"{shown_names or 'none'}. The task takes records with the fields {', '.join(fields)}; "
            "name the columns so"
        )
    unknown = next((name for name in names if name not in fields and name not in beside), None)
    if unknown is not None:
        raise InvalidInput(
            f"{shown(path)} has a column {unknown[:40]!r} that the task does not take; allowed: "
            f"{', '.join(fields)}, and beside them {', '.join(dict.fromkeys(beside))}."
            f"{did_you_mean(unknown, fields)}".rstrip(".")
        )


def check_records_format(path: Path, file_format: str, fields: Mapping[str, bool]) -> None:
    """Raise InvalidInput for a format that has texts and no records."""
    if file_format not in ("lines", "folder"):
        return
    what = "plain lines" if file_format == "lines" else "a folder of texts"
    raise InvalidInput(
        f"{shown(path)} is read as {what}, and the task takes records with the fields "
        f"{', '.join(fields)}. Use JSON Lines with an object a line, or CSV with a column for each "
        "field"
    )


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


class Entries(Protocol):
    """What reads entries in order: of one file, or of several."""

    #: Where it began.
    start: FilePosition
    has_unique_ids: bool

    @property
    def position(self) -> FilePosition:
        """Where the entry behind the last one begins."""

    def raws(self) -> Iterator[tuple[int, object]]:
        """Split the source, and no more: the number of each entry with its raw form."""

    def entries(self) -> Iterator[Entry]:
        """Yield all entries."""


@dataclass(eq=False)
class RecordReader(ABC, Generic[_Raw]):
    """Reads one source, in order, in two steps: split it, then read each entry's value."""

    #: True where no two entries can have the same identifier.
    has_unique_ids = False

    path: Path
    source: FileSource
    #: A `position` at which a reader of the same file has been.
    start: FilePosition = START
    #: Opens what is no file; `path` then is how messages call it.
    opener: Opener | None = None
    #: Those of `ItemRules`: of a task that takes records.
    fields: Mapping[str, bool] | None = None
    #: That in which the file is read; by default that in which it is when its reading begins.
    state: FileState | None = None

    @property
    @abstractmethod
    def position(self) -> FilePosition:
        """Where the entry behind the last one begins."""

    def entries(self) -> Iterator[Entry]:
        """Yield all entries. Raises InvalidInput for the file as a whole.

        At the end too, where it was changed meanwhile.
        """
        with telling_changes(self.path, self.state):
            for number, raw in self.raws():
                position, where = self.place(number, raw)
                try:
                    value: Value = self.value(raw)
                except BadEntry as bad:
                    self._refuse_change(raw)
                    value = bad
                yield Entry(position, where, value)

    def place(self, number: int, raw: _Raw) -> tuple[str, str]:
        """Return the position and the place in words of the entry at a line."""
        return f"line-{number}", f"line {number}"

    @abstractmethod
    def raws(self) -> Iterator[tuple[int, _Raw]]:
        """Split the source, and no more: the number of each entry with its raw form."""

    @abstractmethod
    def value(self, raw: _Raw) -> str | Mapping[str, object]:
        """Make a text or a record of the raw form; raise BadEntry if it is neither."""

    def _refuse_change(self, raw: _Raw) -> None:
        """Raise InvalidInput where an entry may be broken since the file was changed."""
        refuse_written(self.path, self.state)


class LinesReader(RecordReader[bytes | BadEntry]):
    """A text a line; blank lines are no entries."""

    has_unique_ids = True
    _last: Line | None = None

    @property
    def position(self) -> FilePosition:
        """The end of the last entry's line."""
        return self._last.position if self._last else self.start

    def raws(self) -> Iterator[tuple[int, bytes | BadEntry]]:
        """Split at newlines."""
        for line in read_lines(self.path, self.start, self.opener, self.state):
            number, content, _ = line
            if isinstance(content, BadEntry) or not content.isspace():
                self._last = line
                yield number, content

    def value(self, raw: bytes | BadEntry) -> str | Mapping[str, object]:
        """Decode the line, without its end."""
        return _decode(raw)


class JsonlReader(LinesReader):
    """A JSON object or a JSON string a line; blank lines are no entries."""

    has_unique_ids = False

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

    delimiter = ","
    _delimiter_name = "comma"
    _rows: CsvRows | None = None

    @property
    def position(self) -> FilePosition:
        """The end of the last row, or of the first line of one that cannot be read."""
        return self._rows.position if self._rows else self.start

    def raws(self) -> Iterator[tuple[int, CsvRow]]:
        """Split into rows of cells; the header is no entry."""
        lines = read_lines(self.path, opener=self.opener, state=self.state)
        rows = CsvRows(self.path, lines, delimiter=self.delimiter)
        self._columns = column_names(self.path, rows, self.source, self.fields)
        if self.start != START:
            lines = read_lines(self.path, self.start, self.opener, self.state)
            rows = CsvRows(self.path, lines, self.start, self.delimiter)
        self._rows = rows
        yield from rows

    def value(self, raw: CsvRow) -> str | Mapping[str, object]:
        """Name the cells. An empty cell is a field that is missing, except for the text."""
        if isinstance(raw, BadEntry):
            raise raw
        if len(raw) != len(self._columns):
            raise invalid(
                f"it has {counted(len(raw), 'field')}, the header has {len(self._columns)}. Quote "
                f"a field that holds a {self._delimiter_name}"
            )
        text_field = self.source.text_field if self.fields is None else None
        cells = zip(self._columns, raw, strict=True)
        return {name: cell for name, cell in cells if cell or name == text_field}


class TsvReader(CsvReader):
    """CSV with tabs in the place of the commas; read by clients alone."""

    delimiter = "\t"
    _delimiter_name = "tab"


class FolderReader(RecordReader[str]):
    """`LABEL/*.txt`: one text a file, ordered by label and file name."""

    has_unique_ids = True
    _files_read = 0

    @property
    def position(self) -> FilePosition:
        """The number of files in front."""
        return FilePosition(0, max(self._files_read, self.start.line))

    def raws(self) -> Iterator[tuple[int, str]]:
        """List the files, by their path within the folder."""
        state = self.state or FileState.of(self.path)
        for number, name in enumerate(text_files(self.path), start=1):
            if number > self.start.line:
                self._files_read = number
                yield number, name
        state.check(self.path, FileState.of(self.path))

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

    def _refuse_change(self, raw: str) -> None:
        """Look at the folder only where the entry's file is away or new: a look lists it whole."""
        if self.state is not None:
            now = FileState.of(self.path / raw)
            if not now.inode or now.changed_ns > self.state.changed_ns:
                self.state.check(self.path, FileState.of(self.path))


Reader = LinesReader | CsvReader | FolderReader

_READERS: Mapping[str, type[Reader]] = {
    "lines": LinesReader,
    "jsonl": JsonlReader,
    "csv": CsvReader,
    "tsv": TsvReader,
    "folder": FolderReader,
}


def reader_of(
    path: Path,
    file_format: str,
    source: FileSource,
    start: FilePosition = START,
    opener: Opener | None = None,
    fields: Mapping[str, bool] | None = None,
    state: FileState | None = None,
) -> Reader:
    """Return the reader of a format by its name, which must not be `auto`; see `format_of`.

    Raises InvalidInput for a format that has no records, where `fields` ask for them.
    """
    if fields is not None:
        check_records_format(path, file_format, fields)
    return _READERS[file_format](path, source, start, opener, fields, state)


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
    """Return a line as text, without its end."""
    if isinstance(raw, BadEntry):
        raise raw
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise undecodable(error) from None
