"""What a version writes by: the state behind a prompt, and samplers that go on from states.

An `NgramWriter` is that of an n-gram model, `mixing.MixtureWriter` that of one that mixes contexts.
"""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import numpy as np

from seqd_markov.sampling import (
    BackoffSampler,
    CandidateRows,
    LogProbabilities,
    SampledSymbols,
    Sampler,
    State,
)
from seqd_markov.tokenizers import Ids
from seqd_modelkit.ngrams import NgramModel, Smoothing

#: Temperatures that are kept prepared, the last used ones; without top-k and top-p each is 10 ms
#: of work and 2.5 MB for a version of 310,000 n-grams.
_KEPT_TEMPERATURES: Final = 8


class SymbolSampler(Protocol):
    """Samples at one temperature, with top-k and top-p."""

    @property
    def is_deterministic(self) -> bool:
        """True when no randomness is left, so that another try gives the same text."""

    @property
    def texts_at_once(self) -> int:
        """Texts that are best sampled together, at most."""

    def sample(
        self,
        states: Sequence[State],
        streams: Sequence[np.random.BitGenerator],
        steps: int,
        check_stop: Callable[[], None],
    ) -> SampledSymbols:
        """Sample `steps` symbols after each state; of each stream the next numbers are used.

        `check_stop` raises when the job is to end; it is called at least once.
        """


class Writer(Protocol):
    """A model that can write. Its states are numbers, or arrays that nobody else changes."""

    @property
    def nbytes(self) -> int:
        """Bytes of the model, and of the samplers that are kept."""

    def state_after(self, ids: Ids) -> State:
        """Return the state behind a prompt."""

    def sampler(self, temperature: float, top_k: int, top_p: float) -> SymbolSampler:
        """Return the sampler of some settings."""


class NgramWriter:
    """Writes by an n-gram model."""

    def __init__(self, model: NgramModel, sentence_end: int | None) -> None:
        self._model = model
        self._log_probabilities = LogProbabilities(model, sentence_end=sentence_end)
        self._samplers: dict[tuple[float, int, float], Sampler] = {}
        #: States of short prompts, and what they are extended to; some thousands at most.
        self._extensions: dict[int, int] = {}
        #: Bytes that samplers may take: some temperatures, and one setting with candidate rows.
        self._samplers_bytes = CandidateRows.bytes_for(model)
        self._samplers_bytes += _KEPT_TEMPERATURES * BackoffSampler.bytes_for(model)

    @property
    def nbytes(self) -> int:
        """Bytes of counts, log-probabilities and samplers."""
        return self._model.nbytes + self._log_probabilities.nbytes + self._samplers_bytes

    def state_after(self, ids: Ids) -> int:
        """Return the state after a prompt, extended to the left where Kneser-Ney needs it.

        In sentences the left context is known: the beginning of the sentence is part of the prompt.
        """
        model = self._model
        state = model.state_after(ids)
        context = ids[-model.order :]
        known = len(context) - int(np.flatnonzero(context < 0).max(initial=-1)) - 1
        is_short = 0 < known < model.order and model.begin is None
        if not is_short or model.smoothing is not Smoothing.KNESER_NEY:
            return state
        if state not in self._extensions:
            self._extensions[state] = model.most_frequent_extension(state)
        return self._extensions[state]

    def sampler(self, temperature: float, top_k: int, top_p: float) -> Sampler:
        """Return the sampler of some settings; the last used ones are kept prepared."""
        settings = (temperature, top_k, top_p)
        sampler = self._samplers.pop(settings, None) or Sampler(
            self._log_probabilities, temperature, top_k=top_k, top_p=top_p
        )
        self._samplers[settings] = sampler
        while len(self._samplers) > 1 and self._kept_bytes > self._samplers_bytes:
            del self._samplers[next(iter(self._samplers))]
        return sampler

    @property
    def _kept_bytes(self) -> int:
        return sum(sampler.nbytes for sampler in self._samplers.values())
