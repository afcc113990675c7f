"""Engines, which serve a version: `engine_for` chooses one; `SteppedEngine` draws in NumPy.

`compiled_chains.CompiledEngine` computes and draws in one compiled call. Where Numba cannot be
imported, `SteppedEngine` moves Keras's network (`network.KerasNetwork`) on by one character at a
time and draws with `sampling`: the same text, apart from rounding. It is what tests hold the other
against; of 512 units it writes one text at a twentieth of the speed, 64 texts at a third.

With the compiled network a chain's numbers do not depend on the chains beside it, nor on how its
characters are split over calls, to the last bit.
"""

from typing import Self

import numpy as np

from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Characters, Doubles, Engine, Ids, Network, NetworkChains, Places
from seqd_modelkit.keras_import import importing_keras
from seqd_modelkit.numba_probe import can_compile
from seqd_modelkit.sampling import RECENT, SamplingRules, draw, log_probabilities


def engine_for(version: Version) -> Engine:
    """Choose the engine of a version: compiled where Numba can be imported, else Keras."""
    if not can_compile():
        with importing_keras(
            "char_lstm is served by Keras where there is no Numba", advice="Install seqd[serve]"
        ):
            from seqd_char_lstm.network import KerasNetwork

        return SteppedEngine(KerasNetwork(version.weights, version.config.window))
    from seqd_char_lstm.compiled_chains import CompiledEngine

    return CompiledEngine(version)


class SteppedEngine:
    """See `chains.Engine`: a network, with drawing in NumPy."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def nbytes(self) -> int:
        """See `Engine.nbytes`."""
        return self._network.nbytes

    def chains(self, count: int) -> "SteppedChains":
        """See `Engine.chains`."""
        recent = np.full((count, RECENT), -1, np.int32)
        return SteppedChains(self._network.chains(count), recent, clock=0)


class SteppedChains:
    """See `chains.Chains`."""

    def __init__(self, network: NetworkChains, recent: Ids, clock: int) -> None:
        """Take chains after `clock` steps.

        `recent` (chains, RECENT) are the last characters, at their number modulo RECENT, -1 for
        none.
        """
        self._network = network
        self._recent = recent
        self._clock = clock

    def read(self, ids: Ids, starts: Places) -> Characters:
        """See `Chains.read`."""
        log_probs = np.zeros(ids.shape)
        for step in range(ids.shape[1]):
            active = int(np.searchsorted(starts, step, side="right"))
            own = log_probabilities(self._network.logits[:active])
            now = ids[:active, step]
            log_probs[:active, step] = own[np.arange(active), now]
            self._advance(now)
        return Characters(ids, log_probs)

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: SamplingRules) -> Characters:
        """See `Chains.write`."""
        ids = np.zeros(uniforms.shape, np.int32)
        log_probs = np.zeros(uniforms.shape)
        for step in range(uniforms.shape[1]):
            own = log_probabilities(self._network.logits)
            now = draw(own, self._recent, temperatures, uniforms[:, step], rules)
            ids[:, step] = now
            log_probs[:, step] = own[np.arange(len(ids)), now]
            self._advance(ids[:, step])
        return Characters(ids, log_probs)

    def chosen(self, places: Places) -> Self:
        """See `Chains.chosen`."""
        return type(self)(self._network.chosen(places), self._recent[places], self._clock)

    def _advance(self, ids: Ids) -> None:
        """Let the first chains read a character each."""
        active = len(ids)
        self._recent[:active, self._clock % RECENT] = ids
        self._network.advance(ids)
        self._clock += 1
