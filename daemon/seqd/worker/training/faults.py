"""Trainings that stop for a fault of their worker: released, and failed where nobody can go on.

What they have learnt is in their checkpoints, so another worker, or this one later, loses little.
"""

import logging

from seqd.errors import DeviceUnavailable, NoFitWorker
from seqd.kinds import TRAIN
from seqd.serving import reasons
from seqd.settings import Settings
from seqd.worker.context import WorkerContext
from seqd.worker.faults import sentence_of
from seqd.worker.training.run import Run
from seqd.worker.unserved import LASTING, no_fit_worker
from seqd_schemas import UnfitCode

log = logging.getLogger(__name__)

#: Seconds until a training is begun again where no other worker can take it; doubles, up to the
#: longest wait.
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 30.0

#: Faults of devices after which a training is the likelier reason than they are.
_MOST_DEVICE_FAULTS = 3


class TrainingFaults:
    """Releases trainings that this worker cannot go on with."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._settings = settings

    def release(self, run: Run, code: UnfitCode, error: Exception) -> NoFitWorker | None:
        """Release the training; return an error instead where it is to fail.

        It is where no other worker can take it and it has waited long enough, or was released
        for what it does itself: its memory, or a device that it makes sick.
        """
        context, unit, plugin = self._context, run.unit, self._context.plugin_of(run.job)
        another_can = context.another_can_run(TRAIN, plugin, None)
        if not self._may_be_tried_again(run, code, another_can):
            return self._refusal(run, code, error)
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

    def _may_be_tried_again(self, run: Run, code: UnfitCode, another_can: bool) -> bool:
        faults = run.unit.faults
        if code is UnfitCode.DEVICE_FAULT:
            return faults is None or faults.count < _MOST_DEVICE_FAULTS
        was_elsewhere = faults is not None and faults.worker != self._context.identity.name
        if code is UnfitCode.NO_MEMORY:  # more likely the training's own
            return another_can and not was_elsewhere
        if another_can:
            return True
        waited_s = 0.0 if faults is None else faults.age_s
        return code not in LASTING and waited_s < self._settings.unfit_grace_s

    def _refusal(self, run: Run, code: UnfitCode, error: Exception) -> NoFitWorker:
        context, plugin = self._context, self._context.plugin_of(run.job)
        why = reasons(context.ledger.fleet.workers(), TRAIN, plugin, None)
        why[context.identity.name] = (code, sentence_of(error).rstrip("."))
        return no_fit_worker(f"the training of {run.job.model}", why)
