"""Whose models there are: a tenant sees its own and nobody's, and changes its own alone."""

from collections.abc import Collection
from dataclasses import replace

from seqd.admission import find_model
from seqd.errors import ModelNameTaken, NotAllowed
from seqd.ledger import LedgerParts
from seqd.ledger.exchange import Exchange
from seqd.ledger.overview import FleetOverview
from seqd_schemas import DEFAULT_TENANT, CatalogEntry, ModelReference, WorkerStatus


def seen_models(ledger: LedgerParts, tenant: str | None) -> Exchange[dict[str, CatalogEntry]]:
    """Return the models that are there for a tenant, by name; without one, all."""
    catalog = yield from ledger.fleet.catalog.steps()
    return {name: entry for name, entry in catalog.items() if _is_seen(entry, tenant)}


def model_checked(ledger: LedgerParts, model: str, tenant: str | None) -> Exchange[None]:
    """Raise UnknownModel for a model that is not there for a tenant, as if there were none."""
    if tenant is None:
        return
    name = ModelReference.parse(model).name
    entry = yield from ledger.fleet.published.steps(name)
    if entry is None or not _is_seen(entry, tenant):
        find_model(name, (yield from seen_models(ledger, tenant)))


def own_model_checked(ledger: LedgerParts, model: str, tenant: str | None) -> Exchange[None]:
    """Raise ModelNameTaken or NotAllowed for a model that a tenant may not change.

    One that there is not becomes its own. What is nobody's is that of the tenant `default`.
    """
    entry = yield from ledger.fleet.published.steps(model)
    if tenant is None or entry is None or (entry.owner or DEFAULT_TENANT) == tenant:
        return
    if entry.owner is not None:
        raise ModelNameTaken(f"The model name {model!r} is taken. Choose another one.")
    raise NotAllowed(
        f"Model {model!r} is shared by all, and this key may not change it. Make one of your own "
        "with it: by a `suffix`, or as another `model` with it as the `plugin`."
    )


def fleet_seen(fleet: FleetOverview, tenant: str) -> FleetOverview:
    """Return the fleet as a tenant sees it: without models and jobs of others, and what they do."""
    catalog = {name: one for name, one in fleet.catalog.items() if _is_seen(one, tenant)}
    hidden = fleet.catalog.keys() - catalog.keys()
    workers = [_worker_seen(one, hidden) for one in fleet.workers]
    return replace(
        fleet,
        catalog=catalog,
        workers=workers,
        queues=[one for one in fleet.queues if one.model not in hidden],
        jobs=[one for one in fleet.jobs if one.tenant == tenant],
        pauses={name: one for name, one in fleet.pauses.items() if name not in hidden},
        failures=None,
    )


def _worker_seen(worker: WorkerStatus, hidden: Collection[str]) -> WorkerStatus:
    def is_seen(ref: str) -> bool:
        return ModelReference.parse(ref).name not in hidden

    told: dict[str, object] = {
        "models_loaded": tuple(filter(is_seen, worker.models_loaded)),
        "loading": tuple(filter(is_seen, worker.loading)),
        "left_out": tuple(filter(is_seen, worker.left_out)),
        "loaded_bytes": {ref: n for ref, n in worker.loaded_bytes.items() if is_seen(ref)},
        "versions": {name: n for name, n in worker.versions.items() if is_seen(name)},
        "run_tasks": {name: tasks for name, tasks in worker.run_tasks.items() if is_seen(name)},
        "unfit": tuple(one for one in worker.unfit if is_seen(one.model)),
    }
    if worker.claim is not None and worker.claim.is_lost:
        told["claim"] = worker.claim.model_copy(update={"job_id": "(not told)"})
    return worker.model_copy(update=told)


def _is_seen(entry: CatalogEntry, tenant: str | None) -> bool:
    return tenant is None or entry.owner in (None, tenant)
