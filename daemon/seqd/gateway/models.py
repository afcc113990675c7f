"""`/v1/models`: the models that requests may name."""

from fastapi import APIRouter
from pydantic import Field

from seqd.admission import resolve_version
from seqd.gateway.bodies import Answer, RequestBody
from seqd.gateway.callers import Operator, Reader, SeqdClient
from seqd_schemas import CatalogEntry, ModelReference

router = APIRouter(prefix="/v1/models", tags=["models"])


class Promotion(RequestBody):
    """Which version to put in service."""

    version: int | str = Field(union_mode="left_to_right", description="Its number, or a label.")
    reason: str = Field(default="", max_length=500, description="Why, for the model's history.")


@router.get("")
async def list_models(caller: Reader, seqd: SeqdClient) -> Answer:
    """Return the models that have a version, sorted by name."""
    found = (await seqd.seen_models(caller.only_tenant)).values()
    return {"object": "list", "data": [_shown(entry) for entry in found if entry.versions]}


@router.get("/{name}")
async def show_model(name: str, caller: Reader, seqd: SeqdClient) -> Answer:
    """Return one model: its tasks with the schemas of their parameters, and its versions.

    `name` may be NAME@3 or NAME@LABEL, as requests have it.
    """
    await seqd.check_model(name, caller.only_tenant)
    asked = ModelReference.parse(name)
    entry = (await seqd.model(asked.name)).entry
    if asked.version is not None:
        resolve_version(entry, asked.version)
    parameters = {task: one.parameters for task, one in entry.all_tasks.items()}
    return {**_shown(entry), "id": name, "parameters": parameters}


@router.post("/{name}/promote")
async def promote(name: str, asked: Promotion, caller: Operator, seqd: SeqdClient) -> Answer:
    """Put a version in service: it answers requests that name the model alone.

    Workers load it first, for 60 seconds at most; `notes` say which have not.
    """
    await seqd.check_model(name, caller.only_tenant)
    await seqd.check_own_model(name, caller.only_tenant)
    model = await seqd.model(name)
    answer = await model.promote(asked.version, reason=asked.reason)
    return {**_shown(model.entry), "notes": answer.notes}


def _shown(entry: CatalogEntry) -> Answer:
    made_at_ms = [version.created_at_ms for version in entry.versions]
    return {
        "id": entry.model,
        "object": "model",
        "created": min(made_at_ms, default=entry.published_at_ms) // 1_000,
        "owned_by": entry.owner or entry.plugin,
        "summary": entry.summary,
        "tasks": list(entry.all_tasks),
        "versions": [version.version for version in entry.versions],
        "in_service": entry.labels.get("production"),
    }
