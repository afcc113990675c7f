"""Protocols of engines, which serve a version, and of their chains of characters.

A chain is one text that is read or generated. In a version that reads a stream, a chain carries its
LSTM states from character to character, one step each. A version that reads windows predicts from
exactly the last `window` characters, from zero states: at any position `window` overlapping windows
have begun, and the next character is an input to each. Their states are the rows of one matrix. At
each character one window is complete, predicts, and begins again at zero states. The sums are the
same as those of one window after the other.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Weights
from seqd_modelkit.sampling import SamplingRules

Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Characters:
    """Characters of all chains: ids, and their natural log-probabilities under the model itself."""

    ids: Ids  # (chains, steps)
    log_probs: Doubles  # (chains, steps)


class Chains(Protocol):
    """Some texts under way. Used by one thread at a time; it may be another each time."""

    def read(self, ids: Ids, starts: Places) -> Characters:
        """Read ids (chains, steps).

        Chain n begins with step `starts[n]`, in rising order: what stands before it is not read,
        and not in the result. Of a version that reads windows, all chains begin at once.
        """

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: SamplingRules) -> Characters:
        """Draw as many characters as there are `uniforms` (chains, steps), and read them."""

    def chosen(self, places: Places) -> "Chains":
        """Copy these chains, each as often as it is named, into chains of their own."""


class Engine(Protocol):
    """A version's network, ready to run."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""

    def chains(self, count: int) -> Chains:
        """Begin some chains, which have read nothing."""


class NetworkChains(Protocol):
    """The network alone: chains that are moved on by one character at a time."""

    @property
    def logits(self) -> Singles:
        """Of the next character: (chains, ids)."""

    def advance(self, ids: Ids) -> None:
        """Let the first chains read a character each, (chains that have begun,)."""

    def chosen(self, places: Places) -> "NetworkChains":
        """Copy these chains, each as often as it is named."""


class Network(Protocol):
    """A version's network, which a step moves on."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""

    def chains(self, count: int) -> NetworkChains:
        """Begin some chains, which have read nothing."""


def input_table(weights: Weights) -> Singles:
    """Return what the gates of layer 0 take from each character, bias included: (ids, 4 units).

    A one-hot row times the input kernel is a row of it, so that reading a character is looking a
    row up; so is an embedded one.
    """
    layer = weights.layers[0]
    if weights.embedding is None:
        return layer.kernel + layer.bias
    table = weights.embedding.astype(np.float64) @ layer.kernel.astype(np.float64) + layer.bias
    return table.astype(np.float32)
