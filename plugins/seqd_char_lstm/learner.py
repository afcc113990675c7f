"""Learners: a training step of a network that carries its states, and its dropout masks.

`learner_for` chooses. On a CPU it is `CompiledLearner`, whose LSTM layers are
`seqd_modelkit.lstm_training`; on a GPU, and where Numba cannot be imported, it is
`network.KerasLearner`. Both begin with the same weights and follow the same gradients (a test).
With 512 units and 64 streams `CompiledLearner` learns from 33,000 characters a second on two Zen 4
cores.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Device, check_arrays
from seqd_char_lstm.artifact import Floats, Weights, as_weights
from seqd_char_lstm.parameters import TrainParameters
from seqd_char_lstm.weights import first_weights
from seqd_modelkit.keras_import import importing_keras
from seqd_modelkit.numba_probe import can_compile
from seqd_modelkit.optimizers import AdamW, ExponentialMovingAverage, clip_scale, warmup_cosine

State = Mapping[str, npt.NDArray[np.generic]]
Ids = npt.NDArray[np.int32]

#: Levels that a random byte is compared with: a rate of dropout is rounded to 1/256.
_LEVELS: Final = 256


class StreamLearner(Protocol):
    """A network, its optimizer, and the states of the streams that it reads side by side."""

    def begin_epoch(self) -> None:
        """Forget what the streams have read: their states are zeros again."""

    def step(self, inputs: Ids, targets: Ids, learning_rate: float) -> float:
        """Learn from the next characters of all streams.

        Both are (streams, steps): each target is the character that follows its input. Steps
        may be fewer than usual, streams may not. Returns the mean loss of a character in nats, from
        before the step. The streams' states after the last input are where the next step begins;
        gradients do not go back beyond this step's first input (truncated back-propagation
        through time).
        """

    def weights(self) -> Weights:
        """Copy out the weights to write text with: their moving average where one is kept."""

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Copy out all that a step reads and changes, the streams' states too."""

    def restore(self, state: State) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """

    def library_versions(self) -> dict[str, str]:
        """Versions of the libraries that take part, by name."""


def learner_for(ids: int, parameters: TrainParameters, device: Device) -> StreamLearner:
    """Choose what learns on a device.

    The same seed, text, threads and library versions give the same weights on a CPU, bit for bit.
    """
    if device.kind != "gpu" and can_compile():
        return CompiledLearner(ids, parameters, device.threads)
    with importing_keras(
        "char_lstm learns with Keras on a GPU, and where there is no Numba",
        advice="Install seqd[serve] for a CPU, seqd[gpu] for a GPU",
    ):
        from seqd_char_lstm.network import KerasLearner

    return KerasLearner(ids, parameters)


def learning_rate(parameters: TrainParameters, done: int, total: int) -> float:
    """Return the learning rate of the step after `done` of `total` steps."""
    return warmup_cosine(
        done,
        total,
        peak=parameters.learning_rate,
        final=parameters.final_learning_rate,
        warmup_steps=parameters.warmup_steps,
    )


@dataclass(frozen=True, slots=True)
class Gradients:
    """Loss and gradients of a batch, or of some of its streams."""

    #: Sum over its characters, in nats.
    loss: float
    #: Of the mean loss over the whole batch, by the weights' names.
    arrays: dict[str, Floats]


class CompiledLearner:
    """See `StreamLearner`: the streams in as many parts as there are threads, then AdamW."""

    def __init__(self, ids: int, parameters: TrainParameters, threads: int = 1) -> None:
        """Begin with weights that depend on the seed. Raises ImportError without Numba.

        With another number of `threads` sums are added up in another order: weights differ in
        their last bits, and after a long training in more than that.
        """
        self._parameters = parameters
        self._weights = first_weights(ids, parameters)
        self._ema = ExponentialMovingAverage(parameters.ema_momentum)
        if parameters.ema_momentum:
            self._ema.add(self._weights, 1)
        self._adamw = AdamW(self._weights, parameters.weight_decay)
        bounds = np.linspace(0, parameters.batch_size, min(threads, parameters.batch_size) + 1)
        edges = [round(bound) for bound in bounds]
        self._slices = [slice(a, b) for a, b in pairwise(edges)]
        self._networks = [
            StreamNetwork(
                layers=parameters.layers,
                units=parameters.units,
                streams=streams.stop - streams.start,
                steps=parameters.steps,
            )
            for streams in self._slices
        ]
        self._threads = ThreadPoolExecutor(len(self._networks), "char_lstm-learns")

    def begin_epoch(self) -> None:
        """See `StreamLearner.begin_epoch`."""
        for network in self._networks:
            for array in network.states:
                array[:] = 0.0

    def step(self, inputs: Ids, targets: Ids, learning_rate: float) -> float:
        """See `StreamLearner.step`."""
        # Numbers too large to count show in the loss, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            gradients = self.gradients(inputs, targets)
            scale = clip_scale(gradients.arrays, self._parameters.clipnorm)
            self._adamw.step(gradients.arrays, learning_rate, scale)
            if self._parameters.ema_momentum:
                self._ema.add(self._weights, self._adamw.steps + 1)
        return gradients.loss / inputs.size

    def gradients(self, inputs: Ids, targets: Ids) -> Gradients:
        """Return the next batch's loss and gradients; carries the streams' states on."""
        # (streams, steps) → (steps, streams)
        ids, next_ids = np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T)
        random = np.random.default_rng((self._parameters.seed, self._adamw.steps))
        masks = self._dropout_masks(len(ids), random)
        kept = self._recurrent_masks(random)
        weights = self._weights | {name: self._weights[name] * kept[name] for name in kept}

        def of_part(network: StreamNetwork, streams: slice) -> Gradients:
            own = [None if mask is None else mask[:, streams] for mask in masks]
            with np.errstate(over="ignore", invalid="ignore"):  # a thread has its own state
                return network.gradients(
                    weights, ids[:, streams], next_ids[:, streams], own, inputs.size
                )

        first, *others = self._threads.map(of_part, self._networks, self._slices)
        for other in others:
            for name, array in other.arrays.items():
                first.arrays[name] += array
        for name, mask in kept.items():
            first.arrays[name] *= mask
        return Gradients(first.loss + sum(other.loss for other in others), first.arrays)

    def weights(self) -> Weights:
        """See `StreamLearner.weights`."""
        arrays = self._ema.arrays or self._weights
        return as_weights({name: array.copy() for name, array in arrays.items()})

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """See `StreamLearner.state`."""
        state: dict[str, npt.NDArray[np.generic]] = {}
        for group, arrays in (("weight", self._weights), ("ema", self._ema.arrays)):
            state |= {f"{group}.{name}": array.copy() for name, array in arrays.items()}
        state |= {f"adamw.{name}": array.copy() for name, array in self._adamw.state().items()}
        # Of all parts together, so that a slot with another number of threads can go on.
        for number, arrays_of_parts in enumerate(self._states_of_parts()):
            state[f"stream.{number}"] = np.concatenate(arrays_of_parts)
        return state

    def restore(self, state: State) -> None:
        """See `StreamLearner.restore`."""
        needed = {name: array.shape for name, array in self.state().items()}
        check_arrays(state, needed, "char_lstm")
        for group, arrays in (("weight", self._weights), ("ema", self._ema.arrays)):
            for name, array in arrays.items():
                array[...] = state[f"{group}.{name}"]
        self._adamw.restore({name: state[f"adamw.{name}"] for name in self._adamw.state()})
        for number, arrays_of_parts in enumerate(self._states_of_parts()):
            for array, streams in zip(arrays_of_parts, self._slices, strict=True):
                array[...] = state[f"stream.{number}"][streams]

    def library_versions(self) -> dict[str, str]:
        """See `StreamLearner.library_versions`."""
        return {"numpy": np.__version__, "numba": str(sys.modules["numba"].__version__)}

    def _states_of_parts(self) -> list[tuple[Floats, ...]]:
        """Return each state's arrays, one of each part."""
        return list(zip(*(network.states for network in self._networks), strict=True))

    def _dropout_masks(self, steps: int, random: np.random.Generator) -> list[Floats | None]:
        """Draw the dropout masks of the embedded inputs, then of each layer's outputs.

        `random` is seeded by the step's number, so that a training that goes on draws the same; for
        all streams at once, so that the number of threads does not matter.
        """
        chosen, streams = self._parameters, self._parameters.batch_size
        outputs = (steps, streams, chosen.units)
        embedded = (steps, streams, chosen.embedding_dim)
        first = None
        if chosen.embedding_dim:
            first = inverted_dropout_mask(random, chosen.input_dropout, embedded)
        rest = [
            inverted_dropout_mask(random, chosen.dropout, outputs) for _ in range(chosen.layers)
        ]
        return [first, *rest]

    def _recurrent_masks(self, random: np.random.Generator) -> dict[str, Floats]:
        """Draw which recurrent weights take part in this step, of each layer.

        DropConnect (Wan et al. 2013), as AWD-LSTM has it (Merity et al. 2018, arXiv 1708.02182):
        the same weights are left out at all steps of all streams, so the kernel stays one matrix.
        (Not Keras's `recurrent_dropout`, which masks the hidden state: Gal & Ghahramani 2016.)
        """
        chosen = self._parameters
        shape = (chosen.units, 4 * chosen.units)
        masks = {}
        for number in range(chosen.layers):
            mask = inverted_dropout_mask(random, chosen.recurrent_dropout, shape)
            if mask is not None:
                masks[f"layer_{number}.recurrent"] = mask
        return masks


class StreamNetwork:
    """The network over some of the streams, with the states that they carry.

    Layers and shapes are those of `network.build_stream_network`, but time comes first:

        ids (steps, streams) → embedding or one-hot, dropout (steps, streams, inputs)
        → each LSTM layer, dropout (steps, streams, units) → logits (steps, streams, ids)
    """

    def __init__(self, *, layers: int, units: int, streams: int, steps: int) -> None:
        """Make room for batches of up to `steps` steps."""
        from seqd_modelkit.lstm_training import StreamLstm, sums_by_id

        self._layers = [StreamLstm(units, streams, steps) for _ in range(layers)]
        self._sums_by_id = sums_by_id

    @property
    def states(self) -> tuple[Floats, ...]:
        """Each layer's h and c where the next batch begins: (streams, units), to be changed."""
        return tuple(array for layer in self._layers for array in layer.states)

    def gradients(
        self,
        weights: Mapping[str, Floats],
        inputs: Ids,
        targets: Ids,
        masks: Sequence[Floats | None],
        batch_characters: int,
    ) -> Gradients:
        """Read (steps, streams) ids, and go back through them.

        `masks` are multiplied onto the embedded inputs and each layer's outputs, in this order;
        None leaves them as they are. `batch_characters` are those of the whole batch.
        """
        layer_inputs, outputs = self._forward(weights, inputs, masks)
        logits = outputs @ weights["dense"] + weights["dense_bias"]
        loss, d_logits = softmax_cross_entropy(logits, targets)
        d_logits /= np.float32(batch_characters)
        gradients = {"dense": _rows(outputs).T @ _rows(d_logits)}
        gradients["dense_bias"] = _rows(d_logits).sum(axis=0)
        d_x: Floats = d_logits @ weights["dense"].T  # (steps, streams, units)
        for number in reversed(range(len(self._layers))):
            layer, mask, x = self._layers[number], masks[number + 1], layer_inputs[number]
            name = f"layer_{number}"
            if mask is not None:
                d_x *= mask
            d_gates, d_recurrent, d_bias = layer.backward(d_x, weights[f"{name}.recurrent"])
            layer.carry(len(inputs))
            gradients |= {f"{name}.recurrent": d_recurrent, f"{name}.bias": d_bias}
            if x is not None:
                gradients[f"{name}.kernel"] = _rows(x).T @ _rows(d_gates)
                d_x = d_gates @ weights[f"{name}.kernel"].T
        if "embedding" in weights:
            if masks[0] is not None:
                d_x *= masks[0]
            name, d_rows = "embedding", _rows(d_x)
        else:
            name, d_rows = "layer_0.kernel", _rows(d_gates)
        gradients[name] = self._sums_by_id(inputs.reshape(-1), d_rows, len(weights[name]))
        return Gradients(loss, gradients)

    def _forward(
        self, weights: Mapping[str, Floats], inputs: Ids, masks: Sequence[Floats | None]
    ) -> tuple[list[Floats | None], Floats]:
        """Return each layer's inputs, None where it reads one-hot, and the last one's outputs."""
        layer_inputs: list[Floats | None] = []
        x = weights["embedding"][inputs] if "embedding" in weights else None
        x = x if x is None or masks[0] is None else x * masks[0]
        for number, (layer, mask) in enumerate(zip(self._layers, masks[1:], strict=True)):
            layer_inputs.append(x)
            kernel, bias = weights[f"layer_{number}.kernel"], weights[f"layer_{number}.bias"]
            projected = (kernel[inputs] if x is None else x @ kernel) + bias
            x = layer.forward(projected, weights[f"layer_{number}.recurrent"])
            x = x if mask is None else x * mask
        assert x is not None
        return layer_inputs, x


def softmax_cross_entropy(logits: Floats, targets: Ids) -> tuple[float, Floats]:
    """Return the cross-entropy's sum in nats, and its gradient by the logits, which it overwrites.

    `logits` are (steps, streams, ids), `targets` (steps, streams). The gradient is softmax minus
    one-hot.
    """
    logits -= logits.max(axis=-1, keepdims=True)
    of_targets = np.take_along_axis(logits, targets[..., None], axis=-1)
    np.exp(logits, out=logits)
    sums = logits.sum(axis=-1, keepdims=True)
    loss = float((np.log(sums) - of_targets).sum(dtype=np.float64))
    logits /= sums
    at = targets[..., None]
    np.put_along_axis(logits, at, np.take_along_axis(logits, at, axis=-1) - np.float32(1.0), -1)
    return loss, logits


def inverted_dropout_mask(
    random: np.random.Generator, rate: float, shape: tuple[int, ...]
) -> Floats | None:
    """Return an inverted-dropout mask of `shape` (Srivastava et al. 2014); None at rate 0.

    0 with probability `rate`, rounded to 1/256, else 1 / (1 - rate), so that the mean stays. A byte
    for each number: three million numbers a step take a quarter of the time that floats take.
    """
    dropped = round(rate * _LEVELS)
    if not dropped:
        return None
    levels = np.frombuffer(random.bytes(math.prod(shape)), np.uint8).reshape(shape)
    return (levels >= dropped) * np.float32(_LEVELS / (_LEVELS - dropped))


def _rows(array: Floats) -> Floats:
    return array.reshape(-1, array.shape[-1])
