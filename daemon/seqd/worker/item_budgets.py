"""Holds each call of a plugin to a budget, and measures what it takes: see `unit_budgets`."""

from collections.abc import Sequence
from time import monotonic

from redis.exceptions import ResponseError

from seqd.errors import REDIS_ERRORS
from seqd.hookspecs import WorkItem
from seqd.ledger.outage import waiting_at_most
from seqd.ledger.units import Unit
from seqd.worker.context import WorkerContext
from seqd.worker.outcomes import Call, Outcome
from seqd.worker.plans import Plan
from seqd.worker.unit_budgets import Expected, UnitCosts, UnitSize
from seqd_schemas import Generation, queues_of_model, route_of

#: Characters that the texts of a queue have at least, on the mean.
_SHORT_TEXT = 100

#: Times the least budget that items have of which only their queue is known: their size is a new
#: one here, for which a model may compile.
_FLOORS_BY_QUEUE = 5


class ItemBudgets:
    """The budgets of one child, and the costs that they come from."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._costs = UnitCosts()

    def bounded(self, call: Call, plan: Plan, units: Sequence[Unit]) -> Call:
        """Return a call of a plugin that ends this process where it takes far too long.

        By what the same calls took before; where none of the size did, of units with which a
        worker has hung, by what the items of their queue take anywhere: this worker may be new.
        """
        rule, channel = self._context.budgets, self._context.channel
        if rule.factor <= 0:
            return call
        load = self._context.cache.load_number(plan.model, plan.version)
        has_hung = any(unit.death is not None and unit.death.is_silent for unit in units)
        item_s = self._item_s(plan) if has_hung else None

        def within_budget(items: Sequence[WorkItem]) -> list[Outcome]:
            size = _size(items, plan.written_each)
            expected = self._costs.expected(plan.cost_kind, load, size)
            if item_s is not None and (expected is None or expected.floors is None):
                expected = Expected(item_s * len(items), _FLOORS_BY_QUEUE)
            budget = None if expected is None else rule.budget(expected)
            began_s = monotonic()
            with channel.within(budget):
                outcomes = list(call(items))
            seconds = monotonic() - began_s
            self._costs.note(plan.cost_kind, load, size, seconds, _written(outcomes))
            return outcomes

        return within_budget

    def _item_s(self, plan: Plan) -> float | None:
        """Return what an item of a queue takes, by the mean of all workers; None: not known.

        Of another version nothing is taken to be known. Texts of the queue may have been short, by
        their jobs' parameters: what may write a long one has as much more time.
        """
        route = route_of(plan.task.task, plan.plugin)
        (queue,) = queues_of_model(route, plan.model, [plan.version])
        try:
            with waiting_at_most(0):
                rate = self._context.ledger.backlog.rates().get(queue)
        except (*REDIS_ERRORS, ResponseError):
            return None
        item_s = None if rate is None else rate.item_s
        return None if item_s is None else item_s * max(1.0, (plan.written_each or 0) / _SHORT_TEXT)


def _size(items: Sequence[WorkItem], most_each: int | None) -> UnitSize:
    counts = [len(item.text) for item in items]
    return UnitSize(
        items=len(items),
        characters=sum(counts),
        longest=max(counts, default=0),
        most_written=None if most_each is None else most_each * len(items),
    )


def _written(outcomes: Sequence[Outcome]) -> int:
    """Return the characters of texts; of what a plugin's own task gives, nothing is known."""
    texts = (one.samples for one in outcomes if isinstance(one, Generation))
    return sum(len(sample.text) for samples in texts for sample in samples)
