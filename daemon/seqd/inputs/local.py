"""Inputs that this process reads itself: all formats of workers, and those that only clients read.

Workers read JSON Lines, CSV, plain lines and folders (`FileFormat`, part of the wire contract), and
by reference Parquet. A client also reads TSV, Parquet and pipes.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.errors import InvalidInput
from seqd.inputs.csv_rows import CsvRows
from seqd.inputs.file_state import FileState, telling_changes
from seqd.inputs.items import ItemRules
from seqd.inputs.paths import compression_of, format_among, shown
from seqd.inputs.records import (
    CsvReader,
    Entry,
    Reader,
    TsvReader,
    Value,
    column_names,
    reader_of,
)
from seqd.inputs.streams import Opener, read_lines
from seqd_schemas import FileSource, Item, RefusedItem

if TYPE_CHECKING:
    from seqd.inputs.parquet_rows import ParquetReader


class LocalFormat(StrEnum):
    """How a file, folder or pipe holds its records, for whoever reads it here."""

    AUTO = "auto"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    LINES = "lines"
    PARQUET = "parquet"
    FOLDER = "folder"


#: Formats by the end of the name, behind which, but for Parquet, `.gz` or `.zst` may follow.
SUFFIXES = {
    ".jsonl": LocalFormat.JSONL,
    ".csv": LocalFormat.CSV,
    ".tsv": LocalFormat.TSV,
    ".txt": LocalFormat.LINES,
    ".parquet": LocalFormat.PARQUET,
}


@dataclass(frozen=True, slots=True)
class LocalInput:
    """A file, folder or pipe, and the names of the fields that an item is made of."""

    path: Path
    #: Never AUTO.
    format: LocalFormat
    #: The names of its fields, and no more.
    source: FileSource
    #: Opens what is no file.
    opener: Opener | None = None
    #: That in which a file is read, each time; None of what is no file.
    state: FileState | None = None
    #: How its records become items; None: each is the text of the text field.
    rules: ItemRules | None = None
    #: Columns that go to the output alone, where items are records: no record has them.
    beside: tuple[str, ...] = ()

    @property
    def text_field(self) -> str:
        """The name of the field with the text."""
        return self.source.text_field

    @property
    def item_rules(self) -> ItemRules:
        """How its records become items."""
        source = self.source
        return self.rules or ItemRules(id_field=source.id_field, text_field=source.text_field)

    def items(self, on_record: Callable[[Value], None]) -> Iterator[Item | RefusedItem]:
        """Yield the entries; see `InputFile.items`."""
        rules = self.item_rules
        is_empty = True
        for entry in self.entries():
            is_empty = False
            on_record(entry.value)
            yield rules.entry(self._content(entry.value), entry.position, entry.where)
        if is_empty:
            raise InvalidInput(f"{shown(self.path)} holds no entry; at least one is due")

    def entries(self, columns: Collection[str] = ()) -> Iterator[Entry]:
        """Yield the records, with `columns` beside what an item is made of where these cost time.

        Raises InvalidInput for the file as a whole.
        """
        return self._reader(columns).entries()

    def columns(self) -> list[str] | None:
        """Return the names of the columns; None of JSON Lines, where each record has its own.

        Raises InvalidInput for a header that will not do.
        """
        with telling_changes(self.path, self.state):
            return self._columns()

    def _columns(self) -> list[str] | None:
        source = self.source
        match self.format:
            case LocalFormat.JSONL:
                return None
            case LocalFormat.CSV | LocalFormat.TSV:
                kind = TsvReader if self.format is LocalFormat.TSV else CsvReader
                lines = read_lines(self.path, state=self.state)
                rows = CsvRows(self.path, lines, delimiter=kind.delimiter)
                return column_names(self.path, rows, source, self._fields)
            case LocalFormat.PARQUET:
                from seqd.inputs.parquet_rows import parquet_schema

                return list(parquet_schema(self.path).names)
            case LocalFormat.FOLDER:
                return [source.id_field, source.text_field, source.label_field]
            case _:
                return [source.text_field]

    def _reader(self, columns: Collection[str]) -> "Reader | ParquetReader":
        if self.format is LocalFormat.PARQUET:
            from seqd.inputs.parquet_rows import ParquetReader

            return ParquetReader(
                self.path, self.source, fields=self._fields, state=self.state, columns=columns
            )
        return reader_of(
            self.path,
            self.format,
            self.source,
            opener=self.opener,
            fields=self._fields,
            state=self.state,
        )

    def _content(self, value: Value) -> Value:
        """Return a record without what stands beside it; a null of Parquet is no value."""
        if self._fields is None or not isinstance(value, Mapping):
            return value
        has_nulls = self.format is LocalFormat.PARQUET
        return {
            name: one
            for name, one in value.items()
            if name not in self.beside and not (has_nulls and one is None)
        }

    @property
    def _fields(self) -> Mapping[str, bool] | None:
        """The fields of a record, True for those that it must have; None where items are texts."""
        if self.rules is None or self.rules.fields is None:
            return None
        return dict.fromkeys(self.beside, False) | dict(self.rules.fields)


def record_fields(value: Value, text_field: str) -> Mapping[str, object]:
    """Return an entry's fields; a text has the text field alone, what is broken none."""
    if isinstance(value, str):
        return {text_field: value}
    return value if isinstance(value, Mapping) else {}


def local_format_of(path: Path, declared: LocalFormat) -> LocalFormat:
    """Return the declared format, or for AUTO the one that the name tells; see `format_of`."""
    allowed = (
        "each but .parquet also with .gz or .zst. Rename it, or name its format: jsonl, csv, tsv, "
        "lines or parquet"
    )
    known = format_among(SUFFIXES, path, declared, allowed)
    if known is LocalFormat.PARQUET and compression_of(path) is not None:
        raise InvalidInput(
            f"{shown(path)} is a compressed Parquet file, which is read at many places at once. "
            "Decompress it first; Parquet compresses its columns itself"
        )
    return known
