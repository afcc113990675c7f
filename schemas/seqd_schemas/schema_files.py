"""The wire format as JSON Schema, for readers in other languages.

`seqd schema --out DIR` writes one file per record; a snapshot test holds them against
`schemas/json/`, so that no change of the wire format goes unseen.

Types are generated from them: each record, part and union has its name as `title`, and a field has
none, since generators make a type of each title. A tag such as `kind` is required, as it is of
every record that is written or read, though it has a default in Python.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from seqd_schemas.audit import AuditEntry, AuditRecord
from seqd_schemas.base import is_tag
from seqd_schemas.cards import ModelCard
from seqd_schemas.events import EVENT
from seqd_schemas.failure_records import FailureRecord
from seqd_schemas.fleet import (
    CatalogEntry,
    CordonRule,
    ModelPause,
    PlacementRule,
    PluginStatus,
    WorkerStatus,
)
from seqd_schemas.inbox import InboxAnswer
from seqd_schemas.items import ItemChunk, TextChunk
from seqd_schemas.jobs import Job
from seqd_schemas.manifests import ModelManifest
from seqd_schemas.orders import ModelOrder, OrderAnswer
from seqd_schemas.results import ITEM_RESULT, TrainingResult
from seqd_schemas.states import JobRecord
from seqd_schemas.tenants import TenantRecord, TenantUsage
from seqd_schemas.text_deltas import TextDeltas

_MODELS: dict[str, type[BaseModel]] = {
    "audit_entry": AuditEntry,
    "audit_record": AuditRecord,
    "catalog_entry": CatalogEntry,
    "cordon_rule": CordonRule,
    "failure_record": FailureRecord,
    "inbox_answer": InboxAnswer,
    "item_chunk": ItemChunk,
    "job_record": JobRecord,
    "model_card": ModelCard,
    "model_manifest": ModelManifest,
    "model_order": ModelOrder,
    "model_pause": ModelPause,
    "order_answer": OrderAnswer,
    "placement_rule": PlacementRule,
    "plugin_status": PluginStatus,
    "tenant_record": TenantRecord,
    "tenant_usage": TenantUsage,
    "text_chunk": TextChunk,
    "text_deltas": TextDeltas,
    "training_result": TrainingResult,
    "worker_status": WorkerStatus,
}

_UNIONS: dict[str, tuple[str, TypeAdapter[Any]]] = {
    "event": ("Event", EVENT),
    "item_result": ("ItemResult", ITEM_RESULT),
    "job": ("Job", TypeAdapter(Job)),
}


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
    schemas = {
        name: model.model_json_schema(schema_generator=_NamedTypes)
        for name, model in _MODELS.items()
    }
    for name, (title, union) in _UNIONS.items():
        schemas[name] = union.json_schema(schema_generator=_NamedTypes) | {"title": title}
    return {
        name: json.dumps(_with_plain_references(schema), indent=2, sort_keys=True) + "\n"
        for name, schema in sorted(schemas.items())
    }


def write_json_schemas(folder: Path) -> list[Path]:
    """Write one `NAME.schema.json` per record into `folder`, which is made where it is missing."""
    return written_schemas(json_schemas(), folder)


def item_result_schema() -> dict[str, Any]:
    """Return the JSON Schema of one line of a job's results."""
    title, union = _UNIONS["item_result"]
    return union.json_schema(schema_generator=_NamedTypes) | {"title": title}


def written_schemas(schemas: Mapping[str, str], folder: Path) -> list[Path]:
    """Write schemas by their names into `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in schemas.items():
        path = folder / f"{name}.schema.json"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _with_plain_references(schema: object) -> object:
    """Return a schema whose references stand alone.

    A reference with a description beside it is a type of its own to a generator: `Counts1`.
    """
    if isinstance(schema, list):
        return [_with_plain_references(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: _with_plain_references(part) for name, part in schema.items()}
    if "$ref" in parts and len(parts) > 1:
        return {"anyOf": [{"$ref": parts.pop("$ref")}], **parts}
    return parts
