"""Runs a claim of classifying or generating units from end to end.

Finds the version, loads it, computes (`item_units`), commits all units together. What concerns the
whole job, such as a model that cannot be loaded, fails the job with its reason.
"""

import logging
from collections.abc import Sequence
from functools import partial

from pydantic import ValidationError

from seqd.errors import (
    InvalidInput,
    InvalidParameters,
    PluginFault,
    SeqdError,
    UnknownModel,
    failure_of,
)
from seqd.hookspecs import LoadedModel, PluginParameters
from seqd.ledger.blobs import split_chunk
from seqd.ledger.work import Claim, CommitOutcome, Finished, MiscountedResults, Unit
from seqd.worker.contexts import WorkerRunContext
from seqd.worker.item_units import Results, UnitItems, all_failed, call_of, compute, unpack
from seqd.worker.pieces import PiecePublisher
from seqd.worker.workbench import Workbench
from seqd_schemas import Failure, GenerateJob, ItemErrorCode, Job, task_of

log = logging.getLogger(__name__)


class ItemJobs:
    """Runs units of items."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    def run(self, claim: Claim) -> None:
        """Compute and commit the units of a claim. Raises Stopped when asked to stop."""
        with self._bench.meter.timing("unpack_s"):
            units = self._unpacked(claim.units)
        units = [unit for unit in units if not self._set_aside(unit)]
        if not units:
            return
        try:
            model = self._model(claim)
            parameters = self._parameters(claim.job)
        except SeqdError as error:
            self._fail(units, failure_of(error))
            return
        except Exception as error:
            log.exception("model %s could not be loaded", claim.job.model)
            self._fail(units, failure_of(_load_fault(claim.job, error)))
            return
        results = self._computed(claim.job, model, parameters, units)
        self._commit(list(zip(units, results, strict=True)))

    def _unpacked(self, units: tuple[Unit, ...]) -> list[UnitItems]:
        unpacked = []
        for unit in units:
            try:
                unpacked.append(unpack(unit))
            except InvalidInput as error:
                if self._bench.ledger.work.fail_job(unit, failure_of(error)):
                    self._bench.job_finished(unit.job_id)
        return unpacked

    def _set_aside(self, unit: UnitItems) -> bool:
        """Split a unit that has killed its worker too often; record the killer once it is alone.

        A part is split after its first crash: its unit has had its second chances.
        """
        crashes = unit.unit.crashes
        if crashes < (1 if unit.unit.is_part else self._bench.max_attempts):
            return False
        halves = split_chunk(unit.chunk)
        if halves is None:
            message = (
                "The worker died while it worked on this item alone, and each time before when it "
                "was among others. The worker's log says how it died."
            )
            self._commit([(unit, all_failed(unit, ItemErrorCode.WORKER_CRASHED, message))])
        else:
            log.warning("splitting unit=%s job=%s", unit.unit.name, unit.unit.job_id)
            self._bench.ledger.work.split(unit.unit, halves)
        return True

    def _model(self, claim: Claim) -> LoadedModel:
        if claim.version is None:
            raise UnknownModel(f"The job on {claim.job.model} names no version; hand it in again.")
        return self._bench.cache.get(claim.job.model.split("@")[0], claim.version)

    def _parameters(self, job: Job) -> PluginParameters:
        model = self._bench.registry.model(job.model.split("@")[0])
        try:
            return model.tasks[task_of(job.kind)].parameters.model_validate(job.parameters)
        except ValidationError as error:
            raise InvalidParameters(parameter_fault(job, error)) from None

    def _computed(
        self,
        job: Job,
        model: LoadedModel,
        parameters: PluginParameters,
        units: Sequence[UnitItems],
    ) -> list[Results]:
        """Compute all units together; their texts are published meanwhile where the jobs ask so."""
        bench = self._bench
        if not (isinstance(job, GenerateJob) and job.stream):
            context = WorkerRunContext(bench.identity.device, bench.should_stop, bench.meter)
            return compute(call_of(model, job.kind, parameters, context), units)
        publish = partial(bench.ledger.work.publish_deltas, bench.identity.name)
        pieces = PiecePublisher(units, publish, bench.leases.note_lost)
        context = WorkerRunContext(bench.identity.device, bench.should_stop, bench.meter, pieces)
        with pieces.publishing():
            return compute(pieces.around(call_of(model, job.kind, parameters, context)), units)

    def _fail(self, units: list[UnitItems], failure: Failure) -> None:
        for unit in units:
            if self._bench.ledger.work.fail_job(unit.unit, failure):
                self._bench.job_finished(unit.unit.job_id)

    def _commit(self, done: Sequence[tuple[UnitItems, Results]]) -> None:
        finished = [Finished(items.unit, results, items.chunk) for items, results in done]
        with self._bench.meter.timing("commit_s"):
            outcomes = self._bench.ledger.work.commit_batch(finished)
        ended: list[str] = []
        for (items, results), outcome in zip(done, outcomes, strict=True):
            if isinstance(outcome, MiscountedResults):
                self._fail([items], failure_of(_miscounted(items)))
                continue
            self._bench.meter.committed(len(results))
            if outcome is CommitOutcome.COMPLETED:
                ended.append(items.unit.job_id)
            elif outcome is not CommitOutcome.COMMITTED:
                log.info(
                    "commit of unit=%s job=%s: %s", items.unit.name, items.unit.job_id, outcome
                )
        self._bench.jobs_finished(ended)


def parameter_fault(job: Job, error: ValidationError) -> str:
    """Say which parameter is wrong, what arrived and what pydantic allows."""
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"{job.model} {job.kind}: parameter {name!r} is {first['input']!r}: {first['msg']}."


def _miscounted(items: UnitItems) -> InvalidInput:
    return InvalidInput(
        f"unit {items.unit.name} holds {len(items.chunk.items)} items, which is not the number "
        "that the ledger knows of: its chunk was replaced. Upload through seqd.client."
    )


def _load_fault(job: Job, error: Exception) -> PluginFault:
    return PluginFault(
        f"Model {job.model} could not be loaded: {type(error).__name__}: {error}. The worker's "
        "log has the traceback."
    )
