"""A network's loss and gradients on a CPU, on real tokens only.

The same mathematics as Keras's on padded batches, the pads' gradients included, so that the
tutorial's training stays what it is: from the same weights both give the same gradients (a test).
What differs is the cost. Keras takes 500 steps of time through a framework for each batch, and
computes each review's pads; here they are computed once a batch.

Called by `packed_learner`, a part of a batch at a time, each part by a thread of its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from seqd_imdb_lstm.artifact import Floats, VersionConfig
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.output_layer import answer
from seqd_imdb_lstm.packed_batch import PackedBatch
from seqd_imdb_lstm.packed_lstm import PackedLstm, Workspace
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.vocabulary import Ids

_LSTM_ARRAYS: Final = ("kernel", "recurrent_kernel", "bias")


@dataclass(frozen=True, slots=True)
class Gradients:
    """What some reviews of a batch say about the weights."""

    #: Sum over these reviews of loss times share, in nats.
    loss: float
    #: How many of them were told right.
    right: int
    #: By the weights' names, of the mean loss of the whole batch.
    arrays: dict[str, Floats]


class Lstm(Protocol):
    """See `packed_lstm.PackedLstm`."""

    def forward(self, batch: PackedBatch, inputs: Floats, pool: bool) -> Floats:
        """See `packed_lstm.PackedLstm.forward`."""

    def backward(self, gradient: Floats) -> tuple[Floats, list[Floats]]:
        """See `packed_lstm.PackedLstm.backward`."""


def fastest_lstm() -> Callable[[Floats, Floats, Floats, Workspace], Lstm]:
    """Give the LSTM with compiled steps, or the one in NumPy where Numba cannot be imported."""
    try:
        from seqd_imdb_lstm.packed_lstm_compiled import CompiledLstm
    except ImportError:  # not installed, or not for this NumPy: the same, at half the speed
        return PackedLstm
    return CompiledLstm


class PackedNetwork:
    """The network, with memory for one part of a batch at a time. Used by one thread."""

    def __init__(
        self,
        config: VersionConfig,
        parameters: TrainParameters,
        lstm: Callable[[Floats, Floats, Floats, Workspace], Lstm],
    ) -> None:
        """`lstm` makes an LSTM from its three arrays."""
        self._pads = config.max_tokens if config.padding == "front" else 0
        self._pool = config.pools
        self._parameters = parameters
        prefixes = ("", "backward_") if config.bidirectional else ("",)
        self._directions = [_Direction(prefix, self._pool, lstm) for prefix in prefixes]

    def gradients(
        self,
        weights: Mapping[str, Floats],
        part: Batch,
        batch_size: int,
        random: np.random.Generator,
    ) -> Gradients:
        """Learn from a part of a batch of `batch_size`; `random` draws what is dropped."""
        packed = PackedBatch.of(part.reviews, self._pads)
        inputs = weights["embedding"][packed.ids]  # (tokens, embedding)
        # One draw for a row and a number of the embedding: a review's words all lose it or none.
        dropped = (len(packed.lengths), inputs.shape[1])
        kept = _kept(random, self._parameters.embedding_dropout, dropped)
        if kept is not None:
            inputs *= kept[packed.rows]
        found = [one.forward(weights, packed, inputs) for one in self._directions]
        told, pulls = self._answer(weights, random, part, batch_size, packed, found)
        d_inputs = np.zeros_like(inputs)
        for direction, pull in zip(self._directions, pulls, strict=True):
            told.arrays.update(direction.backward(pull, d_inputs))
        if kept is not None:
            d_inputs *= kept[packed.rows]
        told.arrays["embedding"] = _summed_by_id(packed.ids, d_inputs, len(weights["embedding"]))
        return told

    def _answer(
        self,
        weights: Mapping[str, Floats],
        random: np.random.Generator,
        part: Batch,
        batch_size: int,
        packed: PackedBatch,
        found: list[Floats],
    ) -> tuple[Gradients, list[Floats]]:
        """Go from what the directions found to the loss, and back to the gradients of it."""
        parts = np.concatenate(found, axis=-1)  # ([2,] rows, directions · units)
        features = np.concatenate(list(parts), axis=1) if self._pool else parts  # (rows, features)
        kept = _kept(random, self._parameters.dropout, features.shape)
        reviews = slice(packed.first_review, None)
        told = answer(
            (features if kept is None else features * kept)[reviews],
            weights["output_kernel"],
            weights["output_bias"],
            part.targets[packed.order],
            part.sample_weight[packed.order] / np.float32(batch_size),
        )
        pull = np.zeros_like(features)
        pull[reviews] = told.features_gradient
        if kept is not None:
            pull *= kept
        pulls = np.stack(np.split(pull, 2, axis=1)) if self._pool else pull  # as parts
        arrays = {"output_kernel": told.kernel_gradient, "output_bias": told.bias_gradient}
        gradients = Gradients(told.loss * batch_size, told.right, arrays)
        return gradients, np.split(pulls, len(found), axis=-1)


class _Direction:
    """One of the network's LSTMs."""

    def __init__(
        self,
        prefix: str,
        pool: bool,
        lstm: Callable[[Floats, Floats, Floats, Workspace], Lstm],
    ) -> None:
        """`prefix` begins the names of its arrays; the one that reads backwards has one."""
        self._names = [prefix + name for name in _LSTM_ARRAYS]
        self._is_mirrored = bool(prefix)
        self._pool = pool
        self._make = lstm
        self._workspace = Workspace()

    def forward(self, weights: Mapping[str, Floats], packed: PackedBatch, inputs: Floats) -> Floats:
        """See `PackedLstm.forward`; `inputs` lie in the order of the words."""
        self._places = packed.mirrored() if self._is_mirrored else None
        kernel, recurrent_kernel, bias = (weights[name] for name in self._names)
        self._lstm = self._make(kernel, recurrent_kernel, bias, self._workspace)
        read = inputs if self._places is None else inputs[self._places]
        return self._lstm.forward(packed, read, self._pool)

    def backward(self, gradient: Floats, d_inputs: Floats) -> dict[str, Floats]:
        """Add to the gradient of the inputs, and give those of the arrays."""
        d_read, d_weights = self._lstm.backward(gradient)
        d_inputs += d_read if self._places is None else d_read[self._places]
        return dict(zip(self._names, d_weights, strict=True))


def _kept(random: np.random.Generator, dropout: float, shape: tuple[int, ...]) -> Floats | None:
    """Draw what numbers are multiplied by: some by 0, the others by what makes up for these."""
    if not dropout:
        return None
    kept = random.random(shape, dtype=np.float32) >= dropout
    return np.asarray(kept / np.float32(1.0 - dropout), dtype=np.float32)


def _summed_by_id(ids: Ids, gradients: Floats, words: int) -> Floats:
    """Add up (tokens, embedding) for each of `words` ids → (words, embedding)."""
    summed = np.zeros((words, gradients.shape[1]), dtype=np.float32)
    by_id = np.argsort(ids, kind="stable")
    sorted_ids = ids[by_id]
    firsts = np.flatnonzero(np.diff(sorted_ids, prepend=-1))
    summed[sorted_ids[firsts]] = np.add.reduceat(gradients[by_id], firsts, axis=0)
    return summed
