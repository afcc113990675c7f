"""Counts the n-grams of a text that comes in spans, so that it need not fit in memory.

Counts are additive: texts counted apart and combined are as one counted whole. Sorting does the
counting (`keys`). Made by `count`, `combine` or from stored arrays; `model.fit` makes
probabilities of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_ngrams.keys import Coding, Floats, Ids, Keys, merge, tally
from seqd_ngrams.smoothing import kneser_ney_discounts
from seqd_ngrams.storage import MAX_ORDER, MAX_SYMBOLS, read_counts, stored_counts
from seqd_ngrams.trie import Trie, grow

#: Symbols that are counted at once: a few hundredths of a second, in 100 MB at most.
SPAN_SYMBOLS = 1_000_000

#: The same where there are so few different sequences that counting is no sorting: then what is
#: counted at once should fit in a core's cache. Pairs of characters: 5 ms instead of 9 for 600,000.
_SMALL_SPAN_SYMBOLS = 65_536


@dataclass(frozen=True)
class NgramCounts:
    """How often each sequence of up to order + 1 symbols was there; immutable.

    `begin`, where there is one, is the symbol that only begins texts: it is never predicted, and
    a sequence has it in its first place or not at all.
    """

    order: int
    symbols: int
    begin: int | None
    #: The longest sequences, packed and in order: those of order + 1 symbols, and shorter ones
    #: where the text ended or something was pruned.
    keys: Keys
    counts: Floats
    #: Kneser-Ney's discounts as they were before pruning: (order + 1, 3).
    discounts: Floats | None = None

    @property
    def coding(self) -> Coding:
        """How `keys` are packed."""
        return Coding(self.order + 1, self.symbols)

    @cached_property
    def trie(self) -> Trie:
        """Counts of the sequences of all lengths."""
        return grow(self.coding.unpack(self.keys), self.counts, self.symbols)

    def pruned(self, min_count: float) -> Self:
        """Drop sequences of 2 symbols and more that are rarer; single symbols stay.

        A context keeps how much was dropped from it: that part backs off.
        """
        trie, coding = self.trie, self.coding
        digits = coding.unpack(self.keys)
        discounts = self.discounts
        if discounts is None:
            discounts = kneser_ney_discounts(trie, self.begin)
        rare = np.zeros(len(self.counts), np.bool_)
        for place, numbers in enumerate(_arcs_of_rows(digits, trie)):
            digits[place, rare] = 0
            if place:
                new = (numbers >= 0) & ~rare & (trie.counts[numbers] < min_count)
                digits[place, new] = coding.other
                rare |= new
        keys, counts = merge([coding.pack(digits, digits.shape[1])], [self.counts])
        return replace(self, keys=keys, counts=counts, discounts=discounts)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give all of it as small arrays, for a safetensors file."""
        return stored_counts(
            self.coding, self.keys, self.counts, begin=self.begin, discounts=self.discounts
        )

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Read what `arrays` gave. Raises ValueError, which says what does not fit."""
        stored = read_counts(arrays)
        coding = stored.coding
        return cls(
            order=coding.length - 1,
            symbols=coding.symbols,
            begin=stored.begin,
            keys=coding.pack(stored.digits, stored.digits.shape[1]),
            counts=stored.counts,
            discounts=stored.discounts,
        )


class Counting:
    """A count that goes on: ids come in spans of one text, in order and of any length.

    Sequences go on over the border of two spans. An id of -1 is in no sequence and ends those
    before it; so does `begin`, which begins one.
    """

    def __init__(self, order: int, symbols: int, begin: int | None = None) -> None:
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"The order is {order}; from 1 to {MAX_ORDER} are possible.")
        if not 1 <= symbols <= MAX_SYMBOLS:
            raise ValueError(f"{symbols} symbols are not possible; 1 to {MAX_SYMBOLS} are.")
        self._order, self._symbols, self._begin = order, symbols, begin
        self._coding = Coding(order + 1, symbols)
        self._rest: Ids = np.empty(0, np.int32)
        #: Sorted spans: as many as a binary counter has digits, merged as it carries.
        self._runs: list[tuple[Keys, Floats]] = []

    def add(self, span: Ids) -> None:
        """Count a span. Raises ValueError for an id out of range."""
        few = self._coding.values <= _SMALL_SPAN_SYMBOLS
        size = _SMALL_SPAN_SYMBOLS if few else SPAN_SYMBOLS
        for first in range(0, len(span), size):
            part = span[first : first + size]
            _check(part, self._symbols)
            ids = np.concatenate([self._rest, part.astype(np.int32, copy=False)])
            whole = max(0, len(ids) - self._order)
            self._tally(ids, whole)
            self._rest = ids[whole:]

    def total(self) -> NgramCounts:
        """Give the counts of the text, which ends here."""
        self._tally(self._rest, len(self._rest))
        self._rest = self._rest[:0]
        if not self._runs:
            self._runs.append((np.empty((self._coding.columns, 0), np.uint64), np.empty(0)))
        self._merge_last(len(self._runs))
        keys, counts = self._runs[0]
        return NgramCounts(self._order, self._symbols, self._begin, keys, counts)

    def _tally(self, ids: Ids, starts: int) -> None:
        """Count the sequences that begin at the first `starts` places."""
        if not starts:
            return
        digits = list(_digits(ids, starts, self._coding, self._begin))
        self._runs.append(tally(self._coding.pack(digits, len(digits[0])), self._coding))
        while len(self._runs) > 1 and _size(self._runs[-2]) <= 2 * _size(self._runs[-1]):
            self._merge_last(2)

    def _merge_last(self, runs: int) -> None:
        if runs > 1:
            keys, counts = zip(*self._runs[-runs:], strict=True)
            self._runs[-runs:] = [merge(list(keys), list(counts))]


def count(
    spans: Iterable[Ids],
    *,
    order: int,
    symbols: int,
    begin: int | None = None,
    on_span: Callable[[int], None] | None = None,
) -> NgramCounts:
    """Count a text of ids below `symbols`, given in consecutive spans, as `Counting` does.

    `on_span` is called before each span of at most SPAN_SYMBOLS with the number of symbols
    before it.
    """
    counting, done = Counting(order, symbols, begin), 0
    for span in spans:
        for first in range(0, len(span), SPAN_SYMBOLS):
            part = span[first : first + SPAN_SYMBOLS]
            if on_span:
                on_span(done)
            counting.add(part)
            done += len(part)
    return counting.total()


def combine(parts: Sequence[NgramCounts], weights: Sequence[float] | None = None) -> NgramCounts:
    """Add counts up, each multiplied with its weight (1 where none are given).

    All must have the same order, symbols and `begin`, and none may be pruned: ValueError.
    """
    weights = [1.0] * len(parts) if weights is None else weights
    if not parts or len(weights) != len(parts):
        raise ValueError(f"{len(parts)} counts and {len(weights)} weights; one for each is due.")
    if not all(0 < weight < float("inf") for weight in weights):
        raise ValueError(f"The weights are {list(weights)}; each must be above 0 and finite.")
    if len({(part.order, part.symbols, part.begin) for part in parts}) > 1:
        raise ValueError("The counts differ in order or symbols. Count with the same ones.")
    if any(part.discounts is not None for part in parts):
        raise ValueError("Some of the counts are pruned. Combine first, then prune.")
    weighed = [part.counts * weight for part, weight in zip(parts, weights, strict=True)]
    keys, counts = merge([part.keys for part in parts], weighed)
    return replace(parts[0], keys=keys, counts=counts)


def _size(run: tuple[Keys, Floats]) -> int:
    return len(run[1])


def _check(ids: Ids, symbols: int) -> None:
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest < -1 or highest >= symbols:
        raise ValueError(
            f"The ids reach from {lowest} to {highest}; possible are -1 to {symbols - 1}."
        )


def _digits(ids: Ids, starts: int, coding: Coding, begin: int | None) -> Iterator[Ids]:
    """Digits of the sequences that begin at the first `starts` places, place by place."""
    padded = np.concatenate([ids + 1, np.zeros(coding.length - 1, ids.dtype)])
    if begin is None and starts + coding.length <= len(ids) + 1 and ids.min() >= 0:
        # Nothing ends a sequence here, as a rule in a text of characters.
        for place in range(coding.length):
            yield padded[place : place + starts]
        return
    known = np.flatnonzero(padded[:starts])
    alive = np.ones(len(known), np.bool_)
    for place in range(coding.length):
        digit = padded[place : place + starts][known]
        alive &= digit != 0
        if place and begin is not None:
            alive &= digit != begin + 1
        yield digit * alive


def _arcs_of_rows(digits: npt.NDArray[np.uint32], trie: Trie) -> Iterator[npt.NDArray[np.int64]]:
    """The arc that each row takes at each place, -1 where it has ended or was pruned."""
    states = np.zeros(digits.shape[1], np.int64)
    for digit in digits.copy():
        real = (digit > 0) & (digit <= trie.symbols) & (states >= 0)
        wanted = states[real] * trie.symbols + (digit[real].astype(np.int64) - 1)
        arcs = np.full(digits.shape[1], -1, np.int64)
        arcs[real] = np.searchsorted(trie.keys, wanted)
        yield arcs
        states = np.where(arcs >= 0, arcs + 1, -1)
