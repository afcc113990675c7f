"""Brings a finished training into the store and the ledger, and takes it back where it must.

The version is in the store before the ledger says that its job completed: a kill in between
leaves a version that the next attempt takes over. Where the job ended otherwise in between, the
version goes again and labels stand where they stood.

Labels are moved before the job completes, so that they stand when `wait` returns and one that
cannot be moved fails the training; and the store itself keeps late attempts out, so that it does
not matter how long a worker is frozen, or where. Called by `trainings` and `sweeps`.
"""

import logging
import secrets
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from seqd.analysis.curves import LearningCurve
from seqd.errors import LeaseLost, RedisUnreachable, SeqdError
from seqd.hookspecs import PluginParameters, TrainedModel
from seqd.ledger.commits import CommitOutcome
from seqd.ledger.units import Unit
from seqd.ledger.work import Renewal
from seqd.store import VersionDraft
from seqd.worker.contexts import WorkerTrainContext
from seqd.worker.runs import Run, state_of_run
from seqd.worker.workbench import Workbench
from seqd_schemas import DataFingerprint, JobState, ModelManifest, TrainingResult

log = logging.getLogger(__name__)

#: Seconds between two looks for a Redis that is away when a training is done.
OUTAGE_WAIT_S = 0.5

_T = TypeVar("_T")


class Publication:
    """Publishes the versions of trainings."""

    def __init__(self, bench: Workbench, patience_s: float) -> None:
        """`patience_s` is how long a finished training waits for a Redis that is away."""
        self._bench = bench
        self._patience_s = patience_s

    def take_up(self, run: Run) -> ModelManifest | None:
        """Give the version that an earlier attempt at this run published, if one did.

        From here on no earlier attempt can publish or move a label. Raises StoreUnwritable.
        """
        store = self._bench.store
        if run.unit.attempt > 1:
            store.announce(run.job.model, run.id, secrets.token_hex(8))
        return store.find_by_run(run.job.model, run.id)

    def publish(
        self,
        run: Run,
        parameters: PluginParameters,
        trained: TrainedModel,
        context: WorkerTrainContext,
        data: DataFingerprint,
    ) -> ModelManifest:
        """Make the finished folder a version. Raises LeaseLost, PluginFault, StoreUnwritable."""

        def step(holder: str) -> ModelManifest:
            draft = self._draft(run, parameters, trained, context.curve, data)
            return self._bench.store.publish(context.folder, draft, holder)

        return self.while_ours(run, step)

    def _draft(
        self,
        run: Run,
        parameters: PluginParameters,
        trained: TrainedModel,
        curve: LearningCurve,
        data: DataFingerprint,
    ) -> VersionDraft:
        values = parameters.model_dump(mode="json")
        seed = values.get("seed")
        return VersionDraft(
            model=run.job.model,
            plugin_version=self._bench.registry.plugin_of(run.job.model).version,
            preset=run.job.preset,
            parameters=values,
            metrics=dict(trained.metrics),
            epochs=curve.epochs,
            seed=seed if isinstance(seed, int) else None,
            data=data,
            libraries=dict(trained.libraries),
            job_id=run.unit.job_id,
            unit=run.number,
            created_at_ms=self._bench.ledger.fleet.now_ms(),
        )

    def commit(self, run: Run, manifest: ModelManifest, seconds: float) -> None:
        """Move the job's labels and complete it, if the unit is still ours. Raises LeaseLost."""
        result = TrainingResult(
            model=run.job.model,
            version=manifest.version,
            metrics=manifest.metrics,
            seconds=seconds,
        )
        if run.job.labels:
            self.while_ours(run, lambda holder: self._move(run, manifest, holder))
        self._bench.publish_catalog()
        outcome = self._bench.ledger.commits.training(run.unit, result)
        if outcome is CommitOutcome.COMPLETED:
            self._bench.job_finished(run.unit.job_id)
        else:
            # Ended: `settle` takes the version back. Fenced: it stays, for the attempt that
            # holds the unit now finds it by the job and takes it over.
            log.info("commit of training job=%s: %s", run.id, outcome)

    def _move(self, run: Run, manifest: ModelManifest, holder: str) -> None:
        store = self._bench.store
        store.move_labels(run.job.model, run.job.labels, manifest.version, run.id, holder)

    def while_ours(self, run: Run, step: Callable[[str], _T]) -> _T:
        """Do a step in the store that only the attempt with the lease may do; raises LeaseLost.

        A look at the lease alone would not do: a worker can be frozen between the look and the
        step. So it announces itself first, then looks, and the store takes the step only while
        that announcement stands. It falls when a later attempt announces itself, and when the job
        is settled. A late attempt that wakes up may overwrite the holder's by its own: its look
        ends it, and the holder announces itself once more.
        """
        while True:
            holder = secrets.token_hex(8)
            self._bench.store.announce(run.job.model, run.id, holder)
            if not self._is_ours(run.unit):
                raise LeaseLost(f"Training {run.id} has ended, or another worker has it.")
            try:
                return step(holder)
            except LeaseLost as error:
                log.warning("looking again who has training job=%s: %s", run.id, error)

    def _is_ours(self, unit: Unit) -> bool:
        """Renew the lease, and wait a while for a Redis that is away."""
        deadline = monotonic() + self._patience_s
        while True:
            try:
                return self._bench.ledger.work.renew([unit])[0] is not Renewal.LOST
            except RedisUnreachable as error:
                if monotonic() >= deadline or self._bench.drain.is_raised():
                    raise
                log.warning("training job=%s is done and waits: %s", unit.job_id, error)
                sleep(OUTAGE_WAIT_S)

    def settle(self, run: Run) -> bool:
        """Confirm the version of a run that completed, take back that of one that ended otherwise.

        Half versions of earlier attempts go too. True when the run completed. Called at the end
        of each attempt, however it went. What cannot be settled now is settled before a later
        training, by `leftovers`.
        """
        try:
            state = state_of_run(run.id, self._bench.ledger.jobs)
            if state is JobState.COMPLETED:
                self._bench.store.confirm(run.job.model, run.id)
            elif state is not None and state.is_terminal:
                self._withdraw(run.job.model, run.id, state)
            if state is not None and state.is_terminal:
                self._discard_halves(run.id)
        except SeqdError as error:
            log.warning("training job=%s is not settled yet: %s", run.id, error)
            return False
        return state is JobState.COMPLETED

    def _discard_halves(self, run_id: str) -> None:
        for folder, made_for in self._bench.store.staged():
            if made_for == run_id:
                self._bench.store.discard(folder)

    def _withdraw(self, name: str, run_id: str, state: JobState) -> None:
        number = self._bench.store.withdraw(name, run_id)
        if number is not None:
            log.warning("took %s@%d back: its job=%s is %s", name, number, run_id, state)
            self._bench.publish_catalog()
