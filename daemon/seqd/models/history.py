"""When which version of a model was in service, by whom and why: `history.jsonl` in its folder.

So are roll-outs, which begin and end while the same version is in service.

A line is written behind the move of the label `production`. A move that has left no line, by hand
or by a writer that was killed in between, is seen by where the label is.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from seqd.models.disk import write_atomically
from seqd.models.labels import LABELS_FILE_NAME
from seqd_schemas import ServiceChange, from_stored, to_stored

log = logging.getLogger(__name__)

HISTORY_FILE_NAME = "history.jsonl"

#: Changes that are kept, the newest, and bytes that they take at most.
MAX_CHANGES = 1_000
MAX_BYTES = 4 * 1024 * 1024


def read_history(folder: Path, in_service: int | None) -> list[ServiceChange]:
    """Return the changes of a model, oldest first; `in_service` is its version in service now.

    A line that cannot be read is left out with a warning in the log.
    """
    changes = _stored(folder)
    known = changes[-1].to_version if changes else in_service
    if known != in_service:
        changes.append(
            ServiceChange(
                at_ms=_moved_at_ms(folder),
                from_version=known,
                to_version=in_service,
                why="the label was moved by hand, or by a process that died",
            )
        )
    return changes


def note_change(folder: Path, change: ServiceChange) -> None:
    """Write down a change that has just been made; the caller holds the model's lock."""
    changes = [*read_history(folder, change.from_version), change][-MAX_CHANGES:]
    lines = [f"{to_stored(one)}\n".encode() for one in changes]
    too_much = sum(map(len, lines)) - MAX_BYTES
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


def _moved_at_ms(folder: Path) -> int:
    try:
        return (folder / LABELS_FILE_NAME).stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _stored(folder: Path) -> list[ServiceChange]:
    try:
        with (folder / HISTORY_FILE_NAME).open("rb") as file:
            lines = file.read(MAX_BYTES).splitlines()
    except FileNotFoundError:
        return []
    changes = []
    for number, line in enumerate(lines, 1):
        try:
            changes.append(from_stored(ServiceChange, line))
        except ValidationError:
            log.warning("%s: line %d cannot be read", folder / HISTORY_FILE_NAME, number)
    return changes
