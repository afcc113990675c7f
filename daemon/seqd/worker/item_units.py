"""Runs units of items on a loaded model: unpack, compute together, isolate faults, commit.

All units of a claim are of like jobs, so their items go to the plugin as one batch. A plugin
that raises for the batch is asked again item by item, so that one bad item spoils nothing.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import ValidationError

from seqd.errors import InvalidInput, PluginFault, Stopped, wire_text
from seqd.hookspecs import LoadedModel, PluginParameters, RunContext, WorkItem
from seqd.ledger.blobs import unpack_items
from seqd.ledger.work import Unit
from seqd_schemas import (
    Classification,
    Generation,
    Item,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemSuccess,
)

log = logging.getLogger(__name__)

Outcome = Classification | Generation | ItemError
Call = Callable[[Sequence[WorkItem]], Sequence[Outcome]]
Results = list[ItemSuccess | ItemFailure]


@dataclass(frozen=True)
class UnitItems:
    """A unit with its input unpacked."""

    unit: Unit
    chunk: ItemChunk

    @cached_property
    def work(self) -> list[WorkItem]:
        """What is to be computed; refused entries are not. The same objects each time."""
        first = self.chunk.first_index
        return [
            WorkItem(index=first + place, text=entry.text)
            for place, entry in enumerate(self.chunk.items)
            if isinstance(entry, Item)
        ]

    def custom_id_of(self, item: WorkItem) -> str:
        """Give the caller's name for one of `work`."""
        return self.chunk.items[item.index - self.chunk.first_index].custom_id


def unpack(unit: Unit) -> UnitItems:
    """Read a unit's input. Raises InvalidInput when somebody wrote something else there."""
    try:
        return UnitItems(unit, unpack_items(unit.blob))
    except ValidationError as error:
        raise InvalidInput(
            f"unit {unit.name} of job {unit.job_id} is not a chunk of items: "
            f"{error.errors()[0]['msg']}. Upload through seqd.client."
        ) from None


def call_of(
    model: LoadedModel, kind: str, parameters: PluginParameters, context: RunContext
) -> Call:
    """Bind the plugin's method for a kind of job."""
    if kind == "classify":
        return lambda items: model.classify(items, parameters, context)
    return lambda items: model.generate(items, parameters, context)


def compute(call: Call, units: Sequence[UnitItems]) -> list[Results]:
    """Compute all items of `units` together; gives each unit's results in input order.

    Raises Stopped when the plugin was asked to stop.
    """
    work = [item for unit in units for item in unit.work]
    outcomes = iter(_outcomes(call, work) if work else [])
    return [_results(unit, outcomes) for unit in units]


def all_failed(unit: UnitItems, code: ItemErrorCode, message: str) -> Results:
    """Give every item of a unit the same error; entries refused before keep their own."""
    error = ItemError(code=code, message=message)
    return [
        ItemFailure(
            custom_id=entry.custom_id,
            error=error if isinstance(entry, Item) else entry.refused,
            attempts=unit.unit.attempt,
        )
        for entry in unit.chunk.items
    ]


def _outcomes(call: Call, work: Sequence[WorkItem]) -> list[Outcome]:
    try:
        return _checked(call, work)
    except Stopped:
        raise
    except Exception:
        if len(work) > 1:
            log.exception("plugin failed for a batch of %d items; trying each alone", len(work))
        return [_alone(call, item) for item in work]


def _alone(call: Call, item: WorkItem) -> Outcome:
    try:
        return _checked(call, [item])[0]
    except Stopped:
        raise
    except Exception as error:
        log.exception("plugin failed for item index=%d", item.index)
        return ItemError(
            code=ItemErrorCode.PLUGIN_ERROR,
            message=wire_text(f"The model plugin raised {type(error).__name__}: {error}"),
        )


def _checked(call: Call, work: Sequence[WorkItem]) -> list[Outcome]:
    outcomes = list(call(work))
    if len(outcomes) != len(work):
        raise PluginFault(
            f"the plugin gave {len(outcomes)} outcomes for {len(work)} items; its contract (B1) "
            "is one each, in order"
        )
    for kind in {type(outcome) for outcome in outcomes}:
        if not issubclass(kind, Outcome):
            raise PluginFault(
                f"the plugin gave {kind.__name__} as an outcome; its contract allows "
                "Classification, Generation and ItemError"
            )
    return outcomes


def _results(unit: UnitItems, outcomes: Iterator[Outcome]) -> Results:
    """Take a unit's share of the outcomes, in order; refused entries need none."""
    results: Results = []
    attempts = unit.unit.attempt
    for entry in unit.chunk.items:
        outcome = next(outcomes) if isinstance(entry, Item) else entry.refused
        if isinstance(outcome, ItemError):
            failure = ItemFailure(custom_id=entry.custom_id, error=outcome, attempts=attempts)
            results.append(failure)
        else:
            results.append(ItemSuccess(custom_id=entry.custom_id, output=outcome))
    return results
