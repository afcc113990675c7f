"""Catalog entries: what workers publish of models, so that clients check requests by them."""

import logging
from collections.abc import Mapping, Sequence
from typing import Protocol

from pydantic import ValidationError

from seqd.errors import ArtifactDamaged, PluginFault, wire_text
from seqd.hookspecs import Model
from seqd_schemas import (
    MAX_VERSIONS,
    CatalogEntry,
    ModelManifest,
    PluginState,
    PluginStatus,
    TaskSchema,
    VersionSummary,
)

log = logging.getLogger(__name__)


class VersionSource(Protocol):
    """The part of the model store that the catalog needs."""

    def versions(self, name: str) -> Sequence[ModelManifest]:
        """Manifests of all versions of a model, in any order."""

    def labels(self, name: str) -> Mapping[str, int]:
        """Labels of a model and the versions they point to. Raises ArtifactDamaged."""


def catalog_entry(
    model: Model, status: PluginStatus, store: VersionSource, now_ms: int
) -> CatalogEntry:
    """Describe a model to the fleet; `status` is the plugin that brings it."""
    manifests = sorted(store.versions(model.name), key=lambda manifest: manifest.version)
    labels, labels_fault = _labels(model.name, store)
    return CatalogEntry(
        model=model.name,
        summary=model.summary,
        plugin=status.name,
        plugin_version=status.version,
        tasks={
            task: TaskSchema(
                parameters=spec.parameters.model_json_schema(),
                unit_items=spec.unit_items,
                output=spec.output,
            )
            for task, spec in model.tasks.items()
        },
        presets={name: dict(values) for name, values in model.presets.items()},
        datasets=tuple(model.datasets),
        versions=tuple(_summary(manifest) for manifest in manifests[-MAX_VERSIONS:]),
        labels=labels,
        labels_fault=labels_fault,
        published_at_ms=now_ms,
    )


def check_publishable(model: Model) -> None:
    """Check that the wire takes a model's description. Raises PluginFault.

    Found at load, so that no worker stumbles when it publishes.
    """
    plugin = PluginStatus(name="", distribution="", version="", state=PluginState.READY)
    try:
        catalog_entry(model, plugin, _EmptyStore(), now_ms=0)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise PluginFault(
            f"model {model.name!r} cannot be published: {field}: {first['msg']}."
        ) from None


def _labels(name: str, store: VersionSource) -> tuple[dict[str, int], str | None]:
    """Return a model's labels, or none and what is wrong with them: its versions are served."""
    try:
        return dict(store.labels(name)), None
    except ArtifactDamaged as error:
        log.warning("labels of %s are not served: %s", name, error)
        return {}, wire_text(str(error))


class _EmptyStore:
    def versions(self, name: str) -> Sequence[ModelManifest]:
        return ()

    def labels(self, name: str) -> Mapping[str, int]:
        return {}


def _summary(manifest: ModelManifest) -> VersionSummary:
    return VersionSummary(
        version=manifest.version,
        created_at_ms=manifest.created_at_ms,
        preset=manifest.preset,
        metrics=manifest.metrics,
    )
