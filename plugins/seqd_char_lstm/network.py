"""The network in Keras: one LSTM layer over one-hot characters, and a softmax layer.

For training only: text is written by `forward`, without Keras. The one module of this
package that imports Keras; `training` imports it on first use. Keras's own API throughout,
so that `KERAS_BACKEND` may be tensorflow, jax or torch.
"""

import importlib
import importlib.metadata
from collections.abc import Mapping

import keras
import numpy as np
import numpy.typing as npt

from seqd.hookspecs import restore_variables, saved_variables
from seqd_char_lstm.artifact import Weights
from seqd_char_lstm.text import Ids


class Network:
    """The tutorial's model, its optimizer, and one step of training at a time.

    A step is `train_on_batch` on int windows that become one-hot inside the graph. Measured
    on 2 Zen 4 cores, ms a step of 128 windows of 40, on an idle machine (bound from the matrix
    products alone: 14):

        one-hot arrays through `fit`, as the tutorial does     17.6-27.3
        int windows through `fit`                              20.1-20.5
        the same, steps_per_execution 8                        17.8-25.7
        int windows through `train_on_batch`                   16.2-18.7    this one
        the same, jit_compile=True                             17.7-19.2
        the same, unroll=True                                  16.4-18.1
        the same, unroll=True and jit_compile=True             36.2-36.8
        an Embedding as a table of input products              22.5-24.3    jit: 19.3-20.2

    So nothing beats the plain form, which also stays fit for cuDNN and reports and stops at
    every step. After 110 steps from one seed, one-hot arrays and int windows gave weights
    equal to the last bit, and so did two runs of the same.
    """

    def __init__(
        self, *, ids: int, window: int, units: int, learning_rate: float, seed: int
    ) -> None:
        windows = keras.Input((window,), dtype="int32")  # (batch, window)
        one_hot = keras.ops.one_hot(windows, ids, dtype="float32")  # → (batch, window, ids)
        self._lstm = keras.layers.LSTM(
            units,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 1),
            dtype="float32",
        )
        self._dense = keras.layers.Dense(
            ids,
            activation="softmax",
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 2),
            dtype="float32",
        )
        self._model = keras.Model(windows, self._dense(self._lstm(one_hot)))  # → (batch, ids)
        # On ids this is the categorical cross-entropy of their one-hot form.
        self._model.compile(
            optimizer=keras.optimizers.RMSprop(learning_rate),
            loss="sparse_categorical_crossentropy",
            jit_compile=False,
        )
        # Else its variables come with the first step, too late for `restore`.
        self._model.optimizer.build(self._model.trainable_variables)

    def train_step(self, windows: Ids, targets: Ids) -> float:
        """Learn from one batch; gives its mean loss in nats, from before the step."""
        self._model.reset_metrics()  # else the mean would run on, in some versions of Keras
        return float(self._model.train_on_batch(windows, targets))

    def held_out_step(self, windows: Ids, targets: Ids) -> float:
        """Look at one batch; gives its mean loss in nats."""
        self._model.reset_metrics()
        return float(self._model.test_on_batch(windows, targets))

    def probabilities(self, windows: Ids) -> npt.NDArray[np.float32]:
        """Probabilities of the next character, (batch, ids)."""
        return np.asarray(self._model.predict_on_batch(windows), np.float32)

    def weights(self) -> Weights:
        """Copy the weights out, in rows: safetensors stores memory as it lies."""
        arrays = [*self._lstm.get_weights(), *self._dense.get_weights()]
        return Weights(*(np.array(array, np.float32, order="C") for array in arrays))

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Copy out all that a step reads and changes: weights and the optimizer's variables."""
        return saved_variables(self._variables())

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """
        restore_variables(self._variables(), state, "char_lstm")

    def _variables(self) -> dict[str, keras.Variable]:
        # By their order: Keras numbers names on from one network of a process to the next.
        groups = {"weights": self._model.variables, "optimizer": self._model.optimizer.variables}
        return {
            f"{group}.{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }


def libraries() -> dict[str, str]:
    """Versions of the libraries that take part in a training."""
    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        backend: str(importlib.import_module(backend).__version__),
        "numpy": np.__version__,
    }
