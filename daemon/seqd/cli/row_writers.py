"""Writes rows: as JSON lines, CSV, TSV, plain lines, Parquet or one array of NumPy.

Each holds a few rows at most.
"""

import csv
import io
import json
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, BinaryIO, cast

from pydantic_core import PydanticSerializationError, to_json

from seqd.cli.output_forms import Form
from seqd.client.tables import OutputField, Type, Vectors, arrow_array, arrow_type
from seqd.errors import InvalidInput, OutputMismatch

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


#: Rows, and characters of text, that a row group of a Parquet file holds at most.
_GROUP_ROWS = 65_536
_GROUP_CHARS = 32 * 2**20


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an output."""

    name: str
    #: A `Type`, Vectors, or the type of Arrow that it has in a Parquet file of input.
    kind: object
    #: The field of the input that it holds; None of a column of the results.
    field: str | None = None
    #: The field of a plugin's own output that it holds.
    output: OutputField | None = None


class RowWriter(ABC):
    """Writes rows of values, in the order of the columns."""

    @abstractmethod
    def write(self, values: Sequence[object]) -> None:
        """Append a row."""

    def finish(self, facts: Mapping[str, str]) -> None:  # noqa: B027 - most hold nothing
        """Write what is held, and facts about the file where it has metadata; it stays open."""

    def give_up(self) -> None:  # noqa: B027
        """Leave the file as it is: nothing more is written to it."""


def writer_of(form: Form, file: BinaryIO, columns: Sequence[Column]) -> RowWriter:
    """Return the writer of a form; the file of CSV, TSV and Parquet has its header at once."""
    match form:
        case Form.JSONL:
            return _JsonRows(file, columns)
        case Form.CSV:
            return _DelimitedRows(file, columns, ",")
        case Form.TSV:
            return _DelimitedRows(file, columns, "\t")
        case Form.LINES:
            return _Lines(file)
        case Form.PARQUET:
            return _ParquetRows(file, columns)
        case Form.NPY:
            return _Array(file, columns)


def json_bytes(value: object) -> bytes:
    """Return a value as JSON on one line; a number that is none, and infinity, as null."""
    try:
        return to_json(value, inf_nan_mode="null", serialize_unknown=True, bytes_mode="base64")
    except (PydanticSerializationError, UnicodeEncodeError):  # half a character, from an escape
        return json.dumps(value, default=str).encode()


class _JsonRows(RowWriter):
    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        self._names = [column.name for column in columns]

    def write(self, values: Sequence[object]) -> None:
        self._file.write(json_bytes(dict(zip(self._names, values, strict=True))) + b"\n")


class _DelimitedRows(RowWriter):
    """RFC 4180 but for the ends of lines, which are newlines."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column], delimiter: str) -> None:
        # A half of a character, which no UTF-8 can hold, is written as a question mark.
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="")
        self._rows = csv.writer(self._text, delimiter=delimiter, lineterminator="\n")
        self._rows.writerow([column.name for column in columns])

    def write(self, values: Sequence[object]) -> None:
        self._rows.writerow([_cell(value) for value in values])

    def finish(self, facts: Mapping[str, str]) -> None:
        self._text.flush()
        self._text.detach()

    def give_up(self) -> None:
        with suppress(OSError, ValueError):  # it writes what it holds first; `ValueError` once done
            self._text.detach()


class _Lines(RowWriter):
    """One value a line."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0

    def write(self, values: Sequence[object]) -> None:
        (value,) = values
        line = "" if value is None else str(_cell(value))
        self._count += 1
        if "\n" in line or "\r" in line:
            raise OutputMismatch(
                f"line {self._count:,} would be {line[:40]!r}, which has a line break: a file of "
                "plain lines cannot hold it. Write .csv, .tsv, .jsonl or .parquet"
            )
        self._file.write(line.encode("utf-8", "replace") + b"\n")


class _ParquetRows(RowWriter):
    """Row groups of some thousand rows, compressed by zstd."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        self._columns = columns
        self._schema = pa.schema([(column.name, _arrow_type(column)) for column in columns])
        self._writer = ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Sequence[object]] = []
        self._chars = 0

    def write(self, values: Sequence[object]) -> None:
        self._rows.append(values)
        self._chars += sum(map(_size_of, values))
        if len(self._rows) >= _GROUP_ROWS or self._chars >= _GROUP_CHARS:
            self._write_group()

    def finish(self, facts: Mapping[str, str]) -> None:
        self._write_group()
        self._writer.add_key_value_metadata(dict(facts))
        self._writer.close()

    def give_up(self) -> None:
        with suppress(Exception):  # it writes the end of the file, wherever that goes
            self._writer.close()

    def _write_group(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        arrays = []
        for place, column in enumerate(self._columns):
            values = [_arrow_value(row[place], column.kind) for row in self._rows]
            try:
                if isinstance(column.kind, Vectors):
                    arrays.append(arrow_array(values, column.kind))
                else:
                    arrays.append(pa.array(values, type=self._schema.field(place).type))
            except (pa.ArrowException, OverflowError) as error:
                raise InvalidInput(
                    f"the column {column.name!r} holds what is no {self._schema.field(place).type} "
                    f"({error}): the input has changed since it was looked at"
                ) from error
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._chars = [], 0


class _Array(RowWriter):
    """One matrix of float32: a vector a row, and a row of NaN where there is none.

    The header stands at the beginning and has the number of rows, so it is written anew at the end.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[Column]) -> None:
        self._file = file
        kind = columns[0].kind
        self._dimensions = kind.dimensions if isinstance(kind, Vectors) else None
        self._count = 0
        #: Rows without a vector in front of the first one.
        self._waiting = 0
        file.write(_array_header(0, 0))

    def write(self, values: Sequence[object]) -> None:
        (vector,) = values
        self._count += 1
        if vector is None and self._dimensions is None:
            self._waiting += 1
            return
        content = b"" if vector is None else cast("NDArray[np.float32]", vector).tobytes()
        if self._dimensions is None:
            self._dimensions = len(content) // 4
        nothing = _NAN * self._dimensions
        for _ in range(self._waiting):
            self._file.write(nothing)
        self._waiting = 0
        if vector is not None and len(content) != len(nothing):
            raise OutputMismatch(
                f"row {self._count:,} of the output is a vector of {len(content) // 4:,} numbers, "
                f"and those in front of it have {self._dimensions:,}: one array cannot hold both. "
                "Write .parquet or .jsonl"
            )
        self._file.write(content or nothing)

    def finish(self, facts: Mapping[str, str]) -> None:
        self._file.seek(0)
        self._file.write(_array_header(self._count, self._dimensions or 0))
        self._file.seek(0, io.SEEK_END)


_NAN = struct.pack("<f", float("nan"))

#: Bytes of the header, with room for any number of rows.
_HEADER_BYTES = 128


def _array_header(rows: int, dimensions: int) -> bytes:
    """Return the header of a file of NumPy's format 1.0."""
    shape = f"({rows}, {dimensions})"
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    magic = b"\x93NUMPY\x01\x00" + struct.pack("<H", _HEADER_BYTES - 10)
    return magic + text.ljust(_HEADER_BYTES - 11).encode() + b"\n"


def _size_of(value: object) -> int:
    """Return what a value counts towards a row group: characters, or bytes of a vector."""
    if isinstance(value, str):
        return len(value)
    return int(getattr(value, "nbytes", 0))


def _cell(value: object) -> object:
    if value is None or (isinstance(value, str | int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, dict | list | tuple | bytes):
        return json_bytes(value).decode()
    return str(value)


def _arrow_type(column: Column) -> "pa.DataType":
    if isinstance(column.kind, Vectors | str):
        return arrow_type(cast("Type | Vectors", column.kind))
    return column.kind


def _arrow_value(value: object, kind: object) -> object:
    if value is None:
        return None
    if kind == "json":
        return json_bytes(value).decode()
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
