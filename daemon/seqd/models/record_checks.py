"""Checks of the classes that a plugin gives for a task of its own: its output, its input (O3).

Both are published as JSON Schemas. So what a check reads is the schema, and what the schema does
not say, such as a bound that a validator knows, does not count.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final, cast

from pydantic import BaseModel, PydanticUserError

from seqd.errors import PluginFault
from seqd.hookspecs import TaskSpec
from seqd.models.parameter_checks import (
    Schema,
    missing_bound,
    missing_bounds,
    parts_of,
    refuse_all,
)
from seqd.models.task_schemas import bare, input_schema, output_schema
from seqd_schemas import MAX_RECORD_FIELDS, NAMED_OUTPUTS, ItemError

#: Characters that one schema may have as JSON.
MAX_SCHEMA_CHARS: Final = 65_536

#: Formats of a text that bound its length.
_SHORT_FORMATS: Final = frozenset({"date", "date-time", "time", "uuid"})

#: Columns that tables of all jobs have: a field that is called so is `output_NAME` there.
COLUMNS_OF_ALL: Final = ("custom_id", "version", "error_code", "error_message")

#: Fields that name an item, and so are none of its record.
_NAMES_OF_ITEMS: Final = ("custom_id", "id")


def check_run_task(where: str, spec: TaskSpec) -> None:
    """Check the output and the input of a task of the plugin's own. Raises PluginFault."""
    if not _is_record(spec.output):
        raise PluginFault(
            f"{where}: its output is {spec.output!r:.80}, which is no pydantic model. Use one of "
            "seqd_schemas, such as Embedding, or a class that derives from TaskOutput."
        )
    output = cast("type[BaseModel]", spec.output)
    if issubclass(output, ItemError):
        raise PluginFault(
            f"{where}: its output is ItemError, which an item has that has no output."
        )
    _check_output(f"{where}: output {output.__name__}", output)
    if spec.input is None:
        return
    if not _is_record(spec.input):
        raise PluginFault(
            f"{where}: its input is {spec.input!r:.80}, which is no pydantic model. Leave it out "
            "for texts, or use a class that derives from pydantic.BaseModel."
        )
    _check_input(f"{where}: input {spec.input.__name__}", spec.input)


def _is_record(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, BaseModel)


def _check_output(where: str, output: type[BaseModel]) -> None:
    written = _schema_of(where, output, is_output=True)
    _check_fields(where, written)
    for record in _records(written):
        if record.get("additionalProperties"):
            raise PluginFault(
                f"{where} takes unknown fields. Declare all of them, and leave its model_config at "
                'extra="forbid".'
            )
    read = _schema_of(where, output, is_output=False)
    _check_round_trip(where, written, read, set(output.model_fields))
    _check_type(where, written)
    names = cast("Schema", written["properties"])
    for name in COLUMNS_OF_ALL:
        if name in names and f"output_{name}" in names:
            raise PluginFault(
                f"{where} has the fields {name!r} and 'output_{name}', which are one column of a "
                "table. Rename one of them."
            )


def _check_input(where: str, record: type[BaseModel]) -> None:
    schema = _schema_of(where, record, is_output=False)
    _check_fields(where, schema)
    if any(part.get("additionalProperties") is not False for part in _records(schema)):
        raise PluginFault(
            f'{where} takes unknown fields. Give it model_config = ConfigDict(extra="forbid"), so '
            "that a typing mistake is refused."
        )
    for name in _NAMES_OF_ITEMS:
        if name in cast("Schema", schema["properties"]):
            raise PluginFault(f"{where} has a field {name!r}, which names an item. Rename it.")


def _schema_of(where: str, given: type[BaseModel], *, is_output: bool) -> Schema:
    """Return the schema of a class; raise PluginFault where it has none."""
    try:
        schema = output_schema(given) if is_output else input_schema(given)
    except (PydanticUserError, TypeError, ValueError) as error:  # such as of any Python object
        first_line = str(error).splitlines()[0].partition(";")[0].rstrip(".")
        raise PluginFault(
            f"{where} has no JSON Schema: {first_line}. Use numbers, texts, truth values, lists, "
            "mappings and records of these."
        ) from None
    if "$ref" in schema:
        raise PluginFault(
            f"{where} refers to itself. Put what repeats into a class of its own, which is the "
            "type of a field of it."
        )
    return schema


def _check_fields(where: str, schema: Schema) -> None:
    size = len(json.dumps(schema))
    if size > MAX_SCHEMA_CHARS:
        raise PluginFault(
            f"{where} has a JSON Schema of {size:,} characters; allowed: {MAX_SCHEMA_CHARS:,}."
        )
    fields = cast("Schema", schema.get("properties", {}))
    if not 1 <= len(fields) <= MAX_RECORD_FIELDS:
        raise PluginFault(f"{where} has {len(fields)} fields; allowed: 1 to {MAX_RECORD_FIELDS}.")
    faults: list[str] = []
    for name, field in _all_fields(schema):
        at = f"field {name!r}"
        if not field.get("description") and "$ref" not in field and "const" not in field:
            faults.append(f"{at} has no description. Say in a sentence what it is.")
        faults += missing_bounds(at, parts_of(field, schema), _missing_bound)
    refuse_all(where, faults)


def _records(schema: Schema) -> Iterator[Schema]:
    """Yield a record, and the records in it."""
    yield schema
    for part in cast("Mapping[str, Schema]", schema.get("$defs", {})).values():
        if "properties" in part:
            yield part


def _all_fields(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the fields of a record and of the records in it, those as `Span.start`."""
    yield from cast("Mapping[str, Schema]", schema.get("properties", {})).items()
    for name, part in cast("Mapping[str, Schema]", schema.get("$defs", {})).items():
        for field, content in cast("Mapping[str, Schema]", part.get("properties", {})).items():
            yield f"{name}.{field}", content


def _missing_bound(part: Schema) -> str:
    """Say what a schema leaves open, as the end of a sentence; nothing when it is bounded."""
    kind = part.get("type")
    if part.get("uniqueItems"):
        return "is a set, which has no order. Use a tuple."
    if kind == "object" and not part.get("properties"):
        return _missing_in_mapping(part)
    if kind == "object" or (kind == "array" and "prefixItems" in part and "maxItems" in part):
        return ""  # its fields, or its places, are looked at one by one
    if kind == "string" and part.get("format") in _SHORT_FORMATS:
        return ""
    return missing_bound(part)


def _missing_in_mapping(part: Schema) -> str:
    keys = cast("Schema", part.get("propertyNames", {}))
    if "enum" in keys or "const" in keys:
        return ""
    if "maxProperties" not in part:
        return "is a mapping without max_length. Give it one, or use a record of declared fields."
    if "maxLength" not in keys:
        return (
            "is a mapping whose keys have no max_length. Give them one, such as "
            "Annotated[str, Field(max_length=64)]."
        )
    return ""


def _check_round_trip(
    where: str, written: Schema, read: Schema, names: set[str] | None = None
) -> None:
    """Refuse what is not read as it is written: computed fields, aliases, serializers."""
    to_write, to_read = dict(_all_fields(written)), dict(_all_fields(read))
    if differing := sorted(to_write.keys() ^ to_read.keys()):
        raise PluginFault(
            f"{where}: the field {differing[0]!r} is written and not read, or read and not "
            "written. Leave out computed fields and aliases."
        )
    if names is not None and (hidden := sorted(names - {*to_write})):
        raise PluginFault(
            f"{where}: the field {hidden[0]!r} is written under another name. Leave out aliases."
        )
    for name, field in to_write.items():
        if bare(field) != bare(to_read[name]):
            raise PluginFault(
                f"{where}: the field {name!r} is written in another form than it is read. Leave "
                "out serializers, and use types that JSON has."
            )


def _check_type(where: str, written: Schema) -> None:
    """Refuse the `type` of another output, by which a reader would take it for that one."""
    field = cast("Schema", cast("Schema", written["properties"]).get("type", {}))
    choices = cast("list[object]", field.get("enum", []))
    for value in (field.get("const"), field.get("default"), *choices):
        if value in NAMED_OUTPUTS:
            raise PluginFault(
                f"{where}: its type is {value!r}, which is that of another output. Choose another "
                "one."
            )
