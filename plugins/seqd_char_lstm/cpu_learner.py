"""Learns a stream network on a CPU: the streams in as many parts as there are threads.

Made by `stream_training` on a device that has no GPU. What a part says about the weights is
`backpropagation`'s; this adds the parts up, clips, takes a step of `adamw`, and keeps the running
mean of the weights. With 512 units and 64 streams it learns from 33,000 characters a second on two
Zen 4 cores.
"""

import math
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import check_arrays
from seqd_char_lstm.adamw import AdamW
from seqd_char_lstm.artifact import Layer, Weights
from seqd_char_lstm.backpropagation import Gradients, StreamPart
from seqd_char_lstm.stream_learner import Ids, State
from seqd_char_lstm.train_parameters import TrainParameters

Floats = npt.NDArray[np.float32]

#: Levels that a random byte is compared with: a rate of dropout is rounded to 1/256.
_LEVELS: Final = 256


class CpuLearner:
    """See `stream_learner.StreamLearner`."""

    def __init__(self, ids: int, parameters: TrainParameters, threads: int = 1) -> None:
        """Begin with weights that hang on the seed.

        With another number of `threads` sums are added up in another order: weights differ in
        their last bits, and after a long training in more than that.
        """
        self._parameters = parameters
        self._weights = first_weights(ids, parameters)
        self._mean = {name: array.copy() for name, array in self._weights.items()}
        self._adamw = AdamW(self._weights, parameters.weight_decay)
        bounds = np.linspace(0, parameters.streams, min(threads, parameters.streams) + 1)
        edges = [round(bound) for bound in bounds]
        self._slices = [slice(a, b) for a, b in pairwise(edges)]
        self._parts = [
            StreamPart(
                layers=parameters.layers,
                units=parameters.units,
                streams=here.stop - here.start,
                steps=parameters.steps,
            )
            for here in self._slices
        ]
        self._threads = ThreadPoolExecutor(len(self._parts), "char_lstm-learns")

    def begin_epoch(self) -> None:
        """See `StreamLearner.begin_epoch`."""
        for part in self._parts:
            for array in part.states:
                array[:] = 0.0

    def step(self, inputs: Ids, targets: Ids, learning_rate: float) -> float:
        """See `StreamLearner.step`."""
        # Numbers too large to count show in the loss, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.gradients(inputs, targets)
            self._adamw.step(
                found.arrays, learning_rate, _scale(found.arrays, self._parameters.clipnorm)
            )
            self._average()
        return found.loss / inputs.size

    def gradients(self, inputs: Ids, targets: Ids) -> Gradients:
        """Give what the next batch says about the weights; moves the streams' states on."""
        # (streams, steps) → (steps, streams)
        ids, wanted = np.ascontiguousarray(inputs.T), np.ascontiguousarray(targets.T)
        random = np.random.default_rng((self._parameters.seed, self._adamw.steps))
        masks, kept = self._masks(len(ids), random), self._kept_connections(random)
        connected = self._weights | {name: self._weights[name] * kept[name] for name in kept}

        def one(part: StreamPart, here: slice) -> Gradients:
            mine = [None if mask is None else mask[:, here] for mask in masks]
            with np.errstate(over="ignore", invalid="ignore"):  # a thread has its own state
                return part.gradients(connected, ids[:, here], wanted[:, here], mine, inputs.size)

        first, *others = self._threads.map(one, self._parts, self._slices)
        for other in others:
            for name, array in other.arrays.items():
                first.arrays[name] += array
        for name, mask in kept.items():
            first.arrays[name] *= mask
        return Gradients(first.loss + sum(other.loss for other in others), first.arrays)

    def weights(self) -> Weights:
        """See `StreamLearner.weights`."""
        kept = self._mean if self._parameters.averaging else self._weights
        return as_weights({name: array.copy() for name, array in kept.items()})

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """See `StreamLearner.state`."""
        state: dict[str, npt.NDArray[np.generic]] = {}
        for group, arrays in (("weight", self._weights), ("mean", self._mean)):
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
        for group, arrays in (("weight", self._weights), ("mean", self._mean)):
            for name, array in arrays.items():
                array[...] = state[f"{group}.{name}"]
        self._adamw.restore({name: state[f"adamw.{name}"] for name in self._adamw.state()})
        for number, arrays_of_parts in enumerate(self._states_of_parts()):
            for array, here in zip(arrays_of_parts, self._slices, strict=True):
                array[...] = state[f"stream.{number}"][here]

    def _states_of_parts(self) -> list[tuple[Floats, ...]]:
        """Give each state's arrays, one of each part."""
        return list(zip(*(part.states for part in self._parts), strict=True))

    def library_versions(self) -> dict[str, str]:
        """See `StreamLearner.library_versions`."""
        versions = {"numpy": np.__version__}
        if "numba" in sys.modules:  # it compiles the steps where it can be imported
            versions["numba"] = str(sys.modules["numba"].__version__)
        return versions

    def _average(self) -> None:
        """Take the weights into their running mean; a short one at first, so that it can follow."""
        if not self._parameters.averaging:
            return
        steps = self._adamw.steps
        decay = min(self._parameters.averaging, (1 + steps) / (10 + steps))
        for name, mean in self._mean.items():
            mean += (self._weights[name] - mean) * np.float32(1.0 - decay)

    def _masks(self, steps: int, random: np.random.Generator) -> list[Floats | None]:
        """Draw what dropout hides: of the embedded inputs, then of each layer's outputs.

        `random` is of the step's number, so that a training that goes on draws the same; for all
        streams at once, so that the number of threads does not matter.
        """
        chosen, streams = self._parameters, self._parameters.streams
        inputs = (steps, streams, chosen.embedding_dim)
        outputs = (steps, streams, chosen.units)
        first = _mask(random, inputs, chosen.input_dropout) if chosen.embedding_dim else None
        rest = [_mask(random, outputs, chosen.dropout) for _ in range(chosen.layers)]
        return [first, *rest]

    def _kept_connections(self, random: np.random.Generator) -> dict[str, Floats]:
        """Draw which recurrent weights take part in this step, of each layer.

        DropConnect (Wan et al. 2013), as AWD-LSTM has it (Merity et al. 2018, arXiv 1708.02182):
        the same weights are left out at all steps of all streams, so the kernel stays one matrix.
        """
        chosen = self._parameters
        names = [f"layer_{number}.recurrent" for number in range(chosen.layers)]
        shape = (chosen.units, 4 * chosen.units)
        drawn = {name: _mask(random, shape, chosen.recurrent_dropout) for name in names}
        return {name: mask for name, mask in drawn.items() if mask is not None}


def first_weights(ids: int, parameters: TrainParameters) -> dict[str, Floats]:
    """Draw weights to begin with, as Keras does; forget gates begin open (bias 1)."""
    random = np.random.default_rng((parameters.seed, 0))
    units, length = parameters.units, parameters.embedding_dim
    weights = {}
    if length:
        weights["embedding"] = random.uniform(-0.05, 0.05, (ids, length))
    for number in range(parameters.layers):
        inputs = units if number else length or ids
        weights[f"layer_{number}.kernel"] = _glorot(random, inputs, 4 * units)
        weights[f"layer_{number}.recurrent"] = _orthogonal(random, units, 4 * units)
        bias = weights[f"layer_{number}.bias"] = np.zeros(4 * units)
        bias[units : 2 * units] = 1.0
    weights["dense"] = _glorot(random, units, ids)
    weights["dense_bias"] = np.zeros(ids)
    return {name: np.ascontiguousarray(array, np.float32) for name, array in weights.items()}


def as_weights(arrays: Mapping[str, Floats]) -> Weights:
    """Give arrays by name the form that a version has."""
    layers: list[Layer] = []
    while f"layer_{len(layers)}.kernel" in arrays:
        name = f"layer_{len(layers)}"
        parts = (arrays[f"{name}.{part}"] for part in ("kernel", "recurrent", "bias"))
        layers.append(Layer(*parts))
    embedding = arrays.get("embedding")
    return Weights(embedding, tuple(layers), arrays["dense"], arrays["dense_bias"])


def _glorot(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float64]:
    limit = math.sqrt(6.0 / (rows + columns))
    return random.uniform(-limit, limit, (rows, columns))


def _orthogonal(random: np.random.Generator, rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Draw rows that are orthogonal to each other (Saxe et al. 2014, arXiv 1312.6120)."""
    q, r = np.linalg.qr(random.normal(size=(columns, rows)))
    rotated: npt.NDArray[np.float64] = (q * np.sign(np.diag(r))).T
    return rotated


def _mask(random: np.random.Generator, shape: tuple[int, ...], rate: float) -> Floats | None:
    """Draw zeros at about this rate, and elsewhere what keeps the mean: 1 / (1 - rate)."""
    hidden = round(rate * _LEVELS)
    if not hidden:
        return None
    levels = np.frombuffer(random.bytes(math.prod(shape)), np.uint8).reshape(shape)
    return (levels >= hidden) * np.float32(_LEVELS / (_LEVELS - hidden))


def _scale(gradients: Mapping[str, Floats], longest: float) -> float:
    """Give what shortens gradients, all together, to a length, as Keras's `global_clipnorm`."""
    length = math.sqrt(sum(float(np.vdot(array, array)) for array in gradients.values()))
    return longest / length if longest and length > longest else 1.0
