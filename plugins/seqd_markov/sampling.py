"""Draws texts from a chain, for many texts at once.

Integers throughout, so that a drawn text does not depend on what else is in the batch: the
probabilities are rounded to multiples of 2**-32 once, and a 32-bit random number is looked up
among them. Called by `generation`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped
from seqd_markov.chain import Chain, Numbers

Floats = npt.NDArray[np.float64]
_Scalar = TypeVar("_Scalar", bound=np.generic)

#: Characters of each text that are handed over together, and random numbers drawn together.
PIECE_CHARACTERS = 256

_ONE = 1 << 32


@dataclass(frozen=True)
class Piece:
    """The next characters of all texts: (texts, characters) states and log-probabilities."""

    states: Numbers
    log_probs: Floats


class Sampler:
    """A chain prepared for drawing at some temperatures.

    Each state with successors is a row of outcomes; one more row, the last, has the
    frequencies of single characters. From it come the first character after an empty prompt,
    and the one after a state without successors: the last character of the text, where it
    stands nowhere else.
    """

    def __init__(self, chain: Chain, temperatures: Sequence[float]) -> None:
        live = np.flatnonzero(chain.totals)
        self._single = len(live)
        self._row_of_state = np.full(len(chain.alphabet), self._single)
        self._row_of_state[live] = np.arange(len(live))
        counts = np.concatenate([chain.counts, chain.character_counts])  # (outcomes,)
        starts = np.append(chain.row_starts[live], len(chain.counts))  # (rows,)
        self._successors = np.concatenate([chain.successors, np.arange(len(chain.alphabet))])
        self._log_probs = _log_probs(counts, starts)
        self._rows = len(starts)
        self._limits = np.concatenate(
            [
                _limits(self._log_probs, starts, temperature) + rank * self._rows * _ONE
                for rank, temperature in enumerate(temperatures)
            ]
        )  # (temperatures x outcomes,), rising

    def draw(
        self,
        states: Sequence[int | None],
        ranks: Sequence[int],
        streams: Sequence[np.random.Generator],
        length: int,
        stop_requested: Callable[[], bool],
    ) -> Iterator[Piece]:
        """Go on for `length` characters from each state, or from nothing, a piece at a time.

        `ranks` are places in the temperatures. A shorter text of the same stream is the
        beginning of a longer one. Raises Stopped within one piece.
        """
        rows = np.array([self._row_after(state) for state in states])
        offsets = np.array(ranks) * self._rows
        for first in range(0, length, PIECE_CHARACTERS):
            if stop_requested():
                raise Stopped("The writing was stopped before its end; there is no result.")
            drawn = [
                stream.integers(_ONE, size=PIECE_CHARACTERS, dtype=np.uint32) for stream in streams
            ]
            characters = min(PIECE_CHARACTERS, length - first)
            outcomes = np.empty((characters, len(streams)), np.int64)
            for place, numbers in enumerate(np.stack(drawn, axis=1)[:characters]):
                keys = (offsets + rows) * _ONE + numbers  # (texts,)
                found = np.searchsorted(self._limits, keys, side="right")
                outcomes[place] = found % len(self._successors)
                rows = self._row_of_state[self._successors[outcomes[place]]]
            texts = np.ascontiguousarray(outcomes.T)  # (texts, characters)
            yield Piece(self._successors[texts], self._log_probs[texts])

    def _row_after(self, state: int | None) -> int:
        return self._single if state is None else int(self._row_of_state[state])


def _log_probs(counts: Numbers, starts: Numbers) -> Floats:
    totals = np.add.reduceat(counts, starts)  # (rows,)
    logs: Floats = np.log(counts / _spread(totals, starts, len(counts)))
    return logs


def _limits(log_probs: Floats, starts: Numbers, temperature: float) -> Numbers:
    """Upper limits of the outcomes: of row r they rise from r to r + 1, in units of 2**-32."""
    best = _spread(np.maximum.reduceat(log_probs, starts), starts, len(log_probs))
    if temperature > 0.0:
        with np.errstate(over="ignore"):  # a tiny one sends all but the best to -inf
            weights = np.exp((log_probs - best) / temperature)
    else:
        weights = (log_probs == best).astype(np.float64)
    cumulated = np.cumsum(weights)
    before = np.append(0.0, cumulated)[starts]  # (rows,)
    within = cumulated - _spread(before, starts, len(weights))
    if temperature == 0.0:
        within = np.minimum(within, 1.0)  # of equals the first, as all limits after it are 1
    ends = np.append(starts[1:], len(weights)) - 1
    shares = within / _spread(within[ends], starts, len(weights))
    rows = _spread(np.arange(len(starts)), starts, len(weights))
    limits: Numbers = np.rint(shares * _ONE).astype(np.int64) + rows * _ONE
    return limits


def _spread(of_rows: npt.NDArray[_Scalar], starts: Numbers, outcomes: int) -> npt.NDArray[_Scalar]:
    """Repeat what each row has for each of its outcomes."""
    return np.repeat(of_rows, np.diff(np.append(starts, outcomes)))
