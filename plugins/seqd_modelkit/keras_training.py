"""Fits a network of Keras as its `fit` does, and so that the training outlives its worker.

    with seeded(7):
        network = keras.Sequential([...])
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    metrics = fit(network, x, y, context, epochs=10, batch_size=64, held_out=(x2, y2), patience=2)

It reports each step and epoch, stops when asked, and goes on from a checkpoint to the same weights,
bit for bit: the order of the examples follows from the seed and the epoch, and a checkpoint has all
variables of the network and of its optimizer, the seeds of dropout among them.
"""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped
from seqd.hookspecs import TrainContext, random_stream, restore_variables, saved_variables
from seqd_modelkit.training import Arrays, StepMetrics, TrainingLoop, TrainingTask, Weights

if TYPE_CHECKING:
    import keras

Array = npt.NDArray[np.generic]
Indices = npt.NDArray[np.intp]


def fit(
    network: "keras.Model",
    x: Array,
    y: Array,
    context: TrainContext,
    *,
    epochs: int,
    batch_size: int,
    held_out: tuple[Array, Array] | None = None,
    patience: int = 0,
    seed: int = 0,
) -> dict[str, float]:
    """Fit a compiled network to examples `x` (n, …) and targets `y` (n, …); return its metrics.

    It is left with the weights of the epoch of the lowest `validation_loss` where there is
    `patience`, else with the last ones; the metrics are that epoch's. `held_out` is what to
    validate on, after each epoch. `seed` is that of the order of the examples; the first weights
    follow from that of the block in which the network was built. Raises what `TrainingLoop.run`
    does.
    """
    task = _Fit(network, x, y, held_out, batch_size, seed)
    loop = TrainingLoop(task, context, model=network.name, epochs=epochs, patience=patience)
    result = loop.run()
    network.set_weights(list(result.weights.values()))
    return dict(result.metrics)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Have all that Keras draws in the block follow from a seed: layers draw their first weights.

    The states of `random` and `numpy.random`, which a process shares, are afterwards as before.
    """
    import keras

    states = random.getstate(), np.random.get_state()
    keras.utils.set_random_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


class _Fit(TrainingTask[Indices]):
    """A training of a compiled network; a batch is the places of its examples."""

    def __init__(
        self,
        network: "keras.Model",
        x: Array,
        y: Array,
        held_out: tuple[Array, Array] | None,
        batch_size: int,
        seed: int,
    ) -> None:
        self._network, self._x, self._y, self._held_out = network, x, y, held_out
        self._batch_size, self._seed = batch_size, seed
        # Else its variables come with the first step, too late for a resume.
        network.optimizer.build(network.trainable_variables)
        variables = [
            *network.trainable_variables,
            *network.non_trainable_variables,
            *network.optimizer.variables,
        ]
        # By their order: Keras numbers names on from network to network.
        self._variables = {str(number): one for number, one in enumerate(variables)}

    @property
    def batches_per_epoch(self) -> int:
        return -(-len(self._x) // self._batch_size)

    def batches(self, epoch: int, first: int) -> Iterator[Indices]:
        order = random_stream(self._seed, epoch, 0).permutation(len(self._x))
        for start in range(first * self._batch_size, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    def step(self, batch: Indices, done: int, total: int) -> StepMetrics:
        x, y = self._x[batch], self._y[batch]
        return StepMetrics(len(batch), self._sums(self._network.train_on_batch, x, y))

    def validate(self, stop_requested: Callable[[], bool]) -> Mapping[str, float]:
        if self._held_out is None or not len(self._held_out[0]):
            return {}
        x, y = self._held_out
        totals = dict[str, float]()
        for start in range(0, len(x), self._batch_size):
            if stop_requested():
                raise Stopped("The training was asked to stop while it validated.")
            batch = slice(start, start + self._batch_size)
            for name, total in self._sums(self._network.test_on_batch, x[batch], y[batch]).items():
                totals[name] = totals.get(name, 0.0) + total
        return {f"validation_{name}": total / len(x) for name, total in totals.items()}

    def _sums(
        self, on_batch: Callable[..., dict[str, float]], x: Array, y: Array
    ) -> dict[str, float]:
        """Return a batch's metrics, summed over its examples."""
        self._network.reset_metrics()  # else they are means of all batches so far
        told = on_batch(x, y, return_dict=True)
        return {name: float(value) * len(x) for name, value in told.items()}

    def weights(self) -> Weights:
        return {str(number): one for number, one in enumerate(self._network.get_weights())}

    def state(self) -> Arrays:
        return saved_variables(self._variables)

    def restore(self, state: Arrays) -> None:
        restore_variables(self._variables, state, self._network.name)
