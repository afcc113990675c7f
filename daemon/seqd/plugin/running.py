"""Runs a function over items as the contract asks: an outcome for each, in order, until a stop."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic
from typing import TypeAlias, TypeVar, cast

from pydantic import BaseModel

from seqd.errors import PluginFault, Stopped, wire_text
from seqd.hookspecs import (
    Device,
    PluginParameters,
    RunContext,
    TaskSpec,
    WorkItem,
    random_stream,
)
from seqd.plugin.calls import end_copy
from seqd.plugin.signatures import Random, Signature
from seqd_schemas import (
    Classification,
    FinishReason,
    GeneratedSample,
    Generation,
    ItemError,
    ItemErrorCode,
    Text,
)

Outcome: TypeAlias = BaseModel | ItemError

#: Items of a function of one text between two questions whether to stop, and seconds: a slow
#: function is asked before each item.
_ITEMS_PER_QUESTION = 16
_SECONDS_PER_QUESTION = 0.01

#: What no author's generator yields.
_END = object()


_T = TypeVar("_T")

#: Characters that a label may have, and a text that is written.
MAX_LABEL_CHARS = 256
MAX_TEXT_CHARS = 1_048_576


def drawn(given: Iterable[_T], due: int) -> list[_T]:
    """Return what was given, and of more than is due one more: a generator may have no end."""
    return list(islice(given, due + 1))


def count_in_words(made: Sequence[object], due: int) -> str:
    """Return how many outcomes were `drawn`."""
    return str(len(made)) if len(made) <= due else f"more than {due}"


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a text. Raises ValueError for a score or a label that no result can hold."""

    label: str
    #: Probability of the label, from 0 to 1.
    score: float = 1.0
    #: Each class's probability, where the function knows them.
    probabilities: Mapping[str, float] | None = None
    #: Share of the text's words that the model does not know, from 0 to 1.
    unknown_share: float = 0.0
    #: True where the model did not read all of the text.
    truncated: bool = False

    def __post_init__(self) -> None:
        """Check what a type checker does not, in the function that made it."""
        if not isinstance(self.label, str) or not 1 <= len(self.label) <= MAX_LABEL_CHARS:
            raise ValueError(
                f"the label is {self.label!r:.80}; allowed: a text of 1 to {MAX_LABEL_CHARS} "
                "characters"
            )
        if any("\ud800" <= character <= "\udfff" for character in self.label):
            raise ValueError(f"the label is {self.label!r:.80}, which has a lone surrogate")
        shares = {"score": self.score, "unknown_share": self.unknown_share}
        for name, share in (shares | dict(self.probabilities or {})).items():
            if not (math.isfinite(share) and 0.0 <= share <= 1.0):
                raise ValueError(f"{name!r} of the label is {share!r:.80}; allowed: 0.0 to 1.0")

    @classmethod
    def likeliest(
        cls, shares: Mapping[str, float], *, with_all: bool = True, truncated: bool = False
    ) -> "Label":
        """Return the label of the highest of all classes' probabilities, rounded to 5 decimals.

        What else is in a batch moves a float32 by about 1e-7: rounded, most show nothing of it.
        `with_all` says whether the result has the other probabilities, too.
        """
        rounded = {label: round(float(share), 5) for label, share in shares.items()}
        best = max(rounded, key=rounded.__getitem__)
        return cls(best, rounded[best], rounded if with_all else None, truncated=truncated)


class BadItem(ValueError):
    """Raised for a text that has no outcome, with the reason; returned in a list of outcomes."""


def refusal_of(item: WorkItem) -> ItemError | None:
    """Return why no function gets a text, which is no Unicode text; None for one that is."""
    if item.text.isascii():
        return None
    try:
        item.text.encode()
    except UnicodeEncodeError as error:
        return ItemError(
            code=ItemErrorCode.DECODE_ERROR,
            message=f"Character {error.start} of the text is a lone surrogate, which is no "
            "character. Send valid text.",
        )
    return None


def bad_item(error: BadItem) -> ItemError:
    """Return the outcome of a text that the function has refused."""
    message = str(error) or "The model has no outcome for this text."
    return ItemError(code=ItemErrorCode.INVALID_INPUT, message=wire_text(message))


def classification(value: object, where: str, *, is_truncated: bool) -> Classification:
    """Return a label as the contract has it. Raises PluginFault for anything else."""
    try:
        made = Label(value) if isinstance(value, str) else value
    except ValueError as error:
        raise PluginFault(f"{where} gave a label that none can be: {error}.") from None
    if not isinstance(made, Label):
        raise PluginFault(f"{where} gave {value!r:.80}. A classifier gives a Label, or a str.")
    shares = made.probabilities
    return Classification(
        label=made.label,
        # NumPy's numbers are floats to a type checker, and none to JSON.
        score=float(made.score),
        truncated=made.truncated or is_truncated,
        unknown_share=float(made.unknown_share),
        probabilities=(
            None if shares is None else {str(name): float(one) for name, one in shares.items()}
        ),
    )


def output(value: object, kind: type[BaseModel], where: str) -> BaseModel:
    """Return the output of a task of the plugin's own. Raises PluginFault for anything else."""
    if kind is Text and isinstance(value, str):
        return Text(text=text(value, where))
    if not isinstance(value, kind):
        raise PluginFault(f"{where} gave {value!r:.80}. It states that it gives {kind.__name__}.")
    return value


def text(value: object, where: str) -> str:
    """Return a text that was written. Raises PluginFault for anything else, and for a long one."""
    if not isinstance(value, str):
        raise PluginFault(f"{where} gave {value!r:.80}. It gives a str, or yields parts of one.")
    check_length(len(value), where)
    return value


def check_length(chars: int, where: str) -> None:
    """Raise PluginFault where so many characters were written that no result can hold them."""
    if chars > MAX_TEXT_CHARS:
        raise PluginFault(
            f"{where} wrote {chars:,} characters; allowed: {MAX_TEXT_CHARS:,}. Give it a "
            "parameter `length`, which a text is cut to."
        )


@dataclass(frozen=True, slots=True)
class TaskFunction:
    """A function that does one task, and how it is called."""

    call: Callable[..., object]
    signature: Signature
    spec: TaskSpec
    #: What is given for one item: Classification, Generation, or the task's own output.
    gives: type[BaseModel]
    #: True where it yields the parts of a text.
    yields: bool
    #: Texts that a function of a list is called with at most.
    batch_items: int
    #: Characters of a text that a classifier reads; None: all.
    max_chars: int | None

    def bound_to(self, owner: object) -> "TaskFunction":
        """Return the same of a method, bound to its object."""
        return replace(self, call=self.call.__get__(owner))

    def run(
        self, items: Sequence[WorkItem], parameters: PluginParameters, context: RunContext
    ) -> list[Outcome]:
        """Return one outcome per item, in order. Raises Stopped, and what the function raises."""
        values = self.signature.values_of(parameters)
        call = _Call(self, values, parameters, context, os.getpid())
        results: list[Outcome | None] = [refusal_of(item) for item in items]
        sound = [place for place, refusal in enumerate(results) if refusal is None]
        made = call.batches if self.signature.taken.is_list else call.singles
        for place, outcome in zip(sound, made([items[place] for place in sound]), strict=True):
            results[place] = outcome
        if not sound and context.stop_requested():
            raise Stopped
        return cast("list[Outcome]", results)


@dataclass(frozen=True, slots=True)
class _Call:
    """A function with the parameters of a job and the context of a run."""

    function: TaskFunction
    values: Mapping[str, object]
    parameters: PluginParameters
    context: RunContext
    #: The process that was called: a copy of it that the author's code leaves takes no other item.
    pid: int

    @property
    def where(self) -> str:
        return self.function.signature.where

    def batches(self, items: Sequence[WorkItem]) -> Iterator[Outcome]:
        """Yield the outcomes of a function of a list, called with a batch at a time."""
        size = self.function.batch_items
        if self.function.signature.taken.kind is WorkItem:
            size = max(1, len(items))
        for first in range(0, len(items), size):
            self._ask()
            yield from self._batch(items[first : first + size])

    def _batch(self, batch: Sequence[WorkItem]) -> Iterator[Outcome]:
        """Yield the outcomes of one call, or of one for each text where a BadItem was raised."""
        try:
            made = self._made(batch)
        except BadItem as error:
            if len(batch) == 1:
                yield bad_item(error)
                return
            for item in batch:
                self._ask()
                yield from self._batch([item])
            return
        for item, value in zip(batch, made, strict=True):
            yield self._outcome(item, value)

    def _made(self, batch: Sequence[WorkItem]) -> list[object]:
        gifts = self._gifts(batch[0], 0)
        given = self._called([self._given(item) for item in batch], gifts)
        if isinstance(given, str | Mapping | Set) or not isinstance(given, Iterable):
            raise PluginFault(f"{self.where} gave {given!r:.80}. It takes a list, and gives one.")
        made = drawn(self._drawn(given), len(batch))
        if len(made) != len(batch):
            raise PluginFault(
                f"{self.where} gave {count_in_words(made, len(batch))} outcomes for {len(batch)} "
                "texts. Give one for each, in their order; a BadItem stands for a text that has "
                "none."
            )
        return made

    def singles(self, items: Sequence[WorkItem]) -> Iterator[Outcome]:
        """Yield the outcomes of a function of one text."""
        ask_at = 0.0
        for number, item in enumerate(items):
            if number % _ITEMS_PER_QUESTION == 0 or monotonic() >= ask_at:
                self._ask()
                ask_at = monotonic() + _SECONDS_PER_QUESTION
            try:
                yield self._single(item)
            except BadItem as error:
                yield bad_item(error)

    def _single(self, item: WorkItem) -> Outcome:
        if self.function.gives is Generation:
            return self._generation(item)
        if self.function.yields:
            return Text(text=self._written(item, 0, None))
        return self._outcome(item, self._called(self._given(item), self._gifts(item, 0)))

    def _called(self, given: object, gifts: Mapping[str, object]) -> object:
        """Return what the author's function gives, in this process alone."""
        try:
            return self.function.call(given, **self.values, **gifts)
        finally:
            end_copy(self.pid)

    def _drawn(self, given: Iterable[object]) -> Iterator[object]:
        """Yield what is given, drawn in this process alone: a generator is the author's code."""
        source = iter(given)
        while True:
            try:
                one = next(source, _END)
            finally:
                end_copy(self.pid)
            if one is _END:
                return
            yield one

    def _outcome(self, item: WorkItem, value: object) -> Outcome:
        if isinstance(value, BadItem):
            return bad_item(value)
        if self.function.signature.taken.kind is WorkItem:
            return value if isinstance(value, ItemError) else self._output(value)
        if self.function.gives is Classification:
            most = self.function.max_chars
            is_truncated = most is not None and len(item.text) > most
            return classification(value, self.where, is_truncated=is_truncated)
        if self.function.gives is Generation:
            return self._as_generation(item, [text(value, self.where)])
        return self._output(value)

    def _output(self, value: object) -> BaseModel:
        return output(value, self.function.gives, self.where)

    def _generation(self, item: WorkItem) -> Outcome:
        texts = list[str]()
        for sample in range(cast("int", self._parameter("samples", 1))):
            if sample > 0:
                self._ask()
            texts.append(self._written(item, sample, self._length))
        return self._as_generation(item, texts)

    def _as_generation(self, item: WorkItem, texts: Sequence[str]) -> Generation:
        # What the author calls so may be something else.
        seed, temperature = self._parameter("seed", 0), self._parameter("temperature", 1.0)
        is_heat = isinstance(temperature, int | float) and temperature >= 0
        limit = self._length
        cut = [one[:limit] for one in texts]
        samples = tuple(
            GeneratedSample(
                text=one,
                temperature=cast("float", temperature) if is_heat else 1.0,
                seed=seed if isinstance(seed, int) and seed >= 0 else 0,
                finish_reason=FinishReason.LENGTH if len(one) == limit else FinishReason.END,
            )
            for one in cut
        )
        return Generation(prompt=item.text, samples=samples)

    def _written(self, item: WorkItem, sample: int, limit: int | None) -> str:
        """Return the text of one sample, whose parts are published as they come."""
        made = self._called(self._given(item), self._gifts(item, sample))
        if not self.function.yields or not isinstance(made, Iterable):
            return text(made, self.where)
        parts, length = list[str](), 0
        for part in self._drawn(made):
            self._ask()
            delta = text(part, self.where)
            if limit is not None:
                delta = delta[: limit - length]
            length += len(delta)
            check_length(length, self.where)
            if delta:
                parts.append(delta)
                self.context.stream(item, sample, delta)
            if length == limit:
                break
        return "".join(parts)

    @property
    def _length(self) -> int | None:
        """Characters that a text is cut to: the parameter `length`, where there is one."""
        length = self._parameter("length", None)
        return length if isinstance(length, int) else None

    def _given(self, item: WorkItem) -> object:
        kind = self.function.signature.taken.kind
        if kind is not str:
            return item if kind is WorkItem else item.record
        return item.text[: self.function.max_chars]

    def _gifts(self, item: WorkItem, sample: int) -> dict[str, object]:
        gifts: dict[str, object] = {}
        for name, kind in self.function.signature.gifts.items():
            if kind is RunContext:
                gifts[name] = self.context
            elif kind is Device:
                gifts[name] = self.context.device
            elif kind is Random:
                seed = cast("int", self._parameter("seed", 0))
                gifts[name] = random_stream(seed, item.index, sample)
        return gifts

    def _parameter(self, name: str, default: object) -> object:
        """Return a parameter that the model declares, or the default."""
        is_declared = name in type(self.parameters).model_fields
        return getattr(self.parameters, name) if is_declared else default

    def _ask(self) -> None:
        if self.context.stop_requested():
            raise Stopped
