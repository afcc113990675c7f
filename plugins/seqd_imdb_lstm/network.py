"""The Keras network: its layers, its steps of training, its own prediction, and Keras's IMDB set.

The only module of this plugin that imports Keras, and only when something is trained, runs
on a GPU, or is checked against Keras. Backend-neutral: `keras` alone, no TensorFlow call.
Knows arrays of ids and targets; which words they stand for is `corpus`'s business.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Final, Protocol

import keras
import numpy as np
import numpy.typing as npt

from seqd.errors import CheckpointDamaged, InvalidData
from seqd_imdb_lstm.corpus import LabelledWords
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.reviews import INDEX_FROM, PAD_ID, Ids
from seqd_imdb_lstm.version import Floats, Probabilities, Version, VersionConfig, Weights

#: Reviews of one prediction. Fixed, the last batch being filled up, so that no second shape
#: is ever compiled.
PREDICT_REVIEWS: Final = 256

#: What Keras's built-in IMDB set means by 0 and 1.
IMDB_LABELS: Final = ("negative", "positive")


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


class Learner:
    """The network while it learns: its optimizer, and one step at a time.

    A step is `train_on_batch`. Measured at the tutorial's sizes on two Zen 4 cores, in turns of
    21 steps of 64 reviews, ms a step in each of four rounds:

        `fit` over a PyDataset       98.9  122.0  89.4  90.2
        `train_on_batch`             84.1   84.5  86.6  83.7    this one

    After the last round the two had the same weights, to the last bit.
    """

    def __init__(self, config: VersionConfig, parameters: TrainParameters) -> None:
        """The same seed, data and library versions give the same weights on a CPU, bit for bit."""
        keras.utils.set_random_seed(parameters.seed)
        self._network = build_network(config)
        self._network.compile(
            loss="binary_crossentropy",
            optimizer=keras.optimizers.Adam(parameters.learning_rate),
            metrics=["accuracy"],
            # Not jit_compile=True: XLA took 115-117 ms for a step of 64 reviews on two quiet
            # cores, against 84-86 ms without it, and 0.8 s more to compile.
            jit_compile="auto",
        )
        # Else its variables come with the first step, too late for `restore`.
        self._network.optimizer.build(self._network.trainable_variables)

    def step(self, reviews: Ids, targets: Floats) -> tuple[float, float]:
        """Learn from (batch, max_tokens) ids; gives their mean loss and accuracy."""
        self._network.reset_metrics()  # else the means would run on, in some versions of Keras
        figures = self._network.train_on_batch(reviews, targets, return_dict=True)
        return float(figures["loss"]), float(figures["accuracy"])

    def weights(self) -> Weights:
        """Copy the weights out, in the order in which the layers made them."""
        return Weights(
            *(np.array(array, dtype=np.float32) for array in self._network.get_weights())
        )

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Copy out all that a step reads and changes: weights and the optimizer's variables."""
        return {name: np.array(variable.numpy()) for name, variable in self._variables().items()}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """
        variables = self._variables()
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        found = {name: array.shape for name, array in state.items()}
        if found != shapes:
            raise CheckpointDamaged(
                f"The checkpoint has arrays of the shapes {found}; this network has {shapes}. It "
                "was saved by another version of imdb_lstm or Keras. Train anew."
            )
        for name, variable in variables.items():
            variable.assign(state[name])

    def _variables(self) -> dict[str, keras.Variable]:
        # By their order: Keras numbers names on from one network of a process to the next.
        optimizer = self._network.optimizer.variables
        groups = {"weights": self._network.variables, "optimizer": optimizer}
        return {
            f"{group}.{number}": variable
            for group, variables in groups.items()
            for number, variable in enumerate(variables)
        }


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


def _in_layer_order(weights: Weights) -> list[Floats]:
    return [getattr(weights, part.name) for part in fields(Weights)]
