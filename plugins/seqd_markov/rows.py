"""Draws symbols from whole rows of probabilities, cut to the most probable ones.

For what `descent` cannot do: top-k, top-p, temperature 0. A row is made at the first visit of its
state and kept; one of 57 characters costs 3 microseconds, one of 50,000 words 0.4 milliseconds,
and 2 with top-p, which sorts it. The order of things: temperature, then top-k, then top-p. Of
symbols that are equally probable the one with the lower id goes first. Used by `sampling`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_markov.odds import Floats, Numbers, Odds, Places
from seqd_ngrams import NgramModel

_ONE = 1 << 32

#: Cells that are kept, 12 bytes each, however many are needed at once; beyond it all are thrown
#: away, and made again when they are needed.
_KEPT_CELLS = 4_000_000

#: Cells that are worked on at once: about 100 MB.
_WORKED_CELLS = 2_000_000

#: A row is sorted whole where more than this part of it is wanted.
_SORTED_SHARE = 8

#: Temperatures below it are 0: beside the best the others have less than the rounding of one.
COLDEST = 1e-9


class Rows:
    """A model prepared for drawing at one temperature, 0 included, from the most probable."""

    def __init__(self, odds: Odds, temperature: float, top_k: int, top_p: float) -> None:
        self._odds = odds
        self._model = odds.model
        self._temperature = temperature
        wanted = 1 if temperature < COLDEST else top_k or odds.predictable
        self._width = min(wanted, odds.predictable)
        self._top_p = top_p
        self._place_of = np.full(odds.model.states, -1)
        self._rows = _Rows.empty()

    @staticmethod
    def bytes_for(model: NgramModel) -> int:
        """Memory that one of them takes at most."""
        return 12 * min(_KEPT_CELLS, model.states * model.symbols) + 8 * model.states

    @property
    def nbytes(self) -> int:
        """Memory at most."""
        return self.bytes_for(self._model)

    @property
    def texts_at_once(self) -> int:
        """Texts whose rows can be kept at the same time."""
        return max(1, _KEPT_CELLS // self._width)

    def draw(
        self, states: Sequence[int], numbers: Sequence[Numbers], ask: Callable[[], None]
    ) -> tuple[Places, Floats, list[int]]:
        """The next symbols of all texts, their log-probabilities, and the states after them.

        (texts, steps) each. Of a text's numbers, (steps, rows), those of the first row decide.
        `ask` raises when it is to end, and is called before any longer piece of work.
        """
        first = np.stack([of_text[:, 0] for of_text in numbers], axis=1)  # (steps, texts)
        symbols = np.empty(first.shape, np.int64)
        log_probs = np.empty(first.shape)
        places = np.array(states)
        for step, row in enumerate(first):
            symbols[step] = self._symbols_of(places, row, ask)
            after = [
                self._odds.follow(*pair)
                for pair in zip(places.tolist(), symbols[step].tolist(), strict=True)
            ]
            places = np.array([state for state, _ in after])
            log_probs[step] = [log_prob for _, log_prob in after]
        return np.ascontiguousarray(symbols.T), np.ascontiguousarray(log_probs.T), places.tolist()

    def _symbols_of(self, states: Places, numbers: Numbers, ask: Callable[[], None]) -> Places:
        """A symbol after each state: (texts,)."""
        self._make(states, ask)
        rows = self._place_of[states]
        low, high = self._rows.starts[rows], self._rows.starts[rows + 1]
        while (low < high).any():
            middle = (low + high) >> 1
            goes_on = (self._rows.limits[middle] <= numbers) & (low < high)
            low, high = np.where(goes_on, middle + 1, low), np.where(goes_on, high, middle)
        symbols: Places = self._rows.symbols[low].astype(np.int64)
        return symbols

    def _make(self, states: Places, ask: Callable[[], None]) -> None:
        """Make the rows that these states have not yet."""
        new = np.unique(states[self._place_of[states] < 0])
        if self._rows.cells + len(new) * self._width > _KEPT_CELLS and self._rows.cells:
            self._place_of[:] = -1
            self._rows = _Rows.empty()
            new = np.unique(states)
        at_once = max(1, _WORKED_CELLS // self._model.symbols)
        for first in range(0, len(new), at_once):
            ask()
            some = new[first : first + at_once]
            self._place_of[some] = len(self._rows.starts) - 1 + np.arange(len(some))
            self._rows.add(*self._cut(self._model.probabilities(some)))

    def _cut(self, probabilities: Floats) -> tuple[Places, Places, Places]:
        """Of each row the limits and symbols that are left, row by row, and how many they are."""
        if self._width == 1:
            best = probabilities.argmax(axis=1)
            return np.full(len(best), _ONE), best, np.ones(len(best), np.int64)
        order = most_probable(probabilities, self._width)
        ordered = np.take_along_axis(probabilities, order, axis=1)  # (rows, width), falling
        with np.errstate(divide="ignore"):
            logs = np.log(ordered)
        weights = np.exp((logs - logs[:, :1]) / self._temperature)
        cumulated = np.cumsum(weights, axis=1)
        enough = (cumulated < self._top_p * cumulated[:, -1:]).sum(axis=1) + 1
        kept = np.minimum(enough, (weights > 0.0).sum(axis=1))
        whole = np.take_along_axis(cumulated, kept[:, None] - 1, axis=1)
        left = np.arange(self._width) < kept[:, None]
        limits = np.rint(cumulated / whole * _ONE)[left].astype(np.int64)
        return limits, order[left], kept


def most_probable(probabilities: Floats, count: int) -> Places:
    """Of each row the most probable symbols, the most probable first: (rows, count)."""
    symbols = probabilities.shape[1]
    if count * _SORTED_SHARE > symbols:
        return np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    least = np.partition(probabilities, symbols - count, axis=1)[:, symbols - count]
    chosen = np.empty((len(probabilities), count), np.int64)
    for place, row in enumerate(probabilities):
        among = np.flatnonzero(row >= least[place])
        chosen[place] = among[np.argsort(-row[among], kind="stable")[:count]]
    return chosen


@dataclass
class _Rows:
    """Rows of different lengths, one behind the other; room is doubled when it runs out."""

    starts: Places  # (rows + 1,)
    limits: Places  # (room,)
    symbols: npt.NDArray[np.int32]  # (room,)

    @classmethod
    def empty(cls) -> Self:
        """No rows yet."""
        return cls(np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0, np.int32))

    @property
    def cells(self) -> int:
        """Cells that are in use."""
        return int(self.starts[-1])

    def add(self, limits: Places, symbols: Places, lengths: Places) -> None:
        """Put more rows behind."""
        first = self.cells
        end = first + len(limits)
        if end > len(self.limits):
            more = max(end, 2 * len(self.limits)) - first
            self.limits = np.append(self.limits[:first], np.empty(more, np.int64))
            self.symbols = np.append(self.symbols[:first], np.empty(more, np.int32))
        self.limits[first:end], self.symbols[first:end] = limits, symbols
        self.starts = np.append(self.starts, first + np.cumsum(lengths))
