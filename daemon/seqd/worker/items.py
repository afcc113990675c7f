"""Runs a claim of classifying or generating units: unpack, load, compute together, commit.

What is this worker's fault, such as a version that cannot be loaded here or a sick device, costs no
item: the units are released, and the worker leaves their queue.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from operator import index
from time import monotonic
from typing import SupportsFloat, SupportsIndex

from pydantic import ValidationError

from seqd.admission import UNIT_OUTPUT_CHARACTERS, most_written
from seqd.errors import (
    InvalidInput,
    InvalidParameters,
    InvalidRequest,
    SeqdError,
    UnknownModel,
)
from seqd.hookspecs import Device, LoadedModel, PluginParameters, WorkItem
from seqd.ledger.blobs import split_chunk
from seqd.ledger.units import Unit
from seqd.ledger.work import (
    NO_USE,
    Claim,
    CommitOutcome,
    Finished,
    MiscountedResults,
    OversizedResults,
    Use,
)
from seqd.models.plugin_calls import PluginCall
from seqd.validation import fault_sentence
from seqd.worker.accepted_schemas import AcceptedSchemas
from seqd.worker.computing import Answered, TaskCall, UnitItems, call_of, compute, unpack
from seqd.worker.context import WorkerContext, WorkerStats
from seqd.worker.deaths import NOT_NOTED
from seqd.worker.faults import ItemFaults, Unfit, sentence_of, unfit_code
from seqd.worker.item_budgets import ItemBudgets
from seqd.worker.labelling import Labelling
from seqd.worker.outcomes import Call, Outcome, Results
from seqd.worker.rollouts import Trial, Trials, is_left_to_serving
from seqd.worker.streaming import DeltaPublisher
from seqd.worker.use import uses_of
from seqd_schemas import (
    GenerateJob,
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    Job,
    ModelReference,
    Priority,
    RolloutKind,
    RunJob,
    UnfitCode,
    task_of,
)

log = logging.getLogger(__name__)

#: More of anything than one batch can have; a status holds the sum of all.
_MOST_OF_A_BATCH = 2**40

#: Times that a unit is released since its plugin raised, before what is raised counts.
MAX_FAULTS = 3


class ItemRunner:
    """Runs units of items."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._trials = Trials(context)
        self._schemas = AcceptedSchemas(context.ledger)
        self._budgets = ItemBudgets(context)

    def run(self, claim: Claim) -> None:
        """Compute and commit the units of a claim. Raises Stopped when asked to stop."""
        with self._context.stats.timing("unpack_s"):
            units = self._unpacked(claim.units)
        units = [unit for unit in units if not self._split_or_give_up(unit, claim)]
        if not units:
            return
        try:
            name, version = _version_of(claim)
            parameters = self._parameters(claim.job)
            plugin_version = self._context.plugin_version(name)
        except SeqdError as error:
            self._fail(units, error)
            return
        units = self._without_too_large(units, claim.job, parameters)
        if not units:
            return
        try:
            model = self._loaded(name, version)
            labelling = Labelling.of(claim.job, parameters)
            if labelling is not None:
                labelling.check(model.classes, f"{name}@{version}")
            faults = self._faults_of(model, units, name, version, claim.job)
            tokens, began = self._context.stats.real_tokens, monotonic()
            trial = self._trials.of(claim, units)
            results = self._computed(
                claim, version, model, parameters, units, faults, labelling, trial
            )
        except Unfit as fault:
            self._release(units, name, version, fault)
            return
        except InvalidRequest as error:
            self._fail(units, error)
            return
        uses = uses_of(
            [unit.characters for unit in units],
            tokens=self._context.stats.real_tokens - tokens,
            busy_s=(busy_s := monotonic() - began),
        )
        self._context.counts.stage("compute", busy_s)
        if trial is None or trial.serving.items:
            self._context.fitness.worked(name, version)
        is_waited_for = claim.job.priority is Priority.INTERACTIVE
        done = list(zip(units, results, strict=True))
        traces = faults.tracebacks
        self._commit(done, uses, plugin_version, traces, is_waited_for=is_waited_for)
        if trial is not None:
            self._trials.note(trial)

    def _unpacked(self, units: tuple[Unit, ...]) -> list[UnitItems]:
        unpacked = []
        for unit in units:
            try:
                unpacked.append(unpack(unit))
            except InvalidInput as error:
                self._context.fail_job(unit, error)
        return unpacked

    def _split_or_give_up(self, unit: UnitItems, claim: Claim) -> bool:
        """Split a unit that has killed its worker too often; fail its item once that is alone.

        A part is split after its first crash: its unit has had its second chances. Where a
        candidate has computed some of it, the version in service has it alone once before that.
        """
        crashes = unit.unit.crashes
        if claim.rollout is not None and is_left_to_serving(unit.unit):
            crashes -= 1
        if crashes < self._most_crashes(unit):
            return False
        if not self._split(unit):
            death = unit.unit.death
            how = NOT_NOTED if death is None else death.message
            message = (
                f"The worker died each time that it worked on this item, at last on it alone. {how}"
            )
            failed = _all_failed(unit, ItemErrorCode.WORKER_CRASHED, message, _named_in(claim))
            self._commit([(unit, failed)])
        return True

    def _most_crashes(self, unit: UnitItems) -> int:
        """Return the crashes of a unit after which it is split, or its item given up.

        One that was silent has cost `max_silent_s`, and no other process or want of memory is to
        blame, so it is split after the first: its halves are its second chance.
        """
        if unit.unit.is_part:
            return 1
        most, death = self._context.max_attempts, unit.unit.death
        if death is None or not death.is_silent:
            return most
        return min(most, 1 if len(unit.chunk.items) > 1 else 2)

    def _without_too_large(
        self, units: list[UnitItems], job: Job, parameters: PluginParameters
    ) -> list[UnitItems]:
        """Split the units whose items could write more than one unit may; return the others.

        Such a one was not cut by `admit`: the items of an inline job are one unit, however many.
        """
        model = self._context.described(ModelReference.parse(job.model).name)
        bound = model.tasks[task_of(job)].bound
        if bound is None:
            return units
        each = most_written(bound, parameters.model_dump(mode="json")).characters
        return [
            unit
            for unit in units
            if each * len(unit.chunk.items) <= UNIT_OUTPUT_CHARACTERS or not self._split(unit)
        ]

    def _split(self, unit: UnitItems) -> bool:
        """Replace a unit by its halves, each to be computed alone; False for a single item."""
        parts = split_chunk(unit.chunk)
        if parts is None:
            return False
        log.warning("splitting unit=%s job=%s", unit.unit.name, unit.unit.job_id)
        self._context.ledger.work.split(unit.unit, parts)
        self._context.leases.given_up(unit.unit)
        return True

    def _loaded(self, name: str, version: int) -> LoadedModel:
        """Return the version in memory. Raises Unfit where that cannot be done here."""
        try:
            return self._context.cache.get(name, version)
        except Exception as error:
            if not isinstance(error, SeqdError):
                log.exception("model %s@%d could not be loaded", name, version)
            code = unfit_code(error, UnfitCode.LOAD_FAILED)
            raise Unfit(code, sentence_of(error), warm_up_failed=False) from None

    def _parameters(self, job: Job) -> PluginParameters:
        model = self._context.described(ModelReference.parse(job.model).name)
        try:
            with PluginCall():
                return model.tasks[task_of(job)].parameters.model_validate(job.parameters)
        except ValidationError as error:
            fault = fault_sentence(error, noun="parameter")
            raise InvalidParameters(f"{job.model} {task_of(job)}: {fault}.") from None
        except Exception as error:
            log.exception("parameters of model=%s refused", job.model)
            raise InvalidParameters(f"{job.model} {task_of(job)}: {sentence_of(error)}.") from None

    def _computed(
        self,
        claim: Claim,
        version: int,
        model: LoadedModel,
        parameters: PluginParameters,
        units: Sequence[UnitItems],
        faults: ItemFaults,
        labelling: Labelling | None,
        trial: Trial | None,
    ) -> list[Results]:
        """Compute all units together, those of a trial's items by its candidate.

        Raises Unfit where this worker is to blame for what the plugin raised.
        """
        job, stop, answered = claim.job, self._stop_of(claim.job), _none_answered(claim)
        asked = parameters if labelling is None else labelling.parameters(parameters)
        task = self._task_call(claim)
        # What a candidate writes is not streamed: whoever reads might get two texts in one.
        silent = WorkerRunContext(self._context.identity.device, stop, self._context.stats)
        trying = partial(call_of, asked=task, parameters=asked, context=silent)
        if trial is not None and trial.is_canary:
            answered = self._trials.answered(trial, trying, task.output, stop)
        with self._calling(job, task, asked, units) as call_of_model:
            call = self._budgets.bounded(
                call_of_model(model), claim, [unit.unit for unit in units], version, asked
            )
            if trial is not None:
                call = trial.serving.timed(call)
            cost = model.cost_tokens
            results = compute(call, units, task.output, faults, cost, stop, labelling, answered)
        if trial is not None and trial.is_canary and answered is not None:
            trial.count(units, results, answered, labelling)
        elif trial is not None:
            shadowed = self._trials.shadowed(trial, trying, task.output, stop)
            if shadowed is not None:
                trial.count(units, results, shadowed, labelling)
        return results

    def _task_call(self, claim: Claim) -> TaskCall:
        """Return what the model is to do, by the schema that the jobs were accepted with."""
        name = ModelReference.parse(claim.job.model).name
        model = self._context.described(name)
        asked = TaskCall.of(claim.job, model)
        if claim.task_schema is None:
            return asked
        spec, plugin = model.tasks[asked.task], self._context.plugin_named(name)
        return replace(asked, accepted=self._schemas.outputs(claim.task_schema, spec, plugin))

    def _stop_of(self, job: Job) -> Callable[[], bool]:
        return self._context.should_stop if _streams(job) else self._context.should_stop_items

    @contextmanager
    def _calling(
        self,
        job: Job,
        task: TaskCall,
        parameters: PluginParameters,
        units: Sequence[UnitItems],
    ) -> Iterator[Callable[[LoadedModel], Call]]:
        """Yield what makes a call of a model; text deltas are published where the jobs ask so."""
        worker, stop = self._context, self._stop_of(job)
        device, stats = worker.identity.device, worker.stats
        if not _streams(job):
            context = WorkerRunContext(device, stop, stats)
            yield lambda model: call_of(model, task, parameters, context)
            return
        publish = partial(worker.ledger.work.publish_deltas, worker.identity.name)
        streamed = (item for unit in units for item in unit.streamed())
        deltas = DeltaPublisher(streamed, publish, worker.leases.note_lost)
        streaming = WorkerRunContext(device, stop, stats, deltas)

        def call_from_start(call: Call, items: Sequence[WorkItem]) -> Sequence[Outcome]:
            deltas.restart(items)
            return call(items)

        with deltas.publishing():
            yield lambda model: partial(
                call_from_start, call_of(model, task, parameters, streaming)
            )

    def _faults_of(
        self,
        model: LoadedModel,
        units: Sequence[UnitItems],
        name: str,
        version: int,
        job: Job,
    ) -> ItemFaults:
        worker = self._context.identity.name

        def try_elsewhere() -> bool:
            if all(_was_tried_elsewhere(items.unit, worker) for items in units):
                return False
            return self._context.another_can_run(task_of(job), name, version)

        return ItemFaults(model.warm_up, try_elsewhere, model=f"{name}@{version}")

    def _release(self, units: Sequence[UnitItems], name: str, version: int, fault: Unfit) -> None:
        """Leave the version's queue and release the units, which costs them nothing.

        A unit that makes the device of one worker after the other sick is the exception: as if it
        had killed them, it is split in the end, and its one item found.
        """
        context, worker = self._context, self._context.identity.name
        wait_s = context.fitness.mark(name, version, fault.unfit_code, str(fault))
        log.error(
            "unfit for model=%s@%d code=%s, trying it again in %.1f s; units=%d released: %s",
            *(name, version, fault.unfit_code, wait_s, len(units), fault),
        )
        for unit in (items.unit for items in units):
            crashed = fault.warm_up_failed and unit.faults is not None
            context.ledger.work.release_unit(unit, crashed=crashed, faulted_by=worker)

    def _fail(self, units: Sequence[UnitItems], error: SeqdError) -> None:
        for unit in units:
            self._context.fail_job(unit.unit, error)

    def _commit(
        self,
        done: Sequence[tuple[UnitItems, Results]],
        uses: Sequence[Use] = (),
        plugin_version: str = "",
        tracebacks: Mapping[str, str] | None = None,
        *,
        is_waited_for: bool = False,
    ) -> None:
        finished = [
            Finished(items.unit, results, items.chunk, use=use, tracebacks=tracebacks)
            for (items, results), use in zip(done, uses or repeat(NO_USE), strict=False)
        ]
        with self._context.stats.timing("commit_s"):
            outcomes = self._context.ledger.work.commit_batch(finished, plugin_version)
        ended, committed = list[str](), list[Results]()
        for (items, results), outcome in zip(done, outcomes, strict=True):
            if isinstance(outcome, MiscountedResults):
                self._fail([items], _miscounted(items))
                continue
            if isinstance(outcome, OversizedResults):
                # Of one item it would be no more than `MAX_RESULT_BYTES`.
                log.warning("job=%s: %s", items.unit.job_id, outcome)
                self._split(items)
                continue
            self._context.leases.committed(items.unit, outcome)
            errored = sum(isinstance(result, ItemFailure) for result in results)
            self._context.stats.committed(len(results), errored)
            if outcome is CommitOutcome.COMPLETED:
                committed.append(results)
                ended.append(items.unit.job_id)
            elif outcome is CommitOutcome.COMMITTED:
                committed.append(results)
            else:
                log.info(
                    "commit of unit=%s job=%s: %s", items.unit.name, items.unit.job_id, outcome
                )
        self._context.counts.items(committed)
        self._context.jobs_finished(ended, is_waited_for=is_waited_for)


@dataclass(frozen=True, slots=True)
class WorkerRunContext:
    """What the worker hands `classify` and `generate`: the real `RunContext`."""

    device: Device
    _stop: Callable[[], bool]
    _stats: WorkerStats
    #: Where text deltas go; None where nobody streams.
    _deltas: DeltaPublisher | None = None

    def stop_requested(self) -> bool:
        """Return True when the job was cancelled or the worker drains."""
        return self._stop()

    def batch(
        self,
        *,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Count a batch for the worker's status; one that cannot be counted is left out."""
        if not (
            all(_is_count(count) for count in (items, real_tokens, computed_tokens))
            and all(_is_time(seconds) for seconds in (vectorise_s, compute_s))
        ):
            log.warning(
                "a batch was not counted: the plugin says items=%.80r real_tokens=%.80r "
                "computed_tokens=%.80r vectorise_s=%.80r compute_s=%.80r",
                items,
                real_tokens,
                computed_tokens,
                vectorise_s,
                compute_s,
            )
            return
        self._stats.batch(
            items=index(items),
            real_tokens=index(real_tokens),
            computed_tokens=index(computed_tokens),
            vectorise_s=float(vectorise_s),
            compute_s=float(compute_s),
        )

    def stream(self, item: WorkItem, sample: int, delta: str) -> None:
        """Take a text delta, which another thread publishes; raises nothing."""
        if self._deltas is not None:
            self._deltas.take(item, sample, delta)


def _streams(job: Job) -> bool:
    return isinstance(job, GenerateJob | RunJob) and job.stream


def _is_count(value: object) -> bool:
    return isinstance(value, SupportsIndex) and 0 <= index(value) <= _MOST_OF_A_BATCH


def _is_time(value: object) -> bool:
    return isinstance(value, SupportsFloat) and 0.0 <= float(value) <= _MOST_OF_A_BATCH


def _all_failed(unit: UnitItems, code: ItemErrorCode, message: str, version: int | None) -> Results:
    """Return the same error for every item of a unit; entries refused before keep their own.

    `version` is the one that they name, where results name it.
    """
    error = ItemError(code=code, message=message)
    return [
        ItemFailure(
            custom_id=entry.custom_id,
            error=error if isinstance(entry, Item) else entry.refused,
            attempts=unit.unit.attempt,
            version=version if isinstance(entry, Item) else None,
        )
        for entry in unit.chunk.items
    ]


def _none_answered(claim: Claim) -> Answered | None:
    """Return that a candidate has answered nothing, where each result names its version."""
    named, rollout = _named_in(claim), claim.rollout
    if named is None or rollout is None:
        return None
    return Answered({}, candidate=rollout.version, serving=named)


def _named_in(claim: Claim) -> int | None:
    """Return the version in service, where the results of a claim name which one computed them."""
    is_canary = claim.rollout is not None and claim.rollout.kind == RolloutKind.CANARY
    return claim.version if is_canary else None


def _miscounted(items: UnitItems) -> InvalidInput:
    return InvalidInput(
        f"unit {items.unit.name} holds {len(items.chunk.items)} items, which is not the number "
        "that the ledger knows of: its chunk was replaced. Upload through seqd.client."
    )


def _version_of(claim: Claim) -> tuple[str, int]:
    if claim.version is None:
        raise UnknownModel(f"The job on {claim.job.model} names no version; hand it in again.")
    return ModelReference.parse(claim.job.model).name, claim.version


def _was_tried_elsewhere(unit: Unit, worker: str) -> bool:
    """Return True once another worker gave it back, or several times any did: it may be gone."""
    faults = unit.faults
    return faults is not None and (faults.worker != worker or faults.count >= MAX_FAULTS)
