"""Results as tables for Arrow and pandas, with a column a field, or as one matrix of NumPy.

One row a result; of a generation one row a sample, and of an item with an error one row. The
columns of a plugin's own task are those of its published JSON Schema: a flat field is a column of
its type, a vector one of 32-bit floats, and what is nested, such as labels, is JSON text. pandas,
pyarrow and NumPy are imported when a table is asked for, and the first two raise LibraryMissing
where they are not there.
"""

from binascii import a2b_base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Literal, cast

from pydantic import JsonValue
from pydantic_core import to_json

from seqd.client.sources import OneResult, published_task
from seqd.errors import InvalidRequest, LibraryMissing, OutputMismatch
from seqd.kinds import KINDS
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange, Give, Reading, Taken
from seqd.parameters import Schema, resolved
from seqd.validation import did_you_mean, shown
from seqd_schemas import (
    ERROR_COLUMNS,
    ITEM_COLUMNS,
    Classification,
    Generation,
    ItemFailure,
    ItemOutput,
    ItemSuccess,
    JobRecord,
    ModelReference,
    NamedOutput,
    RunJob,
    TrainedVersion,
)

if TYPE_CHECKING:
    import numpy as np
    import pandas
    import pyarrow
    from numpy.typing import NDArray

#: Rows that a matrix begins with whose number of rows is not known.
_FIRST_ROWS = 1_024

FieldType = Literal["text", "number", "integer", "truth", "vector", "json"]

#: Name of the one column that outputs are whose schema is not kept (any more), as JSON.
WHOLE = "output"

_TYPES: Mapping[object, FieldType] = {
    "string": "text",
    "number": "number",
    "integer": "integer",
    "boolean": "truth",
}
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class OutputField:
    """One field of an output."""

    name: str
    type: FieldType
    #: Numbers that a vector has, where all have the same number of them.
    dimensions: int | None = None
    #: True of a text that is one of a few words.
    is_word: bool = False
    #: True where it is the whole output.
    is_whole: bool = False

    @property
    def column(self) -> str:
        """The name of its column: its own, unless a table has another one of that name."""
        return (
            f"output_{self.name}"
            if self.name in ITEM_COLUMNS or self.name in ERROR_COLUMNS
            else self.name
        )

    def cell(self, output: Mapping[str, object]) -> object:
        """Return the field's value in an output: JSON text of what is nested, an array of a vector.

        None where it has none. A worker has held it against the schema.
        """
        value = output if self.is_whole else output.get(self.name)
        if value is None:
            return None
        if self.type == "json":
            return to_json(value).decode()
        if self.type == "vector":
            return vector_of(value)
        return float(cast(float, value)) if self.type == "number" else value


def vector_of(value: object) -> "NDArray[np.float32]":
    """Return the numbers of a vector as JSON has it."""
    import numpy as np

    return np.frombuffer(a2b_base64(cast(str, value)), "<f4")


def fields_of(schema: Schema | None) -> tuple[OutputField, ...]:
    """Return the fields of an output, in order, but for `type`, which is the same in all of them.

    Without a schema, the whole output is one field.
    """
    if not schema:
        return (OutputField(WHOLE, "json", is_whole=True),)
    named = cast("Mapping[str, Schema]", schema.get("properties", {}))
    return tuple(
        _field(name, part, schema)
        for name, part in named.items()
        if not (name == "type" and "const" in part)
    )


def vector_field(fields: Sequence[OutputField], name: str, of: str) -> OutputField:
    """Return the vector of a name; raise InvalidRequest, which says which vectors there are.

    `of` is whose output it is, such as `Job j1`.
    """
    vectors = [one.name for one in fields if one.type == "vector"]
    for one in fields:
        if one.name == name and one.type == "vector":
            return one
    known = [one.name for one in fields]
    there = (
        f"vectors of its output: {', '.join(vectors)}"
        if vectors
        else (f"its output has no vector; it has: {', '.join(known) or 'nothing'}")
    )
    if name in known:
        type_ = next(one.type for one in fields if one.name == name)
        raise InvalidRequest(
            f"{of}: the field {name!r} is no vector, it is {_NAMED[type_]}; {there}."
        )
    meant = did_you_mean(name, vectors)
    raise InvalidRequest(f"{of}: there is no field {shown(name)}; {there}.{meant}")


_NAMED: Mapping[FieldType, str] = {
    "text": "a text",
    "number": "a number",
    "integer": "a whole number",
    "truth": "true or false",
    "json": "nested",
}


def result_schema(ledger: LedgerParts, record: JobRecord) -> Exchange[Schema | None]:
    """Return the JSON Schema that the outputs of a job keep to; None where it is not kept.

    It is the one that the job was accepted with, not what the model's workers publish by now.
    """
    job = record.job
    if not isinstance(job, RunJob):
        return None
    if record.task_schema is not None:
        kept = yield from ledger.fleet.schemas_of_task.steps(record.task_schema)
        if isinstance(found := kept.get("result"), dict):
            return found
    task = yield from published_task(ledger, job)
    if task is None or record.task_schema not in (None, task.digest):
        return None
    return task.result


def _field(name: str, part: Schema, root: Schema) -> OutputField:
    """Return the field that a part of a schema describes; `None` beside one type is left out."""
    from seqd_schemas import VECTOR_FORMAT  # not at import: few clients read vectors

    part = resolved(part, root)
    branches = cast("Sequence[Schema]", part.get("anyOf", ()))
    typed = [one for one in branches if one.get("type") != "null"]
    if len(typed) == 1:
        return _field(name, typed[0], root)
    if part.get("format") == VECTOR_FORMAT:
        shape = cast("Sequence[int]", part.get("shape", ()))
        return OutputField(name, "vector", shape[0] if shape else None)
    values = cast(
        "Sequence[JsonValue]", part.get("enum", [part["const"]] if "const" in part else ())
    )
    if values and all(isinstance(value, str) for value in values):
        return OutputField(name, "text", is_word=True)
    if part.get("type") == "integer" and not _fits(part):
        return OutputField(name, "json")
    return OutputField(name, _TYPES.get(part.get("type"), "json"))


def _fits(part: Schema) -> bool:
    """Return True for whole numbers that 64 bits hold, as far as the schema bounds them."""
    bounds = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
    stated = [part[name] for name in bounds if name in part]
    return all(isinstance(bound, int | float) and int(bound) in _INT64 for bound in stated)


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
            {name: pandas_series(cells, self.columns[name]) for name, cells in whole.items()}
        )
        return frame

    def filled(self, results: Reading[OneResult]) -> Reading[Columns]:
        """Give the columns of the next results, as many as a batch holds."""
        taken, held, rows, chars = Taken(results), self._empty(), 0, 0
        while (result := (yield from taken.take())) is not None:
            for row in self.rows_of(result):
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

    def rows_of(self, result: ItemSuccess[object] | ItemFailure) -> Iterator[dict[str, Cell]]:
        """Yield the rows of a result; a column of which a row has nothing is empty there."""
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
    """Return the columns of the results of a job of items.

    `schema` is that of the outputs, of a plugin's own task; unknown, each is one column of JSON.
    """
    return replace(table_of_outputs(KINDS[record.kind].output, schema), facts=facts_of([record]))


def table_of_outputs(output: type[NamedOutput] | None, schema: Schema | None) -> Table:
    """Return the columns of results with a named output, or else with one of a `schema`."""
    return (
        _table_by(fields_of(schema)) if output is None else _table(COLUMNS[output], rows_of_output)
    )


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


def pandas_series(
    cells: Sequence[object], type_: Type | Vectors, index: "pandas.Index | None" = None
) -> "pandas.Series":
    """Return the cells of a column as a series of pandas."""
    kind = "object" if isinstance(type_, Vectors) else _PANDAS_TYPES.get(type_)
    made: pandas.Series = import_pandas().Series(cells, index=index, dtype=kind)
    return made


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


class Matrix:
    """Rows of one length, as far as they have come."""

    def __init__(self, rows: int | None, dimensions: int | None) -> None:
        """`rows` and `dimensions` are what there will be, where that is known."""
        import numpy as np

        self._expected = _FIRST_ROWS if rows is None else rows
        #: None until the first vector, of vectors whose length nobody has stated.
        self._cells: NDArray[np.float32] | None = None
        self._count = 0
        if dimensions is not None:
            self._cells = np.empty((self._expected, dimensions), np.float32)

    def add(self, vector: "NDArray[np.float32] | None", custom_id: str) -> None:
        """Append a vector, or of an item without one a row of NaN; raises OutputMismatch."""
        import numpy as np

        if self._cells is None and vector is not None:
            self._cells = np.empty((max(self._expected, self._count + 1), len(vector)), np.float32)
            self._cells[: self._count] = np.nan
        if self._cells is not None:
            if vector is not None and len(vector) != self._cells.shape[1]:
                raise OutputMismatch(
                    f"The vector of item {custom_id!r} has {len(vector):,} numbers, and those of "
                    f"the items in front of it {self._cells.shape[1]:,}: one matrix cannot hold "
                    "both. Read `results()`, or `to_arrow()`."
                )
            if self._count == len(self._cells):
                # No view of it is anywhere else.
                self._cells.resize((2 * self._count or 1, self._cells.shape[1]), refcheck=False)
            self._cells[self._count] = np.nan if vector is None else vector
        self._count += 1

    def whole(self) -> "NDArray[np.float32]":
        """Return all rows; of no vector at all, rows without numbers."""
        import numpy as np

        if self._cells is None:
            return np.empty((self._count, 0), np.float32)
        if self._count < len(self._cells):
            self._cells.resize((self._count, self._cells.shape[1]), refcheck=False)
        return self._cells


def matrix_of(
    results: Reading[OneResult], field: OutputField, rows: int | None
) -> "Exchange[NDArray[np.float32]]":
    """Return the vectors that a field of the results has, as a matrix; `rows` where it is known."""
    matrix, taken = Matrix(rows, field.dimensions), Taken(results)
    while (result := (yield from taken.take())) is not None:
        name, vector = result.custom_id, None
        if not isinstance(result, ItemFailure) and isinstance(result.output, dict):
            value = result.output.get(field.name)
            vector = None if value is None else vector_of(value)
        matrix.add(vector, name)
    return matrix.whole()


def facts_of(records: Sequence[JobRecord]) -> dict[str, str]:
    """Return names and values that say what made the results of a job, or of it and its retries.

    The job is the first, and the model its own; the plugin's versions are those of all. Of a
    plugin's own task, `seqd.task` is its name, and `seqd.task_schema` the digest of its schemas.
    """
    first = records[0]
    versions = dict.fromkeys(version for record in records for version in record.plugin_versions)
    facts = {
        "seqd.job_id": first.job_id,
        "seqd.model": str(ModelReference(first.model, first.version)),
        "seqd.task": first.job.task if isinstance(first.job, RunJob) else "",
        "seqd.task_schema": first.task_schema or "",
        "seqd.plugin_versions": ",".join(versions),
    }
    return {name: value for name, value in facts.items() if value}
