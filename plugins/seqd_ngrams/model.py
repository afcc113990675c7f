"""The n-gram model: a back-off automaton with the probability of every next symbol.

A state is a context of 0 to `order` symbols that was counted; what comes next leads to the
longest such context again. Immutable, in flat arrays, every answer independent of
what else is asked for at the same time. Made by `fit` or from stored arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_ngrams.counting import NgramCounts
from seqd_ngrams.deflating import deflated, inflated
from seqd_ngrams.keys import Floats, Ids
from seqd_ngrams.smoothing import Smoothing, estimate

States = npt.NDArray[np.int32]

#: Cells that `tables` makes at most: 320 MB.
MAX_TABLE_CELLS = 40_000_000

#: Symbols of a text that are looked up at once.
_SPAN_SYMBOLS = 200_000

_KINDS = tuple(Smoothing)

#: Arrays with an entry or more for each n-gram.
_LONG = ("ngram_shared", "ngram_digits", "ngram_counts")


@dataclass(frozen=True)
class Tables:
    """A model of few symbols as dense rows, for drawing."""

    probabilities: npt.NDArray[np.float32]  # (states, symbols)
    next_states: States  # (states, symbols)


@dataclass(frozen=True)
class Arcs:
    """What was seen to follow each state: state s has arcs `starts[s]:starts[s + 1]`, by symbol.

    P(symbol | s) = `shares` of its arc, if there is one, + `backoffs[s]` x P(symbol | `lower[s]`)
    + `flats[s]`. One of `backoffs[s]` and `flats[s]` is 0, and `backoffs[0]` is. P(`begin` | s) is
    0 whatever the sum.
    """

    starts: npt.NDArray[np.int64]  # (states + 1,)
    symbols: npt.NDArray[np.unsignedinteger]  # (arcs,), in the smallest type
    counts: npt.NDArray[np.floating]  # (arcs,), float32 where it holds them all
    shares: Floats  # (arcs,)
    next_states: States  # (arcs,)
    lower: States  # (states,), the state without its first symbol
    backoffs: Floats  # (states,)
    flats: Floats  # (states,)


class NgramModel:
    """Probabilities of the next symbol, given up to `order` symbols.

    State 0 is the empty context. An id of -1 is a symbol that the model does not know: it ends
    the context. `begin`, where there is one, is never predicted; every other symbol has a
    probability above 0 with any smoothing but none.
    """

    def __init__(self, counts: NgramCounts, smoothing: Smoothing, additive: float) -> None:
        trie = counts.trie
        suffixes = trie.suffixes
        estimates = estimate(
            trie,
            smoothing,
            additive=additive,
            begin=counts.begin,
            discounts=counts.discounts,
        )
        self.order = counts.order
        self.symbols = counts.symbols
        self.begin = counts.begin
        self.smoothing = smoothing
        self.additive = additive
        self.states = trie.states
        #: Distinct sequences of each length, from 1 to order + 1.
        self.ngrams = trie.lengths
        self._keys = trie.keys
        self._stored = counts.arrays()
        next_states = suffixes.copy()
        next_states[: trie.states - 1] = np.arange(1, trie.states)
        self.arcs = Arcs(
            starts=trie.starts,
            symbols=trie.labels.astype(np.min_scalar_type(counts.symbols)),
            counts=_compact(trie.counts),
            shares=estimates.shares,
            next_states=next_states.astype(np.int32),
            lower=np.append(0, suffixes[: trie.states - 1]).astype(np.int32),
            backoffs=estimates.backoffs,
            flats=estimates.flats,
        )
        #: First state of each context length, and the number of states.
        self._levels = np.cumsum([0, 1, *trie.lengths[:-1]])

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        arrays = [self._keys, *vars(self.arcs).values(), *self._stored.values()]
        return sum(array.nbytes for array in arrays)

    def counts(self) -> NgramCounts:
        """The counts that it was made of, such as to combine them with others."""
        return NgramCounts.of(self._stored)

    def state_after(self, ids: Ids, state: int = 0) -> int:
        """The state after reading ids from a state on."""
        if len(ids) >= self.order:
            ids, state = ids[len(ids) - self.order :], 0
        states = np.array([state])
        for place in range(len(ids)):
            states = self.advance(states, ids[place : place + 1])
        return int(states[0])

    def advance(self, states: npt.NDArray[np.integer], ids: Ids) -> States:
        """Read one id in each state: the longest known contexts after it. (n,), (n,) -> (n,)."""
        after = np.zeros(len(ids), np.int32)
        waiting = np.flatnonzero((ids >= 0) & (ids < self.symbols))
        states = states[waiting]
        while len(waiting):
            arcs = self._arcs_of(states, ids[waiting])
            found = arcs >= 0
            after[waiting[found]] = self.arcs.next_states[arcs[found]]
            # From the empty context a symbol that never was leads to it again.
            shorter = ~found & (states > 0)
            waiting, states = waiting[shorter], self.arcs.lower[states[shorter]]
        return after

    def usual(self, state: int) -> int:
        """The state of `order` symbols that ends with a state's and was there most often.

        The state itself where there is none. For reading a text whose beginning is not known: what
        Kneser-Ney gives after a shorter context is meant for contexts that were never seen, and
        tells how many different ones a symbol follows, not how often.
        """
        first = int(self._levels[self.order])
        endings: States = np.arange(first, self.states, dtype=np.int32)
        length = int(np.searchsorted(self._levels, state, side="right")) - 1
        for _ in range(self.order - length):
            endings = self.arcs.lower[endings]
        times = np.where(endings == state, self.arcs.counts[first - 1 : self.states - 1], 0.0)
        return first + int(times.argmax()) if times.any() else state

    def probabilities(self, states: npt.NDArray[np.integer]) -> Floats:
        """Probability of each symbol after each state: (n, symbols), rows sum to 1.

        A row does not depend on the others, to the last bit.
        """
        chains = self._chains(states)
        rows = np.zeros((len(states), self.symbols))
        for level in range(self.order + 1):
            members = np.flatnonzero(chains[level] >= 0)
            own = chains[level][members]
            scaled = rows[members]
            scaled *= self.arcs.backoffs[own, None]
            scaled += self.arcs.flats[own, None]
            arcs, places = self._expand(own)
            scaled[places, self.arcs.symbols[arcs]] += self.arcs.shares[arcs]
            rows[members] = scaled
        if self.begin is not None:
            rows[:, self.begin] = 0.0
        return rows

    def log_probs(self, ids: Ids, state: int = 0) -> Floats:
        """Natural logarithm of the probability of each id, given all before it: (len,).

        NaN for -1 and for `begin`, which are not predicted.
        """
        logs = np.empty(len(ids))
        for first in range(0, len(ids), _SPAN_SYMBOLS):
            span = ids[first : first + _SPAN_SYMBOLS]
            logs[first : first + len(span)] = self._log_probs(span, state)
            state = self.state_after(span, state)
        return logs

    def tables(self) -> Tables:
        """All probabilities and next states. Raises ValueError above MAX_TABLE_CELLS cells."""
        cells = self.states * self.symbols
        if cells > MAX_TABLE_CELLS:
            raise ValueError(
                f"{self.states:,} states x {self.symbols:,} symbols are {cells:,} cells; at most "
                f"{MAX_TABLE_CELLS:,} are made."
            )
        probabilities = np.empty((self.states, self.symbols), np.float32)
        next_states = np.empty((self.states, self.symbols), np.int32)
        below, below_first = np.zeros((1, self.symbols)), 0
        next_below = np.zeros((1, self.symbols), np.int32)
        for first, end in zip(self._levels[:-1], self._levels[1:], strict=True):
            own = np.arange(first, end)
            lower = self.arcs.lower[own] - below_first
            arcs, places = self._expand(own)
            rows = below[lower] * self.arcs.backoffs[own, None] + self.arcs.flats[own, None]
            rows[places, self.arcs.symbols[arcs]] += self.arcs.shares[arcs]
            if self.begin is not None:
                rows[:, self.begin] = 0.0
            following = next_below[lower]
            following[places, self.arcs.symbols[arcs]] = self.arcs.next_states[arcs]
            probabilities[own], next_states[own] = rows, following
            below, next_below, below_first = rows, following, int(first)
        return Tables(probabilities, next_states)

    def context(self, state: int) -> Ids:
        """The symbols of a state, the last read last."""
        symbols: list[int] = []
        while state:
            key = int(self._keys[state - 1])
            state, symbol = divmod(key, self.symbols)
            symbols.append(symbol)
        return np.array(symbols[::-1], np.int64)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give the counts and the smoothing as small arrays, for a safetensors file.

        Probabilities are estimated anew when they are read, which is quicker than reading them.
        """
        packed = {name: deflated(self._stored[name]) for name in _LONG}
        return {**self._stored, **packed} | {
            "ngram_smoothing": np.array([_KINDS.index(self.smoothing)], np.uint8),
            "ngram_additive": np.array([self.additive]),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Read what `arrays` gave. Raises ValueError, which says what does not fit."""
        rest = dict(arrays)
        kind, additive = rest.pop("ngram_smoothing", None), rest.pop("ngram_additive", None)
        if kind is None or kind.shape != (1,) or kind.dtype.kind != "u" or kind[0] >= len(_KINDS):
            raise ValueError("'ngram_smoothing' is missing or names no smoothing")
        if additive is None or additive.shape != (1,) or additive.dtype.kind != "f":
            raise ValueError("'ngram_additive' is missing or no number")
        unpacked = {name: inflated(rest[name], name) for name in _LONG if name in rest}
        counts = NgramCounts.of(rest | unpacked)
        return cls(*_checked(counts, _KINDS[int(kind[0])], float(additive[0])))

    def _arcs_of(self, states: npt.NDArray[np.integer], ids: Ids) -> npt.NDArray[np.int64]:
        """The arc of each state and id, -1 where there is none or the state is -1."""
        if not len(self._keys):
            return np.full(len(ids), -1)
        wanted = states.astype(np.int64) * self.symbols + ids
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found = (self._keys[places] == wanted) & (states >= 0) & (ids >= 0)
        return np.where(found, places, -1)

    def _chains(self, states: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Each state's endings by their length, -1 where it is shorter: (order + 1, n)."""
        chains = np.full((self.order + 1, len(states)), -1)
        lengths = np.searchsorted(self._levels, states, side="right") - 1
        below = np.asarray(states, np.int64)
        for level in range(self.order, -1, -1):
            there = lengths >= level
            chains[level][there] = below[there]
            below = np.where(there, self.arcs.lower[below], below)
        return chains

    def _expand(self, states: npt.NDArray[np.int64]) -> tuple[Ids, Ids]:
        """All arcs of some states, and of each the place of its state among them."""
        starts = self.arcs.starts[states]
        sizes = self.arcs.starts[states + 1] - starts
        places = np.repeat(np.arange(len(states)), sizes)
        before = np.cumsum(sizes) - sizes
        return np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes), places

    def _log_probs(self, ids: Ids, state: int) -> Floats:
        known = (ids >= 0) & (ids < self.symbols)
        entry = self._chains(np.array([state]))[:, 0]
        states = np.zeros(len(ids), np.int64)  # of the present context length, before each id
        probabilities = np.zeros(len(ids))
        for level in range(self.order + 1):
            there = states >= 0
            arcs = np.where(known, self._arcs_of(states, ids), -1)
            own = states[there]
            scaled = probabilities[there] * self.arcs.backoffs[own] + self.arcs.flats[own]
            probabilities[there] = scaled
            seen = arcs >= 0
            probabilities[seen] += self.arcs.shares[arcs[seen]]
            if level < self.order:
                states = np.where(arcs >= 0, arcs + 1, -1)
                states = np.append(entry[level + 1], states[:-1])
        predicted = known if self.begin is None else known & (ids != self.begin)
        with np.errstate(divide="ignore"):  # without smoothing what was not seen is impossible
            logs: Floats = np.log(np.where(predicted, probabilities, np.nan))
        return logs


def fit(
    counts: NgramCounts, smoothing: Smoothing | str = Smoothing.KNESER_NEY, additive: float = 0.1
) -> NgramModel:
    """Estimate probabilities. `additive` is what additive smoothing adds to each count."""
    return NgramModel(*_checked(counts, Smoothing(smoothing), additive))


def _compact(counts: Floats) -> npt.NDArray[np.floating]:
    short = counts.astype(np.float32)
    return short if np.array_equal(short, counts) else counts


def _checked(
    counts: NgramCounts, smoothing: Smoothing, additive: float
) -> tuple[NgramCounts, Smoothing, float]:
    if not 0 < additive < float("inf"):
        raise ValueError(f"{additive} cannot be added to each count; it must be above 0")
    if counts.symbols - (counts.begin is not None) < 1:
        raise ValueError("no symbol can be predicted; one at least must be there beside `begin`")
    return counts, smoothing, additive
