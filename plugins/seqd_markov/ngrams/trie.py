"""N-grams as sorted integer keys, and as a trie in flat arrays.

As a key an n-gram of `length` symbols is a row of digits: 0 past the end of the text, 1 + id for
a symbol, `symbols + 1` for a pruned one. Digits are packed into as many uint64 columns as they
need, the first symbol in the most significant digit. Sorted keys are therefore sorted n-grams,
and n-grams with a common prefix are adjacent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer]
Keys = npt.NDArray[np.uint64]  # (columns, n-grams)
Digits = npt.NDArray[np.uint32]  # (length, n-grams)
Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

_ENDED = 0  # the digit past the end of a text
_COLUMN_VALUES = 1 << 64


@dataclass(frozen=True)
class KeyLayout:
    """How n-grams of `length` symbols out of `symbols` ids are packed into keys."""

    length: int
    symbols: int

    @property
    def pruned_digit(self) -> int:
        """The digit of a pruned symbol."""
        return self.symbols + 1

    @property
    def digits_per_column(self) -> int:
        """Digits that one uint64 holds, at most `length`."""
        radix, digits = self.symbols + 2, 1
        while digits < self.length and radix ** (digits + 1) <= _COLUMN_VALUES:
            digits += 1
        return digits

    @property
    def values(self) -> int:
        """Number of different keys."""
        return int((self.symbols + 2) ** self.length)

    @property
    def columns(self) -> int:
        """Number of uint64 columns of a key."""
        return -(-self.length // self.digits_per_column)

    def pack(self, digits: Iterable[npt.NDArray[np.integer]], ngrams: int) -> Keys:
        """Pack digits, given position by position, each (n-grams,): (columns, n-grams)."""
        keys = np.zeros((self.columns, ngrams), np.uint64)
        radix = np.uint64(self.symbols + 2)
        for position, digit in enumerate(digits):
            column = keys[position // self.digits_per_column]
            column *= radix
            column += digit.astype(np.uint64)
        return keys

    def unpack(self, keys: Keys) -> Digits:
        """Return the digits of packed n-grams: (length, n-grams)."""
        digits = np.empty((self.length, keys.shape[1]), np.uint32)
        radix = np.uint64(self.symbols + 2)
        rest = keys.copy()
        for position in reversed(range(self.length)):
            column = rest[position // self.digits_per_column]
            shorter = column // radix
            digits[position] = column - shorter * radix
            column[:] = shorter
        return digits


def count_keys(keys: Keys, layout: KeyLayout) -> tuple[Keys, Floats]:
    """Return the distinct keys in order, and how often each occurred."""
    if layout.values <= keys.shape[1]:  # pairs of characters, as a rule: no need to sort
        counts = np.bincount(keys[0].view(np.int64))
        found = np.flatnonzero(counts)
        return found.astype(np.uint64)[None], counts[found].astype(np.float64)
    ordered = np.sort(keys[0])[None] if len(keys) == 1 else keys[:, np.lexsort(keys[::-1])]
    starts = _first_of_runs(ordered)
    ends = np.append(starts[1:], ordered.shape[1])
    return ordered[:, starts], (ends - starts).astype(np.float64)


def merge_counts(keys: list[Keys], counts: list[Floats]) -> tuple[Keys, Floats]:
    """Merge sorted keys, adding up the counts of equal ones."""
    together, amounts = np.concatenate(keys, axis=1), np.concatenate(counts)
    # A stable sort merges parts that are already sorted.
    order = (
        np.argsort(together[0], kind="stable") if len(together) == 1 else np.lexsort(together[::-1])
    )
    ordered = together[:, order]
    starts = _first_of_runs(ordered)
    if not len(starts):
        return ordered, amounts
    return ordered[:, starts], np.add.reduceat(amounts[order], starts)


def _first_of_runs(ordered: Keys) -> Indices:
    """Return where each distinct key begins among sorted ones."""
    differs = np.ones(ordered.shape[1], np.bool_)
    differs[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    return np.flatnonzero(differs)


@dataclass(frozen=True)
class Trie:
    """Every n-gram of 1 to order + 1 symbols, shorter ones first, sorted within each length.

    An n-gram is an arc from the state of its context, which is all its symbols but the last.
    State 0 is the empty context. Arc a leads to state a + 1 where its n-gram has at most `order`
    symbols. States are thus numbered by length, and arcs are sorted by (state, symbol).
    """

    symbols: int
    #: Number of n-grams of each length, from 1 on.
    lengths: tuple[int, ...]
    parents: Indices  # (arcs,), states
    labels: npt.NDArray[np.int64]  # (arcs,), the last symbol of each n-gram
    counts: Floats  # (arcs,)
    pruned: Floats  # (states,), the count of pruned continuations

    @property
    def states(self) -> int:
        """Number of contexts, the empty one included."""
        return 1 + sum(self.lengths[:-1])

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """State x symbols + symbol of each arc, ascending: (arcs,)."""
        return self.parents * self.symbols + self.labels

    @cached_property
    def starts(self) -> Indices:
        """The first arc of each state, and the number of arcs: (states + 1,)."""
        return np.searchsorted(self.parents, np.arange(self.states + 1))

    @cached_property
    def suffixes(self) -> Indices:
        """The state of each arc's n-gram without its first symbol: (arcs,).

        Raises ValueError where there is none, as in arrays that `count` did not make.
        """
        suffixes = np.zeros(len(self.keys), np.int64)
        lower = slice(0, 0)
        for number, level in enumerate(self.levels()):
            if number:
                # The parent arc's own suffix, one symbol shorter, is the state to look in.
                before = suffixes[self.parents[level] - 1]
                wanted = before * self.symbols + self.labels[level]
                found = np.searchsorted(self.keys[lower], wanted)
                known = self.keys[lower][np.minimum(found, lower.stop - lower.start - 1)]
                if not np.array_equal(known, wanted):
                    raise ValueError("an n-gram is there whose ending is not")
                suffixes[level] = lower.start + found + 1
            lower = level
        return suffixes

    def levels(self) -> Iterator[slice]:
        """Yield the arcs of each length, from 1 on."""
        first = 0
        for size in self.lengths:
            yield slice(first, first + size)
            first += size


def build_trie(digits: Digits, counts: Floats, symbols: int) -> Trie:
    """Return the trie of distinct sorted n-grams: digits (length, n-grams), counts (n-grams,)."""
    rows = digits.shape[1]
    differs = np.zeros(rows, np.bool_)  # rows whose prefix up to here is not the previous row's
    differs[:1] = True
    states = np.zeros(rows, np.int64)  # the state of each row's prefix
    first_state, next_state = 0, 1
    parents, labels, amounts, pruned = [], [], [], []
    for digit in digits:
        differs[1:] |= digit[1:] != digit[:-1]
        starts = np.flatnonzero(differs)
        heads, below = digit[starts], states[starts]
        sums = np.add.reduceat(counts, starts) if rows else np.zeros(0)
        known, cut = (heads != _ENDED) & (heads <= symbols), heads > symbols
        parents.append(below[known])
        labels.append(heads[known].astype(np.int64) - 1)
        amounts.append(sums[known])
        of_level = next_state - first_state
        pruned.append(np.bincount(below[cut] - first_state, sums[cut], of_level))
        begins = np.zeros(rows, np.int64)
        begins[starts[known]] = 1
        states = next_state - 1 + np.cumsum(begins)  # meaningless for rows that have ended
        first_state, next_state = next_state, next_state + len(parents[-1])
    return Trie(
        symbols=symbols,
        lengths=tuple(map(len, parents)),
        parents=np.concatenate(parents),
        labels=np.concatenate(labels),
        counts=np.concatenate(amounts),
        pruned=np.concatenate(pruned).astype(np.float64),
    )
