"""Learners: a training step of the network, and its dropout masks.

`learner_for` chooses. On a CPU it is `CompiledLearner`, whose LSTM layers are
`seqd_modelkit.lstm_training`; on a GPU, and where Numba cannot be imported, it is
`network.KerasLearner`. Both begin with `first_weights` and follow the same gradients (a test).

`CompiledLearner` computes on real tokens only, with the same mathematics as Keras on padded
batches, the gradients of pads that are read like words included: Keras takes 500 steps of time
through a framework for each batch and computes each review's pads; here they are computed once a
batch.
"""

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Device, check_arrays
from seqd_imdb_lstm.artifact import Floats, Targets, VersionConfig, Weights, shapes_of
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.vocabulary import PAD_ID
from seqd_modelkit.initializers import glorot_uniform, lstm_bias, orthogonal
from seqd_modelkit.keras_import import importing_keras
from seqd_modelkit.numba_probe import can_compile
from seqd_modelkit.optimizers import AdamW, clip_scale

if TYPE_CHECKING:
    from seqd_modelkit.lstm_training import PackedBatch

State = Mapping[str, npt.NDArray[np.generic]]

_LSTM_ARRAYS: Final = ("kernel", "recurrent_kernel", "bias")


class Learner(Protocol):
    """A network, its optimizer, and one step at a time."""

    def step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """Take a training step; returns the batch's mean loss and accuracy from before it."""

    def weights(self) -> Weights:
        """Copy the weights out."""

    def state(self) -> State:
        """Copy out all that a step reads and changes."""

    def restore(self, state: State) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """

    def library_versions(self) -> dict[str, str]:
        """Return the versions of the libraries that it computes with."""


def learner_for(config: VersionConfig, parameters: TrainParameters, device: Device) -> Learner:
    """Choose the learner for a device.

    The same seed, data, threads and library versions give the same weights on a CPU, bit for bit.
    """
    first = first_weights(config, parameters.seed)
    if device.kind != "gpu" and can_compile():
        return CompiledLearner(config, parameters, first, device.threads)
    with importing_keras(
        "imdb_lstm learns with Keras on a GPU, and where there is no Numba",
        advice="Install seqd[serve] for a CPU, seqd[gpu] for a GPU",
    ):
        from seqd_imdb_lstm.network import KerasLearner

    return KerasLearner(config, parameters, first)


def first_weights(config: VersionConfig, seed: int) -> Weights:
    """Draw weights by the rules of Keras's layers, with which the tutorial begins.

    Embedding: uniform in ±0.05. Kernels: Glorot uniform. Recurrent kernels: orthogonal. Biases: 0,
    of forget gates 1.
    """
    random = np.random.default_rng(seed)
    arrays: dict[str, Floats] = {}
    for name, shape in shapes_of(config).items():
        if name == "embedding":
            drawn = random.uniform(-0.05, 0.05, shape)
        elif name == "output_bias":
            drawn = np.zeros(shape)
        elif name.endswith("bias"):
            drawn = lstm_bias(config.units)
        elif name.endswith("recurrent_kernel"):
            drawn = orthogonal(random, *shape)
        else:
            drawn = glorot_uniform(random, *shape)
        arrays[name] = np.array(drawn, dtype=np.float32, order="C")
    return Weights(**arrays)


@dataclass(frozen=True, slots=True)
class Gradients:
    """Loss and gradients of a batch, or of its part on one thread."""

    #: Sum over the reviews of loss times class weight, in nats.
    loss: float
    #: Reviews that are classified right.
    right: int
    #: By the weights' names, of the mean loss of the whole batch.
    arrays: dict[str, Floats]


class CompiledLearner:
    """See `Learner`: each batch in as many parts as there are threads, then one step of Adam."""

    def __init__(
        self, config: VersionConfig, parameters: TrainParameters, first: Weights, threads: int = 1
    ) -> None:
        """Begin with the weights `first`. Raises ImportError without Numba.

        With another number of `threads` sums are added up in another order: weights differ in
        their last bits.
        """
        self._seed = parameters.seed
        self._clipnorm = parameters.clipnorm
        self._weights = {name: array.copy() for name, array in first.arrays().items()}
        self._adam = AdamW(self._weights)
        self._networks = [_Network(config, parameters) for _ in range(threads)]
        self._threads = ThreadPoolExecutor(threads, "imdb_lstm-learns") if threads > 1 else None

    def step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """See `Learner.step`."""
        gradients = self.gradients(batch)
        with np.errstate(over="ignore", invalid="ignore"):  # see _part
            scale = clip_scale(gradients.arrays, self._clipnorm)
            self._adam.step(gradients.arrays, learning_rate, scale)
        return gradients.loss / len(batch), gradients.right / len(batch)

    def gradients(self, batch: Batch) -> Gradients:
        """Return a batch's loss and gradients."""
        parts = min(len(self._networks), len(batch))
        numbers = range(parts)
        if self._threads is None or parts == 1:
            found = [self._part(batch, number, parts) for number in numbers]
        else:
            found = list(self._threads.map(lambda one: self._part(batch, one, parts), numbers))
        first, *others = found
        for other in others:
            for name, array in other.arrays.items():
                first.arrays[name] += array
        loss, right = (sum(getattr(one, name) for one in found) for name in ("loss", "right"))
        return Gradients(loss, right, first.arrays)

    def _part(self, batch: Batch, number: int, parts: int) -> Gradients:
        # Dealt out by length, so that the parts are alike.
        lengths = np.array([len(ids) for ids in batch.reviews])
        rows = np.argsort(-lengths, kind="stable")[number::parts]
        part = Batch(
            [batch.reviews[row] for row in rows], batch.targets[rows], batch.sample_weight[rows]
        )
        # By the step's number, so that a training that goes on draws the same.
        random = np.random.default_rng((self._seed, self._adam.steps, number, parts))
        # Numbers too large to count show in the loss, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            network = self._networks[number]
            return network.gradients(self._weights, part, len(batch), random)

    def weights(self) -> Weights:
        """See `Learner.weights`."""
        return Weights(**{name: array.copy() for name, array in self._weights.items()})

    def state(self) -> State:
        """See `Learner.state`."""
        state = {**self._weight_state(), **self._adam.state()}
        return {name: array.copy() for name, array in state.items()}

    def restore(self, state: State) -> None:
        """See `Learner.restore`."""
        weights = self._weight_state()
        needed = {**weights, **self._adam.state()}
        check_arrays(state, {name: array.shape for name, array in needed.items()}, "imdb_lstm")
        for name, array in weights.items():
            array[:] = state[name]
        self._adam.restore(state)

    def library_versions(self) -> dict[str, str]:
        """See `Learner.library_versions`."""
        return {"numpy": np.__version__, "numba": str(sys.modules["numba"].__version__)}

    def _weight_state(self) -> dict[str, Floats]:
        return {f"weight.{name}": array for name, array in self._weights.items()}


class _Network:
    """The network's loss and gradients, with memory for a part of a batch. Used by one thread.

    Layers and shapes are those of `network.build_network`, packed by time step (`PackedBatch`):

        ids (tokens,) → embedding, spatial dropout (tokens, embedding)
        → LSTM of each direction, last state (rows, units) or [maximum, mean] (2, rows, units)
        → features (rows, features), dropout → logits (reviews, outputs) → cross-entropy
    """

    def __init__(self, config: VersionConfig, parameters: TrainParameters) -> None:
        from seqd_modelkit import lstm_training

        self._pack, self._sums_by_id = lstm_training.PackedBatch.of, lstm_training.sums_by_id
        self._pads = config.max_tokens if config.padding == "front" else 0
        self._pools = config.pools
        self._embedding_dropout = parameters.embedding_dropout
        self._dropout = parameters.dropout
        prefixes = ("", "backward_") if config.bidirectional else ("",)
        self._directions = [_Direction(prefix, config.pools) for prefix in prefixes]

    def gradients(
        self,
        weights: Mapping[str, Floats],
        part: Batch,
        batch_size: int,
        random: np.random.Generator,
    ) -> Gradients:
        """Go forward and back through a part of a batch of `batch_size`.

        `random` draws the dropout masks.
        """
        packed = self._pack(part.reviews, self._pads, PAD_ID)
        inputs = weights["embedding"][packed.ids]  # (tokens, embedding)
        # Spatial dropout (Tompson et al. 2015): one draw for a row and a channel of the embedding.
        channels = (len(packed.lengths), inputs.shape[1])
        mask = inverted_dropout_mask(random, self._embedding_dropout, channels)
        if mask is not None:
            inputs *= mask[packed.rows]
        outputs = [one.forward(weights, packed, inputs) for one in self._directions]
        gradients, d_outputs = self._output_layer(
            weights, random, part, batch_size, packed, outputs
        )
        d_inputs = np.zeros_like(inputs)
        for direction, gradient in zip(self._directions, d_outputs, strict=True):
            gradients.arrays.update(direction.backward(gradient, d_inputs))
        if mask is not None:
            d_inputs *= mask[packed.rows]
        words = len(weights["embedding"])
        gradients.arrays["embedding"] = self._sums_by_id(packed.ids, d_inputs, words)
        return gradients

    def _output_layer(
        self,
        weights: Mapping[str, Floats],
        random: np.random.Generator,
        part: Batch,
        batch_size: int,
        packed: "PackedBatch",
        outputs: list[Floats],
    ) -> tuple[Gradients, list[Floats]]:
        """Go from the directions' outputs to the loss, and back to the outputs' gradients."""
        joined = np.concatenate(outputs, axis=-1)  # ([2,] rows, directions · units)
        features = np.concatenate(list(joined), axis=1) if self._pools else joined
        mask = inverted_dropout_mask(random, self._dropout, features.shape)  # (rows, features)
        reviews = slice(packed.first_sequence, None)
        kernel = weights["output_kernel"]
        x = (features if mask is None else features * mask)[reviews]
        loss, right, d_logits = softmax_cross_entropy(
            np.asarray(x @ kernel + weights["output_bias"], np.float32),  # (reviews, outputs)
            part.targets[packed.order],
            part.sample_weight[packed.order] / np.float32(batch_size),
        )
        d_features = np.zeros_like(features)
        d_features[reviews] = d_logits @ kernel.T
        if mask is not None:
            d_features *= mask
        d_joined = np.stack(np.split(d_features, 2, axis=1)) if self._pools else d_features
        arrays = {"output_kernel": x.T @ d_logits, "output_bias": d_logits.sum(axis=0)}
        gradients = Gradients(loss * batch_size, right, arrays)
        return gradients, np.split(d_joined, len(outputs), axis=-1)


class _Direction:
    """One of the network's LSTM layers."""

    def __init__(self, prefix: str, pools: bool) -> None:
        """`prefix` begins the names of its arrays; the one that reads backwards has one."""
        from seqd_modelkit.lstm_training import PackedLstm, Workspace

        self._names = [prefix + name for name in _LSTM_ARRAYS]
        self._is_mirrored = bool(prefix)
        self._pools = pools
        self._make, self._workspace = PackedLstm, Workspace()
        self._lstm: PackedLstm

    def forward(
        self, weights: Mapping[str, Floats], packed: "PackedBatch", inputs: Floats
    ) -> Floats:
        """See `PackedLstm.forward`; `inputs` lie in the order of the words."""
        self._mirrored = packed.mirrored() if self._is_mirrored else None
        kernel, recurrent_kernel, bias = (weights[name] for name in self._names)
        self._lstm = self._make(kernel, recurrent_kernel, bias, self._workspace)
        read = inputs if self._mirrored is None else inputs[self._mirrored]
        return self._lstm.forward(packed, read, self._pools)

    def backward(self, gradient: Floats, d_inputs: Floats) -> dict[str, Floats]:
        """Add to the gradient of the inputs, and return those of the arrays by name."""
        d_read, d_weights = self._lstm.backward(gradient)
        d_inputs += d_read if self._mirrored is None else d_read[self._mirrored]
        return dict(zip(self._names, d_weights, strict=True))


def softmax_cross_entropy(
    logits: Floats, targets: Targets, shares: Floats
) -> tuple[float, int, Floats]:
    """Return loss, number of right classes, and gradient of logits (reviews, outputs).

    The loss is the sum over the reviews of `shares` (reviews,) times -log softmax at `targets`
    (reviews,), in nats. One output is the logit of the second of two classes, the first's being 0;
    more are a logit for each class.
    """
    outputs = logits.shape[1]
    reviews = np.arange(len(targets))
    if outputs == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    d_logits = np.exp(log_probs)
    d_logits[reviews, targets] -= 1.0
    d_logits *= shares[:, None]
    loss = float(-(log_probs[reviews, targets] * shares).sum())
    right = int((logits.argmax(axis=1) == targets).sum())
    return loss, right, np.asarray(d_logits[:, -outputs:], dtype=np.float32)


def inverted_dropout_mask(
    random: np.random.Generator, rate: float, shape: Sequence[int]
) -> Floats | None:
    """Return an inverted-dropout mask of `shape` (Srivastava et al. 2014); None at rate 0.

    0 with probability `rate`, else 1 / (1 - rate), so that the mean stays.
    """
    if not rate:
        return None
    kept = random.random(tuple(shape), dtype=np.float32) >= rate
    return np.asarray(kept / np.float32(1.0 - rate), dtype=np.float32)
