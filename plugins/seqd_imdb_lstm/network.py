"""The network in Keras: its layers, a training step, prediction, and Keras's IMDB set.

The only module of this plugin that imports Keras: on a GPU, and where Numba cannot be imported. It
is the reference that `engine.CompiledEngine` and `learner.CompiledLearner` are held against.
Backend-neutral: `keras` alone, no TensorFlow call.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

import keras
import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd.hookspecs import restore_variables, saved_variables
from seqd_imdb_lstm.artifact import Probabilities, Version, VersionConfig, Weights
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.tokenizer import LabelledWords
from seqd_imdb_lstm.vocabulary import INDEX_FROM, PAD_ID, START_ID, Ids, clip_to_vocabulary

#: Reviews of one prediction. Fixed, the last batch being filled up, so that few shapes are
#: ever compiled.
PREDICT_REVIEWS: Final = 256

#: And of one with so few: a claim that was halved for want of memory needs less.
FEW_REVIEWS: Final = 32

#: Lengths that masked batches are padded to, evenly spaced; each is compiled once. Of 25,000
#: reviews cut at 500, sorted, 10 lengths make 241 tokens a review; each batch's own makes 221.
_LENGTHS: Final = 10

#: What Keras's built-in IMDB set means by 0 and 1.
IMDB_LABELS: Final = ("negative", "positive")

_LSTM: Final = ("kernel", "recurrent_kernel", "bias")
_BACKWARD: Final = tuple(f"backward_{name}" for name in _LSTM)


def build_network(
    config: VersionConfig, *, embedding_dropout: float = 0.0, dropout: float = 0.0
) -> keras.Model:
    """Build a version's network: ids (batch, tokens), padded by `padded`, to probabilities.

    These are (batch, 1), of the second of two classes, or (batch, classes). Dropout (Srivastava et
    al. 2014) acts in training only. All layers are what cuDNN can run: tanh and sigmoid, masks of
    ids padded behind.
    """
    is_masked, pools = config.padding == "masked", config.pools
    ids = keras.Input((None if is_masked else config.max_tokens,), dtype="int32")
    # Pads in front are not masked, as in the tutorial: the network learns what a pad is.
    mask = keras.ops.not_equal(ids, PAD_ID) if is_masked else None  # (batch, tokens)
    # → (batch, tokens, embedding)
    x = keras.layers.Embedding(config.embedded_words, config.embedding_dim)(ids)
    x = keras.layers.SpatialDropout1D(embedding_dropout)(x)
    lstm = keras.layers.LSTM(config.units, return_sequences=pools)
    if config.bidirectional:
        lstm = keras.layers.Bidirectional(lstm)
    # → (batch, directions · units), the last step's, or (batch, tokens, directions · units)
    x = lstm(x, mask=mask)
    if pools:
        x = _max_and_mean(x, mask)  # → (batch, 2 · directions · units)
    x = keras.layers.Dropout(dropout)(x)
    activation = "sigmoid" if config.outputs == 1 else "softmax"
    probabilities = keras.layers.Dense(config.outputs, activation=activation)(x)
    return keras.Model(ids, probabilities)  # → (batch, outputs)


def _max_and_mean(states: keras.KerasTensor, mask: keras.KerasTensor) -> keras.KerasTensor:
    """Pool (batch, tokens, units) over the tokens that the mask has: (batch, 2 · units)."""
    is_word = keras.ops.expand_dims(mask, -1)  # (batch, tokens, 1)
    # A hidden state lies between -1 and 1: what a pad has in its place is never the maximum.
    maximum = keras.ops.max(keras.ops.where(is_word, states, -2.0), axis=1)
    words = keras.ops.cast(keras.ops.sum(keras.ops.cast(is_word, "int32"), axis=1), states.dtype)
    mean = keras.ops.sum(keras.ops.where(is_word, states, 0.0), axis=1) / words
    return keras.ops.concatenate([maximum, mean], axis=-1)


def padded(reviews: Sequence[Ids], config: VersionConfig) -> Ids:
    """Pad reviews, (tokens,) each, as the network reads them: (reviews, tokens).

    In front to `max_tokens`; behind, where pads are masked, to one of a few lengths. cuDNN refuses
    a review of pads alone: there an empty one is read as one that only begins.
    """
    is_masked = config.padding == "masked"
    length = config.max_tokens
    if is_masked:
        longest = max((len(ids) for ids in reviews), default=1)
        length = min(-(-max(longest, 1) // _spacing(config)) * _spacing(config), length)
    array = np.full((len(reviews), length), PAD_ID, dtype=np.int32)
    if is_masked:
        array[:, 0] = START_ID
    for row, ids in enumerate(reviews):
        if len(ids):
            columns = slice(0, len(ids)) if is_masked else slice(length - len(ids), None)
            array[row, columns] = clip_to_vocabulary(ids, config.embedded_words)
    return array


def _spacing(config: VersionConfig) -> int:
    return -(-config.max_tokens // _LENGTHS)


def weight_variables(network: keras.Model, config: VersionConfig) -> dict[str, keras.Variable]:
    """Return a network's variables by their names in `Weights`."""
    backward = _BACKWARD if config.bidirectional else ()
    names = ("embedding", *_LSTM, *backward, "output_kernel", "output_bias")
    return dict(zip(names, network.trainable_variables, strict=True))


class KerasLearner:
    """See `learner.Learner`. On a GPU the LSTM runs in cuDNN.

    A step is `train_on_batch`: of the tutorial's batches of 64 reviews it took 84-87 ms on two
    Zen 4 cores, `fit` over a PyDataset 89-122 ms, and both ended at the same weights, to the bit.
    """

    def __init__(self, config: VersionConfig, parameters: TrainParameters, first: Weights) -> None:
        """Begin with the weights `first`."""
        keras.utils.set_random_seed(parameters.seed)
        self._config = config
        self._network = build_network(
            config, embedding_dropout=parameters.embedding_dropout, dropout=parameters.dropout
        )
        for name, variable in weight_variables(self._network, config).items():
            variable.assign(first.arrays()[name])
        is_binary = config.outputs == 1
        self._network.compile(
            loss="binary_crossentropy" if is_binary else "sparse_categorical_crossentropy",
            optimizer=keras.optimizers.Adam(
                parameters.learning_rate, global_clipnorm=parameters.clipnorm or None
            ),
            metrics=["accuracy"],
            # Not jit_compile=True: XLA took 115-117 ms for a step of 64 reviews on two quiet
            # cores, against 84-86 ms without it, and 0.8 s more to compile.
            jit_compile="auto",
        )
        # Else its variables come with the first step, too late for `restore`.
        self._network.optimizer.build(self._network.trainable_variables)

    def step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """See `Learner.step`."""
        self._network.optimizer.learning_rate = learning_rate
        self._network.reset_metrics()  # else the means would run on, in some versions of Keras
        metrics = self._network.train_on_batch(
            padded(batch.reviews, self._config),
            batch.targets[:, None],
            sample_weight=batch.sample_weight,
            return_dict=True,
        )
        return float(metrics["loss"]), float(metrics["accuracy"])

    def weights(self) -> Weights:
        """See `Learner.weights`."""
        variables = weight_variables(self._network, self._config)
        return Weights(
            **{name: np.array(one.numpy(), dtype=np.float32) for name, one in variables.items()}
        )

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """See `Learner.state`."""
        return saved_variables(self._variables())

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """See `Learner.restore`."""
        restore_variables(self._variables(), state, "imdb_lstm")

    def library_versions(self) -> dict[str, str]:
        """See `Learner.library_versions`."""
        backend = keras.backend.backend()
        return {"keras": keras.__version__, backend: str(sys.modules[backend].__version__)}

    def _variables(self) -> dict[str, keras.Variable]:
        # By their order: Keras numbers names on from one network of a process to the next.
        optimizer = self._network.optimizer.variables
        groups = {"weights": self._network.variables, "optimizer": optimizer}
        return {
            f"{group}.{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }


class KerasEngine:
    """See `engine.Engine`. Predicts with Keras, `PREDICT_REVIEWS` reviews at a time or few."""

    def __init__(self, version: Version) -> None:
        self._config = version.config
        #: The Keras network itself, with the weights of the version.
        self.network = build_network(version.config)
        for name, variable in weight_variables(self.network, version.config).items():
            variable.assign(version.weights.arrays()[name])

    @property
    def memory_bytes(self) -> int:
        """Memory of the weights and of one batch's hidden states, in bytes."""
        directions = 2 if self._config.bidirectional else 1
        states = PREDICT_REVIEWS * self._config.max_tokens * self._config.units * directions
        return int(4 * self.network.count_params() + 4 * states)

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """See `engine.Engine.probabilities`."""
        probabilities = np.empty((len(reviews), len(self._config.labels)), dtype=np.float32)
        lengths = np.array([len(ids) for ids in reviews], dtype=np.intp)
        longest_first = np.argsort(-lengths, kind="stable")
        for start in range(0, len(reviews), PREDICT_REVIEWS):
            rows = longest_first[start : start + PREDICT_REVIEWS]
            batch = padded([reviews[row] for row in rows], self._config)
            filled = np.repeat(batch[:1], _filled_up(len(batch)), axis=0)
            filled[: len(batch)] = batch
            # predict_on_batch, not predict: that builds a data pipeline at each call
            predicted = np.asarray(self.network.predict_on_batch(filled))[: len(batch)]
            if self._config.outputs == 1:
                predicted = np.concatenate([1.0 - predicted, predicted], axis=1)
            probabilities[rows] = predicted
        return probabilities

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """See `engine.Engine.computed_tokens`."""
        longest_first = sorted(reviews, key=len, reverse=True)
        longest = longest_first[::PREDICT_REVIEWS]
        sizes = [PREDICT_REVIEWS] * (len(longest) - 1)
        sizes.append(_filled_up(len(reviews) - len(sizes) * PREDICT_REVIEWS))
        lengths = [padded([ids], self._config).shape[1] for ids in longest]
        return sum(size * length for size, length in zip(sizes, lengths, strict=False))


def _filled_up(reviews: int) -> int:
    """Return the size of the batch that so many reviews are computed in."""
    return FEW_REVIEWS if reviews <= FEW_REVIEWS else PREDICT_REVIEWS


class BuiltinSet(Protocol):
    """What is used of `keras.datasets.imdb`."""

    def load_data(self, *, index_from: int) -> Sequence[tuple[Sequence[Ids], Sequence[int]]]:
        """Return ids and targets of the training half, then those of the test half."""

    def get_word_index(self) -> Mapping[str, int]:
        """Return each word's rank, from 1."""


def builtin_imdb(half: int, source: BuiltinSet = keras.datasets.imdb) -> Iterator[LabelledWords]:
    """Yield Keras's built-in IMDB set as words, its training half (0) or its test half (1).

    Raises InvalidData when it cannot be downloaded.
    """
    try:
        # All ids, not the most frequent only: the words are ranked here, as anybody's are.
        reviews, targets = source.load_data(index_from=INDEX_FROM)[half]
        rank_of_word = source.get_word_index()
    except Exception as error:  # Keras wraps what went wrong in a plain Exception
        raise InvalidData(
            f"Keras could not download its IMDB set ({error}). It needs internet access once, "
            "and keeps the files under ~/.keras/datasets. Without it, train from a file: "
            "JSONL or CSV with a text and a label, or an aclImdb folder."
        ) from error
    word_of_id = {
        rank + INDEX_FROM: word.encode("utf-8", "surrogatepass")
        for word, rank in rank_of_word.items()
    }
    for ids, target in zip(reviews, targets, strict=True):
        yield [word_of_id[number] for number in ids[1:]], IMDB_LABELS[target]  # [0] starts it
