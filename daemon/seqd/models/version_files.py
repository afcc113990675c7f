"""Files of a model version: its `manifest.json`, written and read, and every digest checked."""

import hashlib
import math
import os
import re
import stat
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from seqd import __version__
from seqd.errors import ArtifactDamaged, PluginFault
from seqd.hookspecs import Artifact
from seqd.models.disk import read_file, sync, write_atomically, writing
from seqd.validation import fault_sentence
from seqd_schemas import (
    DataFingerprint,
    EpochMetrics,
    FileDigest,
    ModelManifest,
    ParameterValue,
    VersionOrigin,
    from_stored,
    is_later,
    run_id_of,
)

MANIFEST_NAME = "manifest.json"

#: What a version may be made of: formats that hold data and cannot run code when loaded.
ALLOWED_SUFFIXES = (".safetensors", ".json", ".onnx")

#: Largest manifest that is read, in bytes; 64 files take about 10 kB, epochs 400 kB at most.
MAX_MANIFEST_BYTES = 2**20

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDraft:
    """All that a manifest says, but for the version's number and its files' digests."""

    model: str
    #: What it is made with; '' where that is the plugin's model of the same name.
    plugin: str = ""
    plugin_version: str
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    data: DataFingerprint
    #: Milliseconds since 1970-01-01 UTC; of this machine's clock, unless it is said.
    created_at_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    epochs: Sequence[EpochMetrics] = ()
    preset: str | None = None
    seed: int | None = None
    libraries: Mapping[str, str] = field(default_factory=dict)
    job_id: str | None = None
    #: Which training of the job, where it is a sweep.
    unit: int | None = None
    held_out: DataFingerprint | None = None
    origin: VersionOrigin | None = None

    @property
    def run_id(self) -> str | None:
        """What the training goes by; None of a version that no job made."""
        return None if self.job_id is None else run_id_of(self.job_id, self.unit)

    @classmethod
    def of(cls, manifest: ModelManifest) -> Self:
        """Return what is said of a version of another store, once it is taken into this one.

        Jobs and the version in service are that store's, and mean nothing in this one.
        """
        said = {name: getattr(manifest, name) for name in (one.name for one in fields(cls))}
        known = manifest.origin or VersionOrigin()
        origin = VersionOrigin(
            worker=known.worker,
            slot=known.slot,
            attempts=known.attempts,
            added_from=known.added_from,
            notes=known.notes,
            imported_from=f"{manifest.model}@{manifest.version}",
        )
        plugin = manifest.plugin or manifest.model
        return cls(**said | {"plugin": plugin, "origin": origin, "job_id": None, "unit": None})


def no_data(description: str) -> DataFingerprint:
    """Return the fingerprint of a version that was made of no data that anybody knows."""
    empty = hashlib.sha256(b"").hexdigest()
    return DataFingerprint(description=description, records=0, sha256=empty)


def seal_folder(folder: Path, draft: VersionDraft, version: int) -> ModelManifest:
    """Write the manifest into a folder of finished files, and bring all of it to the disk.

    The way to make a starter: version 0, in the plugin's package. Raises PluginFault where the
    folder is empty or holds what no version may hold, StoreUnwritable where it takes no file.
    """
    with writing(folder):
        names = _file_names(folder)
        for name in names:
            sync(folder / name)
        files = {name: digest_of(folder / name) for name in names}
    if not files:
        raise PluginFault(f"the training of {draft.model} wrote no file into {folder}")
    manifest = _manifest(draft, version, files)
    write_atomically(folder / MANIFEST_NAME, manifest_bytes(manifest))
    return manifest


def manifest_bytes(manifest: ModelManifest) -> bytes:
    """Return a manifest as its file has it."""
    return (manifest.model_dump_json(indent=2, exclude_defaults=True) + "\n").encode()


def read_manifest(folder: Path) -> ModelManifest:
    """Read a folder's manifest; raise ArtifactDamaged if it is missing, linked or malformed."""
    path = folder / MANIFEST_NAME
    try:
        content = read_file(path, MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise ArtifactDamaged(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > MAX_MANIFEST_BYTES:
        raise ArtifactDamaged(f"{path} is longer than {MAX_MANIFEST_BYTES:,} bytes")
    try:
        return from_stored(ModelManifest, content)
    except ValidationError as error:
        if is_later(content):
            raise ArtifactDamaged(
                f"{path} was written by a later version of seqd than {__version__}, which is the "
                "one here. Install that one here, or serve another version."
            ) from None
        fault = fault_sentence(error, whole="the whole", shows_value=False)
        raise ArtifactDamaged(f"{path} is not a manifest: {fault}") from None


def digest_of(path: Path) -> FileDigest:
    """Return a file's size and SHA-256; follows no link. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(sha256=digest, size_bytes=file.tell())


def refusal_of(path: Path) -> str | None:
    """Say why a version may not hold this file; None if it may."""
    mode = path.lstat().st_mode
    if not stat.S_ISREG(mode):
        return "it is no regular file; links, folders and devices are refused"
    return refusal_of_name(path.name)


def refusal_of_name(name: str) -> str | None:
    """Say why a version may not hold a file of this name; None if it may."""
    if _FILE_NAME.fullmatch(name) is None:
        return "allowed names: up to 128 of A-Z a-z 0-9 _ . - without a dot in front"
    if not name.endswith(ALLOWED_SUFFIXES):
        return f"allowed endings: {', '.join(ALLOWED_SUFFIXES)}"
    return None


def _file_names(folder: Path) -> list[str]:
    names = []
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST_NAME:
            continue
        reason = refusal_of(path)
        if reason is not None:
            raise PluginFault(f"a model version may not hold {path.name!r}: {reason}")
        names.append(path.name)
    return names


def _manifest(draft: VersionDraft, version: int, files: dict[str, FileDigest]) -> ModelManifest:
    endless = [name for name, figure in draft.metrics.items() if not math.isfinite(figure)]
    if endless:
        raise PluginFault(
            f"the training of {draft.model} diverged: {endless[0]} is {draft.metrics[endless[0]]}; "
            "a version's metrics are finite numbers. Try a lower learning rate"
        )
    said = {name: getattr(draft, name) for name in (one.name for one in fields(draft))}
    plugin = None if draft.plugin in ("", draft.model) else draft.plugin
    try:
        return ModelManifest(**said | {"plugin": plugin, "version": version, "files": files})
    except ValidationError as error:
        raise PluginFault(
            f"the training of {draft.model} gave a result that no manifest can hold: "
            f"{fault_sentence(error)}"
        ) from None


def under_name(manifest: ModelManifest, name: str) -> ModelManifest:
    """Return a manifest as that of a model that may have been renamed since it was written."""
    if manifest.model == name:
        return manifest
    plugin = manifest.plugin or manifest.model
    return manifest.model_copy(update={"model": name, "plugin": plugin})


def open_folder(
    folder: Path, name: str, version: int, former_names: Collection[str] = ()
) -> Artifact:
    """Return a folder as an artifact: it is `name@version`, and each byte is the manifest's.

    The manifest may name the model as it was called before. Raises ArtifactDamaged, which names
    the file, what was expected and what is there.
    """
    if folder.is_symlink():
        raise ArtifactDamaged(f"{folder} is a link; a model version is a folder of its own")
    manifest = read_manifest(folder)
    if manifest.model not in (name, *former_names) or manifest.version != version:
        raise ArtifactDamaged(
            f"{folder} should hold {name}@{version}; its manifest says "
            f"{manifest.model}@{manifest.version}"
        )
    _check_names(folder, manifest)
    for file_name, expected in manifest.files.items():
        _check_content(folder / file_name, expected)
    return Artifact(folder=folder, manifest=under_name(manifest, name))


def check_sealed(
    folder: Path, draft: VersionDraft, version: int, check: Callable[[Artifact], None]
) -> None:
    """Seal a folder as a version, and have it checked; raise PluginFault where that changes it."""
    check(Artifact(folder, seal_folder(folder, draft, version)))
    try:
        open_folder(folder, draft.model, version)
    except ArtifactDamaged as error:
        raise PluginFault(
            f"{draft.plugin or draft.model} changes the files that it loads: {error}. Nothing is "
            "changed. Have it write elsewhere"
        ) from None


def _check_names(folder: Path, manifest: ModelManifest) -> None:
    for name in manifest.files:
        reason = refusal_of_name(name)
        if reason is not None or name == MANIFEST_NAME:
            raise ArtifactDamaged(f"the manifest in {folder} lists {name!r}: {reason or 'itself'}")
    for path in sorted(folder.iterdir()):
        if path.name == MANIFEST_NAME:
            continue
        if path.name not in manifest.files:
            raise ArtifactDamaged(
                f"{path} is not in the version's manifest: somebody put it there. Nothing of the "
                "folder is loaded until it is gone"
            )
        reason = refusal_of(path)
        if reason is not None:
            raise ArtifactDamaged(f"{path} is refused: {reason}")


def _check_content(path: Path, expected: FileDigest) -> None:
    try:
        found = digest_of(path)
    except OSError as error:
        raise ArtifactDamaged(f"{path} cannot be read: {error.strerror}") from error
    if found != expected:
        raise ArtifactDamaged(
            f"{path} is not the file that was stored: its manifest says {_in_words(expected)}, "
            f"the file has {_in_words(found)}. Take another version, or train again"
        )


def _in_words(digest: FileDigest) -> str:
    return f"{digest.size_bytes:,} bytes with SHA-256 {digest.sha256}"
