"""Trains a version: `GruTask` has a step and a validation, the model kit has the rest."""

import sys
from collections.abc import Callable, Mapping

import keras
import numpy as np
import numpy.typing as npt

from seqd.hookspecs import TrainContext, TrainedModel
from seqd_gru import TrainParameters
from seqd_gru.network import GruConfig, LoadedGru, build, write_version
from seqd_modelkit.labelled_texts import (
    Indices,
    TextSplit,
    read_labelled_texts,
    validation_metrics,
)
from seqd_modelkit.minibatch_task import MiniBatchTask
from seqd_modelkit.training import StepMetrics, TrainingLoop, Weights
from seqd_modelkit.training_state import VariableState
from seqd_modelkit.words import WordVocabulary, padded


def train(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Train, write the version, and return the metrics of the epoch that is kept."""
    keras.utils.set_random_seed(parameters.seed)
    split = read_labelled_texts(
        context, validation_split=parameters.validation_split, seed=parameters.seed
    )
    vocabulary = WordVocabulary.of_texts(split.training.texts, parameters.vocabulary_size)
    config = GruConfig(
        labels=split.labels,
        words=vocabulary.words,
        max_tokens=parameters.max_tokens,
        embedding_dim=parameters.embedding_dim,
        units=parameters.units,
    )
    task = GruTask(config, split, parameters)
    result = TrainingLoop(
        task,
        context,
        model="gru",
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
        patience=parameters.patience,
    ).run()
    write_version(config, result.weights, context.folder)
    backend = keras.backend.backend()
    libraries = {"keras": keras.__version__, backend: str(sys.modules[backend].__version__)}
    return TrainedModel(result.metrics, libraries, task.loaded(config, result.weights))


class GruTask(MiniBatchTask):
    """A training of the network."""

    def __init__(self, config: GruConfig, split: TextSplit, parameters: TrainParameters) -> None:
        """Build the network, and its optimizer."""
        self._network = build(config, parameters.dropout)
        self._network.compile(
            optimizer=keras.optimizers.Adam(parameters.learning_rate, global_clipnorm=1.0),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        # Else its variables come with the first step, too late for a resume.
        self._network.optimizer.build(self._network.trainable_variables)
        self._split = split
        self._max_tokens = config.max_tokens
        vocabulary = WordVocabulary(config.words)
        self._rows = [vocabulary.encode(text, config.max_tokens) for text in split.training.texts]
        self._held_out = [
            vocabulary.encode(text, config.max_tokens) for text in split.validation.texts
        ]
        super().__init__(
            len(split.training),
            batch_size=parameters.batch_size,
            seed=parameters.seed,
            model="gru",
            weights=VariableState(self._network.weights),
            # The state of dropout's seed is a variable of the network, too, but no weight.
            optimizer=VariableState(
                self._network.non_trainable_variables + self._network.optimizer.variables
            ),
        )

    def step(self, batch: Indices, done: int, total: int) -> StepMetrics:
        """Learn from a batch."""
        ids = padded([self._rows[at] for at in batch], self._max_tokens)
        self._network.reset_metrics()  # else they are means of all steps so far
        metrics = self._network.train_on_batch(
            ids, self._split.training.targets[batch], return_dict=True
        )
        texts = len(batch)
        sums = {name: float(metrics[name]) * texts for name in ("loss", "accuracy")}
        return StepMetrics(texts, sums)

    def loaded(self, config: GruConfig, weights: Weights) -> LoadedGru:
        """Return the network as a version in memory, with weights that it had in some epoch."""
        self._network.set_weights(list(weights.values()))
        return LoadedGru(config, self._network)

    def validate(self, stop_requested: Callable[[], bool]) -> Mapping[str, float]:
        """Return loss and accuracy of the held-out texts; nothing without any."""

        def probabilities(batch: Indices) -> npt.NDArray[np.floating]:
            ids = padded([self._held_out[at] for at in batch], self._max_tokens)
            return np.asarray(self._network.predict_on_batch(ids))

        return validation_metrics(probabilities, self._split.validation.targets, stop_requested)
