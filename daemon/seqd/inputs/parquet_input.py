"""A Parquet file as workers have it open for a job by reference: a row is an entry.

Units are ranges of rows. Cutting reads the file's footer alone. Whoever reads a unit begins at its
row group, or goes on where it was, so that a worker decodes no row group twice that it reads
forwards.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

from seqd.inputs.items import BadEntry, ItemRules
from seqd.inputs.paths import Roots
from seqd.inputs.reading import InputFile
from seqd.inputs.records import Entry
from seqd.inputs.streams import START, FilePosition, stream_of
from seqd_schemas import FileFormat, FileSource

if TYPE_CHECKING:
    import pyarrow as pa

#: Rows that are made Python objects at once: the next unit may be another worker's.
_ROWS_AT_ONCE = 64


def opened_file(source: FileSource, *, roots: Roots, rules: ItemRules) -> InputFile:
    """Open a file of a job by reference. Raises what `InputFile` and `ParquetInput` do."""
    is_parquet = Path(source.path).suffix.lower() == ".parquet"
    kind = ParquetInput if is_parquet and source.format is FileFormat.AUTO else InputFile
    return kind(source, roots=roots, rules=rules)


class ParquetInput(InputFile):
    """A file whose columns have the names of the fields.

    Raises InvalidInput for what is no Parquet file, and LibraryMissing where there is no pyarrow.
    """

    def __init__(self, source: FileSource, *, roots: Roots, rules: ItemRules) -> None:
        from seqd.inputs.parquet_rows import columns_read, opened

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

    def reader(self, start: FilePosition = START) -> "ParquetEntries":
        """Return a reader of its rows, from a position on at which another has been."""
        return ParquetEntries(self, start)

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
        from seqd.inputs.parquet_rows import rows_of, telling_damage

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
        from seqd.inputs.parquet_rows import BATCH_ROWS

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


class ParquetEntries:
    """Reads the rows of such a file, in order."""

    has_unique_ids = False

    def __init__(self, file: ParquetInput, start: FilePosition) -> None:
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
