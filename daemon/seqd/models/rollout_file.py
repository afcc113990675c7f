"""The roll-outs of a model, `rollout.json` in its folder: one that goes on, and aborted ones.

Reads and replaces that file. Of a file that makes no sense no roll-out goes on, and the aborted
ones are known as far as they can be read.
"""

import json
import logging
import re
from pathlib import Path

from pydantic import ValidationError

from seqd.models.disk import write_atomically
from seqd_schemas import MAX_ABORTED, Rollout, RolloutFile, from_stored, to_stored

log = logging.getLogger(__name__)

ROLLOUT_FILE_NAME = "rollout.json"

_ID = re.compile(r"[0-9a-f]{16}")

#: Bytes of it that are read; the largest that is written is a sixth of that.
_MAX_BYTES = 64 * 1024


def read_rollouts(folder: Path) -> RolloutFile:
    """Return the roll-outs of a model's folder; of a damaged file, with a warning, aborted ones.

    Raises OSError where it cannot be read.
    """
    path = folder / ROLLOUT_FILE_NAME
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except FileNotFoundError:
        return RolloutFile()
    try:
        return from_stored(RolloutFile, content)
    except ValidationError as error:
        first = error.errors()[0]
        log.warning("no roll-out goes on, since %s is damaged: %s", path, first["msg"])
    return RolloutFile(aborted=_aborted_in(content))


def _aborted_in(content: bytes) -> tuple[str, ...]:
    """Return what can be read of the aborted roll-outs in a damaged file."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return ()
    known = document.get("aborted") if isinstance(document, dict) else None
    names = known if isinstance(known, list) else []
    sound = [name for name in names if isinstance(name, str) and _ID.fullmatch(name)]
    return tuple(sound[-MAX_ABORTED:])


def begin(folder: Path, rollout: Rollout) -> None:
    """Write a roll-out down in the place of any other; the caller holds the model's lock.

    One of another version is aborted; one of the same version with another share is not.
    """
    known = read_rollouts(folder)
    if known.current is not None and known.current.version != rollout.version:
        end(folder, known.current.id, is_aborted=True)
        known = read_rollouts(folder)
    _write(folder, known.model_copy(update={"current": rollout}))


def end(folder: Path, rollout_id: str, *, is_aborted: bool) -> Rollout | None:
    """End a roll-out and return it; None where another one goes on, or none.

    The caller holds the model's lock.
    """
    known = read_rollouts(folder)
    if known.current is None or known.current.id != rollout_id:
        return None
    aborted = known.aborted
    if is_aborted:
        aborted = (*aborted, rollout_id)[-MAX_ABORTED:]
    _write(folder, RolloutFile(aborted=aborted))
    return known.current


def _write(folder: Path, content: RolloutFile) -> None:
    write_atomically(folder / ROLLOUT_FILE_NAME, f"{to_stored(content)}\n".encode())
