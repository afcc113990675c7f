"""The wire format as JSON Schema, for readers in other languages.

`seqd schema --out DIR` writes one file per record; a snapshot test holds them against
`schemas/json/`, so that no change of the wire format goes unseen. `seqd schema --model NAME` writes
what a model can do, from its catalog entry.

Types are generated from them: each record, part and union has its name as `title`, and a field has
none, since generators make a type of each title. A tag such as `kind` is required, as it is of
every record that is written or read, though it has a default in Python.
"""

import json
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, cast

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from seqd_schemas.base import is_tag
from seqd_schemas.fleet import CatalogEntry
from seqd_schemas.results import Classification, Generation

_Schema: TypeAlias = dict[str, Any]

#: Records and unions that have a file each: `AuditEntry` is in `audit_entry.schema.json`.
_RECORDS = (
    "AuditEntry AuditRecord CatalogEntry CordonRule Event FailureRecord InboxAnswer ItemChunk "
    "ItemResult Job JobRecord ModelCard ModelManifest ModelOrder ModelPause OrderAnswer "
    "PlacementRule PluginStatus TenantRecord TenantUsage TextChunk TextDeltas TrainingResult "
    "WorkerStatus"
)

#: Outputs of tasks whose schema the catalog does not have, as it is that of no plugin.
_NAMED_OUTPUTS: dict[str, type[BaseModel]] = {"classify": Classification, "generate": Generation}

#: Parts of `item_result` that a result has whatever its output is.
_PARTS_OF_RESULT = ("ItemSuccess", "ItemFailure", "ItemError", "ItemErrorCode")

#: Keywords whose values are no schemas.
_VALUES = frozenset({"const", "default", "enum", "examples", "required"})

_PARTS = "#/$defs/"


class _NamedTypes(GenerateJsonSchema):
    """JSON Schemas from which a generator makes types of the names that they have here."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return is_tag(field["schema"]) or super().field_is_required(field, total)


def json_schemas() -> dict[str, str]:
    """Return each record's JSON Schema (draft 2020-12) as text, by the record's name."""
    names = {re.sub(r"\B(?=[A-Z])", "_", record).lower(): record for record in _RECORDS.split()}
    return {
        name: _as_text(_changed(_schema_of(record), _with_plain_reference))
        for name, record in names.items()
    }


def write_json_schemas(folder: Path) -> list[Path]:
    """Write one `NAME.schema.json` per record into `folder`, which is made where it is missing."""
    return _written(json_schemas(), folder)


def task_schemas(entry: CatalogEntry) -> dict[str, str]:
    """Return the JSON Schemas of what a model can do as text, by `MODEL.TASK.WHAT`.

    WHAT is `parameters`; `input`, a record, of a task that takes such; `output`; and `result`, one
    line of a job's results. A training has parameters alone.
    """
    schemas: dict[str, _Schema] = {}
    for task, stated in (*entry.tasks.items(), *entry.run_tasks.items()):
        name, named = f"{entry.model}.{task}", _NAMED_OUTPUTS.get(task)
        schemas[f"{name}.parameters"] = stated.parameters
        if stated.input is not None:
            schemas[f"{name}.input"] = stated.input
        output = named.model_json_schema() if named is not None else stated.result
        if output is not None:
            schemas[f"{name}.output"] = output
            schemas[f"{name}.result"] = _result_with(output)
    return {name: _as_text(_titled(schema)) for name, schema in schemas.items()}


def write_task_schemas(entry: CatalogEntry, folder: Path) -> list[Path]:
    """Write one `MODEL.TASK.WHAT.schema.json` per schema of a model's tasks into `folder`."""
    return _written(task_schemas(entry), folder)


def _schema_of(record: str) -> _Schema:
    kind: TypeAdapter[Any] = TypeAdapter(getattr(import_module("seqd_schemas"), record))
    return kind.json_schema(schema_generator=_NamedTypes) | {"title": record}


def _as_text(schema: object) -> str:
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def _written(schemas: Mapping[str, str], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in schemas.items():
        path = folder / f"{name}.schema.json"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _changed(schema: object, change: Callable[[_Schema], _Schema]) -> object:
    """Return a schema of which each part is changed, the inner ones first."""
    if isinstance(schema, list):
        return [_changed(part, change) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return change({name: _changed(part, change) for name, part in schema.items()})


def _with_plain_reference(parts: _Schema) -> _Schema:
    """Let a reference stand alone: with a description beside it, it is a type to a generator."""
    if "$ref" in parts and len(parts) > 1:
        return {"anyOf": [{"$ref": parts.pop("$ref")}], **parts}
    return parts


def _result_with(output: _Schema) -> _Schema:
    """Return the schema of an item's result whose output is known."""
    result = _schema_of("ItemResult")
    parts = {name: result["$defs"][name] for name in _PARTS_OF_RESULT}
    parts["ItemSuccess"]["properties"]["output"] = {"$ref": f"{_PARTS}Output"}
    whole = {name: part for name, part in output.items() if name != "$defs"}
    for name, part in {"": whole, **output.get("$defs", {})}.items():
        parts[f"Output{name}"] = {
            **cast(_Schema, _changed(part, _renamed)),
            "title": f"Output{name}",
        }
    return {**result, "$defs": parts}


def _renamed(parts: _Schema) -> _Schema:
    """Refer to an output's parts by the names that they have in a result: `OutputSpan`."""
    if isinstance(parts.get("$ref"), str):
        return parts | {"$ref": parts["$ref"].replace(_PARTS, f"{_PARTS}Output", 1)}
    return parts


def _titled(schema: object, *, is_type: bool = True) -> object:
    """Return a schema in which types alone have titles; a field may be called `title`."""
    if isinstance(schema, list):
        return [_titled(part, is_type=False) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept: _Schema = {}
    for name, part in schema.items():
        if name in ("properties", "$defs"):
            parts = cast(_Schema, part)
            are_types = name == "$defs"
            kept[name] = {each: _titled(one, is_type=are_types) for each, one in parts.items()}
        elif name != "title" or is_type:
            kept[name] = part if name in _VALUES else _titled(part, is_type=False)
    return kept
