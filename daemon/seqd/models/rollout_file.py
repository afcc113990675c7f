"""The roll-outs of a model, `rollout.json` in its folder: one that goes on, and aborted ones.

Reads and replaces that file. A file that makes no sense counts as none, with a warning in the log:
the version in service answers then.
"""

import logging
from pathlib import Path

from pydantic import ValidationError

from seqd.models.disk import write_atomically
from seqd_schemas import MAX_ABORTED, Rollout, RolloutFile, from_stored, to_stored

log = logging.getLogger(__name__)

ROLLOUT_FILE_NAME = "rollout.json"

#: Bytes of it that are read; the largest that is written is a sixth of that.
_MAX_BYTES = 64 * 1024


def read_rollouts(folder: Path) -> RolloutFile:
    """Return the roll-outs of a model's folder; none where the file is not there or damaged."""
    path = folder / ROLLOUT_FILE_NAME
    try:
        with path.open("rb") as file:
            return from_stored(RolloutFile, file.read(_MAX_BYTES))
    except FileNotFoundError:
        pass
    except (OSError, ValidationError) as error:
        log.warning("%s is left out, and no roll-out goes on: %s", path, error)
    return RolloutFile()


def begin(folder: Path, rollout: Rollout) -> None:
    """Write a roll-out down in the place of any other; the caller holds the model's lock."""
    _write(folder, read_rollouts(folder).model_copy(update={"current": rollout}))


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
