"""The wire format as JSON Schema, for readers in other languages.

`seqd schema --out DIR` writes one file per record; a snapshot test holds them against
`schemas/json/`, so that no change of the wire format goes unseen.
"""

import json
from pathlib import Path

from pydantic import BaseModel, TypeAdapter

from seqd_schemas.events import EVENT
from seqd_schemas.fleet import CatalogEntry, CordonRule, PluginStatus, WorkerStatus
from seqd_schemas.inbox import InboxAnswer
from seqd_schemas.items import ItemChunk, TextChunk
from seqd_schemas.jobs import Job
from seqd_schemas.manifests import ModelManifest
from seqd_schemas.results import ITEM_RESULT, TrainingResult
from seqd_schemas.states import JobRecord
from seqd_schemas.tenants import TenantRecord, TenantUsage
from seqd_schemas.text_deltas import TextDeltas

_MODELS: dict[str, type[BaseModel]] = {
    "catalog_entry": CatalogEntry,
    "cordon_rule": CordonRule,
    "inbox_answer": InboxAnswer,
    "item_chunk": ItemChunk,
    "job_record": JobRecord,
    "model_manifest": ModelManifest,
    "plugin_status": PluginStatus,
    "tenant_record": TenantRecord,
    "tenant_usage": TenantUsage,
    "text_chunk": TextChunk,
    "text_deltas": TextDeltas,
    "training_result": TrainingResult,
    "worker_status": WorkerStatus,
}


def json_schemas() -> dict[str, str]:
    """Return each record's JSON Schema (draft 2020-12) as text, by the record's name."""
    schemas = {name: model.model_json_schema() for name, model in _MODELS.items()}
    schemas["job"] = TypeAdapter[object](Job).json_schema()
    schemas["event"] = EVENT.json_schema()
    schemas["item_result"] = ITEM_RESULT.json_schema()
    return {
        name: json.dumps(schema, indent=2, sort_keys=True) + "\n"
        for name, schema in sorted(schemas.items())
    }


def write_json_schemas(folder: Path) -> list[Path]:
    """Write one `NAME.schema.json` per record into `folder`, which is made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in json_schemas().items():
        path = folder / f"{name}.schema.json"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths
