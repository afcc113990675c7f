"""The logarithms of an n-gram model's probabilities, arc by arc, and what follows what.

Prepared once for a version, for whoever draws from it. Knows nothing of temperatures, texts or
random numbers. Used by `descent`, `rows` and `sampling`.
"""

from bisect import bisect_left
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqd_ngrams import NgramModel

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]
#: A text's next random numbers, below 2**32: (steps, rows).
Numbers = npt.NDArray[np.uint32]


class Odds:
    """A model's probabilities at temperature 1.

    After the symbol `sentence_end`, where there is one, stands the beginning of the next sentence.
    """

    def __init__(self, model: NgramModel, sentence_end: int | None = None) -> None:
        self.model = model
        arcs = model.arcs
        #: The state that each arc leaves: (arcs,).
        self.parents: Places = np.repeat(np.arange(model.states), np.diff(arcs.starts))
        rest, whole = _probabilities(model, self.parents)
        with np.errstate(divide="ignore"):
            #: Of each arc's probability, (arcs,): all of it, and what shorter contexts give to it.
            self.log_whole: Floats = np.log(whole)
            self.log_rest: Floats = np.log(rest)
            #: Of each state, (states,): the weight of the shorter one, and of each symbol alike.
            self.log_backoffs: Floats = np.log(arcs.backoffs)
            self.log_flats: Floats = np.log(arcs.flats)
        # Views that give Python's own numbers, three times as fast as arrays do one by one.
        self.starts = arcs.starts.data
        self.symbols = arcs.symbols.data
        self._after = _next_states(model, sentence_end)
        self.next_states = self._after.data
        self.lower = arcs.lower.data
        self.flats = arcs.flats.data
        self._logs_whole, self._logs_backoffs = self.log_whole.data, self.log_backoffs.data

    @property
    def nbytes(self) -> int:
        """Memory of the arrays, beside the model's own."""
        return sum(array.nbytes for array in vars(self).values() if isinstance(array, np.ndarray))

    @property
    def predictable(self) -> int:
        """Symbols that can follow at all."""
        return self.model.symbols - (self.model.begin is not None)

    @cached_property
    def mixes(self) -> bool:
        """True when some state backs off to a shorter one and to all symbols alike, both."""
        return bool(((self.model.arcs.backoffs > 0) & (self.model.arcs.flats > 0)).any())

    def alike(self, number: int) -> int:
        """The symbol of a number below 2**32, all that can follow being alike."""
        symbol = number * self.predictable >> 32
        begin = self.model.begin
        return symbol + (begin is not None and symbol >= begin)

    def follow(self, state: int, symbol: int) -> tuple[int, float]:
        """The state after a symbol, and the symbol's log-probability in the state before."""
        starts, symbols, weight = self.starts, self.symbols, 0.0
        while True:
            end = starts[state + 1]
            arc = bisect_left(symbols, symbol, starts[state], end)
            if arc < end and symbols[arc] == symbol:
                return self.next_states[arc], weight + self._logs_whole[arc]
            if self.flats[state] or state == 0:
                return self._after_flat(state, symbol), weight + float(self.log_flats[state])
            weight += self._logs_backoffs[state]
            state = self.lower[state]

    def _after_flat(self, state: int, symbol: int) -> int:
        """The state after a symbol that had no arc in a state that backs off to all alike."""
        while state:
            state = self.lower[state]
            end = self.starts[state + 1]
            arc = bisect_left(self.symbols, symbol, self.starts[state], end)
            if arc < end and self.symbols[arc] == symbol:
                return self.next_states[arc]
        return 0


def _next_states(model: NgramModel, sentence_end: int | None) -> npt.NDArray[np.int32]:
    """The state after each arc."""
    if sentence_end is None:
        return model.arcs.next_states
    begun = model.state_after(np.array([model.begin]))
    is_end = model.arcs.symbols == sentence_end
    return np.where(is_end, np.int32(begun), model.arcs.next_states)


def _probabilities(model: NgramModel, parents: Places) -> tuple[Floats, Floats]:
    """Of each arc: the part of its probability that is not its own share, and the whole."""
    arcs = model.arcs
    # Arc a leads to state a + 1, or beyond the longest contexts to a state of its ending.
    shorter = np.append(arcs.lower[1:], arcs.next_states[model.states - 1 :]).astype(np.int64) - 1
    rest, whole = np.empty(len(parents)), np.empty(len(parents))
    first = 0
    for size in model.ngrams:  # shorter contexts first
        level = slice(first, first + size)
        rest[level] = arcs.flats[parents[level]]
        if first:
            rest[level] += arcs.backoffs[parents[level]] * whole[shorter[level]]
        whole[level] = rest[level] + arcs.shares[level]
        first += size
    return rest, whole
