"""For how long the items in hand may be computed, by what items of their kind have cost here.

`SEQD_MAX_SILENT_S` must leave time for the longest unit of any model, and is no bound on a plugin
that loops and goes on asking whether to stop. What these items should take is known better: from
the last calls with the same model, version and parameters. Where nothing is known, as of the first
call after a model was loaded, which may compile, there is no budget. What is known of other sizes
alone, or from long ago, bounds no call below that setting: the first batch of a new length may
compile, cost may grow faster than size, and what was long at rest may come from a disk again.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from seqd.settings import Settings

#: Calls of one kind that are remembered, of which the slowest counts, kinds, and sizes of each.
CALLS_KEPT = 8
KINDS_KEPT = 256
SIZES_KEPT = 16

#: Seconds for which calls say what the next one should take.
RECENT_S = 600.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What items should take at most."""

    seconds: float
    #: Times the least budget that they have at least, more where a model may compile for their
    #: size; None of what is known by calls of another size, or from long ago.
    floors: int | None = 1


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

    def budget(self, expected: Expected) -> Budget | None:
        """Return the budget of items that should take so long; None where there are to be none."""
        if self.factor <= 0:
            return None
        floors, most_s = expected.floors, self.max_silent_s
        least_s = most_s if floors is None else min(most_s, floors * self.floor_s)
        unit_s = max(self.floor_s, least_s, self.factor * expected.seconds)
        return Budget(expected.seconds, min(most_s, unit_s), unit_s)


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

    @property
    def padded(self) -> int:
        """Characters of a batch in which all texts are as long as the longest."""
        return self.items * self.longest

    @property
    def likeness(self) -> tuple[int, int]:
        """The same for sizes of which none is more than twice the other."""
        return self.items.bit_length(), self.longest.bit_length()


@dataclass(frozen=True, slots=True)
class _Call:
    """What a call took."""

    seconds: float
    size: UnitSize
    #: Characters of the text that it wrote.
    written: int


_last_calls = partial(deque[_Call], maxlen=CALLS_KEPT)


@dataclass(slots=True)
class _Kind:
    """The last calls of one kind."""

    #: Number of the load of the model that did them.
    load: int
    calls: deque[_Call] = field(default_factory=_last_calls)
    #: Those of each size, by its likeness.
    by_size: OrderedDict[tuple[int, int], deque[_Call]] = field(default_factory=OrderedDict)
    last_s: float = 0.0

    def add(self, call: _Call, now_s: float) -> None:
        """Remember a call."""
        likeness = call.size.likeness
        self.calls.append(call)
        self.by_size.setdefault(likeness, _last_calls()).append(call)
        self.by_size.move_to_end(likeness)
        if len(self.by_size) > SIZES_KEPT:
            self.by_size.popitem(last=False)
        self.last_s = now_s

    def expected(self, size: UnitSize, now_s: float) -> Expected:
        """Return what a call should take at most, by the slowest of the last ones."""
        like = self.by_size.get(size.likeness)
        if like is not None and now_s - self.last_s < RECENT_S:
            return Expected(max(_expected_s(call, size) for call in like))
        return Expected(max(_grown_s(call, size) for call in like or self.calls), floors=None)


class UnitCosts:
    """What calls have cost in this child; used by the thread that works."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()

    def expected(self, kind: str, load: int, size: UnitSize) -> Expected | None:
        """Return what a call should take at most; None where nothing is known.

        A model that was loaded anew, which has another `load`, may compile first.
        """
        known = self._kinds.get(kind)
        if known is None or known.load != load:
            return None
        return known.expected(size, self._clock())

    def note(self, kind: str, load: int, size: UnitSize, seconds: float, written: int = 0) -> None:
        """Remember what a call took, and the characters of the text that it wrote."""
        known = self._kinds.get(kind)
        if known is None or known.load != load:
            known = self._kinds[kind] = _Kind(load)
        self._kinds.move_to_end(kind)
        known.add(_Call(seconds, size, written), self._clock())
        if len(self._kinds) > KINDS_KEPT:
            self._kinds.popitem(last=False)


def _expected_s(call: _Call, size: UnitSize) -> float:
    """Return what a call of about this size should take, by the most that each measure allows."""
    by_items = call.seconds / max(1, call.size.items) * size.items
    by_characters = call.seconds / max(1, call.size.characters) * size.padded
    by_text = call.seconds / max(1, call.written) * (size.most_written or 0)
    return max(by_items, by_characters, by_text)


def _grown_s(call: _Call, size: UnitSize) -> float:
    """Return the same for another size, with which the cost may grow by the square."""
    known = call.size
    growth = max(1.0, size.items / max(1, known.items), size.padded / max(1, known.padded))
    return _expected_s(call, size) * growth
