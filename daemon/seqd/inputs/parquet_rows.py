"""Rows of a Parquet file, in bounded memory; needs the extra `parquet`."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seqd.errors import InvalidInput, LibraryMissing
from seqd.inputs.file_state import FileState
from seqd.inputs.items import BadEntry, undecodable
from seqd.inputs.paths import shown
from seqd.inputs.records import RecordReader, check_names
from seqd.inputs.streams import FilePosition
from seqd_schemas import FileSource

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

#: Rows that are made Python objects at once.
BATCH_ROWS = 512

#: Bytes of each column that are read at once, in the place of a whole row group.
_BUFFER_BYTES = 262_144


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


class ParquetReader(RecordReader[Mapping[str, object] | BadEntry]):
    """One row, one entry; the columns' names are the fields'."""

    _rows_read = 0

    def __init__(
        self,
        path: Path,
        source: FileSource,
        columns: Collection[str] | None = None,
        fields: Mapping[str, bool] | None = None,
        state: FileState | None = None,
    ) -> None:
        """Of each row, `columns` are read; without any, what an item and its label need."""
        super().__init__(path, source, fields=fields, state=state)
        self._columns = columns

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
                self.path, file.schema_arrow, self.source, self.fields, self._columns or ()
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
