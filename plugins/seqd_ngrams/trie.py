"""Counted n-grams of all lengths as a tree of contexts, in flat arrays.

Pure structure: made from sorted n-grams by `grow`, used by `counting` to prune, by `smoothing` to
estimate and by `model` to walk. No probabilities here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqd_ngrams.keys import ENDED, Digits, Floats, Places


@dataclass(frozen=True)
class Trie:
    """Every n-gram of 1 to order + 1 symbols, shorter ones first, each length in order.

    An n-gram is an arc: it leaves the state of all its symbols but the last. State 0 is the
    empty context, and state a + 1 is the context that arc a leads to, if it has at most `order`
    symbols; so states too are numbered by length, and arcs are in order of (state, symbol).
    """

    symbols: int
    #: N-grams of each length, from 1 on.
    lengths: tuple[int, ...]
    parents: Places  # (arcs,), states
    labels: npt.NDArray[np.int64]  # (arcs,), the last symbol of each
    counts: Floats  # (arcs,), of the whole n-gram
    pruned: Floats  # (states,), what followed a state and was pruned

    @property
    def states(self) -> int:
        """Number of contexts, the empty one included."""
        return 1 + sum(self.lengths[:-1])

    @cached_property
    def keys(self) -> npt.NDArray[np.int64]:
        """State and symbol of each arc as one number; rising."""
        return self.parents * self.symbols + self.labels

    @cached_property
    def starts(self) -> Places:
        """Where each state's arcs begin, and the number of arcs: (states + 1,)."""
        return np.searchsorted(self.parents, np.arange(self.states + 1))

    @cached_property
    def suffixes(self) -> Places:
        """The state of each arc's n-gram without its first symbol: (arcs,).

        Raises ValueError where there is none, as in arrays that `count` did not make.
        """
        suffixes = np.zeros(len(self.keys), np.int64)
        lower = slice(0, 0)
        for number, level in enumerate(self.levels()):
            if number:
                # The state without its first symbol, of the arc before: all of one length less.
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
        """The arcs of each length, from 1 on."""
        first = 0
        for size in self.lengths:
            yield slice(first, first + size)
            first += size


def grow(digits: Digits, counts: Floats, symbols: int) -> Trie:
    """Make the tree of distinct sorted n-grams; a text's end and pruning are in their digits."""
    rows = digits.shape[1]
    differs = np.zeros(rows, np.bool_)  # rows that are not as the one before, up to the place
    differs[:1] = True
    states = np.zeros(rows, np.int64)  # of what stands before the place, for each row
    first_state, next_state = 0, 1
    parents, labels, amounts, pruned = [], [], [], []
    for digit in digits:
        differs[1:] |= digit[1:] != digit[:-1]
        starts = np.flatnonzero(differs)
        heads, below = digit[starts], states[starts]
        sums = np.add.reduceat(counts, starts) if rows else np.zeros(0)
        known, cut = (heads != ENDED) & (heads <= symbols), heads > symbols
        parents.append(below[known])
        labels.append(heads[known].astype(np.int64) - 1)
        amounts.append(sums[known])
        of_level = next_state - first_state
        pruned.append(np.bincount(below[cut] - first_state, sums[cut], of_level))
        begins = np.zeros(rows, np.int64)
        begins[starts[known]] = 1
        states = next_state - 1 + np.cumsum(begins)  # of no use to rows that have ended
        first_state, next_state = next_state, next_state + len(parents[-1])
    return Trie(
        symbols=symbols,
        lengths=tuple(map(len, parents)),
        parents=np.concatenate(parents),
        labels=np.concatenate(labels),
        counts=np.concatenate(amounts),
        pruned=np.concatenate(pruned).astype(np.float64),
    )
