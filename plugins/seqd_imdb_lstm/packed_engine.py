"""The engine for a CPU: whole network, on real tokens only, with either packed kernel.

Where pads are read like words (`padding` "front"), a review's own pads are not: the kernel starts
it from the state after so many pads. A second direction, which only masked networks have, is the
same kernel with other arrays, on the ids in reverse.

How exact: with the tutorial's network each of 5,000 test reviews is within 2e-6 of Keras's
`model.predict` on padded ids. Both are up to 1.4e-5 from the same sums in double precision;
`keras_sigmoid` says why.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from seqd_imdb_lstm.artifact import Floats, Probabilities, Version, Weights
from seqd_imdb_lstm.packed_numpy import NumpyKernel
from seqd_imdb_lstm.packed_sequences import Kernel, Lstm, PackedSequences
from seqd_imdb_lstm.vocabulary import START_ID, Ids, clip_to_vocabulary

#: What a masked network reads of a review without any token: that it begins.
_EMPTY: Final = np.array([START_ID], dtype=np.int32)


class PackedEngine:
    """See `engine.Engine`."""

    def __init__(
        self, version: Version, kernel: Callable[[Lstm, int], Kernel] | None = None
    ) -> None:
        """Fold a version's weights; `kernel` is chosen when it is not given."""
        make = kernel or fastest_kernel()
        self._config = version.config
        weights = version.weights
        self._output_kernel, self._output_bias = weights.output_kernel, weights.output_bias
        pads = version.config.max_tokens if version.config.padding == "front" else 0
        self._forward = make(_forward(weights), pads)
        backward = _backward(weights)
        self._backward = None if backward is None else make(backward, 0)

    @property
    def memory_bytes(self) -> int:
        """See `Engine.memory_bytes`."""
        kernels = [self._forward] + ([self._backward] if self._backward else [])
        return sum(kernel.memory_bytes for kernel in kernels) + self._output_kernel.nbytes

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """See `Engine.probabilities`."""
        features = self._features(reviews)
        # Row by row, not as one product: BLAS adds up in another order in another company.
        logits = np.empty((len(reviews), self._output_kernel.shape[1]), dtype=np.float32)
        for output, column in enumerate(self._output_kernel.T):
            logits[:, output] = (features * column).sum(axis=1) + self._output_bias[output]
        return probabilities_of(logits)

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """See `Engine.computed_tokens`."""
        lengths = np.fromiter(map(len, reviews), dtype=np.int64, count=len(reviews))
        return self._forward.computed_tokens(lengths)  # in the other direction it is the same

    def _features(self, reviews: Sequence[Ids]) -> Floats:
        """Give what the output layer reads: (reviews, features)."""
        runs = [(self._forward, self._packed(reviews))]
        if self._backward:
            runs.append((self._backward, self._packed([ids[::-1] for ids in reviews])))
        if self._config.pooling == "last":
            return np.concatenate([kernel.last(run) for kernel, run in runs], axis=1)
        pooled = [kernel.greatest_and_mean(run) for kernel, run in runs]
        # Keras pools over both directions at once: the greatest of both, then the means of both.
        return np.concatenate([part for parts in zip(*pooled, strict=True) for part in parts], 1)

    def _packed(self, reviews: Sequence[Ids]) -> PackedSequences:
        """Lay reviews end to end, in ids that the LSTM knows."""
        if self._config.padding == "front":
            packed = PackedSequences.of(reviews, self._config.max_tokens)
        else:
            packed = PackedSequences.of([ids if len(ids) else _EMPTY for ids in reviews], None)
        # Once for all of them: one by one it costs 2% of the time.
        return replace(packed, ids=clip_to_vocabulary(packed.ids, self._config.embedded_words))


def fastest_kernel() -> Callable[[Lstm, int], Kernel]:
    """Give the compiled kernel, or the one in NumPy where Numba cannot be imported."""
    try:
        from seqd_imdb_lstm.packed_compiled import CompiledKernel
    except ImportError:  # not installed, or not for this NumPy: at a third of the speed
        return NumpyKernel
    return CompiledKernel


def probabilities_of(logits: Floats) -> Probabilities:
    """Turn log-odds (reviews, outputs) into (reviews, classes).

    One output is the log-odds of the second of two classes; more are log-odds of a class each.
    """
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shares = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float32)


def _forward(weights: Weights) -> Lstm:
    return Lstm(weights.embedding, weights.kernel, weights.recurrent_kernel, weights.bias)


def _backward(weights: Weights) -> Lstm | None:
    kernel, recurrent = weights.backward_kernel, weights.backward_recurrent_kernel
    if kernel is None or recurrent is None or weights.backward_bias is None:
        return None
    return Lstm(weights.embedding, kernel, recurrent, weights.backward_bias)
