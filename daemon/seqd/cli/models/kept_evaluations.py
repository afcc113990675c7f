"""What a command measured of a version, kept beside it where this machine has its store."""

import time

from seqd.cli import options
from seqd.cli.options import LocalModels
from seqd.errors import SeqdError
from seqd.hookspecs import Artifact
from seqd.models.cards import keep_evaluation
from seqd.models.store import ModelStore
from seqd_schemas import CatalogEntry, ModelManifest, VersionEvaluation


def now_ms() -> int:
    """Return this machine's time, in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def version_here(
    entry: CatalogEntry | None, version: int | None, local: LocalModels | None = None
) -> Artifact | None:
    """Return a version of the fleet where it is in this machine's store; None where it is not.

    Another machine's store may have another version under the same number; it was made at another
    time, or is the code of another version of the plugin. A store that cannot be read, or files
    that are damaged, are none.
    """
    published = () if entry is None else entry.versions
    meant = next((one for one in published if one.version == version), None)
    if entry is None or version is None or meant is None:
        return None
    try:
        local = local or options.open_local_models(options.read_settings())
        artifact = local.store.open(entry.model, version)
    except (SeqdError, OSError):
        return None
    found = artifact.manifest
    if meant.is_built_in and found.is_built_in:
        return artifact if found.plugin_version == entry.plugin_version else None
    return artifact if found.created_at_ms == meant.created_at_ms else None


def keep_evaluation_here(manifest: ModelManifest | None, evaluation: VersionEvaluation) -> str:
    """Keep an evaluation beside its version; return what to tell of that, as a sentence.

    `manifest` is that of the version in this machine's store, None where it is not there.
    """
    if manifest is None:
        return (
            "Not kept with the version: this machine's store does not have it. Evaluate it on a "
            "machine that has the store, and its card shows the figures."
        )

    name, version = manifest.model, manifest.version
    try:
        store = ModelStore.of(options.read_settings(), {})
        keep_evaluation(store, manifest, evaluation)
    except SeqdError as error:
        return f"Not kept with the version: {error}"
    return f"Kept with the version: seqd models show {name}@{version}"
