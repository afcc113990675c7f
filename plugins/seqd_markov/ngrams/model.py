"""The n-gram model: a back-off automaton with the probability of every next symbol.

A state is a counted context of 0 to `order` symbols. Reading a symbol leads to the state of the
longest counted suffix. The model is immutable, in flat arrays, and every answer is the same to the
last bit whatever else is asked for at the same time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_markov.ngrams.counting import NgramCounts
from seqd_markov.ngrams.smoothing import Smoothing, estimate
from seqd_markov.ngrams.storage import counts_from_arrays, counts_to_arrays
from seqd_markov.ngrams.trie import Floats, Ids
from seqd_modelkit.packing import deflate, inflate

States = npt.NDArray[np.int32]

#: Symbols of a text that are looked up at once.
_SPAN_SYMBOLS = 200_000

_SMOOTHINGS = tuple(Smoothing)

#: Arrays with an entry or more for each n-gram, which are stored deflated.
_DEFLATED = ("ngram_shared", "ngram_digits", "ngram_counts")


@dataclass(frozen=True)
class Arcs:
    """The counted successors of each state: state s has arcs `starts[s]:starts[s + 1]`, by symbol.

    P(symbol | s) = `discounted` of its arc, if there is one, + `backoffs[s]` x P(symbol |
    `lower[s]`) + `uniforms[s]`. One of `backoffs[s]` and `uniforms[s]` is 0, and `backoffs[0]` is.
    P(`begin` | s) is 0 whatever the sum.
    """

    starts: npt.NDArray[np.int64]  # (states + 1,)
    symbols: npt.NDArray[np.unsignedinteger]  # (arcs,), in the smallest type
    counts: npt.NDArray[np.floating]  # (arcs,), float32 where it holds them all
    discounted: Floats  # (arcs,)
    next_states: States  # (arcs,)
    lower: States  # (states,), the state without the first symbol of the context
    backoffs: Floats  # (states,)
    uniforms: Floats  # (states,)


class NgramModel:
    """Probabilities of the next symbol, given up to `order` symbols.

    State 0 is the empty context. An id of -1 is an out-of-vocabulary symbol: it resets the
    context. `begin`, where there is one, is never predicted. With any smoothing but `none` every
    other symbol has a probability above 0.
    """

    def __init__(self, counts: NgramCounts, smoothing: Smoothing, additive: float) -> None:
        trie = counts.trie
        suffixes = trie.suffixes
        estimates = estimate(
            trie, smoothing, additive=additive, begin=counts.begin, discounts=counts.discounts
        )
        self.order = counts.order
        self.symbols = counts.symbols
        self.begin = counts.begin
        self.smoothing = smoothing
        self.additive = additive
        self.states = trie.states
        #: Number of distinct n-grams of each length, from 1 to order + 1.
        self.ngrams = trie.lengths
        self._keys = trie.keys
        self._stored = counts_to_arrays(counts)
        next_states = suffixes.copy()
        next_states[: trie.states - 1] = np.arange(1, trie.states)
        self.arcs = Arcs(
            starts=trie.starts,
            symbols=trie.labels.astype(np.min_scalar_type(counts.symbols)),
            counts=_compact(trie.counts),
            discounted=estimates.discounted,
            next_states=next_states.astype(np.int32),
            lower=np.append(0, suffixes[: trie.states - 1]).astype(np.int32),
            backoffs=estimates.backoffs,
            uniforms=estimates.uniforms,
        )
        #: First state of each context length, and the number of states.
        self._levels = np.cumsum([0, 1, *trie.lengths[:-1]])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        arrays = [self._keys, *vars(self.arcs).values(), *self._stored.values()]
        return sum(array.nbytes for array in arrays)

    def counts(self) -> NgramCounts:
        """Return the counts that it was estimated from."""
        return counts_from_arrays(self._stored)

    def state_after(self, ids: Ids, state: int = 0) -> int:
        """Return the state after reading ids (len,) from a state on."""
        if len(ids) >= self.order:
            ids, state = ids[len(ids) - self.order :], 0
        states = np.array([state])
        for position in range(len(ids)):
            states = self.advance(states, ids[position : position + 1])
        return int(states[0])

    def advance(self, states: npt.NDArray[np.integer], ids: Ids) -> States:
        """Return the state after reading one id in each state: (n,), (n,) -> (n,)."""
        after = np.zeros(len(ids), np.int32)
        waiting = np.flatnonzero((ids >= 0) & (ids < self.symbols))
        states = states[waiting]
        while len(waiting):
            arcs = self._arcs_of(states, ids[waiting])
            found = arcs >= 0
            after[waiting[found]] = self.arcs.next_states[arcs[found]]
            # A symbol without a unigram leads from the empty context back to it.
            shorter = ~found & (states > 0)
            waiting, states = waiting[shorter], self.arcs.lower[states[shorter]]
        return after

    def most_frequent_extension(self, state: int) -> int:
        """Return the most frequent state of `order` symbols that ends with a state's symbols.

        Returns the state itself where there is none. Serves to continue a short prompt whose
        left context is unknown: Kneser-Ney's lower orders are continuation counts, which say after
        how many different contexts a symbol occurs, not how often.
        """
        first = int(self._levels[self.order])
        endings: States = np.arange(first, self.states, dtype=np.int32)
        length = int(np.searchsorted(self._levels, state, side="right")) - 1
        for _ in range(self.order - length):
            endings = self.arcs.lower[endings]
        times = np.where(endings == state, self.arcs.counts[first - 1 : self.states - 1], 0.0)
        return first + int(times.argmax()) if times.any() else state

    def probabilities(self, states: npt.NDArray[np.integer]) -> Floats:
        """Return P(symbol | state) of each symbol after each state (n,): (n, symbols).

        Rows sum to 1. A row does not depend on the others, to the last bit.
        """
        chains = self._chains(states)
        rows = np.zeros((len(states), self.symbols))
        for level in range(self.order + 1):
            members = np.flatnonzero(chains[level] >= 0)
            own = chains[level][members]
            scaled = rows[members]
            scaled *= self.arcs.backoffs[own, None]
            scaled += self.arcs.uniforms[own, None]
            arcs, indices = self._expand(own)
            scaled[indices, self.arcs.symbols[arcs]] += self.arcs.discounted[arcs]
            rows[members] = scaled
        if self.begin is not None:
            rows[:, self.begin] = 0.0
        return rows

    def log_probs(self, ids: Ids, state: int = 0) -> Floats:
        """Return the natural log-probability of each id, given all before it: (len,).

        NaN for -1 and for `begin`, which are not predicted.
        """
        logs = np.empty(len(ids))
        for first in range(0, len(ids), _SPAN_SYMBOLS):
            span = ids[first : first + _SPAN_SYMBOLS]
            logs[first : first + len(span)] = self._log_probs(span, state)
            state = self.state_after(span, state)
        return logs

    def context(self, state: int) -> Ids:
        """Return the context of a state, the last read symbol last: (length,)."""
        symbols: list[int] = []
        while state:
            key = int(self._keys[state - 1])
            state, symbol = divmod(key, self.symbols)
            symbols.append(symbol)
        return np.array(symbols[::-1], np.int64)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the counts and the smoothing as small named arrays, for a safetensors file.

        Probabilities are estimated again when they are read, which is faster than reading them.
        """
        packed = {name: deflate(self._stored[name]) for name in _DEFLATED}
        return {**self._stored, **packed} | {
            "ngram_smoothing": np.array([_SMOOTHINGS.index(self.smoothing)], np.uint8),
            "ngram_additive": np.array([self.additive]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Return the model that `arrays` stored. Raises ValueError, which says what is wrong."""
        rest = dict(arrays)
        kind, additive = rest.pop("ngram_smoothing", None), rest.pop("ngram_additive", None)
        if (
            kind is None
            or kind.shape != (1,)
            or kind.dtype.kind != "u"
            or kind[0] >= len(_SMOOTHINGS)
        ):
            raise ValueError("'ngram_smoothing' is missing or names no smoothing")
        if additive is None or additive.shape != (1,) or additive.dtype.kind != "f":
            raise ValueError("'ngram_additive' is missing or no number")
        unpacked = {name: inflate(rest[name], name) for name in _DEFLATED if name in rest}
        counts = counts_from_arrays(rest | unpacked)
        if not 0 < additive[0] < float("inf"):
            raise ValueError(f"{additive[0]} cannot be added to each count; it must be above 0")
        if counts.symbols - (counts.begin is not None) < 1:
            raise ValueError("no symbol can be predicted beside `begin`; one at least is due")
        return cls(counts, _SMOOTHINGS[int(kind[0])], float(additive[0]))

    def _arcs_of(self, states: npt.NDArray[np.integer], ids: Ids) -> npt.NDArray[np.int64]:
        """Return the arc of each state and id (n,), -1 where there is none or the state is -1."""
        if not len(self._keys):
            return np.full(len(ids), -1)
        wanted = states.astype(np.int64) * self.symbols + ids
        indices = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        found = (self._keys[indices] == wanted) & (states >= 0) & (ids >= 0)
        return np.where(found, indices, -1)

    def _chains(self, states: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Return each state's suffix of each length, -1 where it is shorter: (order + 1, n)."""
        chains = np.full((self.order + 1, len(states)), -1)
        lengths = np.searchsorted(self._levels, states, side="right") - 1
        below = np.asarray(states, np.int64)
        for level in range(self.order, -1, -1):
            there = lengths >= level
            chains[level][there] = below[there]
            below = np.where(there, self.arcs.lower[below], below)
        return chains

    def _expand(self, states: npt.NDArray[np.int64]) -> tuple[Ids, Ids]:
        """Return all arcs of some states, and the index into `states` that each belongs to."""
        starts = self.arcs.starts[states]
        sizes = self.arcs.starts[states + 1] - starts
        indices = np.repeat(np.arange(len(states)), sizes)
        before = np.cumsum(sizes) - sizes
        return np.arange(int(sizes.sum())) + np.repeat(starts - before, sizes), indices

    def _log_probs(self, ids: Ids, state: int) -> Floats:
        known = (ids >= 0) & (ids < self.symbols)
        entry = self._chains(np.array([state]))[:, 0]
        states = np.zeros(len(ids), np.int64)  # before each id, of context length `level`
        probabilities = np.zeros(len(ids))
        for level in range(self.order + 1):
            there = states >= 0
            arcs = np.where(known, self._arcs_of(states, ids), -1)
            own = states[there]
            scaled = probabilities[there] * self.arcs.backoffs[own] + self.arcs.uniforms[own]
            probabilities[there] = scaled
            seen = arcs >= 0
            probabilities[seen] += self.arcs.discounted[arcs[seen]]
            if level < self.order:
                states = np.where(arcs >= 0, arcs + 1, -1)
                states = np.append(entry[level + 1], states[:-1])
        predicted = known if self.begin is None else known & (ids != self.begin)
        with np.errstate(divide="ignore"):  # without smoothing an unseen symbol has probability 0
            logs: Floats = np.log(np.where(predicted, probabilities, np.nan))
        return logs


def fit(
    counts: NgramCounts, smoothing: Smoothing | str = Smoothing.KNESER_NEY, additive: float = 0.1
) -> NgramModel:
    """Return the model of some counts. `additive` is k of additive smoothing."""
    return NgramModel(counts, Smoothing(smoothing), additive)


def _compact(counts: Floats) -> npt.NDArray[np.floating]:
    short = counts.astype(np.float32)
    return short if np.array_equal(short, counts) else counts
