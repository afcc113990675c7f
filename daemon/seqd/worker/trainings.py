"""Runs a training from its data to a new version in the model store; `sweeps` has it run several.

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
from typing import Protocol

from pydantic import ValidationError

from seqd.analysis.curves import LearningCurve
from seqd.checkpoints import CheckpointFolder
from seqd.errors import (
    REDIS_ERRORS,
    InvalidParameters,
    LeaseLost,
    PluginFault,
    SeqdError,
    Stopped,
    failure_of,
)
from seqd.hookspecs import Model, PluginParameters
from seqd.ledger.units import Unit
from seqd.settings import Settings
from seqd.store.disk import DISK_ERRNOS, unwritable
from seqd.worker.checkpoints import WorkerCheckpoints, lineage_of_run
from seqd.worker.chores import outlive
from seqd.worker.contexts import WorkerTrainContext, told_in
from seqd.worker.leftovers import sweep
from seqd.worker.publication import Publication
from seqd.worker.runs import Run, events_so_far, state_of_run
from seqd.worker.training_data import TrainingData, open_data
from seqd.worker.workbench import Workbench
from seqd_schemas import Event, Failure, JobState, Log, ModelManifest, TrainJob

log = logging.getLogger(__name__)


class Ending(Protocol):
    """Commits what came of a training."""

    def succeed(self, run: Run, manifest: ModelManifest, seconds: float, epochs_s: float) -> None:
        """Commit the version. Raises LeaseLost.

        `seconds` are those of this attempt, `epochs_s` those of them that went into epochs.
        """

    def fail(self, run: Run, failure: Failure) -> None:
        """Commit why there is none."""


class Trainings:
    """Runs the units of training jobs."""

    def __init__(self, bench: Workbench, settings: Settings) -> None:
        self._bench = bench
        self._settings = settings
        self.publication = Publication(bench, settings.lease_s)

    def run(self, job: TrainJob, unit: Unit) -> None:
        """Train, publish and commit. Raises Stopped or LeaseLost when it must not go on."""
        self.carry_out(Run(job, unit), self)

    def carry_out(self, run: Run, ending: "Ending") -> None:
        """Train and publish, and have `ending` commit what came of it. Raises as `run` does."""
        began = monotonic()
        outlive("leftovers of trainings not cleared away", self._sweep)
        try:
            self._refuse_after_crashes(run.unit)
            manifest, epochs_s = self.publication.take_up(run), 0.0
            if manifest is None:
                manifest, epochs_s = self._train(run)
            ending.succeed(run, manifest, monotonic() - began, epochs_s)
        except (Stopped, LeaseLost, *REDIS_ERRORS):
            raise
        except SeqdError as error:
            ending.fail(run, failure_of(error))
        except Exception as error:
            log.exception("training of %s failed, job=%s", run.job.model, run.id)
            fault = PluginFault(
                f"Training {run.job.model} failed: {type(error).__name__}: {error}. The worker's "
                "log has the traceback."
            )
            ending.fail(run, failure_of(fault))
        finally:
            if self.publication.settle(run):
                # Kept after any other end: a new job may go on from them.
                CheckpointFolder(self._settings.data_dir, run.id).remove_all()
                if run.sweep is not None:
                    # Else the job's hash, which is read often, would grow by each combination's.
                    forget = partial(self._bench.ledger.checkpoints.forget, run.id)
                    outlive("checkpoints not forgotten", forget)

    def succeed(self, run: Run, manifest: ModelManifest, seconds: float, epochs_s: float) -> None:
        """Complete a training's own job. Raises LeaseLost."""
        self.publication.commit(run, manifest, seconds)

    def fail(self, run: Run, failure: Failure) -> None:
        """Fail a training's own job."""
        if self._bench.ledger.work.fail_job(run.unit, failure):
            self._bench.job_finished(run.unit.job_id)

    def _refuse_after_crashes(self, unit: Unit) -> None:
        if unit.crashes >= self._bench.max_attempts:
            raise PluginFault(
                f"The worker died {unit.crashes} times during this training without getting as far "
                "as a new checkpoint, which is as often as it is tried (SEQD_MAX_ATTEMPTS). Its "
                "log says why; memory is the usual reason."
            )

    def tell(self, run: Run, message: str) -> None:
        """Publish a line about a training, for whoever watches its job."""
        self._publish_event(run.unit, _log_event(run, message))

    def _train(self, run: Run) -> tuple[ModelManifest, float]:
        """Train and publish; gives the version, and the seconds of the epochs."""
        model = self._bench.registry.model(run.job.model)
        parameters = train_parameters(model, run.job)
        data = open_data(run.job, run.unit.job_id, self._bench.ledger.jobs, self._settings)
        context = self._context(run, data)
        try:
            with _disk_errors(context.folder):
                trained = model.train(parameters, context)
            fingerprint = data.fingerprint()
            manifest = self.publication.publish(run, parameters, trained, context, fingerprint)
            return manifest, context.epochs_s
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

    def _context(self, run: Run, data: TrainingData) -> WorkerTrainContext:
        ledger, unit = self._bench.ledger, run.unit
        publish = partial(self._publish_event, unit)
        curve = LearningCurve()
        checkpoints = WorkerCheckpoints(
            unit,
            lineage_of_run(run, ledger.jobs, ledger.checkpoints),
            ledger.checkpoints,
            self._settings.data_dir,
            every_s=self._settings.checkpoint_s,
            stop=self._bench.should_stop,
            say=lambda message: publish(_log_event(run, message)),
            data_sha256=data.sha256,
            curve=curve,
        )
        return WorkerTrainContext(
            device=self._bench.identity.device,
            folder=self._bench.store.new_folder(run.job.model, run.id),
            checkpoints=checkpoints,
            curve=curve,
            _data=data,
            _unit=unit,
            _publish=publish,
            _stop=self._bench.should_stop,
            _told=told_in(events_so_far(unit.job_id, ledger.jobs), run.name)
            if unit.attempt > 1
            else (),
            _run=run.name,
        )

    def _sweep(self) -> None:
        if sweep(self._settings.data_dir, self._bench.store, self._state_of, time.time()):
            self._bench.publish_catalog()

    def _state_of(self, run_id: str) -> JobState | None:
        return state_of_run(run_id, self._bench.ledger.jobs)


def train_parameters(model: Model, job: TrainJob) -> PluginParameters:
    """Merge the job's parameters over its preset and validate them; raises InvalidParameters."""
    preset = model.presets.get(job.preset, {}) if job.preset else {}
    try:
        return model.tasks["train"].parameters.model_validate({**preset, **job.parameters})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        # Without a name it is about parameters that do not go together.
        what = f"parameter {name!r} is {first['input']!r}: " if name else ""
        reason = first["msg"].removeprefix("Value error, ")
        raise InvalidParameters(f"{job.model} train: {what}{reason}.") from None


def _log_event(run: Run, message: str) -> Log:
    job_id = run.unit.job_id
    return Log(job_id=job_id, at_ms=0, run=run.name, level="info", message=message[:4_096])


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Tell a disk that is full or may not be written from a fault of the plugin."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            raise unwritable(folder, error, "a training") from error
        raise
