"""The network's forward pass in NumPy, so that writing text needs no Keras.

Training has its own implementation (`network`); a test holds the two together. Used by
`writing`.

The model reads exactly `window` characters from a zero state, so each new character asks for
a new window, shifted by one. Run one after the other, that is `window` small matrix-vector
products a character. But at any moment `window` overlapping windows are under way, and the
next character is an input to each of them: a `Wavefront` keeps their states as the rows of one
matrix, and a character costs one matrix product of (window, units) x (units, 4 units). Same
sums, no approximation. The tutorial's model through the whole `generate`, on one Zen 4 core:
9,800 characters a second in one stream, 12,200 in 64, against 19 of a Keras `predict` for each
character. Probabilities differ from Keras's by 2e-6 at most (2,048 windows of the corpus).

A second BLAS thread gives 17,800 and 21,000 on an idle machine, but 1,800 in one stream on a
busy one, where it waits for its turn: one thread a slot is the better setting.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Weights

Floats = npt.NDArray[np.float32]

#: Chains whose products are scratched in one go: 0.7 MB of gates at 40 x 512, which a core's
#: level-2 cache holds. In blocks of 1 / 8 / 64: 13,200 / 14,800 / 15,000 characters a second.
_BLOCK_CHAINS = 8


@dataclass(frozen=True)
class Folded:
    """Weights prepared for `Wavefront`.

    Keras orders gates input, forget, candidate, output; here they are input, forget, output,
    candidate, and the three sigmoids' halves are folded in, as sigmoid(x) is
    (1 + tanh(x / 2)) / 2: one tanh over the whole row does all four. A one-hot row times the
    input kernel is a row of it, so `inputs` is a table to look up.
    """

    inputs: Floats  # (ids, 4 units), bias included
    recurrent: Floats  # (units, 4 units)
    dense: Floats  # (units, ids)
    dense_bias: Floats  # (ids,)

    @classmethod
    def of(cls, weights: Weights) -> Self:
        """Reorder and fold; the given weights stay as they are."""
        units = weights.recurrent.shape[0]
        order = np.r_[0 : 2 * units, 3 * units : 4 * units, 2 * units : 3 * units]
        half = np.repeat(np.array([0.5, 1.0], np.float32), [3 * units, units])  # (4 units,)
        return cls(
            inputs=((weights.kernel + weights.bias)[:, order] * half).astype(np.float32),
            recurrent=(weights.recurrent[:, order] * half).astype(np.float32),
            dense=np.ascontiguousarray(weights.dense),
            dense_bias=weights.dense_bias,
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        return sum(
            part.nbytes for part in (self.inputs, self.recurrent, self.dense, self.dense_bias)
        )


class Wavefront:
    """The windows under way of some chains, one character further with each `read`.

    Every chain is a matrix product of its own, of the same shape whatever the number of
    chains, so that the last bit of a chain's scores does not depend on its batch (B3).
    """

    def __init__(self, folded: Folded, window: int, chains: int) -> None:
        units = folded.recurrent.shape[0]
        self._folded = folded
        self._window = window
        self._read = 0  # characters so far; row r began its window at one that is r modulo window
        self._hidden = np.zeros((chains, window, units), np.float32)
        self._cell = np.zeros((chains, window, units), np.float32)

    def chosen(self, chains: npt.NDArray[np.int64]) -> "Wavefront":
        """Copy these chains, each as often as it is named, into a wavefront of their own."""
        copy = Wavefront(self._folded, self._window, 0)
        copy._read = self._read
        copy._hidden = self._hidden[chains]
        copy._cell = self._cell[chains]
        return copy

    def read(self, ids: npt.NDArray[np.integer]) -> None:
        """Give each chain its next character, (chains,) ids."""
        newest = self._read % self._window
        self._hidden[:, newest] = 0.0
        self._cell[:, newest] = 0.0
        inputs = self._folded.inputs[ids][:, None, :]  # (chains, 1, 4 units)
        for first in range(0, len(ids), _BLOCK_CHAINS):
            block = slice(first, first + _BLOCK_CHAINS)
            self._advance(self._hidden[block], self._cell[block], inputs[block])
        self._read += 1

    def scores(self) -> Floats:
        """Scores of the next character, (chains, ids), once `window` characters were read."""
        complete = self._hidden[:, self._read % self._window]  # (chains, units)
        products: Floats = np.matmul(complete[:, None, :], self._folded.dense)[:, 0]
        return products + self._folded.dense_bias

    def _advance(self, hidden: Floats, cell: Floats, inputs: Floats) -> None:
        units = hidden.shape[-1]
        gates = np.matmul(hidden, self._folded.recurrent)  # (chains, window, 4 units)
        gates += inputs
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
