"""Publishes a finished training as a version in the model store, and rolls it back where it must.

The version is in the store before the ledger says that its job completed: a kill in between
leaves a version that the next attempt adopts. If the job has ended otherwise by then,
the version is removed and its labels are set back.

Labels are moved before the job completes, so that they stand when `wait` returns and one that
cannot be moved fails the training; and the store itself keeps late attempts out, so that it does
not matter how long a worker is frozen, or where. What killed trainings left is removed before each
training: a training removes its own when it ends, and this is for those whose worker died.
"""

import logging
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from seqd.errors import ArtifactDamaged, LeaseLost, PluginFault, SeqdError, StoreUnreachable
from seqd.hookspecs import TrainedModel
from seqd.ledger.units import Unit
from seqd.ledger.work import CommitOutcome, Renewal, Use
from seqd.models.checkpoints import checkpoints_dir
from seqd.models.model_records import PRODUCTION
from seqd.models.store import ModelStore
from seqd.models.version_files import VersionDraft
from seqd.worker.context import WorkerContext
from seqd.worker.deaths import NOT_NOTED
from seqd.worker.training.run import (
    Run,
    TrainingPlan,
    WorkerTrainContext,
    earlier_reports,
    state_of_run,
)
from seqd_schemas import (
    DEFAULT_TENANT,
    Epoch,
    JobState,
    ModelManifest,
    TrainingResult,
    VersionOrigin,
)

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: Seconds untouched, after which files go of a job that the ledger does not know: a day, since a
#: failover to an empty Redis forgets jobs that are handed in again.
FORGOTTEN_S = 24 * 3_600.0

#: The same of a staged version whose job has ended, where a frozen worker may still write.
ENDED_S = 3_600.0


def how_it_died(unit: Unit) -> str:
    """Return how the last worker died with a training, as a sentence."""
    if unit.death is None:
        return f"{NOT_NOTED} Memory is the usual reason."
    return f"The last time: {unit.death.message}"


class Publisher:
    """Publishes the versions of trainings."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context

    def adopt(self, run: Run) -> ModelManifest | None:
        """Return the version that an earlier attempt at this run published, if one did.

        From here on no earlier attempt can publish or move a label. Raises StoreUnwritable, also
        where a store at a URL takes no version of this host, which is known by trying alone.
        """
        store = self._context.store
        if run.unit.attempt > 1:
            store.begin_publish(run.job.model, run.id, secrets.token_hex(8))
        elif store.objects is not None:
            with suppress(StoreUnreachable):  # it may be back when the version is finished
                store.begin_publish(run.job.model, run.id, secrets.token_hex(8))
        return store.take_over(run.job.model, run.id)

    def publish(self, run: Run, folder: Path, draft: VersionDraft) -> ModelManifest:
        """Make the finished folder a version. Raises LeaseLost, PluginFault, StoreUnwritable."""
        store = self._context.store
        return self._while_ours(run, lambda holder: store.publish(folder, draft, holder))

    def move_labels(self, run: Run, labels: tuple[str, ...], version: int, made_by: str) -> None:
        """Move labels to a version that the run `made_by` made. Raises LeaseLost, SeqdError."""
        store, moved = self._context.store, (run.job.model, labels, version, run.id)
        self._while_ours(run, lambda holder: store.move_labels(*moved, holder, made_by))

    def finalize(self, run: Run, state: JobState | None = None) -> bool:
        """Confirm the version of a run that completed, roll back that of one that ended otherwise.

        Staged versions of earlier attempts go too. Return True when the run completed. Due at the
        end of each attempt, however it went; `state` is how that ended the run, None where it is
        not known. What cannot be finalized now is so before a later training, by `garbage`.
        """
        try:
            state = state or state_of_run(run.id, self._context.ledger.jobs)
            if _settle(self._context.store, run.job.model, run.id, state) is not None:
                self._context.publish_catalog()
            if state is not None and state.is_terminal:
                for folder, made_for in self._context.store.staged():
                    if made_for == run.id:
                        self._context.store.discard(folder)
        except SeqdError as error:
            log.warning("training job=%s is not finalized yet: %s", run.id, error)
            return False
        return state is JobState.COMPLETED

    def draft(
        self, plan: TrainingPlan, trained: TrainedModel, context: WorkerTrainContext
    ) -> VersionDraft:
        """Return what the manifest says of a training that has ended."""
        run, values = plan.run, plan.parameters.model_dump(mode="json")
        seed = values.get("seed")
        return VersionDraft(
            model=run.job.model,
            plugin=plan.plugin,
            plugin_version=self._context.registry.plugin_of(plan.plugin).version,
            preset=run.job.preset,
            parameters=values,
            metrics=dict(trained.metrics),
            epochs=context.curve.epochs,
            seed=seed if isinstance(seed, int) else None,
            data=plan.data.fingerprint(),
            held_out=plan.data.held_out_fingerprint(),
            origin=self._origin(run),
            libraries=dict(trained.libraries),
            job_id=run.unit.job_id,
            unit=run.number,
            created_at_ms=self._context.ledger.fleet.now_ms(),
        )

    def _origin(self, run: Run) -> VersionOrigin:
        """Return what a version comes from, as its card tells it."""
        try:
            in_service = self._context.store.labels(run.job.model).get(PRODUCTION)
        except ArtifactDamaged:
            in_service = None  # which is worth no training
        identity = self._context.identity
        asked = run.job if run.sweep is None else run.sweep
        return VersionOrigin(
            worker=identity.name,
            slot=identity.slot.name,
            tenant=None if asked.tenant == DEFAULT_TENANT else asked.tenant,
            attempts=max(1, run.unit.attempt),
            continues=asked.continues,
            in_service=in_service,
        )

    def _while_ours(self, run: Run, step: Callable[[str], _T]) -> _T:
        """Do a step in the store that only the attempt with the lease may do; raises LeaseLost.

        To check the lease first would not do: a worker can be frozen between check and step. So it
        announces itself first, then checks, and the store takes the step only while that
        announcement stands. It falls when a later attempt announces itself, and when the job is
        finalized. A late attempt that wakes up may overwrite the holder's by its own: its check
        ends it, and the holder announces itself once more.
        """
        while True:
            holder = secrets.token_hex(8)
            self._context.store.begin_publish(run.job.model, run.id, holder)
            if self._context.ledger.work.renew([run.unit])[0] is Renewal.LOST:
                raise LeaseLost(f"Training {run.id} has ended, or another worker has it.")
            try:
                return step(holder)
            except LeaseLost as error:
                log.warning("checking again who has training job=%s: %s", run.id, error)


@dataclass(frozen=True, slots=True)
class Trained:
    """A version, and what it took."""

    manifest: ModelManifest
    #: Seconds of this attempt, and of the epochs that it was the first to finish.
    seconds: float
    epochs_s: float


class RunCommit(ABC):
    """Commits what came of one run to the ledger."""

    def __init__(self, context: WorkerContext, publisher: Publisher, run: Run) -> None:
        self.run = run
        self._context = context
        self._publisher = publisher
        #: What earlier attempts have reported, and the seconds of the epochs among it.
        self.earlier = earlier_reports(run, context.ledger.jobs)
        self._earlier_s = sum(one.seconds for one in self.earlier if isinstance(one, Epoch))
        #: How this attempt has ended the run; None where it has not, or it is not known.
        self.state: JobState | None = None

    @abstractmethod
    def succeed(self, trained: Trained) -> None:
        """Commit the version. Raises LeaseLost."""

    @abstractmethod
    def fail(self, error: SeqdError) -> None:
        """Commit why there is none."""

    @abstractmethod
    def give_up(self) -> None:
        """Commit that the worker died each time that it was tried."""

    def _use(self, trained: Trained) -> Use:
        """Return what a training took: this attempt, and the epochs that earlier ones finished."""
        return Use(busy_ms=round(1000 * (trained.seconds + self._earlier_s)))

    def _note(self, outcome: CommitOutcome, state: JobState) -> None:
        """Take the unit as done with; `state` is that of the run where the commit counts."""
        self._context.leases.committed(self.run.unit, outcome)
        if outcome in (CommitOutcome.COMMITTED, CommitOutcome.COMPLETED):
            self.state = state
        else:
            # Ended: `finalize` rolls the version back. Fenced: it stays, for the attempt that
            # holds the unit now finds it by the job and adopts it.
            log.info("commit of training job=%s: %s", self.run.id, outcome)
        if outcome is CommitOutcome.COMPLETED:
            self._context.jobs_finished([self.run.unit.job_id])


class TrainingCommit(RunCommit):
    """Commits a training that is a job of its own."""

    def succeed(self, trained: Trained) -> None:
        """Move the job's labels and complete it, if the unit is still ours. Raises LeaseLost."""
        run, manifest = self.run, trained.manifest
        result = TrainingResult(
            model=run.job.model,
            version=manifest.version,
            metrics=manifest.metrics,
            seconds=trained.seconds,
        )
        if run.job.labels:
            self._publisher.move_labels(run, run.job.labels, manifest.version, run.id)
        self._context.publish_catalog()
        self._context.leases.computed()
        # That of the version, which an earlier attempt may have made elsewhere.
        outcome = self._context.ledger.work.commit_training(
            run.unit, result, self._use(trained), manifest.plugin_version
        )
        self._note(outcome, JobState.COMPLETED)

    def fail(self, error: SeqdError) -> None:
        """Fail the job."""
        if self._context.fail_job(self.run.unit, error):
            self.state = JobState.FAILED

    def give_up(self) -> None:
        """Fail the job for its crashes."""
        unit = self.run.unit
        self.fail(
            PluginFault(
                f"The worker died {unit.crashes} times during this training without getting as far "
                "as a new checkpoint, which is as often as it is tried (SEQD_MAX_ATTEMPTS). "
                f"{how_it_died(unit)}"
            )
        )


def collect_garbage(
    data_dir: Path, store: ModelStore, state_of: Callable[[str], JobState | None], now_s: float
) -> list[str]:
    """Remove what nobody will go on from; return the versions that were rolled back.

    `state_of` returns a training's state, which is its job's, or in a sweep that of its
    combination; None of one that the ledger does not know. `now_s` are seconds since 1970-01-01
    UTC, as files are dated in. Checkpoints stay while their job is open, and after a cancel, a
    failure or an expiry as long as the ledger keeps the job.
    """
    root = checkpoints_dir(data_dir)
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        state = state_of(folder.name)
        forgotten = state is None and _is_untouched(folder, now_s, FORGOTTEN_S)
        if forgotten or state is JobState.COMPLETED:
            log.info("removing checkpoints of job=%s", folder.name)
            shutil.rmtree(folder, ignore_errors=True)
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
        (name, _settle(store, name, run_id, state_of(run_id))) for name, run_id in store.begun()
    ]
    return [f"{name}@{number}" for name, number in settled if number is not None]


def _settle(store: ModelStore, name: str, run_id: str, state: JobState | None) -> int | None:
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
