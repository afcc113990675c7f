"""Engines, which serve a version: `engine_for` chooses one; `SteppedEngine` draws in NumPy.

Three ways lead to the same text, apart from rounding. `compiled_chains.CompiledEngine` computes and
draws in one compiled call. `SteppedEngine` moves a network on by one character at a time and draws
with `sampling`: over the compiled network where n-grams have too many cells to be tables, over
Keras (`network.KerasNetwork`) where Numba cannot be imported. Keras is what tests hold the others
against; of 512 units it writes one text at a twentieth of the speed, 64 texts at a third.

With the compiled network a chain's numbers do not depend on the chains beside it, nor on how its
characters are split over calls, to the last bit.
"""

from dataclasses import replace
from typing import Self

import numpy as np

from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Characters, Doubles, Engine, Ids, Network, NetworkChains, Places
from seqd_modelkit.keras_import import importing_keras
from seqd_modelkit.ngrams import NgramModel
from seqd_modelkit.ngrams.model import MAX_TABLE_CELLS
from seqd_modelkit.numba_probe import can_compile
from seqd_modelkit.sampling import RECENT, SamplingRules, draw, log_probabilities


def engine_for(version: Version) -> Engine:
    """Choose the engine of a version: compiled where Numba can be imported, else Keras."""
    if not can_compile():
        with importing_keras(
            "char_lstm is served by Keras where there is no Numba", advice="Install seqd[serve]"
        ):
            from seqd_char_lstm.network import KerasNetwork

        return SteppedEngine(version, KerasNetwork(version.weights, version.config.window))
    from seqd_char_lstm.compiled_chains import CompiledEngine

    ngrams = version.ngrams
    if ngrams is not None and ngrams.states * ngrams.symbols > MAX_TABLE_CELLS:
        return SteppedEngine(version, CompiledEngine(replace(version, ngrams=None)))
    return CompiledEngine(version)


class SteppedEngine:
    """See `chains.Engine`: a network, with n-grams and drawing in NumPy beside it."""

    def __init__(self, version: Version, network: Network) -> None:
        """`network` has the version's weights."""
        self._network = network
        self._share = version.config.ngram_share
        self._ngrams = version.ngrams if self._share > 0.0 else None

    @property
    def nbytes(self) -> int:
        """See `Engine.nbytes`."""
        return self._network.nbytes + (0 if self._ngrams is None else self._ngrams.nbytes)

    def chains(self, count: int) -> "SteppedChains":
        """See `Engine.chains`."""
        return SteppedChains(
            self._network.chains(count),
            self._ngrams,
            self._share,
            np.full((count, RECENT), -1, np.int32),
            np.zeros(count, np.int32),
            clock=0,
        )


class SteppedChains:
    """See `chains.Chains`."""

    def __init__(
        self,
        network: NetworkChains,
        ngrams: NgramModel | None,
        share: float,
        recent: Ids,
        states: Ids,
        clock: int,
    ) -> None:
        """Take chains after `clock` steps.

        `recent` (chains, RECENT) are the last characters, at their number modulo RECENT, -1 for
        none; `states` (chains,) are the n-gram model's.
        """
        self._network = network
        self._ngrams = ngrams
        self._share = share
        self._recent = recent
        self._states = states
        self._clock = clock

    def read(self, ids: Ids, starts: Places) -> Characters:
        """See `Chains.read`."""
        log_probs = np.zeros(ids.shape)
        for step in range(ids.shape[1]):
            active = int(np.searchsorted(starts, step, side="right"))
            own = self._own_log_probs(active)
            now = ids[:active, step]
            log_probs[:active, step] = own[np.arange(active), now]
            self._advance(now)
        return Characters(ids, log_probs)

    def write(self, uniforms: Doubles, temperatures: Doubles, rules: SamplingRules) -> Characters:
        """See `Chains.write`."""
        ids = np.zeros(uniforms.shape, np.int32)
        log_probs = np.zeros(uniforms.shape)
        for step in range(uniforms.shape[1]):
            own = self._own_log_probs(len(ids))
            now = draw(own, self._recent, temperatures, uniforms[:, step], rules)
            ids[:, step] = now
            log_probs[:, step] = own[np.arange(len(ids)), now]
            self._advance(ids[:, step])
        return Characters(ids, log_probs)

    def chosen(self, places: Places) -> Self:
        """See `Chains.chosen`."""
        return type(self)(
            self._network.chosen(places),
            self._ngrams,
            self._share,
            self._recent[places],
            self._states[places],
            self._clock,
        )

    def _own_log_probs(self, active: int) -> Doubles:
        """Return the model's own log-probabilities for the first chains, (active, ids)."""
        ngrams = self._ngrams
        mixed = None if ngrams is None else ngrams.probabilities(self._states[:active])
        return log_probabilities(self._network.logits[:active], mixed, self._share)

    def _advance(self, ids: Ids) -> None:
        """Let the first chains read a character each."""
        active = len(ids)
        self._recent[:active, self._clock % RECENT] = ids
        if self._ngrams is not None:
            self._states[:active] = self._ngrams.advance(self._states[:active], ids)
        self._network.advance(ids)
        self._clock += 1
