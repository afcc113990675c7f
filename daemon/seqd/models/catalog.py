"""Catalog entries: what workers publish of models, so that clients check requests by them."""

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from pydantic import ValidationError

from seqd.errors import ArtifactDamaged, PluginFault, UnknownModel, wire_text
from seqd.hookspecs import Model
from seqd.kinds import kind_of_task
from seqd.models.model_records import LATEST
from seqd.models.task_schemas import task_schema
from seqd_schemas import (
    MAX_PUBLISHED_CHANGES,
    MAX_VERSIONS,
    CatalogEntry,
    ModelManifest,
    PluginState,
    PluginStatus,
    Rollout,
    ServiceChange,
    VersionSummary,
)

log = logging.getLogger(__name__)


class VersionSource(Protocol):
    """The part of the model store that the catalog needs."""

    def versions(self, name: str) -> Sequence[ModelManifest]:
        """Manifests of all versions of a model, in any order."""

    def labels(self, name: str) -> Mapping[str, int]:
        """Labels of a model and the versions they point to. Raises ArtifactDamaged."""

    def rollout(self, name: str) -> Rollout | None:
        """The roll-out of a model that goes on."""

    def history(self, name: str) -> Sequence[ServiceChange]:
        """Changes of the version in service. Raises UnknownModel and ArtifactDamaged."""

    def retiring(self, name: str) -> Collection[int]:
        """Versions that are about to go, which no new job is to get."""


class ModelSource(VersionSource, Protocol):
    """A model store, of which all models are described."""

    def made_with(self, plugins: Collection[str]) -> Mapping[str, str]:
        """Models that are made with some plugins' models, each with its own."""


class PluginSource(Protocol):
    """The part of the registry that the catalog needs."""

    @property
    def models(self) -> Mapping[str, Model]:
        """Models that plugins bring, by name."""

    def plugin_of(self, model_name: str) -> PluginStatus:
        """The plugin that brings one of them."""


def catalog_entry(
    model: Model, status: PluginStatus, store: VersionSource, now_ms: int, name: str = ""
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
    tasks = {task: task_schema(spec) for task, spec in model.tasks.items()}
    return CatalogEntry(
        model=name,
        made_with=model.name,
        summary=model.summary,
        plugin=status.name,
        plugin_version=status.version,
        tasks={task: one for task, one in tasks.items() if kind_of_task(task).task is not None},
        run_tasks={task: one for task, one in tasks.items() if kind_of_task(task).task is None},
        presets={name: dict(values) for name, values in model.presets.items()},
        datasets=tuple(model.datasets),
        versions=tuple(_summary(manifest) for manifest in manifests[-MAX_VERSIONS:]),
        labels=labels,
        labels_fault=labels_fault,
        history=() if labels_fault else _changes(name, store),
        rollout=store.rollout(name),
        published_at_ms=now_ms,
    )


def catalog_entries(registry: PluginSource, store: ModelSource, now_ms: int) -> list[CatalogEntry]:
    """Describe all models: those that plugins bring, and those that were made with them.

    A name of which no version is left is none of them.
    """
    models = registry.models
    entries = [
        catalog_entry(models[plugin], registry.plugin_of(plugin), store, now_ms, name)
        for name, plugin in store.made_with(models.keys()).items()
    ]
    return [entry for entry in entries if entry.versions or entry.model in models]


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


def _changes(name: str, store: VersionSource) -> tuple[ServiceChange, ...]:
    """Return the last changes of the version in service; none of a model without a version."""
    try:
        return tuple(store.history(name)[-MAX_PUBLISHED_CHANGES:])
    except (ArtifactDamaged, UnknownModel):
        return ()


class _EmptyStore:
    def versions(self, name: str) -> Sequence[ModelManifest]:
        return ()

    def labels(self, name: str) -> Mapping[str, int]:
        return {}

    def rollout(self, name: str) -> Rollout | None:
        return None

    def history(self, name: str) -> Sequence[ServiceChange]:
        return ()

    def retiring(self, name: str) -> Collection[int]:
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
