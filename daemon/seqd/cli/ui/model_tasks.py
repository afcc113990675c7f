"""What the tasks of a model take and give, as tables: parameters, input, output and limits."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table, values_line
from seqd.kinds import kind_of_task
from seqd.parameters import Schema, allowed, resolved
from seqd.views.columns import Column
from seqd_schemas import CatalogEntry, TaskSchema
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
class _Parameter:
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


def parameters_of(task: TaskSchema) -> list[_Parameter]:
    """Return the parameters of a task, in the order of its schema."""
    return _fields_of(task.parameters)


def input_of(task: TaskSchema) -> list[_Parameter]:
    """Return the fields of a record of a task's input; none where it takes texts."""
    return _fields_of(task.input or {})


def output_of(task: TaskSchema) -> list[_Parameter]:
    """Return the fields of the output of a plugin's own task, without its `type`."""
    return [one for one in _fields_of(task.result or {}) if not one.is_fixed]


def _fields_of(root: Schema) -> list[_Parameter]:
    """Return the fields of a record's schema in order, each with those of records within it.

    These are called `labels[].score`, or `place.name` where there is one record and no list.
    """
    return [*_fields(root, root, "", _MAX_DEPTH)]


def _fields(record: Schema, root: Schema, front: str, depth: int) -> Iterator[_Parameter]:
    fields = record.get("properties")
    for name, field in fields.items() if isinstance(fields, Mapping) else ():
        if not isinstance(field, Mapping):
            continue
        yield _Parameter(
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


def print_model(screen: Screen, entry: CatalogEntry) -> None:
    """Print one model: what it is, its presets, and what each task takes and gives."""
    screen.say()
    screen.say(entry.model, "bold")
    screen.say(entry.summary)
    if entry.datasets:
        screen.say(f"data sets: {', '.join(entry.datasets)}")
    print_presets(screen, entry)
    for task in entry.all_tasks:
        screen.say()
        print_task(screen, entry, task)


def print_presets(screen: Screen, entry: CatalogEntry) -> None:
    """Print the presets of a model's training, with their values."""
    for name, values in entry.presets.items():
        screen.say(f"preset {name}: {values_line(values)}")


def print_task(screen: Screen, entry: CatalogEntry, task: str) -> None:
    """Print what a task of a model takes and gives."""
    schema = entry.all_tasks[task]
    title = f"{entry.model} {task}"
    if schema.summary:
        screen.say(f"{title}: {schema.summary}", "bold")
    if parameters := parameters_of(schema):
        print_table(screen, _taken("parameter"), parameters, title=title)
    else:
        screen.say(f"{title}: no parameters", "bold")
    if schema.input is not None:
        screen.say()
        print_table(screen, _taken("field"), input_of(schema), title=f"{title}, input: records")
    if fields := _output_fields(task, schema):
        screen.say()
        name = str(_output(task, schema).get("title", "a record"))
        screen.say(f"{title}, output: {name}", "bold")
        if described := " ".join(str((schema.result or {}).get("description", "")).split()):
            screen.say(described)
        print_table(screen, _GIVEN, fields)
    for limit in _limits(entry, task, schema):
        screen.say(limit, "dim")


def contract_of(entry: CatalogEntry) -> dict[str, JsonValue]:
    """Return the same as a program reads it, by task."""
    return {
        task: {
            "parameters": [row.as_json() for row in parameters_of(schema)],
            "input": [row.as_json() for row in input_of(schema)],
            "output": [row.as_json() for row in _output_fields(task, schema)],
            "limits": [*_limits(entry, task, schema)],
        }
        for task, schema in entry.all_tasks.items()
    }


def _taken(name: str) -> list[Column[_Parameter]]:
    """Return what tables say of what a task takes; `name` heads the first of them."""
    return [
        Column(name, lambda one: one.name),
        Column("default", lambda one: one.default_shown),
        # The type has no column of its own here.
        Column("what it is", lambda one: _described(one, one.allowed or one.type), wraps=True),
    ]


def _described(one: _Parameter, allowed: str) -> str:
    described = " ".join(one.description.split())
    return f"{described} Allowed: {allowed}.".lstrip() if allowed else described


#: What tables say of what a task gives.
_GIVEN: tuple[Column[_Parameter], ...] = (
    Column("field", lambda one: one.name),
    Column("type", lambda one: one.type),
    Column(
        "what it is",
        lambda one: _described(one, "" if one.allowed == one.type else one.allowed),
        wraps=True,
    ),
)


def _output(task: str, schema: TaskSchema) -> Schema:
    """Return the JSON Schema of what comes out for an item; empty of a training."""
    named = kind_of_task(task).output
    return named.model_json_schema() if named is not None else schema.result or {}


def _output_fields(task: str, schema: TaskSchema) -> Sequence[_Parameter]:
    return [one for one in _fields_of(_output(task, schema)) if not one.is_fixed]


def _limits(entry: CatalogEntry, task: str, schema: TaskSchema) -> list[str]:
    """Return what bounds an item and a unit, a sentence each."""
    if not kind_of_task(task).has_items:
        return []
    limits = list[str]()
    if schema.input is None:
        is_empty = schema.allows_empty or kind_of_task(task).allows_empty
        limits.append(f"A text {'may' if is_empty else 'must not'} be empty.")
    bound = schema.output
    if bound is not None:
        most = min(bound.max_characters, entry.max_output_characters or bound.max_characters)
        product = " x ".join([*bound.factors, *(f"values of {name}" for name in bound.lists)])
        limits.append(f"One item writes at most {most:,} characters; its symbols: {product}.")
    limits.append(f"A unit of work has {schema.unit_items:,} items.")
    return limits
