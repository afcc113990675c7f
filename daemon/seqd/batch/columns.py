"""Batches as engines hand them over: the rows that they have, and columns that are added to them.

Arrow's `Table` and `RecordBatch` are what Ray Data and Spark have, a dict of NumPy arrays is Ray's
other form, and a data frame of pandas is Dask's.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Any, Protocol, cast

from seqd.client.tables import Columns, Matrix, Type, Vectors, arrow_array, pandas_series
from seqd.errors import InvalidInput, InvalidRequest
from seqd.inputs.items import BadEntry
from seqd.inputs.parquet_rows import holds_texts, rows_of

if TYPE_CHECKING:
    import numpy as np
    import pandas
    import pyarrow
    from numpy.typing import NDArray

Types = Mapping[str, Type | Vectors]

#: Kinds of NumPy's types that may hold texts: objects, and its two of strings.
_TEXTS = "OUT"


class Batch(Protocol):
    """A batch of one of the forms."""

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns."""

    def not_texts(self, name: str) -> str:
        """Return the type of a column that holds no texts; '' for one that may."""

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, object] | BadEntry]:
        """Yield what some of the columns have in each row."""

    def with_columns(self, columns: Columns, types: Types) -> object:
        """Return the batch with more columns."""


def batch_of(given: object) -> Batch:
    """Return a batch as what reads it and adds to it.

    Raises InvalidRequest for no batch, and InvalidInput for arrays that are not of one length.
    """
    # What has made a table has imported its library.
    arrow, pandas = sys.modules.get("pyarrow"), sys.modules.get("pandas")
    if arrow is not None and isinstance(given, arrow.Table | arrow.RecordBatch):
        return _ArrowBatch(given)
    if pandas is not None and isinstance(given, pandas.DataFrame):
        return _PandasBatch(given)
    if isinstance(given, Mapping):
        _check_lengths(given)
        return _NumpyBatch(given)
    raise InvalidRequest(
        f"the batch is of type {type(given).__name__}; allowed: a list of texts, a Table or "
        "RecordBatch of pyarrow, a dict of NumPy arrays, or a DataFrame of pandas"
    )


@dataclass(frozen=True, slots=True)
class _ArrowBatch:
    table: "pyarrow.Table | pyarrow.RecordBatch"

    @property
    def names(self) -> Sequence[str]:
        return cast("list[str]", self.table.schema.names)

    def not_texts(self, name: str) -> str:
        kind = self.table.schema.field(name).type
        return "" if holds_texts(kind) or str(kind) == "null" else str(kind)

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, object] | BadEntry]:
        part = self.table.select(list(names))
        for batch in part.to_batches() if hasattr(part, "to_batches") else (part,):
            yield from rows_of(batch)

    def with_columns(self, columns: Columns, types: Types) -> object:
        table = self.table
        for name, cells in columns.items():
            table = table.append_column(name, arrow_array(cells, types[name]))
        return table


@dataclass(frozen=True, slots=True)
class _PandasBatch:
    frame: "pandas.DataFrame"

    @property
    def names(self) -> Sequence[str]:
        return list(self.frame.columns)

    def not_texts(self, name: str) -> str:
        column = self.frame[name]
        return "" if column.dtype.kind in _TEXTS or column.isna().all() else str(column.dtype)

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, object]]:
        columns = (self.frame[name] for name in names)
        # What is missing is NaN or NA there.
        given = [map(_plain, one.astype(object).where(one.notna(), None)) for one in columns]
        return (dict(zip(names, cells, strict=True)) for cells in zip(*given, strict=True))

    def with_columns(self, columns: Columns, types: Types) -> object:
        made = {name: self._series(cells, types[name]) for name, cells in columns.items()}
        return self.frame.assign(**cast("dict[str, Any]", made))

    def _series(self, cells: Sequence[object], type_: Type | Vectors) -> "pandas.Series":
        made = pandas_series(cells, type_, self.frame.index)
        # The type that it has for texts, also without any: all parts of a frame have one.
        return made.astype(pandas_series([""], "text").dtype) if type_ == "text" else made


@dataclass(frozen=True, slots=True)
class _NumpyBatch:
    arrays: "Mapping[str, NDArray[np.generic]]"

    @property
    def names(self) -> Sequence[str]:
        return list(self.arrays)

    def not_texts(self, name: str) -> str:
        kind = self._array(name).dtype
        return "" if kind.kind in _TEXTS or not len(self.arrays[name]) else str(kind)

    def rows(self, names: Sequence[str]) -> Iterator[Mapping[str, object]]:
        given = [map(_plain, self._array(name).tolist()) for name in names]
        return (dict(zip(names, cells, strict=True)) for cells in zip(*given, strict=True))

    def with_columns(self, columns: Columns, types: Types) -> object:
        made = {name: _array(cells, types[name]) for name, cells in columns.items()}
        return {**self.arrays, **made}

    def _array(self, name: str) -> "NDArray[np.generic]":
        import numpy as np

        return np.asarray(self.arrays[name])


def _check_lengths(arrays: Mapping[str, object]) -> None:
    lengths = {name: _length(one) for name, one in arrays.items()}
    if "no array" in lengths.values() or len({*lengths.values()}) > 1:
        said = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise InvalidInput(f"the columns of the batch are not of one length: {said}")


def _length(column: object) -> int | str:
    try:
        return "no array" if isinstance(column, str | bytes) else len(cast("Sized", column))
    except TypeError:  # a number, or an array without a dimension
        return "no array"


def _plain(cell: object) -> object:
    """Return a cell as JSON may hold it, without NumPy's types, in which objects have lists."""
    import numpy as np

    if isinstance(cell, np.ndarray | np.generic):
        cell = cell.tolist()
    if isinstance(cell, list):
        return [_plain(one) for one in cell]
    if isinstance(cell, dict):
        return {name: _plain(one) for name, one in cell.items()}
    return cell


def _array(cells: Sequence[object], type_: Type | Vectors) -> "NDArray[Any]":
    """Return a column as an array: numbers and vectors with NaN for none, else objects."""
    import numpy as np

    if isinstance(type_, Vectors):
        matrix = Matrix(len(cells), type_.dimensions)
        for row, cell in enumerate(cells, start=1):
            matrix.add(cast("NDArray[np.float32] | None", cell), f"row-{row}")
        return matrix.whole()
    if type_ == "number":
        return np.array([nan if cell is None else cell for cell in cells], np.float64)
    array = np.empty(len(cells), object)
    array[:] = cells
    return array
