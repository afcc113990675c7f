"""A training's checkpoints as a plugin sees them: saved, committed, and resumed from.

A checkpoint is written to the disk first and counts once the ledger has committed it, from the
attempt that holds the lease alone; so a worker that was frozen and wakes up cannot put its own
state in the place of a later one. The files are `seqd.models`'s.
"""

import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from pydantic import JsonValue

from seqd.analysis.curves import LearningCurve
from seqd.analysis.sweeps import combinations_of
from seqd.errors import (
    REDIS_ERRORS,
    CheckpointDamaged,
    InvalidData,
    InvalidRequest,
    LeaseLost,
    RedisUnreachable,
    StoreUnwritable,
    UnknownJob,
)
from seqd.hookspecs import Checkpoint
from seqd.ledger.jobs import Jobs
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.units import Unit
from seqd.ledger.work import CheckpointRecord, CheckpointRecords
from seqd.models.checkpoints import CheckpointFolder, Content, encode
from seqd.objects import Objects
from seqd.worker.training.run import Run
from seqd_schemas import SweepJob, TrainJob, run_id_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

log = logging.getLogger(__name__)

#: Seconds until a checkpoint is tried again that Redis was away for, where that is sooner.
OUTAGE_RETRY_S = 5.0

#: What must be the same for one training to go on from another's checkpoint.
_SAME = ("model", "preset", "parameters", "source", "held_out")

_ANEW = "Hand the training in again without `continues`, and it begins anew."


@dataclass(eq=False)
class WorkerCheckpoints:
    """The checkpoints of one attempt at a training."""

    unit: Unit
    #: The run and those that it goes on from, see `lineage_of`.
    lineage: Sequence[str]
    records: CheckpointRecords
    data_dir: Path
    _: KW_ONLY
    every_s: float
    stop: Callable[[], bool]
    #: Publishes a line for the caller.
    report: Callable[[str], None]
    #: Returns the digest of the training data.
    data_sha256: Callable[[], str | None]
    #: Its epochs are saved with a checkpoint, and restored when that is loaded.
    curve: LearningCurve
    #: Those of the store at a URL, where there is one.
    objects: Objects | None = None
    _saves: int = 0

    def __post_init__(self) -> None:
        """Have the first one be due after `every_s`."""
        #: What its files go by.
        self._run_id = self.lineage[0]
        self._due_at = monotonic() + self.every_s

    def load(self) -> Checkpoint | None:
        """Return the last sound checkpoint that counts, the run's own before an earlier job's."""
        for run_id in self.lineage:
            records = self.records.of(run_id)
            if records:
                return self._newest_sound(run_id, records)
        return None

    def due(self) -> bool:
        """Return True when it is time for another."""
        return monotonic() >= self._due_at

    def save(
        self, arrays: "Mapping[str, npt.NDArray[np.generic]]", progress: Mapping[str, JsonValue]
    ) -> None:
        """Write a checkpoint and commit it. Raises LeaseLost, StoreUnwritable."""
        content = encode(arrays, progress, self.data_sha256(), self.curve.epochs)
        self._due_at = monotonic() + self.every_s
        try:
            with waiting_at_most(0):
                self._save(content)
        except REDIS_ERRORS as error:
            # Hours of training are worth more than this checkpoint; the one before still counts.
            self._due_at = monotonic() + min(self.every_s, OUTAGE_RETRY_S)
            if not isinstance(error, RedisUnreachable):  # of which the outage has its line
                log.warning("checkpoint of training job=%s does not count: %s", self._run_id, error)
        except StoreUnwritable as error:
            if not self.stop():
                raise
            log.warning("training job=%s stops without a checkpoint: %s", self._run_id, error)

    def _save(self, content: Content) -> None:
        self._saves += 1
        # Unique even where a Redis that lost its last second hands an attempt's number out twice.
        name = f"{self.unit.attempt:06d}-{self._saves:06d}-{secrets.token_hex(4)}"
        folder = CheckpointFolder(self.data_dir, self._run_id, self.objects)
        folder.write(name, content)
        # Looked at before it counts: a worker that is frozen right after that, for as long as you
        # like, must not clear away what the attempts after it save meanwhile.
        there = folder.names()
        counting = self.records.commit(self.unit, CheckpointRecord(name, content.sha256))
        if counting:
            folder.remove(there.difference(counting))
            return
        # It may count nevertheless, where the reply got lost and the lease too before the repeat.
        if all(record.name != name for record in self.records.of(self._run_id)):
            folder.remove([name])
        raise LeaseLost(
            f"A checkpoint of training {self._run_id} is refused: the job has ended, or another "
            "worker has it."
        )

    def _newest_sound(self, run_id: str, records: Sequence[CheckpointRecord]) -> Checkpoint | None:
        folder = CheckpointFolder(self.data_dir, run_id, self.objects)
        reasons = []
        for record in records:
            try:
                checkpoint, state = folder.read(record.name, record.sha256)
            except CheckpointDamaged as error:
                log.warning("checkpoint of training job=%s is damaged: %s", run_id, error)
                reasons.append(str(error))
                continue
            self._check_data(state.data_sha256)
            self.curve.restore(state.epochs)
            whose = "its last checkpoint" if run_id == self._run_id else f"a checkpoint of {run_id}"
            said = f"The training goes on from {whose}."
            if reasons:
                said = f"{reasons[0]}. The training goes on from the checkpoint before it."
            self.report(said)
            return checkpoint
        has_files = bool({one.name for one in records} & folder.names())
        if run_id == self._run_id and self.objects is not None and not has_files:
            self.report(
                "Its checkpoints are on another host, and none is in the store: it begins anew."
            )
            return None
        raise CheckpointDamaged(
            f"No checkpoint of training {run_id} can be gone on from. {'; '.join(reasons)}. Where "
            "workers share a store, they need one SEQD_DATA_DIR for checkpoints too. " + _ANEW
        )

    def _check_data(self, expected: str | None) -> None:
        found = self.data_sha256()
        if None not in (expected, found) and expected != found:
            raise InvalidData(
                "The training data has changed since the checkpoint: its SHA-256 was "
                f"{expected}, and is {found}. Put the old data back. {_ANEW}"
            )


def lineage_of_run(run: Run, jobs: Jobs, records: CheckpointRecords) -> list[str]:
    """Return the run and those that it goes on from, the last one first; raises as `lineage_of`."""
    if run.sweep is None:
        return lineage_of(run.job, run.id, jobs, records)
    lineage, sweep = [run.id], run.sweep
    while (earlier_id := sweep.continues) is not None and not records.of(lineage[-1]):
        found = _earlier_sweep(sweep, earlier_id, jobs)
        names = [] if found is None else [one.name for one in combinations_of(found)]
        if found is None or run.name not in names:
            break  # A retry need not go on from anything: it trains anew.
        sweep = found
        lineage.append(run_id_of(earlier_id, names.index(run.name)))
    return lineage


def lineage_of(job: TrainJob, job_id: str, jobs: Jobs, records: CheckpointRecords) -> list[str]:
    """Return the job, and the jobs that it goes on from, the last one first.

    It ends with the first that has a checkpoint which counts: those before it are not needed, and
    may be gone by now. Raises UnknownJob where one that is needed is not kept any more,
    InvalidRequest where it asked for something else, so that its checkpoint would not fit.
    """
    lineage = [job_id]
    while (earlier_id := job.continues) is not None and not records.of(lineage[-1]):
        if earlier_id in lineage:
            break
        lineage.append(earlier_id)
        job = _earlier(job, earlier_id, jobs)
    return lineage


def _earlier_sweep(sweep: SweepJob, earlier_id: str, jobs: Jobs) -> SweepJob | None:
    """Return the sweep that this one continues; None where it is gone or asked for other things."""
    try:
        earlier = jobs.get(earlier_id).job
    except UnknownJob:
        return None
    if not isinstance(earlier, SweepJob):
        return None
    is_same = all(getattr(sweep, name) == getattr(earlier, name) for name in (*_SAME, "grid"))
    return earlier if is_same else None


def _earlier(job: TrainJob, earlier_id: str, jobs: Jobs) -> TrainJob:
    try:
        earlier = jobs.get(earlier_id).job
    except UnknownJob:
        raise UnknownJob(
            f"Job {earlier_id}, which this training goes on from, is not kept any more. {_ANEW}"
        ) from None
    if not isinstance(earlier, TrainJob):
        raise InvalidRequest(
            f"Job {earlier_id} is no training: it is a {earlier.kind} job. {_ANEW}"
        )
    differing = [name for name in _SAME if getattr(job, name) != getattr(earlier, name)]
    if differing:
        raise InvalidRequest(
            f"This training cannot go on from job {earlier_id}: the two differ in "
            f"{' and '.join(differing)}, and a checkpoint fits the same request only. Ask for the "
            f"same. {_ANEW}"
        )
    return earlier
