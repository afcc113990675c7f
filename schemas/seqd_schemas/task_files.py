"""What a model can do as JSON Schema files, for readers in other languages.

`seqd schema --model NAME --out DIR` writes them, from the model's catalog entry. As in
`schema_files`, each type has its name as `title`, and a field has none.
"""

import json
from pathlib import Path
from typing import Any, TypeAlias, cast

from pydantic import BaseModel

from seqd_schemas.fleet import CatalogEntry
from seqd_schemas.results import Classification, Generation
from seqd_schemas.schema_files import item_result_schema, written_schemas

Schema: TypeAlias = dict[str, Any]

#: Outputs of tasks whose schema the catalog does not have, as it is that of no plugin.
_NAMED_OUTPUTS: dict[str, type[BaseModel]] = {
    "classify": Classification,
    "generate": Generation,
}

#: Parts of `item_result` that a result has whatever its output is.
_PARTS_OF_RESULT = ("ItemSuccess", "ItemFailure", "ItemError", "ItemErrorCode")

#: Keywords whose values are no schemas.
_VALUES = frozenset({"const", "default", "enum", "examples", "required"})

_PARTS = "#/$defs/"


def task_schemas(entry: CatalogEntry) -> dict[str, str]:
    """Return the JSON Schemas of what a model can do as text, by `MODEL.TASK.WHAT`.

    WHAT is `parameters`; `input`, a record, of a task that takes such; `output`; and `result`, one
    line of a job's results. A training has parameters alone.
    """
    schemas: dict[str, Schema] = {}
    for task, stated in (*entry.tasks.items(), *entry.run_tasks.items()):
        name, named = f"{entry.model}.{task}", _NAMED_OUTPUTS.get(task)
        schemas[f"{name}.parameters"] = stated.parameters
        if stated.input is not None:
            schemas[f"{name}.input"] = stated.input
        output = named.model_json_schema() if named is not None else stated.result
        if output is not None:
            schemas[f"{name}.output"] = output
            schemas[f"{name}.result"] = _result_with(output)
    return {
        name: json.dumps(_titled(schema), indent=2, sort_keys=True) + "\n"
        for name, schema in schemas.items()
    }


def write_task_schemas(entry: CatalogEntry, folder: Path) -> list[Path]:
    """Write one `MODEL.TASK.WHAT.schema.json` per schema of a model's tasks into `folder`."""
    return written_schemas(task_schemas(entry), folder)


def _result_with(output: Schema) -> Schema:
    """Return the schema of an item's result whose output is known."""
    result = item_result_schema()
    parts = {name: result["$defs"][name] for name in _PARTS_OF_RESULT}
    parts["ItemSuccess"]["properties"]["output"] = {"$ref": f"{_PARTS}Output"}
    whole = {name: part for name, part in output.items() if name != "$defs"}
    for name, part in {"": whole, **output.get("$defs", {})}.items():
        parts[f"Output{name}"] = {**cast(Schema, _renamed(part)), "title": f"Output{name}"}
    return {**result, "$defs": parts}


def _renamed(schema: object) -> object:
    """Return an output's schema with the names that its parts have in a result: `OutputSpan`."""
    if isinstance(schema, list):
        return [_renamed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: part.replace(_PARTS, f"{_PARTS}Output", 1)
        if name == "$ref" and isinstance(part, str)
        else _renamed(part)
        for name, part in schema.items()
    }


def _titled(schema: object, *, is_type: bool = True) -> object:
    """Return a schema in which types alone have titles; a field may be called `title`."""
    if isinstance(schema, list):
        return [_titled(part, is_type=False) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept: Schema = {}
    for name, part in schema.items():
        if name in ("properties", "$defs"):
            parts = cast(Schema, part)
            are_types = name == "$defs"
            kept[name] = {each: _titled(one, is_type=are_types) for each, one in parts.items()}
        elif name != "title" or is_type:
            kept[name] = part if name in _VALUES else _titled(part, is_type=False)
    return kept
