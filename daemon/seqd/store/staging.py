"""Makes a new version: aside, in a staging folder, and then all at once in its place.

A version appears by one rename, so a reader sees it whole or not at all; a killed training
leaves nothing but its staging folder. Called through `versions.ModelStore`.
"""

import errno
import re
import shutil
import tempfile
from pathlib import Path

from seqd.errors import PluginFault
from seqd.store.disk import sync, writing
from seqd.store.manifest_files import VersionDraft, seal_folder, write_manifest
from seqd_schemas import ModelManifest

STAGING = ".staging"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:\.[0-9]{1,9})?")


def new_folder(root: Path, name: str, run_id: str) -> Path:
    """Make an empty staging folder, on the file system that the store is on."""
    staging = root / STAGING
    for part in (name, run_id):
        if _NAME.fullmatch(part) is None:
            raise PluginFault(f"{part!r} cannot be part of a folder's name")
    with writing(staging):
        staging.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-{run_id}-", dir=staging))


def discard(root: Path, folder: Path) -> None:
    """Remove a staging folder and all in it; nothing happens if it is gone already."""
    _check_staged(root, folder)
    with writing(folder):
        if folder.exists():
            shutil.rmtree(folder)


def staged_folders(root: Path) -> list[tuple[Path, str]]:
    """Give the staging folders that there are, each with the training that it was made for."""
    staging = root / STAGING
    if not staging.is_dir():
        return []
    # NAME-RUN-RANDOM: neither a model's name nor the random part has a dash.
    return [
        (path, path.name.partition("-")[2].rpartition("-")[0]) for path in sorted(staging.iterdir())
    ]


def move_in(root: Path, folder: Path, draft: VersionDraft, first_free: int) -> ModelManifest:
    """Turn a staging folder into the next free version; the caller holds the model's lock.

    `first_free` is where to begin. Without the lock (as on some network file systems) two
    writers still get two versions: a rename never replaces a folder that holds files.
    """
    _check_staged(root, folder)
    manifest = seal_folder(folder, draft, first_free)
    with writing(folder):
        for name in manifest.files:
            (folder / name).chmod(0o444)
    while not _rename(folder, root / draft.model / str(manifest.version)):
        manifest = manifest.model_copy(update={"version": manifest.version + 1})
        write_manifest(folder, manifest)
    return manifest


def _rename(folder: Path, target: Path) -> bool:
    """Move the folder to a place that is free; False if it is taken."""
    with writing(target):
        folder.chmod(0o755)
        sync(folder)
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                return False
            raise
        sync(target.parent)
    return True


def _check_staged(root: Path, folder: Path) -> None:
    if folder.parent != root / STAGING:
        raise PluginFault(f"{folder} is not a staging folder of this store; `new_folder` makes one")
