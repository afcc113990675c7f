"""For how long the items in hand may be computed, by what items of their kind have cost here.

`SEQD_MAX_SILENT_S` must leave time for the longest unit of any model, and is no bound on a plugin
that loops and goes on asking whether to stop. What these items should take is known better: from
the last calls with the same model, version and parameters. Where nothing is known, as of the first
call after a model was loaded, which may compile, there is no budget.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Calls of one kind that are remembered, of which the slowest counts, and kinds.
CALLS_KEPT = 8
KINDS_KEPT = 256


@dataclass(frozen=True, slots=True)
class Budget:
    """What the items in hand are expected to take, and what they may."""

    expected_s: float
    #: Seconds for which the plugin may not ask whether to stop.
    silent_s: float
    #: Seconds that it may compute in all.
    unit_s: float


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """How much more than expected is a hang: the settings."""

    factor: float
    floor_s: float
    max_silent_s: float

    @classmethod
    def of(cls, settings: "Settings") -> Self:
        """Return the rule of the settings."""
        return cls(settings.unit_budget_factor, settings.unit_budget_floor_s, settings.max_silent_s)

    @property
    def least_s(self) -> float:
        """The least time that a budget allows."""
        return self.floor_s if self.factor > 0 else inf

    def budget(self, expected_s: float) -> Budget | None:
        """Return the budget for items that should take so long; None where there are to be none."""
        if self.factor <= 0:
            return None
        unit_s = max(self.floor_s, self.factor * expected_s)
        return Budget(expected_s, min(self.max_silent_s, unit_s), unit_s)


NO_BUDGETS = BudgetRule(factor=0.0, floor_s=inf, max_silent_s=inf)


@dataclass(frozen=True, slots=True)
class UnitSize:
    """What the time of a call grows with."""

    items: int
    #: Of all texts, and of the longest one, for which others may be padded.
    characters: int
    longest: int
    #: The most characters that the plugin may write; None of a task that writes no text.
    most_written: int | None = None


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call took: the longest that each measure allows for."""

    item_s: float
    character_s: float
    #: Of the text that it wrote.
    written_s: float


@dataclass(slots=True)
class _Kind:
    """The last calls of one kind."""

    #: Number of the load of the model that did them.
    load: int
    calls: deque[_Call] = field(default_factory=lambda: deque(maxlen=CALLS_KEPT))


class UnitCosts:
    """What calls have cost in this child; used by the thread that works."""

    def __init__(self) -> None:
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()

    def expected_s(self, kind: str, load: int, size: UnitSize) -> float | None:
        """Return what a call should take at most, by the slowest of the last ones; None: unknown.

        A model that was loaded anew, which has another `load`, may compile first.
        """
        known = self._kinds.get(kind)
        if known is None or known.load != load:
            return None
        return max(_expected(call, size) for call in known.calls)

    @contextmanager
    def measuring(self, kind: str, load: int, size: UnitSize) -> Iterator["Measured"]:
        """Note what a block takes that computes items; nothing where it raises."""
        measured, began_s = Measured(), monotonic()
        yield measured
        call = _call(monotonic() - began_s, size, measured.written)
        known = self._kinds.get(kind)
        if known is None or known.load != load:
            known = self._kinds[kind] = _Kind(load)
        self._kinds.move_to_end(kind)
        known.calls.append(call)
        if len(self._kinds) > KINDS_KEPT:
            self._kinds.popitem(last=False)


@dataclass(slots=True)
class Measured:
    """What a call gave, for its cost."""

    #: Characters that it wrote.
    written: int = 0


def _call(seconds: float, size: UnitSize, written: int) -> _Call:
    return _Call(
        seconds / max(1, size.items),
        seconds / max(1, size.characters),
        seconds / max(1, written),
    )


def _expected(call: _Call, size: UnitSize) -> float:
    by_size = max(call.item_s * size.items, call.character_s * size.items * size.longest)
    by_text = 0.0 if size.most_written is None else call.written_s * size.most_written
    return max(by_size, by_text)
