"""Runs a claimed training, or a combination of a sweep: plan, `Model.train`, version, commit.

The version appears in the store whole or not at all, and only while this worker holds the
unit: a late result of an attempt that lost it stays staged and is removed. A job that is
tried again goes on from its last checkpoint, or adopts the version that it had published. One that
stops for a fault of this worker, such as a full disk, is released with its checkpoints.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic

from seqd.analysis.curves import LearningCurve
from seqd.errors import (
    DISK_ERRNOS,
    REDIS_ERRORS,
    DeviceUnavailable,
    InvalidInput,
    LeaseLost,
    NoFitWorker,
    PluginFault,
    RedisUnreachable,
    SeqdError,
    Stopped,
)
from seqd.hookspecs import TrainedModel
from seqd.kinds import TRAIN
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.models.agreement import ask_trained, check_saved
from seqd.models.checkpoints import CheckpointFolder
from seqd.models.disk import unwritable
from seqd.models.plugin_frames import with_place
from seqd.plugin.calls import PluginCall
from seqd.serving import reasons
from seqd.settings import Settings
from seqd.worker.background import LASTING, no_fit_worker
from seqd.worker.context import WorkerContext
from seqd.worker.faults import reading_fault, sentence_of
from seqd.worker.logs import log_and_continue, try_now
from seqd.worker.training.checkpoints import WorkerCheckpoints, lineage_of_run
from seqd.worker.training.publish import (
    Publisher,
    RunCommit,
    Trained,
    TrainingCommit,
    collect_garbage,
)
from seqd.worker.training.run import (
    Run,
    TrainingPlan,
    WorkerTrainContext,
    reported_in,
    state_of_run,
)
from seqd.worker.training.sweeps import CombinationCommit
from seqd_schemas import (
    Epoch,
    Event,
    ModelManifest,
    SweepJob,
    TrainJob,
    UnfitCode,
    queue_of,
    route_of,
)

log = logging.getLogger(__name__)


#: Seconds until a training is begun again where no other worker can take it; doubles, up to the
#: longest wait.
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0

#: Faults of devices after which a training is the likelier reason than they are.
_MOST_DEVICE_FAULTS = 3


class TrainingRunner:
    """Runs the units of trainings and sweeps."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings
        self._publisher = Publisher(context)

    def run(self, claim: Claim) -> None:
        """Train, publish and commit. Raises Stopped or LeaseLost when it must not go on."""
        context, unit, began = self._context, claim.units[0], monotonic()
        try:
            commit = self._commit_of(claim)
        except InvalidInput as error:
            context.fail_job(unit, error)
            return
        log_and_continue("garbage of trainings not collected", self._collect_garbage)
        try:
            if unit.crashes >= context.max_attempts:
                commit.give_up()
            else:
                manifest, epochs_s = self._version_of(commit)
                plugin = context.plugin_of(commit.run.job)
                context.fitness.worked(plugin, None)
                took_s = monotonic() - began
                commit.succeed(Trained(manifest, took_s, epochs_s))
                if unit.attempt == 1:  # else an earlier attempt did a part of it
                    self._note_rate(plugin, took_s)
        except (Stopped, LeaseLost, *REDIS_ERRORS):
            raise
        except Exception as error:  # noqa: BLE001  a plugin may raise anything
            self._fail_or_release(commit, error)
        finally:
            self._finalize(commit)

    def _commit_of(self, claim: Claim) -> RunCommit:
        job, (unit,) = claim.job, claim.units
        if isinstance(job, SweepJob):
            return CombinationCommit(self._context, self._publisher, job, unit)
        assert isinstance(job, TrainJob), "no other kind is claimed as a training"
        return TrainingCommit(self._context, self._publisher, Run(job, unit))

    def _version_of(self, commit: RunCommit) -> tuple[ModelManifest, float]:
        """Adopt or train the version; return it with the seconds of the epochs."""
        run = commit.run
        if run.sweep is not None:
            begun = "begun" if run.unit.attempt == 1 else "resumed"
            line = run.reporter.log(f"{begun} by {self._context.identity.name}")
            self._publish_event(run.unit, line)
        adopted = self._publisher.adopt(run)
        if adopted is not None:
            return adopted, 0.0
        return self._train(TrainingPlan.of(run, self._context, self._settings), commit.earlier)

    def _train(self, plan: TrainingPlan, earlier: Sequence[Event]) -> tuple[ModelManifest, float]:
        context, run = self._train_context(plan, earlier), plan.run
        try:
            with _disk_errors(context.folder), PluginCall():
                trained: object = plan.model.train(plan.parameters, context)
            if not isinstance(trained, TrainedModel):
                raise PluginFault(
                    f"Training {run.job.model} gave {type(trained).__name__}; its contract is a "
                    "seqd.hookspecs.TrainedModel."
                )
            # Before the sample is taken, which may read the held-out data to its end.
            draft = self._publisher.draft(plan, trained, context)
            answers = ask_trained(plan.model, trained, context)
            del trained  # else it would be in memory twice
            check_saved(context.folder, draft, answers)
            return self._publisher.publish(run, context.folder, draft), context.epochs_s
        finally:
            # Of a version that was published the folder is gone already.
            log_and_continue(
                "staged version not removed", lambda: self._context.store.discard(context.folder)
            )

    def _train_context(self, plan: TrainingPlan, earlier: Sequence[Event]) -> WorkerTrainContext:
        ledger, run = self._context.ledger, plan.run

        def publish(event: Event) -> None:
            if isinstance(event, Epoch):
                self._context.fitness.worked(plan.plugin, None)
            self._publish_event(run.unit, event)

        curve = LearningCurve()
        checkpoints = WorkerCheckpoints(
            run.unit,
            lineage_of_run(run, ledger.jobs, ledger.checkpoints),
            ledger.checkpoints,
            self._settings.data_dir,
            every_s=self._settings.checkpoint_s,
            stop=self._context.should_stop,
            report=lambda message: publish(run.reporter.log(message)),
            data_sha256=plan.data.sha256,
            curve=curve,
            objects=self._context.store.objects,
        )
        return WorkerTrainContext(
            device=self._context.identity.device,
            folder=self._context.store.new_folder(run.job.model, run.id),
            checkpoints=checkpoints,
            curve=curve,
            _run=run,
            _data=plan.data,
            _publish=publish,
            _stop=self._context.should_stop,
            _reported=reported_in(earlier),
        )

    def _publish_event(self, unit: Unit, event: Event) -> None:
        try:
            with waiting_at_most(0):
                self._context.ledger.work.publish(unit, event)
        except REDIS_ERRORS as error:
            # Hours of training are worth more than this news, and the job's end says it all.
            if not isinstance(error, RedisUnreachable):  # of which the outage has its line
                message = "event=%s of training job=%s is lost: %s"
                log.warning(message, event.event, unit.job_id, error)
        self._context.registry.notify_job_progress(event)

    def _note_rate(self, plugin: str, took_s: float) -> None:
        """Note what a training took, for autoscaling; that is worth no wait."""
        queue = queue_of(route_of(TRAIN, plugin), None)
        try_now(
            "what the training took is not noted",
            lambda: self._context.ledger.backlog.note_rate(queue, 1, took_s),
        )

    def _fail_or_release(self, commit: RunCommit, error: Exception) -> None:
        """Release a training that stopped for a fault of this worker; else fail it."""
        run, code = commit.run, reading_fault(error)
        said = f"Training {run.job.model} failed: {sentence_of(error)}"
        if not isinstance(error, SeqdError):
            log.exception("training of %s failed, job=%s", run.job.model, run.id)
        if code is not None:
            refused = self._release(run, code, error)
            if refused is not None:
                commit.fail(refused)
            return
        if type(error) is PluginFault:
            # What a plugin reports is refused where it reports it.
            said = with_place(str(error), error)
        elif isinstance(error, SeqdError):
            commit.fail(error)
            return
        else:
            said = f"{said}. The traceback is in {self._context.log_place}."
        fault = PluginFault(said)
        fault.__cause__ = error  # for its traceback
        commit.fail(fault)

    def _release(self, run: Run, code: UnfitCode, error: Exception) -> NoFitWorker | None:
        """Release the training, which another goes on with from its checkpoint.

        Return an error instead where it is to fail: no other worker can take it and it has waited
        long enough, or it was released for what it does itself, its memory or a device that it
        makes sick.
        """
        context, unit, plugin = self._context, run.unit, self._context.plugin_of(run.job)
        another_can = context.another_can_run(TRAIN, plugin, None)
        if not self._may_be_tried_again(unit, code, another_can):
            why = reasons(context.ledger.fleet.workers(), TRAIN, plugin, None)
            why[context.identity.name] = (code, sentence_of(error).rstrip("."))
            return no_fit_worker(f"the training of {run.job.model}", why)
        context.fitness.mark(plugin, None, code, sentence_of(error))
        count = unit.faults.count if unit.faults else 0
        wait_s = min(_FIRST_WAIT_S * 2.0 ** min(count, 30), _LONGEST_WAIT_S)
        context.ledger.work.release_unit(
            unit, wait_s=0.0 if another_can else wait_s, faulted_by=context.identity.name
        )
        log.error("unfit to train %s code=%s; job=%s released: %s", plugin, code, run.id, error)
        if code is UnfitCode.DEVICE_FAULT:
            # What a training has spoilt of the device goes with its process.
            context.end_for_device(DeviceUnavailable(sentence_of(error)))
        return None

    def _may_be_tried_again(self, unit: Unit, code: UnfitCode, another_can: bool) -> bool:
        faults = unit.faults
        if code is UnfitCode.DEVICE_FAULT:
            return faults is None or faults.count < _MOST_DEVICE_FAULTS
        was_elsewhere = faults is not None and faults.worker != self._context.identity.name
        if code is UnfitCode.NO_MEMORY:  # more likely the training's own
            return another_can and not was_elsewhere
        if another_can:
            return True
        waited_s = 0.0 if faults is None else faults.age_s
        return code not in LASTING and waited_s < self._settings.unfit_grace_s

    def _finalize(self, commit: RunCommit) -> None:
        """Confirm the run's version or roll it back; remove checkpoints that nobody needs.

        They are kept after any end but completion: a new job may go on from them.
        """
        run = commit.run
        if self._publisher.finalize(run, commit.state):
            objects = self._context.store.objects
            CheckpointFolder(self._settings.data_dir, run.id, objects).remove_all()
            if run.sweep is not None:
                # Else the job's hash, which is read often, would grow by each combination's.
                forget = partial(self._context.ledger.checkpoints.forget, run.id)
                log_and_continue("checkpoints not forgotten", forget)

    def _collect_garbage(self) -> None:
        state_of = partial(state_of_run, jobs=self._context.ledger.jobs)
        if collect_garbage(self._settings.data_dir, self._context.store, state_of, time.time()):
            self._context.publish_catalog()


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Raise StoreUnwritable for a disk that is full or read-only: no fault of the plugin's."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRNOS:
            raise unwritable(folder, error, "a training") from error
        raise
