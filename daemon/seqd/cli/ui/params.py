"""The parameters of a model, from the JSON Schema of each task, and fields of input and output."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from seqd.parameters import Schema, allowed, resolved
from seqd_schemas import TaskSchema
from seqd_schemas.outputs import MAX_DIMENSIONS, VECTOR_FORMAT

_TYPES: Final = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "record",
}

#: Records within records of which the fields are listed.
_MAX_DEPTH: Final = 3


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a task, or one field of its input or output."""

    name: str
    #: Its type, in words.
    type: str
    #: What it is without being set; None where it must be.
    default: JsonValue
    is_required: bool
    #: Its bounds, in words.
    allowed: str
    description: str
    #: True where it has one value alone.
    is_fixed: bool = False

    @property
    def default_shown(self) -> str:
        """Its default as JSON, or that there is none."""
        return "(required)" if self.is_required else json.dumps(self.default, ensure_ascii=False)

    def as_json(self) -> dict[str, JsonValue]:
        """Return it as a program reads it."""
        return {
            "name": self.name,
            "type": self.type,
            "default": self.default,
            "required": self.is_required,
            "allowed": self.allowed,
            "description": self.description,
        }


def parameters_of(task: TaskSchema) -> list[Parameter]:
    """Return the parameters of a task, in the order of its schema."""
    return fields_of(task.parameters)


def input_of(task: TaskSchema) -> list[Parameter]:
    """Return the fields of a record of a task's input; none where it takes texts."""
    return fields_of(task.input or {})


def output_of(task: TaskSchema) -> list[Parameter]:
    """Return the fields of the output of a plugin's own task, without its `type`."""
    return [one for one in fields_of(task.result or {}) if not one.is_fixed]


def fields_of(root: Schema) -> list[Parameter]:
    """Return the fields of a record's schema in order, each with those of records within it.

    These are called `labels[].score`, or `place.name` where there is one record and no list.
    """
    return [*_fields(root, root, "", _MAX_DEPTH)]


def _fields(record: Schema, root: Schema, front: str, depth: int) -> Iterator[Parameter]:
    fields = record.get("properties")
    for name, field in fields.items() if isinstance(fields, Mapping) else ():
        if not isinstance(field, Mapping):
            continue
        yield Parameter(
            name=front + name,
            type=_type(field, root),
            default=field.get("default"),
            is_required="default" not in field,
            allowed=_allowed(field, root),
            description=str(field.get("description", "")),
            is_fixed="const" in field,
        )
        mark, within = _record_in(field, root)
        if within is not None and depth:
            yield from _fields(within, root, f"{front}{name}{mark}", depth - 1)


def _record_in(field: Schema, root: Schema) -> tuple[str, Schema | None]:
    """Return the record that a field holds, or a list of which it holds, and what joins names."""
    found = resolved(field, root)
    for part in cast("Sequence[Schema]", found.get("anyOf", ())):
        mark, within = _record_in(part, root)
        if within is not None:
            return mark, within
    if found.get("type") == "array":
        return "[].", _record_in(cast("Schema", found.get("items", {})), root)[1]
    return ".", found if "properties" in found else None


def _allowed(field: Schema, root: Schema) -> str:
    """Say what a field allows; nothing of a record, whose fields have rows of their own."""
    found = resolved(field, root)
    if "anyOf" in found:
        said = [_allowed(part, root) for part in cast("Sequence[Schema]", found["anyOf"])]
        return "" if "" in said else " or ".join(said)
    if found.get("format") == VECTOR_FORMAT:
        shape = cast("Sequence[int]", found.get("shape", ()))
        return f"{shape[0]:,} numbers" if shape else f"1 to {MAX_DIMENSIONS:,} numbers"
    parts = resolved(cast("Schema", found.get("items", {})), root)
    if "properties" in parts or parts.get("format") == VECTOR_FORMAT:
        count = f"{found.get('minItems', 0)} to {found.get('maxItems')}"
        each = _allowed(parts, root)
        return f"{count}, each {each}" if each else count
    return "" if "properties" in found else allowed(found, root)


def _type(field: Schema, root: Schema) -> str:
    field = resolved(field, root)
    if field.get("format") == VECTOR_FORMAT:
        return "vector"
    if "anyOf" in field:
        parts = (_type(part, root) for part in cast("Sequence[Schema]", field["anyOf"]))
        return " or ".join(dict.fromkeys(parts))
    if field.get("type") == "array":
        of = _type(cast("Schema", field.get("items", {})), root)
        return (
            f"list of {of}s"
            if of.endswith(("number", "text", "record", "vector"))
            else f"list of {of}"
        )
    if "enum" in field and field.get("type") == "string":
        return "name"
    if "properties" in field:
        return "record"
    return _TYPES.get(str(field.get("type")), "any")
