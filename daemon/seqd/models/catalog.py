"""The models that there are: version 0 of what plugins bring, and what workers publish of each.

Clients check requests by what is published: a model has the versions of all workers, whose stores
may differ.
"""

import hashlib
import logging
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path

from seqd.errors import ArtifactDamaged, UnknownModel, wire_text
from seqd.hookspecs import Artifact, Model
from seqd.kinds import TRAIN
from seqd.models.model_records import LATEST, PRODUCTION
from seqd.models.registry import Registry
from seqd.models.stored_versions import STARTER_VERSION, StoredVersions
from seqd.models.task_schemas import described
from seqd.models.version_files import digest_of, no_data
from seqd_schemas import (
    MAX_PUBLISHED_CHANGES,
    MAX_VERSIONS,
    CatalogEntry,
    FileDigest,
    ModelManifest,
    PluginStatus,
    Rollout,
    ServiceChange,
    VersionOrigin,
    VersionSummary,
    WorkerStatus,
)

log = logging.getLogger(__name__)

#: Where a built-in version's data came from, in its manifest.
NO_DATA = "none: the code is the model"


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
            "owner": store.owner_of(name),
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


def versions_zero(plugins: Registry) -> dict[str, Path | Artifact]:
    """Return version 0 of each model that has one, by name.

    It is the folder of a starter, or an artifact for a model that needs neither training nor files.
    Of a broken starter's folder nothing is known here: opening it says what is wrong.
    """
    found: dict[str, Path | Artifact] = {}
    for name, model in plugins.models.items():
        if (starter := model.starter) is not None:
            found[name] = starter
        elif is_built_in(model):
            found[name] = built_in_version(model, plugins.plugin_of(name).version)
    return found


def is_built_in(model: Model) -> bool:
    """Return True for a model whose version 0 is the plugin's code, without files."""
    return TRAIN not in model.tasks and not model.needs_weights and model.starter is None


def built_in_version(model: Model, plugin_version: str) -> Artifact:
    """Return version 0 of a model that needs no files: the folder and digest of its module.

    The digest is that of the file that defines the model, so that two hosts can be compared.
    """
    path, digest, created_at_ms = _source_of(type(model).__module__)
    manifest = ModelManifest(
        model=model.name,
        version=0,
        plugin_version=plugin_version,
        parameters={},
        metrics={},
        data=no_data(NO_DATA),
        libraries={},
        origin=VersionOrigin(is_built_in=True),
        created_at_ms=created_at_ms,
        files={path.name: digest},
    )
    return Artifact(folder=path.parent, manifest=manifest)


def _source_of(module: str) -> tuple[Path, FileDigest, int]:
    """Return a module's file, its digest and when it was written, in ms.

    A module in an archive has no file to read: its digest is that of no bytes.
    """
    path = Path(getattr(sys.modules.get(module), "__file__", None) or f"{module}.py")
    try:
        return path, digest_of(path.resolve()), path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return path, FileDigest(sha256=hashlib.sha256(b"").hexdigest(), size_bytes=0), 0


def lacks_any(catalog: Mapping[str, CatalogEntry], versions: Mapping[str, Sequence[int]]) -> bool:
    """Return True where a version that a worker can run is not among those published.

    Two workers that publish at once may each have read what was there before the other did.
    """
    for model, mine in versions.items():
        entry = catalog.get(model)
        published = [] if entry is None else [summary.version for summary in entry.versions]
        oldest = published[0] if len(published) == MAX_VERSIONS else 0
        if any(number >= oldest for number in set(mine) - set(published)):
            return True
    return False


def lacks_rollout(
    catalog: Mapping[str, CatalogEntry],
    models: Iterable[str],
    rollout_of: Callable[[str], Rollout | None],
) -> bool:
    """Return True where a roll-out that goes on in a worker's store is not the one published."""
    for model in models:
        entry, found = catalog.get(model), rollout_of(model)
        published = None if entry is None else entry.rollout
        if found is not None and (published is None or published.id != found.id):
            return True
    return False


def with_versions_elsewhere(
    entry: CatalogEntry,
    published: CatalogEntry | None,
    others: Iterable[WorkerStatus],
    retiring: Collection[int] = (),
) -> CatalogEntry:
    """Return an entry with those published versions, too, that another worker can run.

    None that is `retiring`, which is about to go, is among them.

    Versions of one store that was removed from it are not: whoever shares it says so by its next
    heartbeat, and publishes again.
    """
    if published is None:
        return entry
    elsewhere = {number for one in others for number in one.versions.get(entry.model, ())}
    here = {summary.version for summary in entry.versions}
    more = [one for one in published.versions if one.version in elsewhere - here - {*retiring}]
    if not more:
        return entry
    versions = sorted([*entry.versions, *more], key=lambda summary: summary.version)
    # Labels of the other store that this one does not know; its own stand, but for a starter that
    # serves because nobody has put another version in service here.
    numbers = here | {summary.version for summary in more}
    known = {name: one for name, one in published.labels.items() if one in numbers}
    labels = {**known, **entry.labels, LATEST: versions[-1].version}
    theirs = known.get(PRODUCTION)
    if labels.get(PRODUCTION) == STARTER_VERSION and theirs is not None and theirs not in here:
        labels[PRODUCTION] = theirs
    rollout = entry.rollout
    if rollout is None and published.rollout is not None:
        # That of the other store, whose candidate this one does not have.
        rollout = published.rollout if published.rollout.version not in here else None
    update = {"versions": tuple(versions[-MAX_VERSIONS:]), "labels": labels, "rollout": rollout}
    return entry.model_copy(update=update)
