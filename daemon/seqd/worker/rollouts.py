"""Runs the candidate of a roll-out on its share of a claim's items, so that it costs no item.

What the candidate cannot answer the version in service answers in its place, and the item counts
as an error of the candidate; not so where this machine is to blame, which has too little memory,
say. A unit that has killed its worker is given to the version in service alone after a second
chance. The roll-out of a candidate with too many errors is aborted here, in the store.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, perf_counter

from seqd.analysis.wilson import wilson
from seqd.errors import REDIS_ERRORS, Stopped, StoreUnwritable
from seqd.hookspecs import LoadedModel, RunContext, WorkItem
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.rollouts import VersionWork
from seqd.ledger.units import Unit
from seqd.ledger.work import Claim
from seqd.worker.computing import Answered, UnitItems, call_of, outcomes_of
from seqd.worker.context import WorkerContext
from seqd.worker.faults import ItemFaults, Unfit
from seqd.worker.labelling import Labelling
from seqd.worker.logs import log_and_continue
from seqd.worker.outcomes import Call, Outcome, Results, checked
from seqd.worker.plans import Plan
from seqd_schemas import (
    Classification,
    ItemError,
    ItemSuccess,
    JobRollout,
    ModelReference,
    Rollout,
    RolloutKind,
    UnfitCode,
    VersionCounts,
)

log = logging.getLogger(__name__)

#: What this release can do; a later one may know more.
_KINDS = frozenset(RolloutKind)

#: Deaths of a unit's worker after which the candidate computes nothing of the unit.
_SECOND_CHANCE = 2

#: Seconds for which a candidate is left out that cannot be loaded here, or has no room.
_LEFT_OUT_S = 60.0

#: What is the candidate's own fault, of all for which it cannot be run here.
_OWN_FAULTS = frozenset({UnfitCode.DAMAGED, UnfitCode.LOAD_FAILED, UnfitCode.BREAKER_OPEN})

#: Errors that are too few for an abort, and the quantile of the normal distribution that leaves
#: 0.05% above it: counts are looked at after each claim. Of candidates that fail half as often as
#: they may, 1 in 400 is aborted within 5,000 items; by an interval of 95% it was 1 in 13.
_LEAST_ERRORS = 3
_Z = 3.2905


def is_left_to_serving(unit: Unit) -> bool:
    """Return True for a unit of which the candidate computes nothing: it may kill its worker.

    After the first death where it was silent, which costs minutes, and of a part of a unit, whose
    whole has had its chances; else after the second, since the first may have been anything.
    """
    is_costly = unit.is_part or (unit.death is not None and unit.death.is_silent)
    return unit.crashes >= (1 if is_costly else _SECOND_CHANCE)


@dataclass
class TimedWork(VersionWork):
    """What a version did in a claim, with the time of each call of its plugin."""

    def timed(self, call: Call) -> Call:
        """Return a call whose time is noted."""

        def noting(items: Sequence[WorkItem]) -> Sequence[Outcome]:
            began = perf_counter()
            try:
                return list(call(items))
            finally:
                self.batches_s.append(perf_counter() - began)

        return noting


class Trial:
    """A roll-out in one claim: which items are the candidate's, and what came of it."""

    def __init__(
        self, rollout: JobRollout, model: str, serving: int, items: Sequence[WorkItem]
    ) -> None:
        self.rollout = rollout
        self.model = model
        self.items = items
        self.candidate = TimedWork(rollout.version)
        self.serving = TimedWork(serving)
        #: Items that were the candidate's and that it may not have: their unit killed workers.
        self.crashed_items = 0

    @property
    def ref(self) -> str:
        """Return the candidate as `topics@2`."""
        return f"{self.model}@{self.rollout.version}"

    @property
    def is_canary(self) -> bool:
        """True where the candidate answers."""
        return self.rollout.kind == RolloutKind.CANARY

    def count(
        self,
        units: Sequence[UnitItems],
        results: Sequence[Results],
        answered: Answered,
        labelling: Labelling | None,
    ) -> None:
        """Count what both versions did, once the results of all items are there.

        `labelling` is what the results have of the job, and the candidate's answers have not.
        """
        tried = {id(item) for item in self.items}
        for unit, its_results in zip(units, results, strict=True):
            for place, item in unit.placed:
                result = its_results[place]
                has_answer = id(item) in answered.outcomes
                if not (self.is_canary and has_answer):
                    self.serving.items += 1
                    self.serving.errors += not result.ok
                if id(item) not in tried:
                    continue
                self.candidate.items += 1
                self.candidate.errors += result.ok and not has_answer
                if not self.is_canary and has_answer and isinstance(result, ItemSuccess):
                    other = answered.outcomes[id(item)]
                    if labelling is not None and isinstance(other, Classification):
                        other = labelling.applied(other)
                    self.candidate.differing += _answer_of(result.output) != _answer_of(other)
        self.candidate.items += self.crashed_items
        self.candidate.errors += self.crashed_items


class Trials:
    """Runs and counts the candidates of one worker; knows which of them it leaves out."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        #: Roll-outs aborted by this worker, also where the store could not be written.
        self._aborted = set[str]()
        #: Candidates that are left out here, and until when.
        self._left_out = dict[str, float]()

    def of(self, claim: Claim, units: Sequence[UnitItems]) -> Trial | None:
        """Return the roll-out that a claim takes part in; None without one that goes on."""
        rollout, model = claim.rollout, ModelReference.parse(claim.job.model).name
        if rollout is None or claim.version is None or rollout.kind not in _KINDS:
            return None
        is_aborted = self._context.store.is_aborted(model, rollout.id)
        if is_aborted or rollout.id in self._aborted:
            return None
        items: list[WorkItem] = []
        trial = Trial(rollout, model, claim.version, items)
        for unit in units:
            job_id = unit.unit.job_id
            share = [item for name, item in unit.named if rollout.takes(job_id, name)]
            if is_left_to_serving(unit.unit):
                trial.crashed_items += len(share)
            else:
                items += share
        return trial

    def answered(self, trial: Trial, plan: Plan, context: RunContext) -> Answered:
        """Return what the candidate answers of its items; what it cannot answer is left out.

        Raises Stopped, and Unfit where it has made the device sick.
        """
        outcomes = {}
        if monotonic() < self._left_out.get(trial.ref, 0.0):
            trial.items = ()  # nothing is counted of it
        if trial.items:
            for item, outcome in self._computed(trial, plan, context):
                sound = checked(outcome, plan.task.output)
                if not isinstance(sound, ItemError):
                    outcomes[id(item)] = sound
        return Answered(outcomes, trial.rollout.version, trial.serving.version)

    def shadowed(self, trial: Trial, plan: Plan, context: RunContext) -> Answered | None:
        """Return what a shadow gives for its items; None where it does not come to its end.

        The answers are there by then, and are not held up by what goes wrong with it.
        """
        try:
            return self.answered(trial, plan, context)
        except (Stopped, Unfit) as error:
            log.warning("shadow=%s gives nothing of this claim: %s", trial.ref, error)
            return None

    def _computed(
        self, trial: Trial, plan: Plan, context: RunContext
    ) -> list[tuple[WorkItem, Outcome]]:
        model = self._loaded(trial)
        if model is None:
            return []
        faults = ItemFaults(model.warm_up, lambda: False, model=trial.ref)
        call = trial.candidate.timed(call_of(model, plan.task, plan.parameters, context))
        stop = context.stop_requested
        try:
            outcomes = outcomes_of(call, trial.items, faults, model.cost_tokens, stop)
            faults.end()
        except Unfit as fault:
            if fault.unfit_code is UnfitCode.DEVICE_FAULT:
                # The claim is released, so what is known of the candidate is counted here.
                trial.candidate.items = trial.candidate.errors = len(trial.items)
                self.note(trial)
                raise
            log.warning("candidate=%s answers nothing of this claim: %s", trial.ref, fault)
            return []
        return list(zip(trial.items, outcomes, strict=True))

    def _loaded(self, trial: Trial) -> LoadedModel | None:
        """Return the candidate in memory; None where it cannot be loaded here."""
        context, version = self._context, trial.rollout.version
        known = context.fitness.code_of(trial.model, version)
        if known is not None and known not in _OWN_FAULTS:
            self._leave_out(trial, f"it is unfit here: {known}")
        if known is not None:
            return None
        began = monotonic()
        try:
            model = context.loaded(trial.model, version)
        except Unfit as fault:
            code, took_s = fault.unfit_code, monotonic() - began
            if code not in _OWN_FAULTS:
                self._leave_out(trial, str(fault))
                return None
            wait_s = context.fitness.mark(trial.model, version, code, str(fault), took_s)
            log.error(
                "unfit for candidate=%s code=%s, trying it again in %.1f s: %s",
                *(trial.ref, code, wait_s, fault),
            )
            return None
        if not context.cache.holds(trial.model, trial.serving.version):
            self._left_out[trial.ref] = monotonic() + _LEFT_OUT_S
            log.warning(
                "candidate=%s has no room beside version %d, and is left out for %d s: raise "
                "SEQD_MODEL_CACHE_BYTES",
                *(trial.ref, trial.serving.version, _LEFT_OUT_S),
            )
        return model

    def _leave_out(self, trial: Trial, why: str) -> None:
        """Give the claim to the version in service, and the candidate no error of it."""
        trial.items = ()
        self._left_out[trial.ref] = monotonic() + _LEFT_OUT_S
        log.warning("candidate=%s is left out for %d s: %s", trial.ref, _LEFT_OUT_S, why)

    def note(self, trial: Trial) -> None:
        """Add what both versions did to the counts, and abort a candidate that is too bad."""
        rollouts, counts = self._context.ledger.rollouts, (trial.serving, trial.candidate)
        try:
            with waiting_at_most(0):
                totals = rollouts.add(trial.model, trial.rollout.id, *counts)[trial.rollout.version]
        except REDIS_ERRORS as error:
            log.warning("not counted of candidate=%s: %s", trial.ref, error)
            return
        rollout = self._context.store.rollout(trial.model)
        if rollout is None or rollout.id != trial.rollout.id or not trial.candidate.errors:
            return
        if is_too_bad(totals, rollout.max_error_rate):
            self._abort(trial, rollout, totals)

    def _abort(self, trial: Trial, rollout: Rollout, totals: VersionCounts) -> None:
        self._aborted.add(rollout.id)
        why = (
            f"{totals.errors:,} of {totals.items:,} items failed with it and not with "
            f"{trial.model}@{rollout.serving}; allowed: {rollout.max_error_rate:.3%}"
        )
        by = f"worker {self._context.identity.name}"
        log.error("%s of %s is aborted: %s", rollout.kind, trial.ref, why)
        try:
            self._context.store.end_rollout(trial.model, rollout, by, why)
        except (StoreUnwritable, OSError) as error:
            log.error(
                "the roll-out of %s goes on elsewhere, since the store cannot be written: %s. End "
                "it: seqd models promote %s --share 0%%",
                *(trial.ref, error, trial.ref),
            )
            return
        log_and_continue("the end of a roll-out not published", self._context.publish_catalog)


def is_too_bad(totals: VersionCounts, max_error_rate: float) -> bool:
    """Return True where the lower end of the 99.9% interval of the error rate is above the bound.

    It takes three errors at least.
    """
    if totals.errors < _LEAST_ERRORS:
        return False
    items = max(totals.items, totals.errors)
    return wilson(totals.errors / items, items, _Z)[0] > max_error_rate


def _answer_of(outcome: object) -> object:
    """Return what two versions are held against each other by: a label, or the texts.

    Of a plugin's own task it is the whole output, a vector to its last bit.
    """
    samples = getattr(outcome, "samples", None)
    if samples is not None:
        return [sample.text for sample in samples]
    return getattr(outcome, "label", outcome)
