"""Trainings that are about to publish a version, which is not to count before their jobs completed.

A version is in the store a moment before the ledger says that its job completed, and in that
moment the job may be cancelled or the worker die. So a training first writes
`.publishing-RUN.json` beside the versions (`begin_publish`), with where the labels were that it
moves. `finalize` removes the file when the job has completed; a file whose job ended otherwise
means that the version is rolled back. RUN is the job, or `JOB.UNIT` for each training of a sweep.

The file names its holder, the latest attempt at the training. An attempt that is not the holder,
or finds no file, was overtaken while it was frozen, and changes nothing. `ModelStore` calls all of
this with the model's lock held.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from seqd.errors import LeaseLost
from seqd.models.disk import write_atomically, writing
from seqd.models.model_records import read_labels, write_labels
from seqd_schemas import from_stored, to_stored

_BEGUN = re.compile(r"\.publishing-([A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:\.[0-9]{1,9})?)\.json")


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

    One that was nowhere, or at a version that is gone meanwhile, goes.
    """
    labels = read_labels(folder)
    moved = {
        label: number
        for label, number in _read(folder, run_id).before.items()
        if labels.get(label) == version
    }
    for label, number in moved.items():
        del labels[label]
        if number == 0 or (number is not None and (folder / str(number)).is_dir()):
            labels[label] = number
    if moved:
        write_labels(folder, labels)


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
