"""A network while it learns, whichever kernel computes its steps.

Two kernels stand behind this door and are checked against each other: `packed_learner`, which
learns on a CPU, and `network.KerasLearner`, which learns on a GPU. Called by `training` and
`learning`. They begin with the same weights, which are drawn here.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Device
from seqd_imdb_lstm.artifact import Floats, VersionConfig, Weights, shapes_of
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.parameters import TrainParameters

State = Mapping[str, npt.NDArray[np.generic]]


class Learner(Protocol):
    """A network, its optimizer, and one step at a time."""

    def step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """Learn from a batch; gives its mean loss and its share of right classes, from before."""

    def weights(self) -> Weights:
        """Copy the weights out."""

    def state(self) -> State:
        """Copy out all that a step reads and changes."""

    def restore(self, state: State) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """

    def library_versions(self) -> dict[str, str]:
        """Give the versions of the libraries that it computes with."""


def learner_for(config: VersionConfig, parameters: TrainParameters, device: Device) -> Learner:
    """Choose the kernel for a device.

    The same seed, data, threads and library versions give the same weights on a CPU, bit for bit.
    """
    if device.kind == "gpu":
        from seqd_imdb_lstm.network import KerasLearner

        return KerasLearner(config, parameters, first_weights(config, parameters.seed))
    from seqd_imdb_lstm.packed_learner import PackedLearner

    first = first_weights(config, parameters.seed)
    return PackedLearner(config, parameters, first, device.threads)


def first_weights(config: VersionConfig, seed: int) -> Weights:
    """Draw weights by the rules of Keras's layers, which the tutorial begins with.

    Embedding: even from -0.05 to 0.05. Kernels: even, within Glorot's bound. Recurrent kernels:
    orthogonal. Biases: 0, of forget gates 1.
    """
    random = np.random.default_rng(seed)
    arrays: dict[str, Floats] = {}
    for name, shape in shapes_of(config).items():
        if name == "embedding":
            drawn = random.uniform(-0.05, 0.05, shape)
        elif name == "output_bias":
            drawn = np.zeros(shape)
        elif name.endswith("bias"):
            drawn = np.repeat([0.0, 1.0, 0.0, 0.0], config.units)
        elif name.endswith("recurrent_kernel"):
            drawn = _orthogonal(random.normal(size=shape[::-1])).T
        else:
            bound = np.sqrt(6.0 / sum(shape))
            drawn = random.uniform(-bound, bound, shape)
        arrays[name] = np.array(drawn, dtype=np.float32, order="C")
    return Weights(**arrays)


def _orthogonal(normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give columns at right angles, spread evenly over all directions."""
    columns, triangle = np.linalg.qr(normal)
    # The signs make the spread even (Mezzadri 2007).
    return np.asarray(columns * np.sign(np.diagonal(triangle)))
