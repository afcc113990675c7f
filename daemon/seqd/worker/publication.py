"""Brings a finished training into the store and the ledger, and takes it back where it must.

The version is in the store before the ledger says that its job completed: a kill in between
leaves a version that the next attempt takes over. Where the job ended otherwise in between, the
version goes again and labels stand where they stood. Called by `trainings`.
"""

import logging

from seqd.errors import SeqdError
from seqd.hookspecs import PluginParameters, TrainedModel
from seqd.ledger.work import CommitOutcome, Unit
from seqd.store import VersionDraft
from seqd.worker.contexts import WorkerTrainContext
from seqd.worker.workbench import Workbench
from seqd_schemas import DataFingerprint, JobState, ModelManifest, TrainingResult, TrainJob

log = logging.getLogger(__name__)


class Publication:
    """Publishes the versions of trainings."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def earlier(self, job: TrainJob, unit: Unit) -> ModelManifest | None:
        """Give the version that an earlier attempt at this job published, if one did."""
        return self._bench.store.find_by_job(job.model, unit.job_id)

    def publish(
        self,
        job: TrainJob,
        unit: Unit,
        parameters: PluginParameters,
        trained: TrainedModel,
        context: WorkerTrainContext,
        data: DataFingerprint,
    ) -> ModelManifest:
        """Make the finished folder a version. Raises PluginFault, StoreUnwritable."""
        values = parameters.model_dump(mode="json")
        seed = values.get("seed")
        draft = VersionDraft(
            model=job.model,
            plugin_version=self._bench.registry.plugin_of(job.model).version,
            preset=job.preset,
            parameters=values,
            metrics=dict(trained.metrics),
            seed=seed if isinstance(seed, int) else None,
            data=data,
            libraries=dict(trained.libraries),
            job_id=unit.job_id,
            created_at_ms=self._bench.ledger.fleet.now_ms(),
        )
        self._bench.store.announce(job.model, unit.job_id)
        return self._bench.store.publish(context.folder, draft)

    def commit(self, job: TrainJob, unit: Unit, manifest: ModelManifest, seconds: float) -> None:
        """Move the job's labels and complete it, if the unit is still ours."""
        result = TrainingResult(
            model=job.model, version=manifest.version, metrics=manifest.metrics, seconds=seconds
        )
        if job.labels:
            store = self._bench.store
            store.move_labels(job.model, job.labels, manifest.version, unit.job_id)
        self._bench.publish_catalog()
        outcome = self._bench.ledger.work.commit_training(unit, result)
        if outcome is CommitOutcome.COMPLETED:
            self._bench.job_finished(unit.job_id)
        else:
            # Ended: `settle` takes the version back. Fenced: it stays, for the attempt that
            # holds the unit now finds it by the job and takes it over.
            log.info("commit of training job=%s: %s", unit.job_id, outcome)

    def settle(self, job: TrainJob, unit: Unit) -> bool:
        """Confirm the version of a job that completed, take back that of one that ended otherwise.

        Half versions of earlier attempts go too. True when the job completed. Called at the end
        of each attempt, however it went. What cannot be settled now is settled before a later
        training, by `leftovers`.
        """
        try:
            state = self._bench.ledger.jobs.get(unit.job_id).state
            if state is JobState.COMPLETED:
                self._bench.store.confirm(job.model, unit.job_id)
            elif state.is_terminal:
                self._withdraw(job.model, unit.job_id, state)
            if state.is_terminal:
                self._discard_halves(unit.job_id)
        except SeqdError as error:
            log.warning("training job=%s is not settled yet: %s", unit.job_id, error)
            return False
        return state is JobState.COMPLETED

    def _discard_halves(self, job_id: str) -> None:
        for folder, made_for in self._bench.store.staged():
            if made_for == job_id:
                self._bench.store.discard(folder)

    def _withdraw(self, name: str, job_id: str, state: JobState) -> None:
        number = self._bench.store.withdraw(name, job_id)
        if number is not None:
            log.warning("took %s@%d back: its job=%s is %s", name, number, job_id, state)
            self._bench.publish_catalog()
