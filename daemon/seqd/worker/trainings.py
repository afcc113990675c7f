"""Runs a training from its data to a new version in the model store.

The version appears in the store whole or not at all, and only while this worker holds the
unit: a zombie's late result stays in the staging folder and is thrown away. A job that is
tried again goes on from its last checkpoint, or takes over the version that it had published.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic

from pydantic import ValidationError

from seqd.checkpoints import CheckpointFolder
from seqd.errors import (
    REDIS_ERRORS,
    InvalidParameters,
    LeaseLost,
    PluginFault,
    SeqdError,
    Stopped,
    UnknownJob,
    failure_of,
)
from seqd.hookspecs import Model, PluginParameters
from seqd.ledger.work import Unit
from seqd.settings import Settings
from seqd.store.disk import DISK_ERRNOS, unwritable
from seqd.worker.checkpoints import WorkerCheckpoints, lineage_of
from seqd.worker.chores import outlive
from seqd.worker.contexts import WorkerTrainContext, told_in
from seqd.worker.leftovers import sweep
from seqd.worker.publication import Publication
from seqd.worker.training_data import TrainingData, open_data
from seqd.worker.workbench import Workbench
from seqd_schemas import Event, Failure, JobState, Log, ModelManifest, TrainJob

log = logging.getLogger(__name__)


class Trainings:
    """Runs the units of training jobs."""

    def __init__(self, bench: Workbench, settings: Settings) -> None:
        self._bench = bench
        self._settings = settings
        self._publication = Publication(bench, settings.lease_s)

    def run(self, job: TrainJob, unit: Unit) -> None:
        """Train, publish and commit. Raises Stopped or LeaseLost when it must not go on."""
        began = monotonic()
        outlive("leftovers of trainings not cleared away", self._sweep)
        try:
            self._refuse_after_crashes(unit)
            manifest = self._publication.take_up(job, unit) or self._train(job, unit)
            self._publication.commit(job, unit, manifest, monotonic() - began)
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
            if self._publication.settle(job, unit):
                # Kept after any other end: a new job may go on from them.
                CheckpointFolder(self._settings.data_dir, unit.job_id).remove_all()

    def _refuse_after_crashes(self, unit: Unit) -> None:
        if unit.crashes >= self._bench.max_attempts:
            raise PluginFault(
                f"The worker died {unit.crashes} times during this training without getting as far "
                "as a new checkpoint, which is as often as it is tried (SEQD_MAX_ATTEMPTS). Its "
                "log says why; memory is the usual reason."
            )

    def _train(self, job: TrainJob, unit: Unit) -> ModelManifest:
        model = self._bench.registry.model(job.model)
        parameters = train_parameters(model, job)
        data = open_data(job, unit.job_id, self._bench.ledger.jobs, self._settings)
        context = self._context(job, unit, data)
        try:
            with _disk_errors(context.folder):
                trained = model.train(parameters, context)
            return self._publication.publish(
                job, unit, parameters, trained, context, data.fingerprint()
            )
        finally:
            # Of a version that was published the folder is gone already.
            outlive("half a version not removed", lambda: self._bench.store.discard(context.folder))

    def _publish_event(self, unit: Unit, event: Event) -> None:
        try:
            self._bench.ledger.work.publish(unit, event)
        except REDIS_ERRORS as error:
            # Hours of training are worth more than this news, and the job's end says it all.
            log.warning("event=%s of training job=%s is lost: %s", event.event, unit.job_id, error)
        self._bench.registry.notify_job_progress(event)

    def _context(self, job: TrainJob, unit: Unit, data: TrainingData) -> WorkerTrainContext:
        ledger = self._bench.ledger
        publish = partial(self._publish_event, unit)
        checkpoints = WorkerCheckpoints(
            unit,
            lineage_of(job, unit.job_id, ledger.jobs, ledger.checkpoints),
            ledger.checkpoints,
            self._settings.data_dir,
            every_s=self._settings.checkpoint_s,
            stop=self._bench.should_stop,
            say=lambda message: publish(_log_event(unit, message)),
            data_sha256=data.sha256,
        )
        return WorkerTrainContext(
            device=self._bench.identity.device,
            folder=self._bench.store.new_folder(job.model, unit.job_id),
            checkpoints=checkpoints,
            _data=data,
            _unit=unit,
            _publish=publish,
            _stop=self._bench.should_stop,
            _told=told_in(self._events(unit.job_id)) if unit.attempt > 1 else (),
        )

    def _events(self, job_id: str) -> Iterator[Event]:
        after = "0-0"
        while events := self._bench.ledger.jobs.events(job_id, after, block=False):
            yield from events
            after = events[-1].id or after

    def _sweep(self) -> None:
        if sweep(self._settings.data_dir, self._bench.store, self._state_of, time.time()):
            self._bench.publish_catalog()

    def _state_of(self, job_id: str) -> JobState | None:
        try:
            return self._bench.ledger.jobs.get(job_id).state
        except UnknownJob:
            return None

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


def _log_event(unit: Unit, message: str) -> Log:
    return Log(job_id=unit.job_id, at_ms=0, level="info", message=message[:4_096])


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Tell a disk that is full or may not be written from a fault of the plugin."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            raise unwritable(folder, error, "a training") from error
        raise
