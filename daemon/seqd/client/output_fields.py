"""The fields of a plugin's own output, as its published JSON Schema has them: columns of tables.

A flat field is a column of its type, a vector one of 32-bit floats, and what is nested, such as
labels, is JSON text.
"""

from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from pydantic import JsonValue
from pydantic_core import to_json

from seqd.errors import InvalidRequest
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange
from seqd.parameters import Schema
from seqd.validation import did_you_mean, shown
from seqd_schemas import ERROR_COLUMNS, ITEM_COLUMNS, JobRecord, ModelReference, RunJob

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    catalog = yield from ledger.fleet.catalog_for.steps(job)
    entry = catalog.get(ModelReference.parse(job.model).name)
    task = None if entry is None else entry.run_tasks.get(job.task)
    if task is None or record.task_schema not in (None, task.digest):
        return None
    return task.result


def _field(name: str, part: Schema, root: Schema) -> OutputField:
    """Return the field that a part of a schema describes; `None` beside one type is left out."""
    from seqd_schemas import VECTOR_FORMAT  # not at import: few clients read vectors

    while "$ref" in part:
        definition = str(part["$ref"]).rpartition("/")[2]
        part = cast("Mapping[str, Schema]", root["$defs"])[definition]
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
