"""Writes by a model that mixes contexts; importing this imports Numba."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from seqd_markov.sampling import MIN_TEMPERATURE, SampledSymbols, State
from seqd_markov.tokenizers import Ids
from seqd_modelkit.mixing import kernels
from seqd_modelkit.mixing.kernels import Longs
from seqd_modelkit.mixing.model import Mixture

#: Decisions of whole distributions between two looks whether to stop: a hundredth of a second.
_DECISIONS_AT_ONCE: Final = 20_000


@dataclass(frozen=True)
class MixtureWriter:
    """See `writers.Writer`; its states are places in a text."""

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


@dataclass(frozen=True)
class MixtureSampler:
    """Writes at one temperature, with top-k and top-p: text by text, whatever stands beside it."""

    mixture: Mixture
    temperature: float
    top_k: int
    top_p: float
    texts_at_once: int = 256

    @property
    def is_deterministic(self) -> bool:
        """True when no randomness is left."""
        return self.temperature < MIN_TEMPERATURE or self.top_k == 1

    def sample(
        self,
        states: Sequence[State],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        check_stop: Callable[[], None],
    ) -> SampledSymbols:
        """Sample `steps` symbols after each place; of each stream the next numbers are used."""
        model = self.mixture.model
        temperature = 0.0 if self.temperature < MIN_TEMPERATURE else self.temperature
        places = [np.array(state) for state in states]
        symbols, logs = np.empty((len(places), steps), np.int64), np.empty((len(places), steps))
        at_once = max(1, _DECISIONS_AT_ONCE // len(model.tree.below))
        for text, (place, stream) in enumerate(zip(places, streams, strict=True)):
            numbers = np.random.Generator(stream).random(steps)
            for first in range(0, steps, at_once):
                check_stop()
                some = slice(first, first + at_once)
                kernels.write(
                    model, place, numbers[some], temperature, self.top_k, self.top_p,
                    symbols[text, some], logs[text, some],
                )  # fmt: skip
        return SampledSymbols(symbols, logs, places)
