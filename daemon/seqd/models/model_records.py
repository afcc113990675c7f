"""What a model's folder holds beside its versions: small files, each replaced as a whole.

| file | what it says |
| --- | --- |
| `model.json` | which plugin's model it is made with, whose it is, and its former names |
| `labels.json` | which version each label stands for, such as `production` |
| `history.jsonl` | when which version was in service, by whom and why; roll-outs, too |
| `rollout.json` | the roll-out that goes on, and those that were aborted |
| `evaluations/N.json` | what was measured of version N |
| `.publishing-RUN.json` | a training is about to publish a version, which does not count yet |
| `.retiring-N` | version N is about to go, and no new job is to get it |

People edit these files and restore them from backups, so what is read is checked. Who writes holds
the model's lock.
"""

import json
import logging
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from seqd.errors import ArtifactDamaged, InvalidRequest, LeaseLost
from seqd.models.disk import read_file, write_atomically, writing
from seqd.validation import fault_sentence
from seqd_schemas import (
    MAX_ABORTED,
    Label,
    ModelFile,
    Rollout,
    RolloutFile,
    ServiceChange,
    from_stored,
    to_stored,
)

log = logging.getLogger(__name__)

MODEL_FILE_NAME = "model.json"
LABELS_FILE_NAME = "labels.json"
HISTORY_FILE_NAME = "history.jsonl"
ROLLOUT_FILE_NAME = "rollout.json"
MEASUREMENTS_FOLDER = "evaluations"

#: The label of the highest version; nobody sets it, it is computed and never stored.
LATEST = "latest"
#: The label of the version in service, which a bare model name means.
PRODUCTION = "production"
#: The label of the version that is about to go into service: workers load it before it does.
CANDIDATE = "candidate"

#: Labels of a model that are read: a catalog entry takes no more.
MAX_LABELS = 1_000

#: Changes that are kept, the newest, and bytes that they take at most.
MAX_CHANGES = 1_000
MAX_HISTORY_BYTES = 4 * 1024 * 1024

#: Seconds for which a mark counts: a process that was killed takes nothing away for good.
RETIRING_S = 120

#: Bytes of another file that are read.
_MAX_BYTES = 128 * 1024

#: The highest number that a version can have.
_MAX_VERSION = 999_999_999

_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_RETIRING = re.compile(r"\.retiring-([1-9][0-9]{0,8})")
#: What names a training run: a job, or one training of a sweep.
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:\.[0-9]{1,9})?")
_BEGUN = re.compile(rf"\.publishing-({RUN_ID.pattern})\.json")

_Record = TypeVar("_Record", bound=BaseModel)

#: What tells one state of a file from another; None where there is no file.
Signature = tuple[int, int, int, int] | None


def signature_of(path: Path) -> Signature:
    """Return what changes with each change of a file, of a restored backup too."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read_stored(
    path: Path, kind: type[_Record], says: str, advice: str, most_bytes: int = _MAX_BYTES
) -> _Record | None:
    """Return the record in a file; None where there is no file.

    Raises ArtifactDamaged where it cannot be read, or does not say what it should, with advice.
    """
    try:
        return from_stored(kind, read_file(path, most_bytes))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ArtifactDamaged(f"{path} cannot be read: {error.strerror}. {advice}") from error
    except ValidationError as error:
        fault = fault_sentence(error, whole="the whole", shows_value=False)
        raise ArtifactDamaged(f"{path} does not say {says}: {fault}. {advice}") from None


def write_stored(path: Path, record: BaseModel) -> None:
    """Replace a file by a record. Raises StoreUnwritable."""
    write_atomically(path, f"{to_stored(record)}\n".encode())


def read_model_file(folder: Path) -> ModelFile | None:
    """Return what a model is made with and was called; None of a plugin's own without a training.

    Raises ArtifactDamaged where the file makes no sense.
    """
    path = folder / MODEL_FILE_NAME
    return read_stored(path, ModelFile, "what the model is made with", "Mend it")


def write_model_file(folder: Path, model: ModelFile) -> None:
    """Write down what a model is made with, and what it was called before."""
    write_stored(folder / MODEL_FILE_NAME, model)


class _LabelsFile(
    RootModel[
        Annotated[
            dict[Label, Annotated[int, Field(strict=True, ge=0, le=_MAX_VERSION)]],
            Field(max_length=MAX_LABELS),
        ]
    ]
):
    """What `labels.json` holds."""


def read_labels(folder: Path) -> dict[str, int]:
    """Return the stored labels of a model; raise ArtifactDamaged if they make no sense.

    Whether the versions are there is not looked at.
    """
    path, says = folder / LABELS_FILE_NAME, "which version each label is of"
    found = read_stored(path, _LabelsFile, says, "Mend or remove it")
    return {} if found is None else found.root


def write_labels(folder: Path, labels: Mapping[str, int]) -> None:
    """Replace all stored labels."""
    content = json.dumps(dict(labels), indent=2, sort_keys=True) + "\n"
    write_atomically(folder / LABELS_FILE_NAME, content.encode())


def check_label(label: str) -> None:
    """Raise InvalidRequest for a label that cannot be set."""
    if label == LATEST:
        raise InvalidRequest("the label latest is always the highest version; set another label")
    if _LABEL.fullmatch(label) is None:
        raise InvalidRequest(
            f"{label!r} is not a label; allowed: up to 40 of a-z 0-9 _ - with a letter in front"
        )


def read_history(folder: Path, in_service: int | None) -> list[ServiceChange]:
    """Return the changes of a model, oldest first; `in_service` is its version in service now.

    A line is written behind the move of the label: a move that has left none, by hand or by a
    writer that was killed in between, is seen by where the label is. A line that cannot be read is
    left out with a warning in the log.
    """
    path, changes = folder / HISTORY_FILE_NAME, list[ServiceChange]()
    try:
        lines = read_file(path, MAX_HISTORY_BYTES).splitlines()
    except FileNotFoundError:
        lines = []
    for number, line in enumerate(lines, 1):
        try:
            changes.append(from_stored(ServiceChange, line))
        except ValidationError:
            log.warning("%s: line %d cannot be read", path, number)
    known = changes[-1].to_version if changes else in_service
    if known != in_service:
        moved = signature_of(folder / LABELS_FILE_NAME)
        changes.append(
            ServiceChange(
                at_ms=0 if moved is None else moved[2] // 1_000_000,
                from_version=known,
                to_version=in_service,
                why="the label was moved by hand, or by a process that died",
            )
        )
    return changes


def note_change(folder: Path, change: ServiceChange) -> None:
    """Write down a change that has just been made."""
    changes = [*read_history(folder, change.from_version), change][-MAX_CHANGES:]
    lines = [f"{to_stored(one)}\n".encode() for one in changes]
    too_much = sum(map(len, lines)) - MAX_HISTORY_BYTES
    while too_much > 0:
        too_much -= len(lines.pop(0))
    write_atomically(folder / HISTORY_FILE_NAME, b"".join(lines))


def version_before(changes: Sequence[ServiceChange], in_service: int) -> int | None:
    """Return the version that a rollback goes to; None where there is none.

    A rollback takes back the last change that none has taken back yet. So a second one goes back
    further, and never forth again.
    """
    line = [change.from_version for change in changes[:1]]
    for change in changes:
        if change.from_version == change.to_version:  # a roll-out began, or ended
            continue
        if change.is_rollback and change.to_version in line[:-1]:
            line.pop()
            while line[-1] != change.to_version:
                line.pop()
        else:
            line.append(change.to_version)
    return line[-2] if len(line) > 1 and line[-1] == in_service else None


def read_rollouts(folder: Path) -> RolloutFile:
    """Return the roll-outs of a model: none of a damaged file, which a warning in the log says.

    Raises OSError where it cannot be read.
    """
    path = folder / ROLLOUT_FILE_NAME
    try:
        return from_stored(RolloutFile, read_file(path, _MAX_BYTES))
    except FileNotFoundError:
        pass
    except ValidationError as error:
        fault = fault_sentence(error, whole="the whole", shows_value=False)
        log.warning("no roll-out goes on, since %s is damaged: %s", path, fault)
    return RolloutFile()


def begin_rollout(folder: Path, rollout: Rollout) -> None:
    """Write a roll-out down in the place of any other.

    One of another version is aborted; one of the same version with another share is not.
    """
    known = read_rollouts(folder)
    aborted = known.aborted
    if known.current is not None and known.current.version != rollout.version:
        aborted = (*aborted, known.current.id)[-MAX_ABORTED:]
    write_stored(folder / ROLLOUT_FILE_NAME, RolloutFile(current=rollout, aborted=aborted))


def end_rollout(folder: Path, rollout_id: str, *, is_aborted: bool) -> Rollout | None:
    """End a roll-out and return it; None where another one goes on, or none."""
    known = read_rollouts(folder)
    if known.current is None or known.current.id != rollout_id:
        return None
    aborted = known.aborted
    if is_aborted:
        aborted = (*aborted, rollout_id)[-MAX_ABORTED:]
    write_stored(folder / ROLLOUT_FILE_NAME, RolloutFile(aborted=aborted))
    return known.current


def measurements_file(folder: Path, version: int) -> Path:
    """Return the file of a version's measurements, there or not; `folder` is its model's."""
    return folder / MEASUREMENTS_FOLDER / f"{version}.json"


def retiring_in(folder: Path) -> frozenset[int]:
    """Return the versions that are about to go; none of a folder that cannot be read."""
    try:
        names = [path.name for path in folder.iterdir()]
    except OSError:
        return frozenset()
    found = [match for match in map(_RETIRING.fullmatch, names) if match]
    marks = {int(match[1]): signature_of(folder / match[0]) for match in found}
    since_ns = time.time_ns() - RETIRING_S * 10**9
    return frozenset(version for version, mark in marks.items() if mark and mark[2] > since_ns)


def mark_retiring(folder: Path, versions: Iterable[int], *, is_retiring: bool) -> None:
    """Mark versions, from now on, or take the marks away. Raises StoreUnwritable."""
    for version in versions:
        path = folder / f".retiring-{version}"
        with writing(path):
            path.unlink(missing_ok=True)  # so that its time begins anew
            if is_retiring:
                path.touch()


class PublishRecord(BaseModel):
    """What `.publishing-RUN.json` holds; RUN is the job, or `JOB.UNIT` of a sweep's training.

    A version is in the store a moment before the ledger says that its job completed, and in that
    moment the job may be cancelled or the worker die. So a training first writes this, with where
    the labels were that it moves. It is removed when the job has completed; where the job ended
    otherwise, the version is rolled back. An attempt that is not the holder, or finds no file, was
    overtaken while it was frozen, and changes nothing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    #: A random word: the attempt that may publish and move labels.
    holder: str = ""
    #: The versions of the labels before they were moved; None of one that did not exist.
    before: dict[str, int | None] = {}


def begin_publish(folder: Path, run_id: str, holder: str) -> None:
    """Record that a training is about to publish."""
    _change_publish(folder, run_id, holder=holder)


def check_holder(folder: Path, run_id: str, holder: str) -> None:
    """Raise LeaseLost unless this attempt is the holder."""
    if _read_publish(folder, run_id).holder != holder:
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
    recorded = _read_publish(folder, run_id)
    # One that an earlier attempt has moved already stood where that attempt has noted.
    before = {
        label: recorded.before.get(label) if stored.get(label) == version else stored.get(label)
        for label in labels
    }
    # One that is confirmed is never taken back, so nobody need know.
    if _publish_file(folder, run_id).exists():
        _change_publish(folder, run_id, before=recorded.before | before)
    write_labels(folder, stored | dict.fromkeys(labels, version))


def restore_labels(folder: Path, version: int, run_id: str) -> None:
    """Move labels to where they were, except those that somebody has moved since.

    One that was nowhere, or at a version that is gone meanwhile, goes.
    """
    labels = read_labels(folder)
    moved = {
        label: number
        for label, number in _read_publish(folder, run_id).before.items()
        if labels.get(label) == version
    }
    for label, number in moved.items():
        del labels[label]
        if number == 0 or (number is not None and (folder / str(number)).is_dir()):
            labels[label] = number
    if moved:
        write_labels(folder, labels)


def end_publish(folder: Path, run_id: str) -> None:
    """Remove a training's record, if there is one: its version counts from now on."""
    with writing(folder):
        _publish_file(folder, run_id).unlink(missing_ok=True)


def _publish_file(folder: Path, run_id: str) -> Path:
    return folder / f".publishing-{run_id}.json"


def _read_publish(folder: Path, run_id: str) -> PublishRecord:
    """Read the file, which is written atomically; one that makes no sense restores no label."""
    try:
        return from_stored(PublishRecord, _publish_file(folder, run_id).read_bytes())
    except (FileNotFoundError, ValidationError):
        return PublishRecord()


def _change_publish(folder: Path, run_id: str, **changes: object) -> None:
    record = _read_publish(folder, run_id).model_copy(update=changes)
    write_stored(_publish_file(folder, run_id), record)
