"""Rows of a Parquet file, in bounded memory; needs the extra `parquet`.

Units of a job by reference are ranges of rows. Cutting reads the file's footer alone. Whoever reads
a unit begins at its row group, or goes on where it was, so that a worker decodes no row group twice
that it reads forwards.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zlib import crc32

from seqd.errors import InvalidInput, LibraryMissing
from seqd.inputs.file_state import FileState
from seqd.inputs.items import BadEntry, ItemRules, undecodable
from seqd.inputs.paths import Roots, shown
from seqd.inputs.reading import InputFile
from seqd.inputs.records import Entry, RecordReader, check_names
from seqd.inputs.streams import START, FilePosition, stream_of
from seqd_schemas import FileFormat, FileSource

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

#: Rows that are made Python objects at once.
BATCH_ROWS = 512

#: Bytes of each column that are read at once, in the place of a whole row group.
_BUFFER_BYTES = 262_144

#: Rows that are made Python objects at once: the next unit may be another worker's.
_ROWS_AT_ONCE = 64


def require_pyarrow(what: str) -> None:
    """Raise LibraryMissing, which says how to install it, where there is no pyarrow."""
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise LibraryMissing(
            f"{what} needs pyarrow, which cannot be imported ({error}). Install it: "
            "pip install 'seqd[parquet]'"
        ) from error


def parquet_schema(path: Path) -> "pa.Schema":
    """Return the columns of a file with their types. Raises InvalidInput and LibraryMissing."""
    with opened(path) as file:
        return file.schema_arrow


@dataclass(eq=False)
class ParquetReader(RecordReader[Mapping[str, object] | BadEntry]):
    """One row, one entry; the columns' names are the fields'."""

    _rows_read = 0

    #: What is read of each row; without any, what an item and its label need.
    columns: Collection[str] = ()

    @property
    def position(self) -> FilePosition:
        """The number of rows in front."""
        return FilePosition(0, self._rows_read)

    def raws(self) -> Iterator[tuple[int, Mapping[str, object] | BadEntry]]:
        """Read the rows, some at a time."""
        import pyarrow as pa

        state = self.state or FileState.of(self.path)
        with opened(self.path) as file:
            names = columns_read(
                self.path, file.schema_arrow, self.source, self.fields, self.columns
            )
            try:
                for batch in file.iter_batches(BATCH_ROWS, columns=names):
                    for row in rows_of(batch):
                        self._rows_read += 1
                        yield self._rows_read, row
            except (pa.ArrowException, OSError) as error:
                raise _damaged(self.path, self._rows_read, error) from error
        state.check(self.path, FileState.of(self.path))

    def place(self, number: int, raw: Mapping[str, object] | BadEntry) -> tuple[str, str]:
        """Count the rows."""
        return f"row-{number}", f"row {number}"

    def value(self, raw: Mapping[str, object] | BadEntry) -> Mapping[str, object]:
        """Return the row."""
        if isinstance(raw, BadEntry):
            raise raw
        return raw


def columns_read(
    path: Path,
    schema: "pa.Schema",
    source: FileSource,
    fields: Mapping[str, bool] | None,
    more: Collection[str] = (),
) -> list[str]:
    """Return the columns that an item and its label need, and `more`, as far as there are such.

    Raises InvalidInput where one that is due is not there, or the texts are none.
    """
    check_names(path, schema.names, source, fields, "it has")
    if fields is None:
        _check_text(path, schema, source.text_field)
    content = (source.text_field,) if fields is None else fields
    wanted = {*content, source.id_field, "id", source.label_field, *more}
    return [name for name in schema.names if name in wanted]


def _check_text(path: Path, schema: "pa.Schema", field: str) -> None:
    """Raise InvalidInput where the column of texts holds something else."""
    kind = schema.field(field).type
    if not holds_texts(kind):
        raise InvalidInput(
            f"the column {field!r} of {shown(path)} holds {kind}; allowed: strings. Name the "
            "column with the text as text_field (--text-field)"
        )


@contextmanager
def telling_damage(path: Path, row: int) -> Iterator[None]:
    """Raise InvalidInput where what is behind a row cannot be read."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError, StopIteration) as error:
        raise _damaged(path, row, error) from error


def _damaged(path: Path, row: int, error: Exception) -> InvalidInput:
    return InvalidInput(
        f"{shown(path)} is damaged behind row {row:,} ({error}). Copy or write it again"
    )


def rows_of(batch: "pa.RecordBatch") -> Iterator[Mapping[str, object] | BadEntry]:
    """Yield the rows; one with a string that is no UTF-8 costs no other row."""
    try:
        yield from batch.to_pylist()
    except UnicodeDecodeError:
        for number in range(batch.num_rows):
            try:
                yield batch.slice(number, 1).to_pylist()[0]
            except UnicodeDecodeError as error:
                yield undecodable(error)


def holds_texts(kind: "pa.DataType") -> bool:
    """Return True for a column of strings, in whatever form."""
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(kind) in ("string", "large_string", "string_view")


def opened(path: Path, stream: BinaryIO | None = None) -> "ParquetFile":
    """Open a file, or what has it open already. Raises InvalidInput and LibraryMissing."""
    require_pyarrow(f"reading {shown(path)}")
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        # A row group may be the whole file; it is read a few pages at a time.
        return ParquetFile(stream or path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(
            f"{shown(path)} is no Parquet file that can be read ({str(error).splitlines()[0]})"
        ) from error


def opened_file(source: FileSource, *, roots: Roots, rules: ItemRules) -> InputFile:
    """Open a file of a job by reference. Raises what `InputFile` and `_ParquetInput` do."""
    is_parquet = Path(source.path).suffix.lower() == ".parquet"
    kind = _ParquetInput if is_parquet and source.format is FileFormat.AUTO else InputFile
    return kind(source, roots=roots, rules=rules)


class _ParquetInput(InputFile):
    """A file whose columns have the names of the fields.

    Raises InvalidInput for what is no Parquet file, and LibraryMissing where there is no pyarrow.
    """

    def __init__(self, source: FileSource, *, roots: Roots, rules: ItemRules) -> None:
        super().__init__(source, roots=roots, rules=rules)
        assert self._content is not None, "it is no folder"
        self._file = opened(self._path, stream_of(self._content))
        schema, metadata = self._file.schema_arrow, self._file.metadata
        self._columns = columns_read(self._path, schema, source, rules.fields)
        sizes = (metadata.row_group(n).num_rows for n in range(metadata.num_row_groups))
        #: The row with which each row group begins, and behind them the number of all.
        self._groups = [0, *accumulate(sizes)]
        #: How many rows it has.
        self.rows = self._groups[-1]
        #: The last batch that was read, the row with which it begins, and those behind it.
        self._begins = 0
        self._batch: pa.RecordBatch | None = None
        self._batches: Iterator[pa.RecordBatch] = iter(())

    def _format_of(self, source: FileSource) -> FileFormat:
        return FileFormat.LINES  # of a plain file's forms, that without a header

    def reader(self, start: FilePosition = START) -> "_ParquetEntries":
        """Return a reader of its rows, from a position on at which another has been."""
        return _ParquetEntries(self, start)

    def checksum(self, begin: int, end: int, so_far: int = 0) -> int:
        """Return a checksum of the state of the file, in which all of it is read."""
        return crc32(f"{self.state.size_bytes} {self.state.modified_ns}".encode(), so_far)

    def position_of(self, row: int) -> FilePosition:
        """Return the position of a row: its share of the bytes, more or less."""
        size_bytes, rows = self.state.size_bytes, self.rows
        if 0 < row < rows:
            return FilePosition(1 + row * (size_bytes - 2) // rows, row)
        return FilePosition(size_bytes if row else 0, row)

    def rows_from(self, row: int) -> Iterator[Mapping[str, object] | BadEntry]:
        """Yield the rows from one on. Raises InvalidInput where the file is damaged."""
        while row < self.rows:
            with telling_damage(self._path, row):
                begins, batch = self._batch_at(row)
                some = list(rows_of(batch.slice(row - begins, _ROWS_AT_ONCE)))
            row += len(some)
            yield from some

    def values(self, row: Mapping[str, object]) -> Mapping[str, object]:
        """Return what a row holds; of a task that takes records, a null is no value."""
        if self._rules.fields is None:
            return row
        return {name: one for name, one in row.items() if one is not None}

    def _batch_at(self, row: int) -> "tuple[int, pa.RecordBatch]":
        group = bisect_right(self._groups, row) - 1
        begins, batch = self._begins, self._batch
        self._batch = None  # until it is known again: reading may fail half way
        if batch is None or not self._groups[group] <= begins <= row:
            begins = self._groups[group]
            self._batches = self._file.iter_batches(
                BATCH_ROWS, row_groups=[group], columns=self._columns
            )
            batch = next(self._batches)
        while row >= begins + batch.num_rows:
            begins += batch.num_rows
            batch = next(self._batches)
        self._begins, self._batch = begins, batch
        return begins, batch


class _ParquetEntries:
    """Reads the rows of such a file, in order."""

    has_unique_ids = False

    def __init__(self, file: _ParquetInput, start: FilePosition) -> None:
        self.start = start
        self._file = file
        self._row = start.line

    @property
    def position(self) -> FilePosition:
        """The place behind the last row."""
        return self._file.position_of(self._row)

    def raws(self) -> Iterator[tuple[int, object]]:
        """Count the rows, and read none."""
        while self._row < self._file.rows:
            self._row += 1
            yield self._row, None

    def entries(self) -> Iterator[Entry]:
        """Yield the rows."""
        for row in self._file.rows_from(self._row):
            self._row += 1
            value = row if isinstance(row, BadEntry) else self._file.values(row)
            yield Entry(f"row-{self._row}", f"row {self._row:,}", value)
