"""Counts the n-grams of a text that comes in spans, so that the text need not fit in memory.

Counting is sorting: see `trie` for the keys. Counts are additive: texts counted apart and then
combined give the counts of one text.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_markov.ngrams.smoothing import kneser_ney_discounts
from seqd_markov.ngrams.trie import (
    Floats,
    Ids,
    KeyLayout,
    Keys,
    Trie,
    build_trie,
    count_keys,
    merge_counts,
)

#: Symbols that are counted at once: a few hundredths of a second, in 100 MB at most.
SPAN_SYMBOLS = 1_000_000

#: The same where there are so few different n-grams that counting needs no sorting: then a span
#: should fit in a core's cache. Pairs of characters: 5 ms instead of 9 for 600,000.
_SMALL_SPAN_SYMBOLS = 65_536


@dataclass(frozen=True)
class NgramCounts:
    """The count of each n-gram of up to order + 1 symbols; immutable.

    `begin`, where there is one, is the start-of-text symbol: it is never predicted, and occurs
    as the first symbol of an n-gram or not at all.
    """

    order: int
    symbols: int
    begin: int | None
    #: The longest n-grams, packed and sorted: those of order + 1 symbols, and shorter ones where
    #: the text ended or a continuation was pruned.
    keys: Keys
    counts: Floats
    #: Kneser-Ney discounts from before pruning: (order + 1, 3).
    discounts: Floats | None = None

    @property
    def layout(self) -> KeyLayout:
        """How `keys` are packed."""
        return KeyLayout(self.order + 1, self.symbols)

    @cached_property
    def trie(self) -> Trie:
        """The counts of n-grams of all lengths."""
        return build_trie(self.layout.unpack(self.keys), self.counts, self.symbols)

    def pruned(self, min_count: float) -> Self:
        """Return the counts without n-grams of 2 symbols and more that are rarer.

        Unigrams stay. A context keeps the sum of what was pruned from it: that mass backs off.
        """
        trie, layout = self.trie, self.layout
        digits = layout.unpack(self.keys)
        discounts = self.discounts
        if discounts is None:
            discounts = kneser_ney_discounts(trie, self.begin)
        rare = np.zeros(len(self.counts), np.bool_)
        for position, arcs in enumerate(_arcs_of_rows(digits, trie)):
            digits[position, rare] = 0
            if position:
                new = (arcs >= 0) & ~rare & (trie.counts[arcs] < min_count)
                digits[position, new] = layout.pruned_digit
                rare |= new
        keys, counts = merge_counts([layout.pack(digits, digits.shape[1])], [self.counts])
        return replace(self, keys=keys, counts=counts, discounts=discounts)


class NgramCounter:
    """Counts one text whose ids come in spans, in order and of any length.

    N-grams cross the border of two spans. An id of -1 is unknown: it is part of no n-gram and
    ends those before it. `begin` ends those before it too, and begins new ones.
    """

    def __init__(self, order: int, symbols: int, begin: int | None = None) -> None:
        self._order, self._symbols, self._begin = order, symbols, begin
        self._layout = KeyLayout(order + 1, symbols)
        self._rest: Ids = np.empty(0, np.int32)
        #: Sorted runs, merged as a binary counter carries: a logarithmic number of them.
        self._runs: list[tuple[Keys, Floats]] = []

    def add(self, span: Ids) -> None:
        """Count a span of ids from -1 to `symbols` - 1."""
        few = self._layout.values <= _SMALL_SPAN_SYMBOLS
        size = _SMALL_SPAN_SYMBOLS if few else SPAN_SYMBOLS
        for first in range(0, len(span), size):
            part = span[first : first + size]
            ids = np.concatenate([self._rest, part.astype(np.int32, copy=False)])
            whole = max(0, len(ids) - self._order)
            self._count(ids, whole)
            self._rest = ids[whole:]

    def counts(self) -> NgramCounts:
        """Return the counts of the text, which ends here."""
        self._count(self._rest, len(self._rest))
        self._rest = self._rest[:0]
        if not self._runs:
            self._runs.append((np.empty((self._layout.columns, 0), np.uint64), np.empty(0)))
        self._merge_last(len(self._runs))
        keys, counts = self._runs[0]
        return NgramCounts(self._order, self._symbols, self._begin, keys, counts)

    def _count(self, ids: Ids, starts: int) -> None:
        """Count the n-grams that begin at the first `starts` positions."""
        if not starts:
            return
        digits = list(_digits(ids, starts, self._layout, self._begin))
        self._runs.append(count_keys(self._layout.pack(digits, len(digits[0])), self._layout))
        while len(self._runs) > 1 and len(self._runs[-2][1]) <= 2 * len(self._runs[-1][1]):
            self._merge_last(2)

    def _merge_last(self, runs: int) -> None:
        if runs > 1:
            keys, counts = zip(*self._runs[-runs:], strict=True)
            self._runs[-runs:] = [merge_counts(list(keys), list(counts))]


def count(span: Ids, *, order: int, symbols: int, begin: int | None = None) -> NgramCounts:
    """Return the counts of a text of ids; see `NgramCounter`."""
    counter = NgramCounter(order, symbols, begin)
    counter.add(span)
    return counter.counts()


def combine(parts: Sequence[NgramCounts], weights: Sequence[float]) -> NgramCounts:
    """Return the weighted sum of counts of the same order and symbols, before any is pruned."""
    weighted = [part.counts * weight for part, weight in zip(parts, weights, strict=True)]
    keys, counts = merge_counts([part.keys for part in parts], weighted)
    return replace(parts[0], keys=keys, counts=counts)


def _digits(ids: Ids, starts: int, layout: KeyLayout, begin: int | None) -> Iterator[Ids]:
    """Yield the digits of the n-grams at the first `starts` positions, position by position."""
    padded = np.concatenate([ids + 1, np.zeros(layout.length - 1, ids.dtype)])
    if begin is None and starts + layout.length <= len(ids) + 1 and ids.min() >= 0:
        # No n-gram ends early here, as a rule in a text of characters.
        for position in range(layout.length):
            yield padded[position : position + starts]
        return
    known = np.flatnonzero(padded[:starts])
    alive = np.ones(len(known), np.bool_)
    for position in range(layout.length):
        digit = padded[position : position + starts][known]
        alive &= digit != 0
        if position and begin is not None:
            alive &= digit != begin + 1
        yield digit * alive


def _arcs_of_rows(digits: npt.NDArray[np.uint32], trie: Trie) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the arc of each row at each position, -1 past its end or a pruned symbol."""
    states = np.zeros(digits.shape[1], np.int64)
    for digit in digits.copy():
        real = (digit > 0) & (digit <= trie.symbols) & (states >= 0)
        wanted = states[real] * trie.symbols + (digit[real].astype(np.int64) - 1)
        arcs = np.full(digits.shape[1], -1, np.int64)
        arcs[real] = np.searchsorted(trie.keys, wanted)
        yield arcs
        states = np.where(arcs >= 0, arcs + 1, -1)
