"""A version's network as it serves: chains of characters that are read, drawn and scored.

Here is what that means, and which of two implementations does it: `compiled_forward` where Numba
can be imported, else `numpy_forward`. Neither needs Keras; tests hold both against it and against
each other. Used by `writing` and `reading`.

A chain is one text under way. Of a version that reads a stream, its LSTM states are carried from
character to character: one step each. A version that reads windows predicts from exactly the last
`window` characters, from a zero state: at any moment `window` overlapping windows are under way,
and the next character is an input to each of them. Their states are the rows of one matrix, a
character moves all of them on, one of them is complete, predicts, and begins anew. Same sums as
one window after the other, no approximation.

What both guarantee: a chain's numbers do not depend on the chains beside it, nor on how its
characters are split over calls, to the last bit. The two implementations differ by rounding.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Version, Weights
from seqd_char_lstm.sampling import Rules
from seqd_modelkit.ngrams.model import MAX_TABLE_CELLS

Ids = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Piece:
    """Characters of all chains: ids, and their natural log-probabilities under the model itself."""

    ids: Ids  # (chains, steps)
    log_probs: Doubles  # (chains, steps)


class Chains(Protocol):
    """Some texts under way. Used by one thread at a time; it may be another each time."""

    def read(self, ids: Ids, starts: npt.NDArray[np.int64]) -> Piece:
        """Read ids (chains, steps).

        Chain n begins with step `starts[n]`, in rising order: what stands before it is not read,
        and not in the piece. Of a version that reads windows, all chains begin at once.
        """

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: Rules) -> Piece:
        """Draw as many characters as there are `uniforms` (chains, steps), and read them."""

    def chosen(self, places: npt.NDArray[np.int64]) -> "Chains":
        """Copy these chains, each as often as it is named, into chains of their own."""


class Forward(Protocol):
    """A version's network, ready to run."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""

    def chains(self, count: int) -> Chains:
        """Begin some chains, which have read nothing."""


def forward_of(version: Version) -> Forward:
    """Prepare a version: compiled; in NumPy without Numba, or for n-grams of too many cells."""
    from seqd_char_lstm.numpy_forward import NumpyForward

    ngrams = version.ngrams
    if ngrams is not None and ngrams.states * ngrams.symbols > MAX_TABLE_CELLS:
        return NumpyForward(version)
    try:
        from seqd_char_lstm.compiled_forward import CompiledForward
    except ImportError:
        return NumpyForward(version)
    return CompiledForward(version)


def input_table(weights: Weights) -> Singles:
    """What the gates of layer 0 take from each character, bias included: (ids, 4 units).

    A one-hot row times the input kernel is a row of it, so that reading a character is looking a
    row up; so is an embedded one.
    """
    layer = weights.layers[0]
    if weights.embedding is None:
        return layer.kernel + layer.bias
    table = weights.embedding.astype(np.float64) @ layer.kernel.astype(np.float64) + layer.bias
    return table.astype(np.float32)


def halved(units: int) -> Singles:
    """What gates i, f, c, o are multiplied by (4 units,), since sigmoid(x) is of tanh(x / 2)."""
    return np.repeat(np.array([0.5, 0.5, 1.0, 0.5], np.float32), units)
