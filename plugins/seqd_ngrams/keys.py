"""N-grams as sorted unsigned integers, so that counting is sorting.

An n-gram of `length` places is a row of digits: 0 where the text has ended, 1 + id for a symbol,
and `symbols + 1` for any symbol that was pruned. Digits are packed into as many uint64 columns
as they need, the first place in the highest digits: packed rows are in the order of their
n-grams, and those with a common beginning stand together. Knows nothing of what is counted;
used by `counting` and `trie`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer]
Keys = npt.NDArray[np.uint64]  # (columns, n-grams)
Digits = npt.NDArray[np.uint32]  # (places, n-grams)
Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

#: The digit of a place behind the end of its text.
ENDED = 0

_COLUMN_VALUES = 1 << 64


@dataclass(frozen=True)
class Coding:
    """How n-grams of `length` places over `symbols` ids are packed."""

    length: int
    symbols: int

    @property
    def other(self) -> int:
        """The digit of a pruned symbol."""
        return self.symbols + 1

    @property
    def per_column(self) -> int:
        """Digits that one uint64 holds, at most the n-gram's length."""
        radix, digits = self.symbols + 2, 1
        while digits < self.length and radix ** (digits + 1) <= _COLUMN_VALUES:
            digits += 1
        return digits

    @property
    def values(self) -> int:
        """Number of different n-grams that could be."""
        return int((self.symbols + 2) ** self.length)

    @property
    def columns(self) -> int:
        """Columns that an n-gram needs."""
        return -(-self.length // self.per_column)

    def pack(self, digits: Iterable[npt.NDArray[np.integer]], ngrams: int) -> Keys:
        """Pack the digits of all n-grams, given place by place."""
        keys = np.zeros((self.columns, ngrams), np.uint64)
        radix = np.uint64(self.symbols + 2)
        for place, digit in enumerate(digits):
            column = keys[place // self.per_column]
            column *= radix
            column += digit.astype(np.uint64)
        return keys

    def unpack(self, keys: Keys) -> Digits:
        """Give the digits of packed n-grams."""
        digits = np.empty((self.length, keys.shape[1]), np.uint32)
        radix = np.uint64(self.symbols + 2)
        rest = keys.copy()
        for place in reversed(range(self.length)):
            column = rest[place // self.per_column]
            shorter = column // radix
            digits[place] = column - shorter * radix
            column[:] = shorter
        return digits


def tally(keys: Keys, coding: Coding) -> tuple[Keys, Floats]:
    """Sort n-grams: the distinct ones in order, and how often each was there."""
    if coding.values <= keys.shape[1]:  # pairs of characters, as a rule: no need to sort
        counts = np.bincount(keys[0].view(np.int64))
        found = np.flatnonzero(counts)
        return found.astype(np.uint64)[None], counts[found].astype(np.float64)
    ordered = np.sort(keys[0])[None] if len(keys) == 1 else keys[:, np.lexsort(keys[::-1])]
    starts = _starts(ordered)
    ends = np.append(starts[1:], ordered.shape[1])
    return ordered[:, starts], (ends - starts).astype(np.float64)


def merge(keys: list[Keys], counts: list[Floats]) -> tuple[Keys, Floats]:
    """Put sorted n-grams together, adding up the counts of equal ones."""
    together, amounts = np.concatenate(keys, axis=1), np.concatenate(counts)
    # Stable sorting is merging where the parts are in order, as they are here.
    order = (
        np.argsort(together[0], kind="stable") if len(together) == 1 else np.lexsort(together[::-1])
    )
    ordered = together[:, order]
    starts = _starts(ordered)
    if not len(starts):
        return ordered, amounts
    return ordered[:, starts], np.add.reduceat(amounts[order], starts)


def _starts(ordered: Keys) -> Places:
    """Where each distinct n-gram begins among sorted ones."""
    differs = np.ones(ordered.shape[1], np.bool_)
    differs[1:] = (ordered[:, 1:] != ordered[:, :-1]).any(axis=0)
    return np.flatnonzero(differs)
