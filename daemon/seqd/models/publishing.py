"""Publishes a model version: written to a staging folder, renamed into the store, or rolled back.

A version is in the store a moment before the ledger says that its job completed, and in that
moment the job may be cancelled or the worker die. So a training first writes
`.publishing-RUN.json` beside the versions (`begin_publish`), with where the labels were that it
moves. `finalize` removes the file when the job has completed; a file whose job ended otherwise
means that the version is rolled back. RUN is the job, or `JOB.UNIT` for each training of a sweep.

The file names its holder, the latest attempt at the training. An attempt that is not the holder,
or finds no file, was overtaken while it was frozen, and changes nothing. `ModelStore` calls all of
this with the model's lock held.
"""

import errno
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from seqd.errors import LeaseLost, PluginFault
from seqd.models.disk import sync, write_atomically, writing
from seqd.models.labels import read_labels, write_labels
from seqd.models.measurements import measurements_file
from seqd.models.version_files import VersionDraft, seal_folder, write_manifest
from seqd_schemas import ModelManifest, from_stored, to_stored

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
    """Return the staging folders that there are, each with the training that it was made for."""
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


_BEGUN = re.compile(r"\.publishing-([A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:\.[0-9]{1,9})?)\.json")
_REMOVED = re.compile(r"\.removed-([1-9][0-9]{0,8})")


class PublishRecord(BaseModel):
    """What `.publishing-RUN.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: A random word: the attempt that may publish and move labels.
    holder: str = ""
    #: The versions of the labels before they were moved; None of one that did not exist.
    before: dict[str, int | None] = {}


def begin_publish(folder: Path, run_id: str, holder: str) -> None:
    """Record that a training is about to publish."""
    _write(folder, run_id, _read(folder, run_id).model_copy(update={"holder": holder}))


def check_holder(folder: Path, run_id: str, holder: str) -> None:
    """Raise LeaseLost unless this attempt is the holder."""
    if _read(folder, run_id).holder != holder:
        raise LeaseLost(
            f"Job {run_id} is not to be published into {folder} by this attempt any more: it is "
            "finalized or rolled back, or another attempt has begun to publish."
        )


def begun_publishes(folder: Path) -> list[str]:
    """Return the trainings that have begun to publish and were not finalized."""
    names = [path.name for path in sorted(folder.iterdir())]
    return [match[1] for match in map(_BEGUN.fullmatch, names) if match]


def move_labels(folder: Path, labels: Sequence[str], version: int, run_id: str) -> None:
    """Move labels to a version, after recording where they were, so that a kill loses nothing."""
    stored = read_labels(folder)
    recorded = _read(folder, run_id)
    # One that an earlier attempt has moved already stood where that attempt has noted.
    before = {
        label: recorded.before.get(label) if stored.get(label) == version else stored.get(label)
        for label in labels
    }
    # One that is confirmed is never taken back, so nobody need know.
    if _file(folder, run_id).exists():
        _write(folder, run_id, recorded.model_copy(update={"before": recorded.before | before}))
    write_labels(folder, stored | dict.fromkeys(labels, version))


def restore_labels(folder: Path, version: int, run_id: str) -> None:
    """Move labels to where they were, except those that somebody has moved since.

    A training that took one over from this version, and is rolled back later, moves it there too.
    """
    before = _read(folder, run_id).before
    forget_version(folder, version, before)
    if not before:
        return
    labels = read_labels(folder)
    for label, number in before.items():
        if labels.get(label) != version:
            continue
        if number is None:
            del labels[label]
        else:
            labels[label] = number
    write_labels(folder, labels)


def forget_version(folder: Path, version: int, before: Mapping[str, int | None]) -> None:
    """Have trainings move no label back to a version that is gone, but to where it was before."""
    for run_id in begun_publishes(folder):
        recorded = _read(folder, run_id)
        kept = {
            label: before.get(label) if number == version else number
            for label, number in recorded.before.items()
        }
        if kept != recorded.before:
            _write(folder, run_id, recorded.model_copy(update={"before": kept}))


def remove_version(folder: Path, version: int) -> None:
    """Remove a version at once; an empty folder keeps its number from being used again.

    What was measured of it goes, too.
    """
    removed = folder / f".removed-{version}"
    with writing(removed):
        measurements_file(folder, version).unlink(missing_ok=True)
        (folder / str(version)).rename(removed)
        for path in removed.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        sync(folder)


def removed_numbers(folder: Path) -> list[int]:
    """Return the numbers of versions that were rolled back."""
    names = [path.name for path in folder.iterdir()]
    return [int(match[1]) for match in map(_REMOVED.fullmatch, names) if match]


def finalize(folder: Path, run_id: str) -> None:
    """Remove a training's record, if there is one: its version counts from now on."""
    with writing(folder):
        _file(folder, run_id).unlink(missing_ok=True)


def _file(folder: Path, run_id: str) -> Path:
    return folder / f".publishing-{run_id}.json"


def _read(folder: Path, run_id: str) -> PublishRecord:
    """Read the file, which is written atomically; one that makes no sense restores no label."""
    try:
        return from_stored(PublishRecord, _file(folder, run_id).read_bytes())
    except (FileNotFoundError, ValidationError):
        return PublishRecord()


def _write(folder: Path, run_id: str, record: PublishRecord) -> None:
    write_atomically(_file(folder, run_id), f"{to_stored(record)}\n".encode())
