"""Takes back the version of a job that ended otherwise than completed after it had published.

A version is in the store a moment before the ledger says that its job completed, and in that
moment the job may be cancelled or the worker die. So a job announces what it is about to do, in
`.announced-JOB.json` beside the versions, with where the labels stood that it moves. The file
goes when the job completed; whoever finds it on a job that ended otherwise takes all of it back.

A job that is a sweep makes several versions. Each of its trainings does all this for itself, under
the name `JOB.UNIT`; `run_id` is that name, or the job's where it is one training.

The file also names its holder, the attempt at the job that announced itself last. An attempt
that is not, or finds no file, was overtaken while it was frozen, and changes nothing.

Called through `versions.ModelStore`, with the model's lock held.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from seqd.errors import LeaseLost
from seqd.store.disk import sync, write_atomically, writing
from seqd.store.labels import read_labels, write_labels

_ANNOUNCED = re.compile(r"\.announced-([A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:\.[0-9]{1,9})?)\.json")
_WITHDRAWN = re.compile(r"\.withdrawn-([1-9][0-9]{0,8})")


class Announcement(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: A random word, of the attempt that may publish and move labels.
    holder: str = ""
    #: Where the labels stood that were moved, None of one that did not exist.
    before: dict[str, int | None] = {}


def announce(folder: Path, run_id: str, holder: str) -> None:
    """Note that a training is about to publish; where labels stood was noted before."""
    _write(folder, run_id, _read(folder, run_id).model_copy(update={"holder": holder}))


def check_holder(folder: Path, run_id: str, holder: str) -> None:
    """Raise LeaseLost unless this holder's announcement is the one that stands."""
    if _read(folder, run_id).holder != holder:
        raise LeaseLost(
            f"Job {run_id} is not to be published into {folder} by this attempt any more: it is "
            "settled, or another attempt has announced itself."
        )


def announced_jobs(folder: Path) -> list[str]:
    """Give the trainings whose announcements nobody has taken away."""
    names = [path.name for path in sorted(folder.iterdir())]
    return [match[1] for match in map(_ANNOUNCED.fullmatch, names) if match]


def move_labels(folder: Path, labels: Sequence[str], version: int, run_id: str) -> None:
    """Move labels to a version; where they stood is noted first, so that a kill loses nothing."""
    stored = read_labels(folder)
    announced = _read(folder, run_id)
    # One that an earlier attempt has moved already stood where that attempt has noted.
    before = {
        label: announced.before.get(label) if stored.get(label) == version else stored.get(label)
        for label in labels
    }
    # One that is confirmed is never taken back, so nobody need know.
    if _file(folder, run_id).exists():
        _write(folder, run_id, announced.model_copy(update={"before": announced.before | before}))
    write_labels(folder, stored | dict.fromkeys(labels, version))


def restore_labels(folder: Path, version: int, run_id: str) -> None:
    """Put labels back where they stood; those that somebody has moved on since stay."""
    before = _read(folder, run_id).before
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


def remove_version(folder: Path, version: int) -> None:
    """Remove a version at once, and leave an empty folder that keeps its number from use."""
    grave = folder / f".withdrawn-{version}"
    with writing(grave):
        (folder / str(version)).rename(grave)
        for path in grave.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        sync(folder)


def withdrawn_numbers(folder: Path) -> list[int]:
    """Give the numbers of versions that were taken back."""
    names = [path.name for path in folder.iterdir()]
    return [int(match[1]) for match in map(_WITHDRAWN.fullmatch, names) if match]


def forget(folder: Path, run_id: str) -> None:
    """Take a training's announcement away, if there is one."""
    with writing(folder):
        _file(folder, run_id).unlink(missing_ok=True)


def _file(folder: Path, run_id: str) -> Path:
    return folder / f".announced-{run_id}.json"


def _read(folder: Path, run_id: str) -> Announcement:
    """Read the file, which is written atomically; one that makes no sense restores no label."""
    try:
        return Announcement.model_validate_json(_file(folder, run_id).read_bytes())
    except (FileNotFoundError, ValidationError):
        return Announcement()


def _write(folder: Path, run_id: str, announcement: Announcement) -> None:
    write_atomically(_file(folder, run_id), f"{announcement.model_dump_json()}\n".encode())
