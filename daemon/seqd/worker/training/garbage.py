"""Removes what killed trainings left: checkpoints, staged and unfinished versions, drafts of files.

A training removes its own when it ends; this is for those whose worker died, and for jobs that
ended with no worker up. It runs before each training, so whoever makes such files also looks after
them, on the disk that they are on.
"""

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from seqd.models.checkpoints import checkpoints_dir
from seqd.models.store import ModelStore
from seqd_schemas import JobState

log = logging.getLogger(__name__)

#: Seconds untouched, after which files go of a job that the ledger does not know: a day, since a
#: failover to an empty Redis forgets jobs that are handed in again.
FORGOTTEN_S = 24 * 3_600.0
#: The same of a staged version whose job has ended, where a frozen worker may still write.
ENDED_S = 3_600.0


def collect_garbage(
    data_dir: Path, store: ModelStore, state_of: Callable[[str], JobState | None], now_s: float
) -> list[str]:
    """Remove what nobody will go on from; return the versions that were rolled back.

    `state_of` returns a training's state, which is its job's, or in a sweep that of its
    combination; None of one that the ledger does not know. `now_s` are seconds since 1970-01-01
    UTC, as files are dated in. Checkpoints stay while their job is open, and after a cancel, a
    failure or an expiry as long as the ledger keeps the job.
    """
    _remove_checkpoints(checkpoints_dir(data_dir), state_of, now_s)
    for path, job_id in store.staged():
        state = state_of(job_id)
        is_over = state is None or state.is_terminal
        if is_over and _is_untouched(path, now_s, FORGOTTEN_S if state is None else ENDED_S):
            log.info("removing staged version of job=%s", job_id)
            store.discard(path)
    for path in store.drafts():
        if _is_untouched(path, now_s, ENDED_S):
            path.unlink(missing_ok=True)
    settled = [
        (name, settle(store, name, run_id, state_of(run_id))) for name, run_id in store.begun()
    ]
    return [f"{name}@{number}" for name, number in settled if number is not None]


def _remove_checkpoints(
    root: Path, state_of: Callable[[str], JobState | None], now_s: float
) -> None:
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        state = state_of(folder.name)
        forgotten = state is None and _is_untouched(folder, now_s, FORGOTTEN_S)
        if forgotten or state is JobState.COMPLETED:
            log.info("removing checkpoints of job=%s", folder.name)
            shutil.rmtree(folder, ignore_errors=True)


def settle(store: ModelStore, name: str, run_id: str, state: JobState | None) -> int | None:
    """Confirm the version of a run that completed, roll back that of one that ended otherwise.

    Return the version that was rolled back. That of a job that is unknown or open stays: it may
    have completed, or still may.
    """
    if state is JobState.COMPLETED:
        store.finalize(name, run_id)
    elif state is not None and state.is_terminal:
        number = store.rollback(name, run_id)
        if number is not None:
            log.warning("rolled %s@%d back: its job=%s is %s", name, number, run_id, state)
        return number
    return None


def _is_untouched(path: Path, now_s: float, silence_s: float) -> bool:
    try:
        return now_s - path.stat().st_mtime > silence_s
    except FileNotFoundError:  # another worker was faster
        return False
