"""Engines, which serve a version: reviews as ids in, class probabilities out.

`engine_for` chooses. On a CPU the LSTM is `CompiledEngine`, whose kernel is
`seqd_modelkit.lstm_serving`; on a GPU, and where Numba cannot be imported, it is
`network.KerasEngine`. `TwoBranchEngine` adds a version's n-grams to either. Trainings validate with
the engine that serves, so that a version's metrics are those of the kernel that serves it.

Reviews a second, one core of a Zen 5, 1,500 test reviews, the tutorial's network, in turns, by
processor time on a busy machine: the compiled kernel 10,100; NumPy's product with compiled gates
9,000; ONNX Runtime's LSTM on true lengths 5,500; the products alone, by OpenBLAS, 13,500. Held to
an older processor's code (OPENBLAS_CORETYPE=Haswell), OpenBLAS does half.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Device
from seqd_imdb_lstm.artifact import Floats, Probabilities, Version, Weights
from seqd_imdb_lstm.ngrams import NgramTable
from seqd_imdb_lstm.vocabulary import PAD_ID, START_ID, Ids, clip_to_vocabulary
from seqd_modelkit.keras_import import importing_keras
from seqd_modelkit.numba_probe import can_compile

if TYPE_CHECKING:
    from seqd_modelkit.lstm_serving import TokenSequences

Doubles = npt.NDArray[np.float64]

#: What a masked network reads of a review without any token: that it begins.
_EMPTY: Final = np.array([START_ID], dtype=np.int32)

#: Least probability whose logarithm is taken: what is smaller came out of float32 as 0.
_LEAST: Final = 1e-7


class Engine(Protocol):
    """A loaded network. Used by one thread at a time."""

    @property
    def memory_bytes(self) -> int:
        """Memory that it holds, in bytes."""

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """Return each review's probability of each class: (reviews, classes), rows sum to 1.

        `reviews` are id arrays of shape (tokens,), at most `max_tokens` long, in any order. With
        the compiled kernel a review's probabilities are the same, bit for bit, whatever else is in
        `reviews`; with Keras they move by about 1e-7, for in a matrix of another size the same sum
        is added up in another order.
        """

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """Return for how many tokens `probabilities` computes: what exceeds theirs is padding.

        A network that reads in both directions has each token counted once.
        """


def engine_for(version: Version, device: Device) -> Engine:
    """Choose the engine for a device, with the n-gram branch beside it where there is one.

    On one CPU core the compiled kernel does four to five times as many reviews a second as Keras
    does on two; a GPU needs Keras's cuDNN path.
    """
    lstm = lstm_engine_for(version, device)
    if version.ngrams is None:
        return lstm
    return TwoBranchEngine(lstm, version.ngrams, version.config.lstm_share)


def lstm_engine_for(version: Version, device: Device) -> Engine:
    """Choose the engine of the LSTM alone."""
    if device.kind != "gpu" and can_compile():
        return CompiledEngine(version)
    with importing_keras(
        "imdb_lstm is served by Keras on a GPU, and where there is no Numba",
        advice="Install seqd[serve] for a CPU, seqd[gpu] for a GPU",
    ):
        from seqd_imdb_lstm.network import KerasEngine

    return KerasEngine(version)


class CompiledEngine:
    """The whole network on real tokens only, the LSTM compiled by Numba.

    Compiled in 2.5 s, and kept: see `seqd_modelkit.kept_kernels`.
    Where pads are read like words (`padding` "front"), a review's own pads are not: the kernel
    starts it from the state after so many pads. A second direction, which only masked networks
    have, is the same kernel with other weights, on the ids in reverse.

    With the tutorial's network each of 5,000 test reviews is within 2e-6 of Keras's
    `model.predict` on padded ids. Both are up to 1.4e-5 from the same sums in double precision;
    `lstm_cell.keras_sigmoid` says why.
    """

    def __init__(self, version: Version) -> None:
        """Fold a version's weights. Raises ImportError without Numba."""
        from seqd_modelkit.lstm_serving import SequenceKernel, TokenSequences

        config, weights = version.config, version.weights
        self._config = config
        self._packed_of: Callable[[Sequence[Ids], int | None], TokenSequences] = TokenSequences.of
        self._output_kernel, self._output_bias = weights.output_kernel, weights.output_bias
        pads = config.max_tokens if config.padding == "front" else 0
        #: The kernel of each direction: from the front, and from the end where there is one.
        self._kernels: list[SequenceKernel] = [
            SequenceKernel(_input_table(weights, prefix), recurrent, pads=pads, pad_id=PAD_ID)
            for prefix, recurrent in (
                ("", weights.recurrent_kernel),
                ("backward_", weights.backward_recurrent_kernel),
            )
            if recurrent is not None
        ]

    @property
    def memory_bytes(self) -> int:
        """See `Engine.memory_bytes`."""
        return sum(kernel.memory_bytes for kernel in self._kernels) + self._output_kernel.nbytes

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """See `Engine.probabilities`."""
        features = self._features(reviews)
        # Row by row, not as one product: BLAS adds up in another order in another batch.
        logits = np.empty((len(reviews), self._output_kernel.shape[1]), dtype=np.float32)
        for output, column in enumerate(self._output_kernel.T):
            logits[:, output] = (features * column).sum(axis=1) + self._output_bias[output]
        return probabilities_of(logits)

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """See `Engine.computed_tokens`."""
        lengths = np.fromiter(map(len, reviews), dtype=np.int64, count=len(reviews))
        return self._kernels[0].computed_tokens(lengths)  # in the other direction it is the same

    def _features(self, reviews: Sequence[Ids]) -> Floats:
        """Return what the output layer reads: (reviews, features)."""
        runs = [(self._kernels[0], self._packed(reviews))]
        for backward in self._kernels[1:]:
            runs.append((backward, self._packed([ids[::-1] for ids in reviews])))
        if not self._config.pools:
            return np.concatenate([kernel.last(sequences) for kernel, sequences in runs], axis=1)
        pooled = [kernel.max_and_mean(sequences) for kernel, sequences in runs]
        # Keras pools over both directions at once: the maxima of both, then the means of both.
        return np.concatenate([part for parts in zip(*pooled, strict=True) for part in parts], 1)

    def _packed(self, reviews: Sequence[Ids]) -> "TokenSequences":
        """Lay reviews end to end, in ids that the LSTM knows."""
        if self._config.padding == "front":
            packed = self._packed_of(reviews, self._config.max_tokens)
        else:
            packed = self._packed_of([ids if len(ids) else _EMPTY for ids in reviews], None)
        # Once for all of them: one by one it costs 2% of the time.
        return replace(packed, ids=clip_to_vocabulary(packed.ids, self._config.embedded_words))


def _input_table(weights: Weights, prefix: str) -> Floats:
    """Fold embedding, input kernel and bias of one direction: (words, 4 units)."""
    arrays = weights.arrays()
    table = weights.embedding @ arrays[f"{prefix}kernel"] + arrays[f"{prefix}bias"]
    return np.asarray(table, dtype=np.float32)


def probabilities_of(logits: Floats) -> Probabilities:
    """Return the softmax (reviews, classes) of logits (reviews, outputs).

    One output is the logit of the second of two classes; more are a logit for each class.
    """
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    exponentials = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    sums = exponentials.sum(axis=1, keepdims=True)
    return np.asarray(exponentials / sums, dtype=np.float32)


class TwoBranchEngine:
    """An LSTM and n-grams: the weighted mean of their log-probabilities, normalised again."""

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
        ngram_logits = self._ngrams.logits(reviews).astype(np.float64)
        if ngram_logits.shape[1] == 1:
            # Of two classes, the first's logit being 0.
            zeros = np.zeros_like(ngram_logits)
            ngram_logits = np.concatenate([zeros, ngram_logits], axis=1)
        of_lstm = self._lstm.probabilities(reviews).astype(np.float64)
        mean = self._lstm_share * np.log(np.maximum(of_lstm, _LEAST))
        mean += (1.0 - self._lstm_share) * (ngram_logits - _log_sum_exp(ngram_logits))
        mean -= _log_sum_exp(mean)
        return np.asarray(np.exp(mean), dtype=np.float32)

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """See `Engine.computed_tokens`: of the LSTM, beside which the n-grams pad nothing."""
        return self._lstm.computed_tokens(reviews)


def _log_sum_exp(logits: Doubles) -> Doubles:
    """Return log of the sum of exp over a row's classes: (reviews, 1)."""
    maximum = logits.max(axis=1, keepdims=True)
    return np.asarray(maximum + np.log(np.exp(logits - maximum).sum(axis=1, keepdims=True)))
