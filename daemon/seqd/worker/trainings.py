"""Runs a training from its data to a new version in the model store.

The version appears in the store whole or not at all, and only while this worker holds the
unit: a zombie's late result stays in the staging folder and is thrown away. A job that is
tried again after its version was published takes that version over.
"""

import logging
import shutil
from functools import partial
from pathlib import Path
from time import monotonic, sleep

from pydantic import ValidationError

from seqd.errors import (
    REDIS_ERRORS,
    InvalidData,
    InvalidInput,
    InvalidParameters,
    LeaseLost,
    PluginFault,
    RedisUnreachable,
    SeqdError,
    Stopped,
    failure_of,
)
from seqd.hookspecs import LabelledRecord, Model, PluginParameters, TrainedModel
from seqd.inputs import FileDataset, ListDataset, NamedDataset, RecordDataset, check_path
from seqd.ledger.blobs import unpack_texts
from seqd.ledger.work import CommitOutcome, Unit
from seqd.settings import Settings
from seqd.store import VersionDraft
from seqd.worker.contexts import WorkerTrainContext
from seqd.worker.workbench import Workbench
from seqd_schemas import (
    DataFingerprint,
    Event,
    Failure,
    FileSource,
    ModelManifest,
    NamedSource,
    TrainingResult,
    TrainJob,
    UploadSource,
)

log = logging.getLogger(__name__)

#: Seconds between two looks for a Redis that is away when a training is done.
OUTAGE_WAIT_S = 0.5


class Trainings:
    """Runs the units of training jobs."""

    def __init__(self, bench: Workbench, settings: Settings) -> None:
        self._bench = bench
        self._settings = settings

    def run(self, job: TrainJob, unit: Unit) -> None:
        """Train, publish and commit. Raises Stopped or LeaseLost when it must not go on."""
        began = monotonic()
        try:
            self._refuse_after_crashes(unit)
            manifest = self._published_before(job, unit) or self._train(job, unit)
            self._commit(job, unit, manifest, monotonic() - began)
        except (Stopped, LeaseLost, *REDIS_ERRORS):
            raise
        except SeqdError as error:
            self._fail(unit, failure_of(error))
        except Exception as error:
            log.exception("training of %s failed, job=%s", job.model, unit.job_id)
            fault = PluginFault(
                f"Training {job.model} failed: {type(error).__name__}: {error}. The worker's log "
                "has the traceback."
            )
            self._fail(unit, failure_of(fault))
        finally:
            self._forget_checkpoints(unit)

    def _refuse_after_crashes(self, unit: Unit) -> None:
        if unit.crashes >= self._bench.max_attempts:
            raise PluginFault(
                f"The worker died {unit.crashes} times during this training, which is as often as "
                "it is tried (SEQD_MAX_ATTEMPTS). Its log says why; memory is the usual reason."
            )

    def _published_before(self, job: TrainJob, unit: Unit) -> ModelManifest | None:
        return self._bench.store.find_by_job(job.model, unit.job_id)

    def _train(self, job: TrainJob, unit: Unit) -> ModelManifest:
        model = self._bench.registry.model(job.model)
        parameters = train_parameters(model, job)
        context = self._context(job, unit)
        try:
            trained = model.train(parameters, context)
            # The last look before the version becomes visible.
            if not self._is_still_ours(unit):
                raise LeaseLost(f"Training {unit.job_id} belongs to another worker now.")
            return self._publish(job, unit, parameters, trained, context)
        except BaseException:
            self._bench.store.discard(context.folder)
            raise

    def _is_still_ours(self, unit: Unit) -> bool:
        """Renew the lease; waits for a Redis that is away as long as a lease lasts."""
        deadline = monotonic() + self._settings.lease_s
        while True:
            try:
                return self._bench.ledger.work.renew([unit])[0]
            except RedisUnreachable as error:
                if monotonic() >= deadline or self._bench.drain.is_raised():
                    raise
                log.warning("training job=%s is done and waits: %s", unit.job_id, error)
                sleep(OUTAGE_WAIT_S)

    def _publish_event(self, unit: Unit, event: Event) -> None:
        try:
            self._bench.ledger.work.publish(unit, event)
        except REDIS_ERRORS as error:
            # Hours of training are worth more than this news, and the job's end says it all.
            log.warning("event=%s of training job=%s is lost: %s", event.event, unit.job_id, error)
        self._bench.registry.notify_job_progress(event)

    def _context(self, job: TrainJob, unit: Unit) -> WorkerTrainContext:
        checkpoints = self._checkpoints(unit)
        checkpoints.mkdir(parents=True, exist_ok=True)
        return WorkerTrainContext(
            device=self._bench.identity.device,
            data=self._dataset(job, unit),
            held_out=None if job.held_out is None else self._held_out(job.held_out),
            folder=self._bench.store.new_folder(job.model, unit.job_id),
            checkpoints=checkpoints,
            _unit=unit,
            _publish=partial(self._publish_event, unit),
            _stop=self._bench.should_stop,
        )

    def _checkpoints(self, unit: Unit) -> Path:
        return self._settings.data_dir / "checkpoints" / unit.job_id

    def _forget_checkpoints(self, unit: Unit) -> None:
        """Remove the checkpoints of a job that has ended: nobody will go on from them."""
        if self._bench.ledger.jobs.get(unit.job_id).state.is_terminal:
            shutil.rmtree(self._checkpoints(unit), ignore_errors=True)

    def _dataset(self, job: TrainJob, unit: Unit) -> RecordDataset | NamedDataset:
        if isinstance(job.source, UploadSource):
            return ListDataset(self._uploaded(unit), "upload")
        return self._held_out(job.source)

    def _held_out(self, source: FileSource | NamedSource) -> RecordDataset | NamedDataset:
        if isinstance(source, NamedSource):
            return NamedDataset(source.name)
        roots = self._settings.input_roots or ()
        return FileDataset(source, check_path(source.path, roots))

    def _uploaded(self, unit: Unit) -> list[LabelledRecord]:
        jobs = self._bench.ledger.jobs
        records = []
        for number in range(jobs.input_units(unit.job_id)):
            blob = jobs.inputs(unit.job_id, [number])[0]
            if blob is None:
                raise InvalidData(f"chunk {number} of the upload is gone; send the job again")
            try:
                texts = unpack_texts(blob).texts
            except ValidationError as error:
                reason = error.errors()[0]["msg"]
                raise InvalidInput(f"chunk {number} of the upload is no chunk: {reason}") from None
            records += [LabelledRecord(text=text.text, label=text.label) for text in texts]
        return records

    def _publish(
        self,
        job: TrainJob,
        unit: Unit,
        parameters: PluginParameters,
        trained: TrainedModel,
        context: WorkerTrainContext,
    ) -> ModelManifest:
        values = parameters.model_dump(mode="json")
        seed = values.get("seed")
        draft = VersionDraft(
            model=job.model,
            plugin_version=self._bench.registry.plugin_of(job.model).version,
            preset=job.preset,
            parameters=values,
            metrics=dict(trained.metrics),
            seed=seed if isinstance(seed, int) else None,
            data=_fingerprint(context),
            libraries=dict(trained.libraries),
            job_id=unit.job_id,
            created_at_ms=self._bench.ledger.fleet.now_ms(),
        )
        return self._bench.store.publish(context.folder, draft)

    def _commit(self, job: TrainJob, unit: Unit, manifest: ModelManifest, seconds: float) -> None:
        result = TrainingResult(
            model=job.model, version=manifest.version, metrics=manifest.metrics, seconds=seconds
        )
        for label in job.labels:
            self._bench.store.set_label(job.model, label, manifest.version)
        self._bench.publish_catalog()
        outcome = self._bench.ledger.work.commit_training(unit, result)
        if outcome is CommitOutcome.COMPLETED:
            self._bench.job_finished(unit.job_id)
        else:
            log.info("commit of training job=%s: %s", unit.job_id, outcome)

    def _fail(self, unit: Unit, failure: Failure) -> None:
        if self._bench.ledger.work.fail_job(unit, failure):
            self._bench.job_finished(unit.job_id)


def train_parameters(model: Model, job: TrainJob) -> PluginParameters:
    """Merge the job's parameters over its preset and validate them; raises InvalidParameters."""
    preset = model.presets.get(job.preset, {}) if job.preset else {}
    try:
        return model.tasks["train"].parameters.model_validate({**preset, **job.parameters})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InvalidParameters(
            f"{job.model} train: parameter {name!r} is {first['input']!r}: {first['msg']}."
        ) from None


def _fingerprint(context: WorkerTrainContext) -> DataFingerprint:
    if isinstance(context.data, RecordDataset):
        return context.data.fingerprint()
    if context.named_fingerprint is None:
        raise PluginFault(
            f"the plugin trained on {context.data.description} and did not state its size and "
            "digest through context.fingerprint()"
        )
    return context.named_fingerprint
