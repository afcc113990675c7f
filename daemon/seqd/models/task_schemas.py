"""What workers publish of a task: the schemas of its parameters, its input and its output.

Also the checks of the classes that a plugin gives for a task of its own (clause O3).
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Final, cast

from pydantic import BaseModel, JsonValue

from seqd.errors import PluginFault
from seqd.hookspecs import TaskSpec
from seqd.models.parameter_checks import Schema, missing_bound, parts_of
from seqd_schemas import MAX_RECORD_FIELDS, NAMED_OUTPUTS, TaskSchema

#: Keywords of a JSON Schema that are for people: changing them changes no output.
_FOR_PEOPLE: Final = frozenset({"title", "description", "examples", "default"})

#: Characters that one schema may have as JSON.
MAX_SCHEMA_CHARS: Final = 65_536


def task_schema(spec: TaskSpec) -> TaskSchema:
    """Return what is published of a task."""
    given = None if spec.input is None else input_schema(spec.input)
    made = output_schema(cast("type[BaseModel]", spec.output)) if spec.output else None
    return TaskSchema(
        parameters=spec.parameters.model_json_schema(),
        unit_items=spec.unit_items,
        output=spec.bound,
        summary=spec.summary,
        input=given,
        result=made,
        allows_empty=spec.allows_empty,
        digest=None if made is None else schema_digest(given, made),
    )


def input_schema(record: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the JSON Schema of a record that a task takes."""
    return record.model_json_schema()


def output_schema(output: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the JSON Schema of what a task gives."""
    return output.model_json_schema(mode="serialization")


def schema_digest(given: Mapping[str, JsonValue] | None, made: Mapping[str, JsonValue]) -> str:
    """Return the SHA-256 of both schemas without what is for people, in hex."""
    content = json.dumps([_bare(given), _bare(made)], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _bare(schema: object, *, names_fields: bool = False) -> object:
    """Return a schema without its texts; a field may be called `title`."""
    if isinstance(schema, list | tuple):
        return [_bare(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: _bare(part, names_fields=name in ("properties", "$defs") and not names_fields)
        for name, part in schema.items()
        if names_fields or name not in _FOR_PEOPLE
    }


def _is_output(output: object) -> bool:
    return isinstance(output, type) and issubclass(output, BaseModel)


def check_run_task(where: str, spec: TaskSpec) -> None:
    """Check the output and the input of a task of the plugin's own. Raises PluginFault."""
    if not _is_output(spec.output):
        raise PluginFault(
            f"{where}: its output is {spec.output!r:.80}, which is no pydantic model. Use one of "
            "seqd_schemas, such as Embedding, or a class that derives from TaskOutput."
        )
    output = cast("type[BaseModel]", spec.output)
    _check_fields(f"{where}: output {output.__name__}", output, output_schema(output))
    _check_round_trip(f"{where}: output {output.__name__}", output)
    if spec.input is None:
        return
    if not _is_output(spec.input):
        raise PluginFault(
            f"{where}: its input is {spec.input!r:.80}, which is no pydantic model. Leave it out "
            "for texts, or use a class that derives from pydantic.BaseModel."
        )
    schema = input_schema(spec.input)
    what = f"{where}: input {spec.input.__name__}"
    _check_fields(what, spec.input, schema)
    if spec.input.model_config.get("extra") != "forbid":
        raise PluginFault(
            f'{what} takes unknown fields. Give it model_config = ConfigDict(extra="forbid"), so '
            "that a typing mistake is refused."
        )
    names = cast("Mapping[str, Schema]", schema["properties"])
    for name in ("custom_id", "id"):
        if name in names:
            raise PluginFault(f"{what} has a field {name!r}, which names an item. Rename it.")


def _check_fields(where: str, given: type[BaseModel], schema: Schema) -> None:
    size = len(json.dumps(schema))
    if size > MAX_SCHEMA_CHARS:
        raise PluginFault(
            f"{where} has a JSON Schema of {size:,} characters; allowed: {MAX_SCHEMA_CHARS:,}."
        )
    fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
    if not 1 <= len(fields) <= MAX_RECORD_FIELDS:
        raise PluginFault(f"{where} has {len(fields)} fields; allowed: 1 to {MAX_RECORD_FIELDS}.")
    for name, field in _all_fields(schema):
        at = f"{where}: field {name!r}"
        if not field.get("description") and "$ref" not in field and "const" not in field:
            raise PluginFault(f"{at} has no description. Say in a sentence what it is.")
        for part in parts_of(field, schema):
            if missing := _open_part(part):
                raise PluginFault(f"{at} {missing}")


def _all_fields(schema: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the fields of a record and of the records in it, those as `Span.start`."""
    yield from cast("Mapping[str, Schema]", schema.get("properties", {})).items()
    for name, part in cast("Mapping[str, Schema]", schema.get("$defs", {})).items():
        for field, content in cast("Mapping[str, Schema]", part.get("properties", {})).items():
            yield f"{name}.{field}", content


def _open_part(part: Schema) -> str:
    """Say what a schema leaves open; an object is bounded by its fields, or their number."""
    if part.get("type") != "object":
        return missing_bound(part)
    if "properties" in part or "maxProperties" in part:
        return ""
    return "is a mapping without max_length. Give it one, or use a record of declared fields."


def _check_round_trip(where: str, output: type[BaseModel]) -> None:
    """Refuse what is not read as it is written, and what another output's `type` would hide."""
    written, read = (
        set(cast("Mapping[str, Schema]", schema.get("properties", {})))
        for schema in (output_schema(output), output.model_json_schema())
    )
    if written != read:
        raise PluginFault(
            f"{where}: the field {sorted(written ^ read)[0]!r} is written and not read, or read "
            "and not written. Leave out computed fields and aliases."
        )
    kind = output.model_fields.get("type")
    if kind is not None and kind.default in NAMED_OUTPUTS:
        raise PluginFault(
            f"{where}: its type is {kind.default!r}, which is that of another output. Choose "
            "another one."
        )
