"""Holds a version's folder against its manifest before anything in it is loaded.

What is on a disk may have been cut off, swapped or planted. Nothing is parsed here but the
manifest: files are only hashed, and a folder with a file too many is refused as well.
"""

from pathlib import Path

from seqd.errors import ArtifactDamaged
from seqd.hookspecs import Artifact
from seqd.store.manifest_files import (
    MANIFEST_NAME,
    digest_of,
    read_manifest,
    refusal_of,
    refusal_of_name,
)
from seqd_schemas import FileDigest, ModelManifest


def open_folder(folder: Path, name: str, version: int) -> Artifact:
    """Give a folder as an artifact: it is `name@version`, and each byte is the manifest's.

    Raises ArtifactDamaged, which names the file, what was expected and what is there.
    """
    if folder.is_symlink():
        raise ArtifactDamaged(f"{folder} is a link; a model version is a folder of its own")
    manifest = read_manifest(folder)
    if (manifest.model, manifest.version) != (name, version):
        raise ArtifactDamaged(
            f"{folder} should hold {name}@{version}; its manifest says "
            f"{manifest.model}@{manifest.version}"
        )
    _check_names(folder, manifest)
    for file_name, expected in manifest.files.items():
        _check_content(folder / file_name, expected)
    return Artifact(folder=folder, manifest=manifest)


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
