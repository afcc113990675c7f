"""Writes by a model that mixes contexts; importing this imports Numba."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from seqd_markov.data import Ids
from seqd_markov.sampling import MIN_TEMPERATURE, SampledSymbols, Sampler, State
from seqd_modelkit.mixing import kernels
from seqd_modelkit.mixing.kernels import Longs
from seqd_modelkit.mixing.model import Mixture

#: Decisions of whole distributions between two looks whether to stop: a hundredth of a second.
_DECISIONS_AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class MixtureWriter:
    """What a mixture writes by, as `NgramWriter`; its states are places in a text."""

    mixture: Mixture

    @property
    def nbytes(self) -> int:
        """Bytes of the model."""
        return self.mixture.nbytes

    def state_after(self, ids: Ids) -> Longs:
        """Return the place behind a prompt."""
        return self.mixture.state_after(ids)

    def sampler(self, temperature: float, top_k: int, top_p: float) -> "MixtureSampler":
        """Return the sampler of some settings."""
        return MixtureSampler(self.mixture, temperature, top_k, top_p)


class MixtureSampler(Sampler):
    """Writes at one temperature, with top-k and top-p: text by text, whatever stands beside it."""

    def __init__(self, mixture: Mixture, temperature: float, top_k: int, top_p: float) -> None:
        super().__init__(temperature, top_k)
        self._model = mixture.model
        self._temperature = 0.0 if temperature < MIN_TEMPERATURE else temperature
        self._top_k, self._top_p = top_k, top_p

    def sample(
        self,
        states: Sequence[State],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        check_stop: Callable[[], None],
    ) -> SampledSymbols:
        """Sample text by text; see `Sampler`."""
        places = [np.array(state) for state in states]
        symbols, logs = np.empty((len(places), steps), np.int64), np.empty((len(places), steps))
        at_once = max(1, _DECISIONS_AT_ONCE // len(self._model.tree.below))
        for text, (place, stream) in enumerate(zip(places, streams, strict=True)):
            numbers = np.random.Generator(stream).random(steps)
            for first in range(0, steps, at_once):
                check_stop()
                some = slice(first, first + at_once)
                kernels.write(
                    self._model, place, numbers[some], self._temperature, self._top_k,
                    self._top_p, symbols[text, some], logs[text, some],
                )  # fmt: skip
        return SampledSymbols(symbols, logs, places)
