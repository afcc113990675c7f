"""Computes the items of a claim: calls the plugin for all of them, and isolates what fails.

Units of like jobs go to the plugin in one call or, by the tokens that they are, in several. A batch
that needs too much memory is halved. A plugin that raises for the batch is called again item by
item, so that one bad item spoils nothing.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import Self, cast

from pydantic import BaseModel, ValidationError

from seqd.errors import InvalidInput, PluginFault, Stopped, wire_text
from seqd.hookspecs import LoadedModel, Model, PluginParameters, RunContext, WorkItem
from seqd.kinds import SERVED_TASKS, kind_of_task
from seqd.ledger.blobs import PartReference, UnitReference, unpack_items
from seqd.ledger.units import Unit
from seqd.models.plugin_frames import raised_by_plugin
from seqd.plugin.calls import PluginCall
from seqd.plugin.running import count_in_words, drawn
from seqd.validation import fault_sentence
from seqd.worker.accepted_schemas import AcceptedOutputs
from seqd.worker.faults import ItemFaults, is_device_fault, is_out_of_memory
from seqd.worker.labelling import Labelling
from seqd.worker.outcomes import Call, Outcome, Results, results_of, with_known_label
from seqd.worker.streaming import StreamedItem
from seqd_schemas import (
    Item,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemFailure,
    ItemResult,
    ItemSuccess,
    Job,
    RefusedItem,
    task_of,
)

log = logging.getLogger(__name__)


#: Tokens of one call, each item counted as long as the longest: at 64 numbers of 4 bytes a token,
#: 256 MiB. A full batch of `imdb_lstm`, 512 reviews of which it reads 500 tokens, is a quarter of
#: it.
MAX_CALL_TOKENS = 1_048_576

#: Estimates the tokens of a text: `LoadedModel.cost_tokens`.
CostTokens = Callable[[str], int]


def calls_of(work: Sequence[WorkItem], cost_tokens: CostTokens) -> Iterator[Sequence[WorkItem]]:
    """Cut items, in their order, into as few calls as keep to `MAX_CALL_TOKENS`.

    A plugin that pads a batch needs memory for its longest text times its items: with one long text
    among 511 short ones that is hundreds of times what the claim has. An item that alone has more
    is a call of its own. Takes 0.12 us a review.
    """
    costs = _costs(work, cost_tokens)
    if len(work) * max(costs, default=0) > MAX_CALL_TOKENS:
        rest = iter(work)
        yield from (list(islice(rest, size)) for size in _call_sizes(costs))
    elif work:
        yield work


def _costs(work: Sequence[WorkItem], cost_tokens: CostTokens) -> list[int]:
    """Return the tokens of each item; for texts so short that it makes no difference, characters.

    A token is a character or more, so no estimate is needed for them.
    """
    short_chars = MAX_CALL_TOKENS // max(1, len(work))
    costs = [len(item.text) for item in work]
    for at, chars in enumerate(costs):
        if chars > short_chars:
            costs[at] = _estimated(cost_tokens, work[at].text)
    return costs


def _estimated(cost_tokens: CostTokens, text: str) -> int:
    try:
        with PluginCall():
            return max(1, int(cost_tokens(text)))
    except Exception as error:  # noqa: BLE001  a plugin may raise anything
        log.warning("cost_tokens failed, so characters are counted: %s", error)
        return len(text)


def _call_sizes(costs: Sequence[int]) -> Iterator[int]:
    size, longest = 0, 0
    for cost in costs:
        longest = max(longest, cost)
        if size and (size + 1) * longest > MAX_CALL_TOKENS:
            yield size
            size, longest = 0, cost
        size += 1
    yield size


@dataclass(frozen=True, slots=True)
class TaskCall:
    """What a model is to do with items."""

    task: str
    #: What is due for each item.
    output: type[BaseModel]
    #: The class of a record, where that is what the task takes.
    record: type[BaseModel] | None = None
    #: What outputs must keep to besides, where the job was accepted with another schema.
    accepted: AcceptedOutputs | None = None

    @classmethod
    def of(cls, job: Job, model: Model) -> Self:
        """Return what a job asks of a model."""
        return cls.named(task_of(job), model)

    @classmethod
    def named(cls, task: str, model: Model) -> Self:
        """Return a task of a model as the model does it now."""
        spec, fixed = model.tasks[task], kind_of_task(task).output
        return cls(task, fixed or cast("type[BaseModel]", spec.output), spec.input)


@dataclass(frozen=True, slots=True)
class Referred:
    """What is known of a unit of a job by reference."""

    job: Job
    reference: UnitReference
    #: Results that the job has which this one continues, by their place in the unit, and where.
    kept: Mapping[int, ItemSuccess] = field(default_factory=dict)
    part: PartReference | None = None


@dataclass(frozen=True)
class UnitItems:
    """A unit with its input unpacked."""

    unit: Unit
    chunk: ItemChunk
    referred: Referred | None = None

    @property
    def kept(self) -> Mapping[int, ItemSuccess]:
        """The results that a job has which this one continues, by their place in the unit."""
        return {} if self.referred is None else self.referred.kept

    @property
    def undone(self) -> "UnitItems":
        """The unit without what has a result already, as it is to be computed."""
        # Not cached: a unit that refers to itself would hold its texts until the next collection.
        if not self.kept:
            return self
        entries = tuple(
            entry.model_copy(update={"index": index}) if isinstance(entry, Item) else entry
            for index, entry in enumerate(self.chunk.items, self.chunk.first_index)
            if index - self.chunk.first_index not in self.kept
        )
        return UnitItems(self.unit, self.chunk.model_copy(update={"items": entries}))

    def with_kept(self, results: "Results") -> "Results":
        """Return the results of what was undone with those that there were, in order."""
        if not self.kept:
            return results
        made, kept = iter(results), self.kept
        return [kept[n] if n in kept else next(made) for n in range(len(self.chunk.items))]

    @cached_property
    def placed(self) -> list[tuple[int, WorkItem]]:
        """What is to be computed, each with its place in the chunk; refused entries are not."""
        first = self.chunk.first_index
        return [
            (place, WorkItem(first + place if entry.index is None else entry.index, entry.text))
            for place, entry in enumerate(self.chunk.items)
            if isinstance(entry, Item)
        ]

    @cached_property
    def work(self) -> list[WorkItem]:
        """What is to be computed. The same objects as in `placed`, each time."""
        return [item for _, item in self.placed]

    @property
    def named(self) -> Iterator[tuple[str, WorkItem]]:
        """Yield what is to be computed, each with the caller's name for it."""
        for place, item in self.placed:
            yield self.chunk.items[place].custom_id, item

    @property
    def characters(self) -> int:
        """Length of all texts that are to be computed; of an empty one, 1."""
        return sum(max(1, len(item.text)) for item in self.work)

    def streamed(self) -> Iterator[StreamedItem]:
        """Yield each of `work` with its unit and the caller's name for it."""
        for custom_id, item in self.named:
            yield StreamedItem(item, self.unit, custom_id)


def unpack(unit: Unit) -> UnitItems:
    """Return a unit with its input. Raises InvalidInput when something else stands there."""
    try:
        return UnitItems(unit, unpack_items(unit.blob))
    except ValidationError as error:
        raise InvalidInput(
            f"unit {unit.name} of job {unit.job_id} is not a chunk of items: "
            f"{fault_sentence(error)}. Upload through seqd.client."
        ) from None


def call_of(
    model: LoadedModel, asked: TaskCall, parameters: PluginParameters, context: RunContext
) -> Call:
    """Return the plugin's method for a task, with parameters and context bound.

    It gives one outcome an item, in a list. Raises PluginFault where the plugin does not.
    """
    call = _method_of(model, asked, parameters, context)
    return call if asked.accepted is None else asked.accepted.checking(call, asked.output)


def _method_of(
    model: LoadedModel, asked: TaskCall, parameters: PluginParameters, context: RunContext
) -> Call:
    if asked.task in SERVED_TASKS:
        method = getattr(model, asked.task)  # `classify` and `generate` have one each
        return lambda items: _known(_one_each(method(items, parameters, context), items), model)
    record = asked.record
    if record is None:
        return lambda items: _run(model, asked.task, items, parameters, context)

    def run_records(items: Sequence[WorkItem]) -> list[Outcome]:
        given = [_with_record(item, record) for item in items]
        sound = [item for item in given if isinstance(item, WorkItem)]
        made = _run(model, asked.task, sound, parameters, context) if sound else []
        outcomes = iter(made)
        return [next(outcomes) if isinstance(item, WorkItem) else item for item in given]

    return run_records


def _known(outcomes: list[Outcome], model: LoadedModel) -> list[Outcome]:
    classes = dict.fromkeys(model.classes)
    return [with_known_label(one, classes) for one in outcomes] if classes else outcomes


def _run(
    model: LoadedModel,
    task: str,
    items: Sequence[WorkItem],
    parameters: PluginParameters,
    context: RunContext,
) -> list[Outcome]:
    return _one_each(model.run(task, items, parameters, context), items)


def _one_each(given: Iterable[Outcome], items: Sequence[WorkItem]) -> list[Outcome]:
    outcomes = drawn(given, len(items))
    if len(outcomes) != len(items):
        raise PluginFault(
            f"the plugin gave {count_in_words(outcomes, len(items))} outcomes for {len(items)} "
            "items; its contract (B1) is one each, in order"
        )
    return outcomes


def _with_record(item: WorkItem, record: type[BaseModel]) -> WorkItem | ItemError:
    """Return an item with its record; where the text is none, the error that the item has."""
    try:
        # The same object: its text deltas are told from others by what it is.
        object.__setattr__(item, "record", record.model_validate_json(item.text))
        return item
    except ValidationError as error:
        fault = fault_sentence(error, noun="field", whole="the record")
    except Exception as error:
        log.exception("a validator of %s raised", record.__name__)
        fault = f"{type(error).__name__}: {error}"
    fields = ", ".join(record.model_json_schema().get("properties", {}))
    return ItemError(
        code=ItemErrorCode.INVALID_INPUT,
        message=wire_text(f"The record does not fit: {fault}. Its fields: {fields}."),
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """What the candidate of a roll-out has answered, in the place of the version in service."""

    #: By `id` of the item.
    outcomes: Mapping[int, Outcome]
    candidate: int
    serving: int

    def version_of(self, item: WorkItem) -> int:
        """Return the version that answers an item."""
        return self.candidate if id(item) in self.outcomes else self.serving


def compute(
    call: Call,
    units: Sequence[UnitItems],
    output: type[BaseModel],
    faults: ItemFaults,
    cost_tokens: CostTokens,
    stop: Callable[[], bool],
    labelling: Labelling | None = None,
    answered: Answered | None = None,
) -> list[Results]:
    """Compute all items of `units` together; return each unit's results in input order.

    Not those that are `answered`: each result then names its version. An outcome that is no sound
    `output` or ItemError is its item's error. Raises Stopped when the plugin was asked to stop, or
    `stop` says so between two calls of it; Unfit when `faults` finds that the worker is to blame.
    """
    work = [item for unit in units for item in unit.work]
    known = {} if answered is None else answered.outcomes
    rest = [item for item in work if id(item) not in known] if known else work
    computed = iter(outcomes_of(call, rest, faults, cost_tokens, stop))
    outcomes = (known[id(item)] if id(item) in known else next(computed) for item in work)
    versions = None if answered is None else map(answered.version_of, work)
    results = [
        results_of(unit.chunk.items, outcomes, output, unit.unit.attempt, labelling, versions)
        for unit in units
    ]
    faults.end(is_all_refused=_are_all_refused(chain.from_iterable(results)))
    return results


def _are_all_refused(results: Iterable[ItemResult]) -> bool:
    """Return True where the plugin gave nothing that a result can hold."""
    return all(
        isinstance(result, ItemFailure) and result.error.code is ItemErrorCode.PLUGIN_ERROR
        for result in results
    )


def results_alone(
    loaded: LoadedModel,
    task: TaskCall,
    entries: Sequence[Item | RefusedItem],
    call: Call,
    *,
    at_once: int,
    ref: str,
    stop: Callable[[], bool] = lambda: False,
) -> Results:
    """Return the results of items that no ledger has, checked as those of a unit are.

    The plugin gets `at_once` of them at a time. Raises Stopped, and Unfit where the model's
    warm-up input fails, too.
    """
    work = [WorkItem(at, one.text) for at, one in enumerate(entries) if isinstance(one, Item)]
    faults, outcomes = ItemFaults(loaded.warm_up, lambda: False, model=ref), list[Outcome]()
    for start in range(0, len(work), at_once):
        part = work[start : start + at_once]
        outcomes += outcomes_of(call, part, faults, loaded.cost_tokens, stop)
    results = results_of(entries, iter(outcomes), task.output, attempts=1)
    computed = (
        result for entry, result in zip(entries, results, strict=True) if isinstance(entry, Item)
    )
    faults.end(is_all_refused=_are_all_refused(computed))
    return results


def outcomes_of(
    call: Call,
    work: Sequence[WorkItem],
    faults: ItemFaults,
    cost_tokens: CostTokens,
    stop: Callable[[], bool],
) -> list[Outcome]:
    """Return what a plugin gives for each item; none of it is checked. Raises as `compute` does."""
    outcomes = list[Outcome]()
    for part in calls_of(work, cost_tokens):
        if outcomes and stop():
            raise Stopped("asked to stop between two calls of the plugin")
        outcomes += _outcomes(call, part, faults)
    return outcomes


def _outcomes(call: Call, work: Sequence[WorkItem], faults: ItemFaults) -> list[Outcome]:
    try:
        outcomes = _checked(call, work)
    except Stopped:
        raise
    except Exception as error:
        is_too_large = len(work) > 1 and is_out_of_memory(error)
        if is_device_fault(error):
            log.exception(
                "the device failed for a batch of %d items of model=%s",
                *(len(work), faults.model),
                extra={"subject": faults.model},
            )
            faults.failed(error)
        elif is_too_large:
            log.warning("no memory for a batch of %d items, halving it: %s", len(work), error)
        elif len(work) > 1:
            log.exception(
                "plugin of model=%s failed for a batch of %d items; trying each alone",
                *(faults.model, len(work)),
                extra={"subject": faults.model},
            )
    else:
        faults.succeeded()
        return outcomes
    # Outside the block above, which keeps the memory of the batch that failed.
    if not is_too_large:
        return [_alone(call, item, faults) for item in work]
    half = len(work) // 2
    return _outcomes(call, work[:half], faults) + _outcomes(call, work[half:], faults)


def _alone(call: Call, item: WorkItem, faults: ItemFaults) -> Outcome:
    try:
        outcome = _checked(call, [item])[0]
    except Stopped:
        raise
    except Exception as error:
        log.exception(
            "plugin of model=%s failed for item index=%d",
            *(faults.model, item.index),
            extra={"subject": faults.model},
        )
        said = raised_by_plugin(error)
        faults.failed(error, said)
        return ItemError(code=ItemErrorCode.PLUGIN_ERROR, message=said)
    faults.succeeded()
    return outcome


def _checked(call: Call, work: Sequence[WorkItem]) -> list[Outcome]:
    with PluginCall():
        return list(call(work))
