"""The parameters of a model as a table, from the JSON Schema of each task."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from pydantic import JsonValue

from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table, values_line
from seqd.parameters import Schema, allowed
from seqd_schemas import CatalogEntry, Task, TaskSchema

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
    root = task.parameters
    fields = root.get("properties")
    if not isinstance(fields, Mapping):
        return []
    return [
        Parameter(
            name=name,
            type=_type(field, root),
            default=field.get("default"),
            is_required="default" not in field,
            allowed=allowed(field, root),
            description=str(field.get("description", "")),
        )
        for name, field in fields.items()
        if isinstance(field, Mapping)
    ]


def print_parameters(
    screen: Screen, entry: CatalogEntry, tables: Mapping[Task, Sequence[Parameter]]
) -> None:
    """Print a table for each task, and the presets of a training."""
    for number, (task, parameters) in enumerate(tables.items()):
        if number:
            screen.say()
        title = f"{entry.model} {task}"
        if not parameters:
            screen.say(f"{title}: no parameters", "bold")
            continue
        print_table(screen, _COLUMNS, [_row(one) for one in parameters], title=title)
    if "train" in tables and entry.presets:
        screen.say()
        for name, values in entry.presets.items():
            screen.say(f"preset {name}: {values_line(values)}")


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
        return f"list of {of}s" if of.endswith(("number", "text")) else f"list of {of}"
    if "enum" in field and field.get("type") == "string":
        return "name"
    return _TYPES.get(str(field.get("type")), "any")
