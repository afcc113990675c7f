"""Results as tables: the columns of each kind of job, for Arrow and pandas.

One row a result; of a generation one row a sample, and of an item with an error one row. The
columns of a plugin's own task are those of its published schema. pandas and pyarrow are imported
when a table is asked for, and raise LibraryMissing where they are not there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

from seqd.client.made_by import facts_of
from seqd.client.output_fields import OutputField, fields_of
from seqd.client.results import OneResult
from seqd.errors import InvalidRequest, LibraryMissing
from seqd.kinds import KINDS
from seqd.ledger.exchange import Exchange, Give, Reading, Taken
from seqd.parameters import Schema
from seqd_schemas import (
    ERROR_COLUMNS,
    ITEM_COLUMNS,
    Classification,
    Generation,
    ItemFailure,
    ItemOutput,
    ItemSuccess,
    JobRecord,
    NamedOutput,
    TrainedVersion,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas
    import pyarrow
    from numpy.typing import NDArray

#: Rows and characters after which a batch is closed; the memory of a reader.
BATCH_ROWS = 4_096
BATCH_CHARS = 8 * 1024 * 1024

Cell = str | float | bool | Mapping[str, object] | Sequence[float] | None
Columns = dict[str, list[Cell]]
Type = Literal["text", "number", "integer", "truth", "numbers", "json"]
Rows = Callable[[ItemOutput], Iterator[dict[str, Cell]]]


@dataclass(frozen=True, slots=True)
class Vectors:
    """The type of a column of 32-bit floats: so many in each row, or any number of them."""

    dimensions: int | None = None


#: Of the others pandas says itself what they are.
_PANDAS_TYPES: Mapping[object, str] = {
    "number": "float64",
    "integer": "Int64",
    "truth": "boolean",
    "numbers": "object",
}


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a kind of job, each with its type, and the rows that an output makes."""

    columns: dict[str, Type | Vectors]
    #: What an output makes.
    rows: Rows
    #: What made the results, as metadata.
    facts: Mapping[str, str] = field(default_factory=dict)

    def arrow_schema(self) -> "pyarrow.Schema":
        """Return the schema for Arrow."""
        arrow = import_arrow()
        schema: pyarrow.Schema = arrow.schema(
            [(name, arrow_type(type_)) for name, type_ in self.columns.items()],
            metadata=dict(self.facts),
        )
        return schema

    def batches(self, results: Reading[OneResult]) -> "Reading[pyarrow.RecordBatch]":
        """Give the results as batches of Arrow, of bounded size."""
        arrow, schema = import_arrow(), self.arrow_schema()
        filled = Taken(self.filled(results))
        while (columns := (yield from filled.take())) is not None:
            arrays = [arrow_array(cells, self.columns[name]) for name, cells in columns.items()]
            yield Give((arrow.RecordBatch.from_arrays(arrays, schema=schema),))

    def frame(self, results: Reading[OneResult]) -> "Exchange[pandas.DataFrame]":
        """Return the results as one data frame."""
        library = import_pandas()
        whole: Columns = {name: [] for name in self.columns}
        filled = Taken(self.filled(results))
        while (columns := (yield from filled.take())) is not None:
            for name, cells in columns.items():
                whole[name] += cells
        frame: pandas.DataFrame = library.DataFrame(
            {
                name: library.Series(cells, dtype=_pandas_type(self.columns[name]))
                for name, cells in whole.items()
            }
        )
        return frame

    def filled(self, results: Reading[OneResult]) -> Reading[Columns]:
        """Give the columns of the next results, as many as a batch holds."""
        taken, held, rows, chars = Taken(results), self._empty(), 0, 0
        while (result := (yield from taken.take())) is not None:
            for row in self._rows_of(result):
                for name, cells in held.items():
                    cell = row.get(name)
                    cells.append(cell)
                    chars += _size_of(cell)
                rows += 1
            if rows >= BATCH_ROWS or chars >= BATCH_CHARS:
                yield Give((held,))
                held, rows, chars = self._empty(), 0, 0
        if rows:
            yield Give((held,))

    def _empty(self) -> Columns:
        return {name: [] for name in self.columns}

    def _rows_of(self, result: ItemSuccess[object] | ItemFailure) -> Iterator[dict[str, Cell]]:
        named: dict[str, Cell] = {name: getattr(result, name) for name in ITEM_COLUMNS}
        if isinstance(result, ItemFailure):
            error = result.error
            yield named | {"error_code": error.code.value, "error_message": error.message}
            return
        for row in self.rows(cast(ItemOutput, result.output)):
            yield named | row


def arrow_reader(
    table: Table, batches: "Iterator[pyarrow.RecordBatch]"
) -> "pyarrow.RecordBatchReader":
    """Return what Arrow and its users read batches from, each when it is asked for."""
    readers = import_arrow().RecordBatchReader
    reader: pyarrow.RecordBatchReader = readers.from_batches(table.arrow_schema(), batches)
    return reader


def table_of(record: JobRecord, schema: Schema | None = None) -> Table:
    """Return the columns of a job's results; raise InvalidRequest for a training.

    `schema` is that of the outputs, of a plugin's own task; unknown, each is one column of JSON.
    """
    kind = KINDS[record.kind]
    if not kind.has_items:
        raise InvalidRequest(
            f"Job {record.job_id} is a training: it has no items. Call `trained_version()`."
        )
    if kind.output is None:
        table = _table_by(fields_of(schema))
    else:
        table = _table(COLUMNS[kind.output], rows_of_output)
    return replace(table, facts=facts_of([record]))


def arrow_type(type_: Type | Vectors) -> "pyarrow.DataType":
    """Return the type that a column has for Arrow."""
    arrow = import_arrow()
    made: pyarrow.DataType
    if isinstance(type_, Vectors):
        made = arrow.list_(arrow.float32(), type_.dimensions or -1)
    else:
        made = {
            "text": arrow.string(),
            "json": arrow.string(),
            "number": arrow.float64(),
            "integer": arrow.int64(),
            "truth": arrow.bool_(),
            "numbers": arrow.map_(arrow.string(), arrow.float64()),
        }[type_]
    return made


def arrow_array(cells: Sequence[object], type_: Type | Vectors) -> "pyarrow.Array":
    """Return the cells of a column as an array of Arrow."""
    if isinstance(type_, Vectors):
        return _arrow_vectors(cast("Sequence[NDArray[np.float32] | None]", cells), type_)
    array: pyarrow.Array = import_arrow().array(cells, type=arrow_type(type_))
    return array


def _arrow_vectors(
    cells: "Sequence[NDArray[np.float32] | None]", type_: Vectors
) -> "pyarrow.Array":
    """Return vectors as an array of lists, whose numbers are copied once and not looked at."""
    import numpy as np

    arrow = import_arrow()
    fixed = type_.dimensions
    nothing = np.zeros(fixed or 0, np.float32)
    vectors = [nothing if cell is None else cell for cell in cells]
    numbers = arrow.array(np.concatenate([nothing[:0], *vectors]))
    missing = arrow.array([cell is None for cell in cells], type=arrow.bool_())
    array: pyarrow.Array
    if fixed is not None:
        array = arrow.FixedSizeListArray.from_arrays(numbers, fixed, mask=missing)
    else:
        ends = np.cumsum([0, *map(len, vectors)], dtype=np.int32)
        array = arrow.ListArray.from_arrays(arrow.array(ends), numbers, mask=missing)
    return array


def import_arrow() -> ModuleType:
    """Return pyarrow; raise LibraryMissing without it."""
    return _imported("pyarrow")


def import_pandas() -> ModuleType:
    """Return pandas; raise LibraryMissing without it."""
    return _imported("pandas")


def _imported(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise LibraryMissing(
            f"Results as a table need {name}, which cannot be imported here: {error}. Install it: "
            "pip install 'seqd[frames]'"
        ) from error


def _pandas_type(type_: Type | Vectors) -> str | None:
    return "object" if isinstance(type_, Vectors) else _PANDAS_TYPES.get(type_)


def _size_of(cell: Cell) -> int:
    """Return what a cell counts towards a batch: characters of a text, bytes of a vector."""
    if isinstance(cell, str):
        return len(cell)
    return int(getattr(cell, "nbytes", 0))


def _table_by(fields: Sequence[OutputField]) -> Table:
    """Return the columns of a plugin's own output."""

    def rows(output: ItemOutput) -> Iterator[dict[str, Cell]]:
        if isinstance(output, dict):
            yield {field.column: cast(Cell, field.cell(output)) for field in fields}

    columns: dict[str, Type | Vectors] = {
        field.column: Vectors(field.dimensions) if field.type == "vector" else field.type
        for field in fields
    }
    return _table(columns, rows)


def _table(columns: Mapping[str, Type | Vectors], rows: Rows) -> Table:
    """Return the columns of outputs, with those that all tables have."""
    return Table({"custom_id": "text", **columns, **ITEM_COLUMNS, **ERROR_COLUMNS}, rows)


def rows_of_output(output: ItemOutput) -> Iterator[dict[str, Cell]]:
    """Yield the fields of an output with a record of its own, or those of each of its samples."""
    assert not isinstance(output, dict)
    if not isinstance(output, Generation):
        yield dict(output)
        return
    for number, sample in enumerate(output.samples):
        row: dict[str, Cell] = dict(sample)
        row |= {"sample": number, "prompt": output.prompt}
        yield row | {"finish_reason": sample.finish_reason.value}


#: Columns of the fields of outputs, of each the type. What is written to a file has them, too.
COLUMNS: Mapping[type[NamedOutput], dict[str, Type]] = {
    Classification: {
        "label": "text",
        "score": "number",
        "truncated": "truth",
        "unknown_share": "number",
        "uncertain": "truth",
        "probabilities": "numbers",
    },
    Generation: {
        "sample": "integer",
        "prompt": "text",
        "text": "text",
        "temperature": "number",
        "seed": "integer",
        "mean_log_prob": "number",
        "finish_reason": "text",
        "longest_copy": "integer",
    },
    TrainedVersion: {
        "model": "text",
        "version": "integer",
        "metrics": "numbers",
        "seconds": "number",
    },
}
