"""Versions that were made elsewhere: a folder of weights, checked and copied before it counts.

The folder holds what a version may hold, and nothing else. A `manifest.json` in it is that of a
version: then the files are those that it names, and what it says of them is taken over.
"""

import os
import re
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from seqd.errors import (
    ArtifactDamaged,
    InvalidInput,
    InvalidRequest,
    ModelNameTaken,
    StoreUnwritable,
)
from seqd.hookspecs import Artifact
from seqd.kinds import TRAIN
from seqd.models.disk import writing
from seqd.models.registry import Registry
from seqd.models.store import ModelStore
from seqd.models.version_files import (
    ALLOWED_SUFFIXES,
    MANIFEST_NAME,
    VersionDraft,
    digest_of,
    no_data,
    read_manifest,
    refusal_of,
)
from seqd.validation import MODEL_NAME, listed
from seqd_schemas import (
    MAX_VERSION_FILES,
    FileDigest,
    ModelManifest,
    VersionOrigin,
)

#: What a version's manifest says of its data, where nobody has told.
NO_DATA: Final = "made elsewhere"

#: What stands for the training in the name of a staging folder.
_STAGED_FOR: Final = "add"

_METRIC = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder with the files of a version."""

    folder: Path
    #: Names of its files, sorted.
    names: Sequence[str]
    size_bytes: int
    #: What its `manifest.json` says; None where it has none.
    manifest: ModelManifest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What whoever brings a version says of it."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""


def read_weights(folder: Path) -> Weights:
    """Look at a folder of weights, of which no content but the manifest is read.

    Raises InvalidInput for a folder that is not there, is empty, or holds what no version may hold.
    """
    names = _names_in(folder)
    _check_names(folder, [name for name in names if name != MANIFEST_NAME])
    try:
        manifest = read_manifest(folder) if MANIFEST_NAME in names else None
    except ArtifactDamaged as error:
        raise InvalidInput(
            f"{error}. Each version has a file of that name: rename this one, or remove it"
        ) from None
    names.discard(MANIFEST_NAME)
    if manifest is not None and names != set(manifest.files):
        odd = listed(names.symmetric_difference(manifest.files))
        raise InvalidInput(
            f"{folder} is not what its {MANIFEST_NAME} says: {odd} is in one of them alone. Take "
            f"the whole folder of the version, or remove {MANIFEST_NAME}"
        )
    sizes = [(folder / name).lstat().st_size for name in names]
    return Weights(folder, sorted(names), sum(sizes), manifest)


def _names_in(folder: Path) -> set[str]:
    try:
        names = {path.name for path in folder.iterdir()}
    except FileNotFoundError:
        raise InvalidInput(f"there is no folder {folder}") from None
    except NotADirectoryError:
        raise InvalidInput(
            f"{folder} is a file; allowed: a folder with the files of a version. An archive of "
            f"`seqd models export` is read by: seqd models import {folder}"
        ) from None
    except OSError as error:
        raise InvalidInput(f"{folder} cannot be read: {error.strerror or error}") from None
    if not names - {MANIFEST_NAME}:
        raise InvalidInput(
            f"{folder} has no file of a version in it; allowed: {', '.join(ALLOWED_SUFFIXES)}, "
            f"{MAX_VERSION_FILES} files at most"
        )
    return names


def _check_names(folder: Path, names: Sequence[str]) -> None:
    refused = {name: reason for name in sorted(names) if (reason := refusal_of(folder / name))}
    if refused:
        first, reason = next(iter(refused.items()))
        more = f" and {len(refused) - 1:,} more" if len(refused) > 1 else ""
        raise InvalidInput(
            f"{folder} has {first!r}{more}, which no version may hold: {reason}. "
            f"{_what_to_do(first)}"
        )
    if len(names) > MAX_VERSION_FILES:
        raise InvalidInput(
            f"{folder} has {len(names):,} files; allowed: {MAX_VERSION_FILES} at most. Put the "
            "weights into fewer files"
        )


def _what_to_do(name: str) -> str:
    if name.endswith(ALLOWED_SUFFIXES):
        return "Put the files themselves into one folder, under names that are allowed"
    return (
        "Such files may run code when they are loaded, or are no data of a model. Save weights as "
        ".safetensors or .onnx, all else as .json, in a folder of their own"
    )


def check_statement(statement: Statement) -> None:
    """Raise InvalidRequest for what no manifest can hold."""
    for name, figure in statement.metrics.items():
        if _METRIC.fullmatch(name) is None:
            raise InvalidRequest(
                f"--metric names {name!r}; allowed: up to 64 of a-z 0-9 _ with a letter in front, "
                "such as validation_accuracy=0.91"
            )
        if figure != figure or figure in (float("inf"), float("-inf")):
            raise InvalidRequest(f"--metric {name} is {figure}; allowed: finite numbers")
    for name, version in statement.libraries.items():
        if not 1 <= len(name) <= 128 or len(version) > 128:
            raise InvalidRequest(
                f"--library is {name!r:.80}={version!r:.80}; allowed: up to 128 characters each"
            )
    if len(statement.metrics) > 64 or len(statement.libraries) > 32:
        raise InvalidRequest("too much is said of it; allowed: 64 metrics and 32 libraries")
    if len(statement.notes) > 4_096:
        raise InvalidRequest(f"--notes has {len(statement.notes):,} characters; allowed: 4,096")


def check_model_name(plugins: Registry, name: str, plugin: str) -> None:
    """Raise where a version of `plugin` cannot be one of the model `name`.

    InvalidRequest for what is no name, ModelNameTaken for the name of another plugin's own model.
    """
    if MODEL_NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"--as is {name!r}; allowed: up to 40 of a-z 0-9 _ with a letter in front"
        )
    if name != plugin and name in plugins.models:
        owner = plugins.plugin_of(name).name
        raise ModelNameTaken(
            f"model {name!r} is brought by the plugin {owner!r}: it takes no version of {plugin}. "
            "Choose another name: --as NAME"
        )


def check_can_serve(plugins: Registry, plugin: str) -> None:
    """Raise InvalidRequest for a plugin's model that has no task but its training."""
    tasks = plugins.models[plugin].tasks
    if set(tasks) == {TRAIN}:
        raise InvalidRequest(
            f"--plugin is {plugin!r}, whose only task is {TRAIN}: no job runs on a version of it. "
            "Its plugin has to have a task such as classify"
        )


def draft_of(
    weights: Weights, model: str, plugin: str, plugin_version: str, statement: Statement
) -> VersionDraft:
    """Return what the manifest of a version says that is made of a folder of weights.

    Raises InvalidInput where the folder's own manifest is of another plugin.
    """
    known = weights.manifest
    if known is None:
        return VersionDraft(
            model=model,
            plugin=plugin,
            plugin_version=plugin_version,
            metrics=statement.metrics,
            libraries=statement.libraries,
            data=no_data(NO_DATA),
            origin=VersionOrigin(added_from=weights.folder.resolve().name, notes=statement.notes),
        )
    made_with = known.plugin or known.model
    if made_with != plugin:
        raise InvalidInput(
            f"{weights.folder / MANIFEST_NAME} is of a version of {made_with}, not of {plugin}. "
            f"Name that plugin's model, or remove {MANIFEST_NAME} where the files are of {plugin}"
        )
    draft = VersionDraft.of(known)
    origin = draft.origin or VersionOrigin()
    return replace(
        draft,
        model=model,
        metrics={**known.metrics, **statement.metrics},
        libraries={**known.libraries, **statement.libraries},
        origin=origin.model_copy(update={"notes": statement.notes or origin.notes}),
    )


def copy_weights(weights: Weights, folder: Path) -> dict[str, FileDigest]:
    """Copy the files into an empty folder, and return the digests of the copies.

    Raises StoreUnwritable where there is no room, InvalidInput for a file that cannot be read, or
    is not the one that the folder's manifest names.
    """
    with writing(folder):
        free_bytes = shutil.disk_usage(folder).free
    if free_bytes < weights.size_bytes:
        raise StoreUnwritable(
            f"{weights.folder} has {weights.size_bytes:,} bytes, and {free_bytes:,} are free where "
            f"{folder.parent} is. Make room, or take a folder on a larger disk"
        )
    digests = {}
    for name in weights.names:
        _copy(weights.folder / name, folder / name)
        digests[name] = digest_of(folder / name)
    known = weights.manifest
    for name, digest in digests.items():
        if known is not None and known.files[name] != digest:
            raise InvalidInput(
                f"{weights.folder / name} is not the file that {MANIFEST_NAME} beside it names: it "
                f"has {digest.size_bytes:,} bytes with SHA-256 {digest.sha256}. Copy the version "
                f"again, or remove {MANIFEST_NAME} where the file is meant"
            )
    return digests


def _copy(path: Path, target: Path) -> None:
    """Copy a regular file; raise InvalidInput for anything else, StoreUnwritable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror or error}") from None
    with os.fdopen(descriptor, "rb") as content:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InvalidInput(f"{path} is no regular file any more. Try it again")
        with writing(target), target.open("xb") as copy:
            shutil.copyfileobj(content, copy)


def add_version(
    store: ModelStore,
    weights: Weights,
    draft: VersionDraft,
    check: Callable[[Artifact], None] | None,
) -> tuple[ModelManifest, bool]:
    """Make a folder of weights the next version of a model; False where it is there already.

    Raises what `copy_weights` and `ModelStore.publish_once` do, and leaves nothing behind then.
    """
    store.check_plugin(draft.model, draft.plugin)
    folder = store.new_folder(draft.model, _STAGED_FOR)
    try:
        return store.publish_once(folder, draft, copy_weights(weights, folder), check)
    finally:
        store.discard(folder)
