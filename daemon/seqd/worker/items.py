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
from time import monotonic, perf_counter
from typing import SupportsFloat, SupportsIndex

from seqd.errors import FILE_ERRORS, REDIS_ERRORS, InvalidInput, InvalidRequest, SeqdError
from seqd.hookspecs import Device, LoadedModel, WorkItem
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
from seqd.settings import Settings
from seqd.worker.computing import Answered, UnitItems, call_of, compute, unpack
from seqd.worker.context import WorkerContext
from seqd.worker.counting import WorkerStats
from seqd.worker.deaths import NOT_NOTED
from seqd.worker.faults import ItemFaults, Unfit
from seqd.worker.item_budgets import ItemBudgets
from seqd.worker.outcomes import Results
from seqd.worker.plans import Plan, Plans
from seqd.worker.references import References
from seqd.worker.rollouts import Trial, Trials, is_left_to_serving
from seqd.worker.streaming import DeltaPublisher
from seqd_schemas import (
    Item,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    Priority,
    RolloutKind,
)

log = logging.getLogger(__name__)


def uses_of(characters: Sequence[int], *, tokens: int, busy_s: float) -> list[Use]:
    """Return what each unit took of a claim, for the account of its tenant, by its characters.

    The parts add up to the whole. `tokens` are those that the plugin has counted; where it has
    counted none, characters stand for them.
    """
    of_tokens = shares_of(tokens, characters) if tokens else list(characters)
    of_time = shares_of(round(1000 * busy_s), characters)
    return [Use(part, busy_ms) for part, busy_ms in zip(of_tokens, of_time, strict=True)]


def shares_of(whole: int, weights: Sequence[int]) -> list[int]:
    """Divide a whole number by weights; nothing of it where all weights are 0."""
    total, so_far, given = sum(weights), 0, 0
    shares = []
    for weight in weights:
        so_far += weight
        share = (whole * so_far + total // 2) // total - given if total else 0
        given += share
        shares.append(share)
    return shares


#: More of anything than one batch can have; a status holds the sum of all.
_MOST_OF_A_BATCH = 2**40

#: Times that a unit is released since its plugin raised, before what is raised counts.
MAX_FAULTS = 3


class ItemRunner:
    """Runs units of items."""

    def __init__(self, context: WorkerContext, settings: Settings) -> None:
        self._context = context
        self._references = References(context, settings)
        self._plans = Plans(context)
        self._trials = Trials(context)
        self._budgets = ItemBudgets(context)

    def run(self, claim: Claim) -> None:
        """Compute and commit the units of a claim. Raises Stopped when asked to stop."""
        began = perf_counter()
        units = list(self._unpacked(claim))
        self._context.stats.unpack_s += perf_counter() - began
        units = [unit for unit in units if not self._split_or_give_up(unit, claim)]
        if not units:
            return
        try:
            plan = self._plans.of(claim)
        except SeqdError as error:
            self._fail(units, error)
            return
        units = [
            unit for unit in units if plan.fits(len(unit.chunk.items)) or not self._split(unit)
        ]
        if settled := [unit for unit in units if not unit.undone.chunk.items]:
            self._commit([(unit, unit.with_kept([])) for unit in settled])
        units = [unit for unit in units if unit.undone.chunk.items]
        if not units:
            return
        try:
            done = self._computed(plan, claim, [unit.undone for unit in units])
        except Unfit as fault:
            self._release(units, plan, fault)
            return
        except InvalidRequest as error:
            self._fail(units, error)
            return
        self._context.counts.stage("compute", done.busy_s)
        if done.trial is None or done.trial.serving.items:
            self._context.fitness.worked(plan.model, plan.version)
        is_waited_for = claim.job.priority is Priority.INTERACTIVE
        self._commit(
            [(unit, unit.with_kept(made)) for unit, made in zip(units, done.results, strict=True)],
            uses_of(
                [unit.undone.characters for unit in units], tokens=done.tokens, busy_s=done.busy_s
            ),
            plan.plugin_version,
            done.tracebacks,
            is_waited_for=is_waited_for,
        )
        if done.trial is not None:
            self._trials.note(done.trial)

    def close(self) -> None:
        """Close files that are kept open between claims."""
        self._references.close()

    def _unpacked(self, claim: Claim) -> Iterator[UnitItems]:
        for unit in claim.units:
            try:
                yield self._references.read(claim, unit) or unpack(unit)
            except REDIS_ERRORS:
                raise
            except FILE_ERRORS as error:
                self._references.fail_or_release(unit, error)

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

    def _split(self, unit: UnitItems) -> bool:
        """Replace a unit by its halves, each to be computed alone; False for a single item."""
        parts = split_chunk(unit.chunk)
        if parts is None:
            return False
        log.warning("splitting unit=%s job=%s", unit.unit.name, unit.unit.job_id)
        self._context.ledger.work.split(unit.unit, parts)
        self._context.leases.given_up(unit.unit)
        return True

    def _computed(self, plan: Plan, claim: Claim, units: Sequence[UnitItems]) -> "_Computed":
        """Compute all units together, those of a trial's items by its candidate.

        Raises Unfit where this worker is to blame for what the plugin raised.
        """
        worker, stats, output = self._context, self._context.stats, plan.task.output
        stop = worker.should_stop if plan.streams else worker.should_stop_items
        model = worker.loaded(plan.model, plan.version)
        if plan.labelling is not None:
            plan.labelling.check(model.classes, plan.ref)
        faults = self._faults_of(plan, model, units)
        tokens, began = stats.real_tokens, monotonic()
        trial, answered = self._trials.of(claim, units), _none_answered(claim)
        # What a candidate writes is not streamed: whoever reads might get two texts in one.
        silent = WorkerRunContext(worker.identity.device, stop, stats)
        if trial is not None and trial.is_canary:
            answered = self._trials.answered(trial, plan, silent)
        with self._streamed(plan, units) as deltas:
            context = silent if deltas is None else replace(silent, _deltas=deltas)
            call = call_of(model, plan.task, plan.parameters, context)
            if deltas is not None:
                call = deltas.from_start(call)
            call = self._budgets.bounded(call, plan, [unit.unit for unit in units])
            if trial is not None:
                call = trial.serving.timed(call)
            cost, labelling = model.cost_tokens, plan.labelling
            results = compute(call, units, output, faults, cost, stop, labelling, answered)
        if trial is not None and not trial.is_canary:
            answered = self._trials.shadowed(trial, plan, silent)
        if trial is not None and answered is not None:
            trial.count(units, results, answered, plan.labelling)
        return _Computed(
            results, stats.real_tokens - tokens, monotonic() - began, faults.tracebacks, trial
        )

    @contextmanager
    def _streamed(self, plan: Plan, units: Sequence[UnitItems]) -> Iterator[DeltaPublisher | None]:
        """Yield what publishes the texts of units while they are written, where the jobs ask so."""
        if not plan.streams:
            yield None
            return
        worker = self._context
        publish = partial(worker.ledger.work.publish_deltas, worker.identity.name)
        items = (item for unit in units for item in unit.streamed())
        deltas = DeltaPublisher(items, publish, worker.leases.note_lost)
        with deltas.publishing():
            yield deltas

    def _faults_of(self, plan: Plan, model: LoadedModel, units: Sequence[UnitItems]) -> ItemFaults:
        worker = self._context.identity.name

        def try_elsewhere() -> bool:
            if all(_was_tried_elsewhere(items.unit, worker) for items in units):
                return False
            return self._context.another_can_run(plan.task.task, plan.model, plan.version)

        return ItemFaults(model.warm_up, try_elsewhere, model=plan.ref)

    def _release(self, units: Sequence[UnitItems], plan: Plan, fault: Unfit) -> None:
        """Leave the version's queue and release the units, which costs them nothing.

        A unit that makes the device of one worker after the other sick is the exception: as if it
        had killed them, it is split in the end, and its one item found.
        """
        context, worker = self._context, self._context.identity.name
        wait_s = context.fitness.mark(plan.model, plan.version, fault.unfit_code, str(fault))
        log.error(
            "unfit for model=%s code=%s, trying it again in %.1f s; units=%d released: %s",
            *(plan.ref, fault.unfit_code, wait_s, len(units), fault),
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
        stats, began = self._context.stats, perf_counter()
        written, finished = list[tuple[UnitItems, Results]](), list[Finished]()
        for (items, results), use in zip(done, uses or repeat(NO_USE), strict=False):
            try:
                results, part = self._references.written(items, results)
            except FILE_ERRORS as error:
                what = "The results could not be written"
                self._references.fail_or_release(items.unit, error, what)
                continue
            written.append((items, results))
            chunk = items.chunk if part is None else None
            kept = len(items.kept)
            finished.append(
                Finished(items.unit, results, chunk, False, use, tracebacks, part, kept)
            )
        self._context.leases.computed()
        outcomes = self._context.ledger.work.commit_batch(finished, plugin_version)
        stats.commit_s += perf_counter() - began
        ended, committed = list[str](), list[Results]()
        for (items, results), outcome in zip(written, outcomes, strict=True):
            if isinstance(outcome, MiscountedResults):
                self._fail([items], _miscounted(items))
                continue
            if isinstance(outcome, OversizedResults):
                # Of one item it would be no more than `MAX_RESULT_BYTES`.
                log.warning("job=%s: %s", items.unit.job_id, outcome)
                self._split(items)
                continue
            self._context.leases.committed(items.unit, outcome)
            stats.units += 1
            results = [one for place, one in enumerate(results) if place not in items.kept]
            stats.items += len(results)
            stats.errored += sum(isinstance(result, ItemFailure) for result in results)
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
class _Computed:
    """What came of the units of a claim."""

    results: list[Results]
    #: As the plugin has counted them.
    tokens: int
    busy_s: float
    #: The plugin's part of them, by the message of the items' errors.
    tracebacks: Mapping[str, str]
    trial: Trial | None


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
        counts, times = (items, real_tokens, computed_tokens), (vectorise_s, compute_s)
        is_counted = all(
            isinstance(one, SupportsIndex) and 0 <= index(one) <= _MOST_OF_A_BATCH for one in counts
        ) and all(
            isinstance(one, SupportsFloat) and 0.0 <= float(one) <= _MOST_OF_A_BATCH
            for one in times
        )
        if is_counted:
            self._stats.batch(*map(index, counts), *map(float, times))
        else:
            log.warning(
                "a batch was not counted: the plugin says items=%.80r real_tokens=%.80r "
                "computed_tokens=%.80r vectorise_s=%.80r compute_s=%.80r",
                *(*counts, *times),
            )

    def stream(self, item: WorkItem, sample: int, delta: str) -> None:
        """Take a text delta, which another thread publishes; raises nothing."""
        if self._deltas is not None:
            self._deltas.take(item, sample, delta)


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


def _was_tried_elsewhere(unit: Unit, worker: str) -> bool:
    """Return True once another worker gave it back, or several times any did: it may be gone."""
    faults = unit.faults
    return faults is not None and (faults.worker != worker or faults.count >= MAX_FAULTS)
