"""A model version as one file, to be taken to another store: a tar of its manifest and its files.

Nothing in it is code. Reading trusts nothing: the manifest comes first and says which files follow,
each is a regular file of that name and size, and its digest is checked before it counts.
"""

import io
import shutil
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from pydantic import ValidationError

from seqd import __version__
from seqd.errors import ArtifactDamaged, InvalidData
from seqd.hookspecs import Artifact
from seqd.models.disk import writing
from seqd.models.store import ModelStore
from seqd.models.version_files import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    VersionDraft,
    digest_of,
    manifest_bytes,
    refusal_of_name,
)
from seqd.validation import fault_sentence
from seqd_schemas import FileDigest, ModelManifest, from_stored, is_later

#: What `tarfile` raises for what is no tar, or has headers that make no sense.
_UNREADABLE: Final = (tarfile.TarError, EOFError, ValueError, RecursionError)

#: What stands for the training in the name of a staging folder.
_STAGED_FOR: Final = "import"


def write_archive(artifact: Artifact, file: IO[bytes]) -> None:
    """Write a version whose files have been checked; raises OSError, and ArtifactDamaged."""
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        manifest = manifest_bytes(artifact.manifest)
        archive.addfile(_header(artifact, MANIFEST_NAME, len(manifest)), io.BytesIO(manifest))
        for name in sorted(artifact.manifest.files):
            path = artifact.folder / name
            try:
                content = path.open("rb")
            except OSError as error:
                raise ArtifactDamaged(f"{path} cannot be read: {error.strerror}") from error
            with content:
                archive.addfile(_header(artifact, name, path.stat().st_size), content)


def _header(artifact: Artifact, name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o444
    member.mtime = artifact.manifest.created_at_ms // 1000
    return member


def read_archive(path: Path, folder: Path) -> ModelManifest:
    """Write the files of an archive into an empty folder, each checked; return its manifest.

    The manifest is not written. Raises InvalidData for what is no archive of a version,
    ArtifactDamaged where a digest differs, StoreUnwritable.
    """
    with _opened(path) as archive:
        manifest = _manifest(archive, path)
        for name, expected in manifest.files.items():
            _take(archive, path, folder, name, expected)
        if archive.next() is not None:
            raise InvalidData(f"{path} has more in it than its manifest lists")
    return manifest


def read_archived_manifest(path: Path) -> ModelManifest:
    """Return the manifest of an archive, whose files are not looked at; raises InvalidData."""
    with _opened(path) as archive:
        return _manifest(archive, path)


@contextmanager
def _opened(path: Path) -> Iterator[tarfile.TarFile]:
    """Yield an archive; raise InvalidData for what cannot be read in the block."""
    try:
        # Without waiting for whoever writes into a pipe.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidData(
                f"{path} is a folder, a pipe or a device; allowed: an archive of `seqd models "
                "export`, which is a regular file"
            )
        with tarfile.open(path, mode="r:") as archive:
            yield archive
    except FileNotFoundError:
        raise InvalidData(f"there is no file {path}") from None
    except _UNREADABLE as error:
        raise InvalidData(f"{path} is no archive of a version, or is cut off: {error}") from None
    except OSError as error:
        raise InvalidData(f"{path} cannot be read: {error.strerror or error}") from None


def import_archive(
    store: ModelStore,
    path: Path,
    name: str,
    check: Callable[[Artifact], None] | None = None,
) -> tuple[ModelManifest, bool]:
    """Make the version of an archive the next one of a model; False where it is there already.

    Raises what `read_archive` and `ModelStore.publish_once` do, and leaves nothing behind then.
    """
    folder = store.new_folder(name, _STAGED_FOR)
    try:
        archived = read_archive(path, folder)
        draft = replace(VersionDraft.of(archived), model=name)
        return store.publish_once(folder, draft, archived.files, check)
    finally:
        store.discard(folder)


def _manifest(archive: tarfile.TarFile, path: Path) -> ModelManifest:
    content = _member(archive, path, MANIFEST_NAME, MAX_MANIFEST_BYTES).read()
    try:
        manifest = from_stored(ModelManifest, content)
    except ValidationError as error:
        if is_later(content):
            raise InvalidData(
                f"{path} was written by a later version of seqd than {__version__}, which is the "
                "one here. Import it with that one"
            ) from None
        fault = fault_sentence(error, whole="the whole", shows_value=False)
        raise InvalidData(f"{path} has no manifest: {fault}") from None
    for name in manifest.files:
        reason = "it is the manifest" if name == MANIFEST_NAME else refusal_of_name(name)
        if reason is not None:
            raise InvalidData(f"{path} is refused: its manifest lists {name!r}: {reason}")
    return manifest


def _member(archive: tarfile.TarFile, path: Path, name: str, most_bytes: int) -> IO[bytes]:
    """Return the content of the next member, which has to be a regular file of a name."""
    member = archive.next()
    if member is None:
        raise InvalidData(f"{path} is cut off: {name} is missing")
    is_regular = member.isreg() and not member.issparse()  # else a small archive fills the disk
    if member.name != name or not is_regular:
        kind = "a file" if is_regular else "no regular file"
        raise InvalidData(f"{path} has {member.name!r:.200}, {kind}, where {name} is due")
    if member.size > most_bytes:
        raise InvalidData(f"{path} has {member.size:,} bytes for {name}; allowed: {most_bytes:,}")
    content = archive.extractfile(member)
    assert content is not None, "a regular file has content"
    return content


def _take(
    archive: tarfile.TarFile, path: Path, folder: Path, name: str, expected: FileDigest
) -> None:
    content = _member(archive, path, name, expected.size_bytes)
    with writing(folder), (folder / name).open("xb") as file:
        shutil.copyfileobj(content, file)
    if (found := digest_of(folder / name)) != expected:
        raise ArtifactDamaged(
            f"{name} in {path} is not the file that its manifest names: it has "
            f"{found.size_bytes:,} bytes with SHA-256 {found.sha256}. Export it again"
        )
