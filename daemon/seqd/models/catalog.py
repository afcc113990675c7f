"""Catalog entries: what workers publish of models, so that clients check requests by them."""

import logging

from seqd.errors import ArtifactDamaged, UnknownModel, wire_text
from seqd.hookspecs import Model
from seqd.models.model_records import LATEST
from seqd.models.registry import Registry
from seqd.models.stored_versions import StoredVersions
from seqd.models.task_schemas import described
from seqd_schemas import (
    MAX_PUBLISHED_CHANGES,
    MAX_VERSIONS,
    CatalogEntry,
    ModelManifest,
    PluginStatus,
    ServiceChange,
    VersionSummary,
)

log = logging.getLogger(__name__)


def catalog_entry(
    model: Model, status: PluginStatus, store: StoredVersions, now_ms: int, name: str = ""
) -> CatalogEntry:
    """Describe a model to the fleet; `status` is the plugin that brings what it is made with.

    `name` is the model's, where it is not that of the plugin's model.
    """
    name = name or model.name
    retiring = store.retiring(name)
    offered = (one for one in store.versions(name) if one.version not in retiring)
    manifests = sorted(offered, key=lambda manifest: manifest.version)
    labels, labels_fault = _labels(name, store)
    if retiring and manifests and LATEST in labels:
        labels[LATEST] = manifests[-1].version
    return CatalogEntry.model_validate(
        described(model, status, now_ms)
        | {
            "model": name,
            "versions": tuple(_summary(manifest) for manifest in manifests[-MAX_VERSIONS:]),
            "labels": labels,
            "labels_fault": labels_fault,
            "history": () if labels_fault else _changes(name, store),
            "rollout": store.rollout(name),
        }
    )


def catalog_entries(registry: Registry, store: StoredVersions, now_ms: int) -> list[CatalogEntry]:
    """Describe all models: those that plugins bring, and those that were made with them.

    A name of which no version is left is none of them.
    """
    models = registry.models
    entries = [
        catalog_entry(models[plugin], registry.plugin_of(plugin), store, now_ms, name)
        for name, plugin in store.made_with(models.keys()).items()
    ]
    return [entry for entry in entries if entry.versions or entry.model in models]


def _labels(name: str, store: StoredVersions) -> tuple[dict[str, int], str | None]:
    """Return a model's labels, or none and what is wrong with them: its versions are served."""
    try:
        return dict(store.labels(name)), None
    except ArtifactDamaged as error:
        log.warning("labels of %s are not served: %s", name, error)
        return {}, wire_text(str(error))


def _changes(name: str, store: StoredVersions) -> tuple[ServiceChange, ...]:
    """Return the last changes of the version in service; none of a model without a version."""
    try:
        return tuple(store.history(name)[-MAX_PUBLISHED_CHANGES:])
    except (ArtifactDamaged, UnknownModel):
        return ()


def _summary(manifest: ModelManifest) -> VersionSummary:
    return VersionSummary(
        version=manifest.version,
        created_at_ms=manifest.created_at_ms,
        preset=manifest.preset,
        metrics=manifest.metrics,
        is_built_in=manifest.is_built_in,
        size_bytes=manifest.size_bytes or None,
    )
