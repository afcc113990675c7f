"""The networks in Keras: the tutorial's, which reads windows, and one that reads streams.

The one module of this package that imports Keras, itself imported on first use. It trains windows
on any device, and streams on a GPU; where Numba cannot be imported, it trains streams on a CPU and
writes text too. It is the reference that the compiled engine and learner are held against. Keras's
own API throughout, so that `KERAS_BACKEND` may be tensorflow, jax or torch, and layers that cuDNN
can run.
"""

import importlib
import importlib.metadata
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import numpy.typing as npt

from seqd.hookspecs import restore_variables, saved_variables
from seqd_char_lstm.artifact import Layer, Weights, as_weights
from seqd_char_lstm.data import Ids
from seqd_char_lstm.parameters import TrainParameters
from seqd_char_lstm.weights import first_weights
from seqd_modelkit.optimizers import ema_decay

Variables = dict[str, keras.Variable]
State = Mapping[str, npt.NDArray[np.generic]]
Floats = npt.NDArray[np.float32]


class WindowNetwork:
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
        """Learn from one batch; returns its mean loss in nats, from before the step."""
        self._model.reset_metrics()  # else the mean would run on, in some versions of Keras
        return float(self._model.train_on_batch(windows, targets))

    def probabilities(self, windows: Ids) -> Floats:
        """Probabilities of the next character, (batch, ids)."""
        return np.asarray(self._model.predict_on_batch(windows), np.float32)

    def weights(self) -> Weights:
        """Copy the weights out, in rows: safetensors stores memory as it lies."""
        arrays = [*self._lstm.get_weights(), *self._dense.get_weights()]
        *lstm, dense, dense_bias = (np.array(array, np.float32, order="C") for array in arrays)
        return Weights(None, (Layer(*lstm),), dense, dense_bias)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Copy out all that a step reads and changes: weights and the optimizer's variables."""
        return saved_variables(self._variables())

    def restore(self, state: State) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """
        restore_variables(self._variables(), state, "char_lstm")

    def _variables(self) -> Variables:
        optimizer = self._model.optimizer.variables
        return _numbered(weights=self._model.variables, optimizer=optimizer)


class CarryingLstm(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """An LSTM layer that begins each batch of training where the one before it ended.

    Not Keras's `stateful=True`: its states are none of the model's variables, so that a
    checkpoint misses them, and JAX, which takes and gives all state of a step, loses them.
    """

    def __init__(self, units: int, streams: int) -> None:
        super().__init__()
        self.lstm = keras.layers.LSTM(units, return_sequences=True, return_state=True)
        #: h and c, (streams, units).
        self.carried = [
            self.add_weight(shape=(streams, units), initializer="zeros", trainable=False)
            for _ in range(2)
        ]

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Read (streams, steps, features) → (streams, steps, units)."""
        outputs, *ended = self.lstm(inputs, initial_state=self.carried)
        if training:
            for carried, state in zip(self.carried, ended, strict=True):
                carried.assign(state)
        return outputs


def build_stream_network(ids: int, parameters: TrainParameters) -> keras.Model:
    """Build the network of stream mode: ids (streams, steps) → logits (streams, steps, ids).

    Its LSTM layers carry their states from batch to batch. cuDNN can run them: tanh and sigmoid,
    dropout (Srivastava et al. 2014) beside the recurrence and not in it, no mask.
    """
    read = keras.Input(batch_shape=(parameters.batch_size, None), dtype="int32")
    x = keras.ops.one_hot(read, ids, dtype="float32")  # → (streams, steps, ids)
    if parameters.embedding_dim:
        # Not Embedding: its gradient has a row for each time that a character was read, and on
        # TensorFlow Adam would square these one by one in place of their sum.
        embedding = keras.layers.Dense(parameters.embedding_dim, use_bias=False)
        x = embedding(x)  # → (streams, steps, embedding dim)
        x = keras.layers.Dropout(parameters.input_dropout, seed=parameters.seed)(x)
    for number in range(parameters.layers):
        x = CarryingLstm(parameters.units, parameters.batch_size)(x)  # → (streams, steps, units)
        x = keras.layers.Dropout(parameters.dropout, seed=parameters.seed + 1 + number)(x)
    return keras.Model(read, keras.layers.Dense(ids)(x))  # → (streams, steps, ids)


def stream_variables(network: keras.Model) -> Variables:
    """Return a stream network's variables by the names of `weights.first_weights`."""
    lstms = [layer for layer in network.layers if isinstance(layer, CarryingLstm)]
    *embedding, dense = [one for one in network.layers if isinstance(one, keras.layers.Dense)]
    variables = {"embedding": embedding[0].kernel} if embedding else {}
    for number, layer in enumerate(lstms):
        names = ("kernel", "recurrent", "bias")
        parts = zip(names, layer.lstm.trainable_variables, strict=True)
        variables |= {f"layer_{number}.{name}": variable for name, variable in parts}
    return variables | {"dense": dense.kernel, "dense_bias": dense.bias}


class KerasLearner:
    """See `learner.StreamLearner`. On a GPU the LSTM layers run in cuDNN."""

    def __init__(self, ids: int, parameters: TrainParameters) -> None:
        """Begin with the weights that `learner.CompiledLearner` begins with."""
        self._ema_momentum = parameters.ema_momentum
        #: The Keras network itself.
        self.network = build_stream_network(ids, parameters)
        self._weights = stream_variables(self.network)
        for name, array in first_weights(ids, parameters).items():
            self._weights[name].assign(array)
        averaged = self._weights if self._ema_momentum else {}
        #: Exponential moving averages of the weights, on the device.
        self._ema = {name: keras.Variable(one.numpy()) for name, one in averaged.items()}
        optimizer = keras.optimizers.AdamW(
            parameters.learning_rate,
            weight_decay=parameters.weight_decay,
            global_clipnorm=parameters.clipnorm or None,
        )
        biases = [variable for variable in self._weights.values() if len(variable.shape) == 1]
        optimizer.exclude_from_weight_decay(var_list=biases)
        self.network.compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile="auto",
        )
        # Else its variables come with the first step, too late for `restore`.
        optimizer.build(self.network.trainable_variables)

    def begin_epoch(self) -> None:
        """See `StreamLearner.begin_epoch`."""
        for layer in self.network.layers:
            for state in layer.carried if isinstance(layer, CarryingLstm) else ():
                state.assign(keras.ops.zeros(state.shape))

    def step(self, inputs: Ids, targets: Ids, learning_rate: float) -> float:
        """See `StreamLearner.step`."""
        self.network.optimizer.learning_rate = learning_rate
        self.network.reset_metrics()  # else the mean would run on, in some versions of Keras
        loss = float(self.network.train_on_batch(inputs, targets))
        self._average()
        return loss

    def weights(self) -> Weights:
        """See `StreamLearner.weights`."""
        kept = self._ema or self._weights
        arrays = {name: np.array(one.numpy(), np.float32, order="C") for name, one in kept.items()}
        return as_weights(arrays)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """See `StreamLearner.state`."""
        return saved_variables(self._variables())

    def restore(self, state: State) -> None:
        """See `StreamLearner.restore`."""
        restore_variables(self._variables(), state, "char_lstm")

    def library_versions(self) -> dict[str, str]:
        """See `StreamLearner.library_versions`."""
        return libraries()

    def _average(self) -> None:
        """Add the weights to their moving averages; the first weights are the first ones."""
        steps = int(self.network.optimizer.iterations) if self._ema else 0
        decay = ema_decay(self._ema_momentum, steps + 1)
        for name, average in self._ema.items():
            average.assign(average + (self._weights[name] - average) * (1.0 - decay))

    def _variables(self) -> Variables:
        return _numbered(
            weights=self.network.variables,
            optimizer=self.network.optimizer.variables,
            ema=list(self._ema.values()),
        )


def _numbered(**groups: Sequence[keras.Variable]) -> Variables:
    # By their order: Keras numbers names on from one network of a process to the next.
    return {
        f"{group}.{number}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


class KerasNetwork:
    """See `chains.Network`: Keras's LSTM cells, a step at a time. For where Numba is missing."""

    def __init__(self, weights: Weights, window: int | None) -> None:
        """Assign the weights to Keras's cells."""
        self._weights = weights
        self.window = window or 0
        self.cells = []
        for layer in weights.layers:
            inputs, units = layer.kernel.shape[0], layer.recurrent.shape[0]
            cell = keras.layers.LSTMCell(units, dtype="float32")
            cell.build((None, inputs))
            cell.set_weights([layer.kernel, layer.recurrent, layer.bias])
            self.cells.append(cell)
        ids = len(weights.dense_bias)
        #: What layer 0 reads of each id: (ids, inputs).
        self.inputs: Floats = np.eye(ids, dtype=np.float32)
        if weights.embedding is not None:
            self.inputs = weights.embedding

    @property
    def nbytes(self) -> int:
        """See `Network.nbytes`."""
        return self._weights.nbytes

    def chains(self, count: int) -> "KerasChains":
        """See `Network.chains`."""
        shape = (len(self.cells), count, max(self.window, 1), len(self._weights.dense))
        states = np.zeros(shape, np.float32)
        return KerasChains(self, states, states.copy(), clock=0)

    def logits(self, h: Floats) -> Floats:
        """Return the logits (rows, ids) of the last layer's hidden states (rows, units)."""
        product = keras.ops.matmul(h, self._weights.dense)
        return np.asarray(keras.ops.convert_to_numpy(product) + self._weights.dense_bias)


class KerasChains:
    """See `chains.NetworkChains`."""

    def __init__(self, network: KerasNetwork, h: Floats, c: Floats, clock: int) -> None:
        """Take states, (layers, chains, windows, units), after `clock` steps."""
        self._network = network
        self._h, self._c = h, c
        self._clock = clock

    @property
    def logits(self) -> Floats:
        """See `NetworkChains.logits`: of the window that is complete."""
        complete = self._clock % max(self._network.window, 1)
        return self._network.logits(self._h[-1, :, complete])

    def advance(self, ids: Ids) -> None:
        """See `NetworkChains.advance`."""
        active, windows = len(ids), self._h.shape[2]
        if self._network.window:  # one window begins anew
            newest = self._clock % self._network.window
            self._h[:, :active, newest] = self._c[:, :active, newest] = 0.0
        x = np.repeat(self._network.inputs[ids], windows, axis=0)  # (rows, inputs)
        for layer, cell in enumerate(self._network.cells):
            states = (self._h[layer, :active], self._c[layer, :active])
            rows = [state.reshape(active * windows, -1) for state in states]
            _, after = cell(x, rows)
            for state, new in zip(states, after, strict=True):
                state[:] = keras.ops.convert_to_numpy(new).reshape(state.shape)
            x = after[0]  # → (rows, units)
        self._clock += 1

    def chosen(self, places: npt.NDArray[np.int64]) -> "KerasChains":
        """See `NetworkChains.chosen`."""
        return KerasChains(self._network, self._h[:, places], self._c[:, places], self._clock)


def libraries() -> dict[str, str]:
    """Versions of the libraries that take part in a training."""
    backend = keras.backend.backend()
    return {
        "keras": keras.__version__,
        backend: str(importlib.import_module(backend).__version__),
        "numpy": np.__version__,
    }
