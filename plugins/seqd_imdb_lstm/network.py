"""The Keras network: its layers, its training, its own prediction, and Keras's IMDB set.

The only module of this plugin that imports Keras, and only when something is trained, runs
on a GPU, or is checked against Keras. Backend-neutral: `keras` alone, no TensorFlow call.
Knows arrays of ids and targets; which words they stand for is `corpus`'s business.
"""

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Final, Protocol, SupportsFloat

import keras
import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import TrainContext
from seqd_imdb_lstm.corpus import LabelledReviews, LabelledWords
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.reviews import INDEX_FROM, PAD_ID, Ids
from seqd_imdb_lstm.version import Floats, Probabilities, Version, VersionConfig, Weights

#: Reviews of one prediction. Fixed, the last batch being filled up, so that no second shape
#: is ever compiled.
PREDICT_REVIEWS: Final = 256

#: What Keras's built-in IMDB set means by 0 and 1.
IMDB_LABELS: Final = ("negative", "positive")

#: Figures of an epoch on the training reviews, and the weights after it.
EpochEnd = Callable[[int, float, Mapping[str, float], Weights], None]


def build_network(config: VersionConfig) -> keras.Sequential:
    """Lay out the tutorial's network: ids (batch, max_tokens) → probability (batch, 1)."""
    return keras.Sequential(
        [
            keras.Input((config.max_tokens,), dtype="int32"),
            # (batch, max_tokens) → (batch, max_tokens, embedding); pads are not masked, as in
            # the tutorial: the network learns what a pad is
            keras.layers.Embedding(config.vocabulary_words, config.embedding_length),
            keras.layers.LSTM(config.lstm_units),  # → (batch, units), the last step's
            keras.layers.Dense(1, activation="sigmoid"),  # → (batch, 1)
        ]
    )


def pad(reviews: Sequence[Ids], max_tokens: int) -> Ids:
    """Pad at the front: (tokens,) each, at most `max_tokens` → (reviews, max_tokens)."""
    padded = np.full((len(reviews), max_tokens), PAD_ID, dtype=np.int32)
    for row, ids in enumerate(reviews):
        padded[row, max_tokens - len(ids) :] = ids
    return padded


def train_network(
    config: VersionConfig,
    data: LabelledReviews,
    parameters: TrainParameters,
    context: TrainContext,
    epoch_end: EpochEnd,
) -> None:
    """Train, calling `epoch_end` after each epoch with its number, seconds, figures, weights.

    The same seed, data and library versions give the same weights on a CPU, bit for bit.
    Raises Stopped within one step of a stop request.
    """
    keras.utils.set_random_seed(parameters.seed)
    network = build_network(config)
    network.compile(
        loss="binary_crossentropy",
        optimizer=keras.optimizers.Adam(parameters.learning_rate),
        metrics=["accuracy"],
        # Not jit_compile=True: XLA took 115-117 ms for a step of 64 reviews on two quiet cores,
        # against 84-86 ms without it, and 0.8 s more to compile.
        jit_compile="auto",
    )
    for epoch in range(parameters.epochs):
        batches = _ShuffledBatches(data, parameters, config.max_tokens, epoch)
        watch = _Watch(context, parameters.epochs, done=epoch * len(batches))
        started_s = time.monotonic()
        # One call an epoch, so that order and batches are ours and depend on nothing but the
        # seed and the epoch's number.
        network.fit(batches, shuffle=False, verbose=0, callbacks=[watch])
        if watch.stopped:
            raise Stopped("The training was asked to stop.")
        epoch_end(epoch + 1, time.monotonic() - started_s, watch.figures, _weights_of(network))


def library_versions() -> dict[str, str]:
    """Give the versions of Keras and of the library that it computes with."""
    backend = keras.backend.backend()
    return {"keras": keras.__version__, backend: str(sys.modules[backend].__version__)}


class KerasEngine:
    """The engine that runs Keras itself: on GPUs, and as the measure of the other kernel."""

    def __init__(self, version: Version) -> None:
        self._max_tokens = version.config.max_tokens
        #: The Keras network itself, with the weights of the version.
        self.network = build_network(version.config)
        self.network.set_weights(_in_layer_order(version.weights))

    @property
    def memory_bytes(self) -> int:
        """Memory of the weights and of one batch's hidden states, in bytes."""
        states = PREDICT_REVIEWS * self._max_tokens * self.network.layers[1].units * 4
        return int(4 * self.network.count_params() + states)

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """See `engine.Engine.probabilities`."""
        answer = np.empty(len(reviews), dtype=np.float32)
        for start in range(0, len(reviews), PREDICT_REVIEWS):
            batch = reviews[start : start + PREDICT_REVIEWS]
            padded = np.full((PREDICT_REVIEWS, self._max_tokens), PAD_ID, dtype=np.int32)
            padded[: len(batch)] = pad(batch, self._max_tokens)
            # predict_on_batch, not predict: that builds a data pipeline at each call
            predicted = self.network.predict_on_batch(padded)  # (PREDICT_REVIEWS, 1)
            answer[start : start + len(batch)] = np.asarray(predicted)[: len(batch), 0]
        return answer


class BuiltinSet(Protocol):
    """What is used of `keras.datasets.imdb`."""

    def load_data(self, *, index_from: int) -> Sequence[tuple[Sequence[Ids], Sequence[int]]]:
        """Give ids and targets of the training half, then those of the test half."""

    def get_word_index(self) -> Mapping[str, int]:
        """Give each word's rank, from 1."""


def builtin_imdb(half: int, source: BuiltinSet = keras.datasets.imdb) -> Iterator[LabelledWords]:
    """Give Keras's built-in IMDB set as words, its training half (0) or its test half (1).

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


class _ShuffledBatches(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """One epoch's batches, each padded only when its turn comes."""

    def __init__(
        self, data: LabelledReviews, parameters: TrainParameters, max_tokens: int, epoch: int
    ) -> None:
        super().__init__()
        self._data = data
        self._max_tokens = max_tokens
        self._batch_reviews = parameters.batch_reviews
        self._order = np.random.default_rng((parameters.seed, epoch)).permutation(len(data))

    def __len__(self) -> int:
        return math.ceil(len(self._data) / self._batch_reviews)

    def __getitem__(self, index: int) -> tuple[Ids, Floats]:
        start = index * self._batch_reviews
        rows = self._order[start : start + self._batch_reviews]
        # (batch, max_tokens), (batch,)
        return (
            pad([self._data.reviews[row] for row in rows], self._max_tokens),
            self._data.targets[rows],
        )


class _Watch(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Publishes each step, and ends the epoch after the step in which a stop was asked for."""

    def __init__(self, context: TrainContext, epochs: int, done: int) -> None:
        super().__init__()
        self.stopped = False
        #: Means over the epoch so far.
        self.figures: dict[str, float] = {}
        self._context = context
        self._epochs = epochs
        self._done = done

    def on_train_batch_end(self, batch: int, logs: Mapping[str, SupportsFloat] | None) -> None:
        """Called by Keras after each step, with the means over the epoch so far."""
        self.figures = {name: float(value) for name, value in (logs or {}).items()}
        total = self.params["steps"] * self._epochs
        self._context.step(self._done + batch + 1, total, **self.figures)
        self.stopped = self.model.stop_training = self._context.stop_requested()


def _weights_of(network: keras.Sequential) -> Weights:
    """Copy a network's weights out, in the order in which its layers made them."""
    return Weights(*(np.array(array, dtype=np.float32) for array in network.get_weights()))


def _in_layer_order(weights: Weights) -> list[Floats]:
    return [getattr(weights, part.name) for part in fields(Weights)]
