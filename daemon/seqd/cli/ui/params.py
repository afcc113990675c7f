"""The parameters of a model as a table, from the JSON Schema of each task."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table, values_line
from seqd.kinds import TRAIN
from seqd.parameters import Schema, allowed
from seqd_schemas import CatalogEntry, Task, TaskSchema
from seqd_schemas.outputs import MAX_DIMENSIONS, VECTOR_FORMAT

_COLUMNS: Final = ("parameter", "type", "default", "allowed", "what it is")

_TYPES: Final = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a task."""

    name: str
    #: Its type, in words.
    type: str
    #: What it is without being set; None where it must be.
    default: JsonValue
    is_required: bool
    #: Its bounds, in words.
    allowed: str
    description: str

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
    return rows_of(task.parameters)


def input_of(task: TaskSchema) -> list[Parameter]:
    """Return the fields of a record of a task's input; none where it takes texts."""
    return rows_of(task.input or {})


def output_of(task: TaskSchema) -> list[Parameter]:
    """Return the fields of the output of a plugin's own task, without its `type`."""
    return [one for one in rows_of(task.result or {}) if one.name != "type"]


def rows_of(root: Schema) -> list[Parameter]:
    """Return the fields of a JSON Schema, in its order."""
    fields = root.get("properties")
    if not isinstance(fields, Mapping):
        return []
    return [
        Parameter(
            name=name,
            type=_type(field, root),
            default=field.get("default"),
            is_required="default" not in field,
            allowed=_vector(field) or allowed(field, root),
            description=str(field.get("description", "")),
        )
        for name, field in fields.items()
        if isinstance(field, Mapping)
    ]


def print_parameters(
    screen: Screen, entry: CatalogEntry, tables: Mapping[Task, Sequence[Parameter]]
) -> None:
    """Print a table for each task, the fields of a plugin's own, and presets of a training."""
    for number, (task, parameters) in enumerate(tables.items()):
        if number:
            screen.say()
        title = f"{entry.model} {task}"
        if parameters:
            print_table(screen, _COLUMNS, [_row(one) for one in parameters], title=title)
        else:
            screen.say(f"{title}: no parameters", "bold")
        if task in entry.run_tasks:
            _print_fields(screen, title, entry.run_tasks[task])
    if TRAIN in tables and entry.presets:
        screen.say()
        for name, values in entry.presets.items():
            screen.say(f"preset {name}: {values_line(values)}")


def _print_fields(screen: Screen, title: str, task: TaskSchema) -> None:
    """Print what a plugin's own task takes and gives."""
    screen.say()
    if task.input is None:
        empty = "may be empty" if task.allows_empty else "not empty"
        screen.say(f"{title}: takes texts, each {empty}", "bold")
    else:
        rows = [_row(one) for one in input_of(task)]
        print_table(screen, ("takes", *_COLUMNS[1:]), rows, title=f"{title}: a record of")
    screen.say()
    fields = output_of(task)
    rows = [(one.name, one.type, one.allowed, one.description) for one in fields]
    columns = ("gives", "type", "allowed", "what it is")
    print_table(screen, columns, rows, title=f"{title}: an output of")


def _row(parameter: Parameter) -> tuple[str, ...]:
    default = json.dumps(parameter.default, ensure_ascii=False)
    return (
        parameter.name,
        parameter.type,
        "(required)" if parameter.is_required else default,
        parameter.allowed,
        parameter.description,
    )


def _type(field: Schema, root: Schema) -> str:
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return _type(cast("Mapping[str, Schema]", root["$defs"])[name], root)
    if "anyOf" in field:
        parts = (_type(part, root) for part in cast("Sequence[Schema]", field["anyOf"]))
        return " or ".join(dict.fromkeys(parts))
    if field.get("type") == "array":
        of = _type(cast("Schema", field.get("items", {})), root)
        return f"list of {of}s" if of.endswith(("number", "text", "record")) else f"list of {of}"
    if "enum" in field and field.get("type") == "string":
        return "name"
    if "properties" in field:
        return "record"
    if _vector(field):
        return "vector"
    return _TYPES.get(str(field.get("type")), "any")


def _vector(field: Schema) -> str:
    """Return how many numbers a vector has; nothing of any other field."""
    if field.get("format") != VECTOR_FORMAT:
        return ""
    shape = field.get("shape")
    numbers = shape[0] if isinstance(shape, Sequence) else f"1 to {MAX_DIMENSIONS:,}"
    return f"{numbers:,} numbers" if isinstance(numbers, int) else f"{numbers} numbers"
