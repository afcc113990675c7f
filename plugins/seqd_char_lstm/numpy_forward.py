"""`forward.Forward` in NumPy, for where Numba is not there; and the plainest form of it.

Every chain is a matrix product of its own, of the same shape whatever the number of chains, so
that the last bit of a chain's scores does not depend on its batch: BLAS adds in another order for
another shape. A core writes 8,000 characters a second of the tutorial's model, and of a stream of
512 units 8,000 one at a time and 15,000 sixty-four at a time: a third and a quarter of what
`compiled_forward` does.
"""

from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Version
from seqd_char_lstm.forward import Doubles, Ids, Piece, Singles, halved, input_table
from seqd_char_lstm.sampling import RECENT, Rules, draw, own_log_probs

#: Rows of gates that are scratched in one go, which a core's second cache holds.
_BLOCK_ROWS = 320


class NumpyForward:
    """See `forward.Forward`.

    Keras orders gates input, forget, candidate, output; here they are input, forget, output,
    candidate, so that one pass does all three sigmoids.
    """

    def __init__(self, version: Version) -> None:
        """Reorder and fold; the given weights stay as they are."""
        config, weights = version.config, version.weights
        units = config.units
        order = np.r_[0 : 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
        half = halved(units)
        self.window, self.layers = config.window or 0, config.layers
        #: (ids, 4 units), and then (units, 4 units) of each layer above
        self.inputs = [
            ((matrix * half)[:, order])
            for matrix in (input_table(weights), *(layer.kernel for layer in weights.layers[1:]))
        ]
        self.biases = [(layer.bias * half)[order] for layer in weights.layers]
        self.recurrent = [(layer.recurrent * half)[:, order] for layer in weights.layers]
        self.dense, self.dense_bias = weights.dense, weights.dense_bias
        self.share = config.ngram_share
        self.ngrams = version.ngrams if self.share > 0.0 else None

    @property
    def nbytes(self) -> int:
        """See `forward.Forward`."""
        arrays = (*self.inputs, *self.biases, *self.recurrent, self.dense, self.dense_bias)
        ngrams = 0 if self.ngrams is None else self.ngrams.nbytes
        return ngrams + sum(array.nbytes for array in arrays)

    def chains(self, count: int) -> "NumpyChains":
        """See `forward.Forward`."""
        shape = (self.layers, count, max(self.window, 1), len(self.dense))
        return NumpyChains(
            self,
            np.zeros(shape, np.float32),
            np.zeros(shape, np.float32),
            np.full((count, RECENT), -1, np.int32),
            np.zeros(count, np.int32),
            clock=0,
        )


class NumpyChains:
    """See `forward.Chains`."""

    def __init__(
        self,
        forward: NumpyForward,
        hidden: Singles,
        cell: Singles,
        recent: Ids,
        states: Ids,
        clock: int,
    ) -> None:
        """Take states, (layers, chains, windows, units), after `clock` steps."""
        self._forward = forward
        self._hidden = hidden
        self._cell = cell
        self._recent = recent
        self._states = states
        self._clock = clock

    def read(self, ids: Ids, starts: npt.NDArray[np.int64]) -> Piece:
        """See `forward.Chains.read`."""
        log_probs = np.zeros(ids.shape)
        for place in range(ids.shape[1]):
            active = int(np.searchsorted(starts, place, side="right"))
            own = self._own(active)
            now = ids[:active, place]
            log_probs[:active, place] = own[np.arange(active), now]
            self._take(now)
        return Piece(ids, log_probs)

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: Rules) -> Piece:
        """See `forward.Chains.write`."""
        ids = np.zeros(uniforms.shape, np.int32)
        log_probs = np.zeros(uniforms.shape)
        for place in range(uniforms.shape[1]):
            own = self._own(len(ids))
            now = draw(own, self._recent, temperatures, uniforms[:, place], rules)
            ids[:, place] = now
            log_probs[:, place] = own[np.arange(len(ids)), now]
            self._take(ids[:, place])
        return Piece(ids, log_probs)

    def chosen(self, places: npt.NDArray[np.int64]) -> Self:
        """See `forward.Chains.chosen`."""
        return type(self)(
            self._forward,
            self._hidden[:, places],
            self._cell[:, places],
            self._recent[places],
            self._states[places],
            self._clock,
        )

    def _own(self, active: int) -> Doubles:
        """Log-probabilities of the next character of the first chains, (active, ids)."""
        forward = self._forward
        complete = self._hidden[-1, :active, self._clock % max(forward.window, 1)]
        scores = np.matmul(complete[:, None, :], forward.dense)[:, 0] + forward.dense_bias
        ngrams = forward.ngrams
        mixed = None if ngrams is None else ngrams.probabilities(self._states[:active])
        return own_log_probs(scores, mixed, forward.share)

    def _take(self, ids: Ids) -> None:
        """Let the first chains read a character each."""
        forward, active = self._forward, len(ids)
        newest = self._clock % max(forward.window, 1)
        if forward.window:
            self._hidden[:, :active, newest] = 0.0
            self._cell[:, :active, newest] = 0.0
        self._recent[:active, self._clock % RECENT] = ids
        if forward.ngrams is not None:
            self._states[:active] = forward.ngrams.advance(self._states[:active], ids)
        block_chains = max(1, _BLOCK_ROWS // max(forward.window, 1))
        for first in range(0, active, block_chains):
            self._advance(slice(first, min(first + block_chains, active)), ids)
        self._clock += 1

    def _advance(self, block: slice, ids: Ids) -> None:
        forward = self._forward
        given = forward.inputs[0][ids[block], None]  # (chains, 1, 4 units), bias included
        for layer in range(forward.layers):
            hidden, cell = self._hidden[layer, block], self._cell[layer, block]
            if layer:
                below = self._hidden[layer - 1, block]
                given = np.matmul(below, forward.inputs[layer]) + forward.biases[layer]
            _step(hidden, cell, np.matmul(hidden, forward.recurrent[layer]) + given)


def _step(hidden: Singles, cell: Singles, gates: Singles) -> None:
    """Turn gates (chains, windows, 4 units) into the next states, in place."""
    units = hidden.shape[-1]
    np.tanh(gates, out=gates)
    sigmoids = gates[..., : 3 * units]
    sigmoids *= 0.5
    sigmoids += 0.5
    enter, forget, leave, candidate = np.split(gates, 4, axis=-1)
    cell *= forget
    enter *= candidate
    cell += enter
    np.tanh(cell, out=hidden)
    hidden *= leave
