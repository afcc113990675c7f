"""An engine of two branches: the weighted mean of the log-odds of an LSTM and of n-grams.

Called by `engine`. Knows neither how the LSTM is computed nor how the n-grams were weighed.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.artifact import Probabilities
from seqd_imdb_lstm.engine import Engine
from seqd_imdb_lstm.ngrams import NgramTable
from seqd_imdb_lstm.vocabulary import Ids

Doubles = npt.NDArray[np.float64]

#: Least probability whose logarithm is taken: what is smaller came out of float32 as 0.
_LEAST: Final = 1e-7


class AveragedEngine:
    """See `engine.Engine`."""

    def __init__(self, lstm: Engine, ngrams: NgramTable, lstm_share: float) -> None:
        self._lstm = lstm
        self._ngrams = ngrams
        self._lstm_share = lstm_share

    @property
    def memory_bytes(self) -> int:
        """See `Engine.memory_bytes`."""
        return self._lstm.memory_bytes + self._ngrams.memory_bytes

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """See `Engine.probabilities`."""
        scores = self._ngrams.logits(reviews).astype(np.float64)
        if scores.shape[1] == 1:
            # Of two classes, the first's log-odds being 0.
            scores = np.concatenate([np.zeros_like(scores), scores], axis=1)
        told = self._lstm.probabilities(reviews).astype(np.float64)
        mean = self._lstm_share * np.log(np.maximum(told, _LEAST))
        mean += (1.0 - self._lstm_share) * (scores - _log_of_sum(scores))
        mean -= _log_of_sum(mean)
        return np.asarray(np.exp(mean), dtype=np.float32)

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """See `Engine.computed_tokens`: of the LSTM, beside which the n-grams pad nothing."""
        return self._lstm.computed_tokens(reviews)


def _log_of_sum(scores: Doubles) -> Doubles:
    """Give log of the sum of exp over a row's classes → (reviews, 1)."""
    greatest = scores.max(axis=1, keepdims=True)
    return np.asarray(greatest + np.log(np.exp(scores - greatest).sum(axis=1, keepdims=True)))
