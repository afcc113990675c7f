"""Trains a version: a step is five iterations of L-BFGS, the model kit has the rest."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import repeat
from typing import Final

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from seqd.errors import InvalidData
from seqd.hookspecs import TrainContext, TrainedModel, check_arrays
from seqd_modelkit.labelled_texts import (
    Indices,
    TextSplit,
    read_labelled_texts,
    validation_metrics,
)
from seqd_modelkit.training import Arrays, StepMetrics, TrainingLoop, TrainingTask, Weights
from seqd_tfidf import TrainParameters
from seqd_tfidf.estimators import (
    LoadedTfidf,
    TfidfConfig,
    new_vectorizer,
    set_coefficients,
    write_version,
)

#: Iterations of a step: between two steps a stop is asked about, and a checkpoint saved.
_ITERATIONS: Final = 5

#: Steps of an epoch, after which it is validated.
_STEPS: Final = 3


def train(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Train, write the version, and return the metrics of the epoch that is kept."""
    split = read_labelled_texts(
        context, validation_split=parameters.validation_split, seed=parameters.seed
    )
    task = TfidfTask(split, parameters)
    result = TrainingLoop(
        task, context, model="tfidf", epochs=parameters.epochs, patience=parameters.patience
    ).run()
    write_version(task.config, result.weights, context.folder)
    in_memory = LoadedTfidf(task.config, result.weights)
    return TrainedModel(result.metrics, {"scikit-learn": sklearn.__version__}, in_memory)


class TfidfTask(TrainingTask[None]):
    """A training: each batch is all of the data."""

    batches_per_epoch = _STEPS

    def __init__(self, split: TextSplit, parameters: TrainParameters) -> None:
        """Count the terms, and begin with coefficients of 0."""
        self._split = split
        vectorizer = new_vectorizer(parameters.ngram_order, max_features=parameters.vocabulary_size)
        try:
            self._features = vectorizer.fit_transform(split.training.texts)
        except ValueError as error:  # no text has a term
            raise InvalidData(
                f"scikit-learn cannot count the words of the texts: {error}"
            ) from None
        self._held_out = (
            vectorizer.transform(split.validation.texts) if len(split.validation) else None
        )
        self._idf = vectorizer.idf_
        self.config = TfidfConfig(
            labels=split.labels,
            terms=tuple(vectorizer.get_feature_names_out().tolist()),
            ngram_order=parameters.ngram_order,
        )
        self._classifier = LogisticRegression(
            C=parameters.inverse_l2, max_iter=_ITERATIONS, warm_start=True
        )
        zeros = {name: np.zeros(shape) for name, shape in self.config.shapes().items()}
        set_coefficients(self._classifier, len(split.labels), zeros)

    def batches(self, epoch: int, first: int) -> Iterator[None]:
        """Yield an epoch's batches, which are all the same."""
        return repeat(None, _STEPS - first)

    def step(self, batch: None, done: int, total: int) -> StepMetrics:
        """Go on for five iterations."""
        targets = self._split.training.targets
        with warnings.catch_warnings():
            # The next step goes on where this one ends.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._classifier.fit(self._features, targets)
        rows = self._classifier.predict_proba(self._features)
        accuracy = accuracy_score(targets, rows.argmax(axis=1), normalize=False)
        loss = log_loss(targets, rows, normalize=False)
        return StepMetrics(len(targets), {"loss": float(loss), "accuracy": float(accuracy)})

    def validate(self, stop_requested: Callable[[], bool]) -> Mapping[str, float]:
        """Return loss and accuracy of the held-out texts; nothing without any."""
        held_out = self._held_out
        if held_out is None:
            return {}

        def probabilities(batch: Indices) -> npt.NDArray[np.floating]:
            return np.asarray(self._classifier.predict_proba(held_out[batch]))

        return validation_metrics(probabilities, self._split.validation.targets, stop_requested)

    def weights(self) -> Weights:
        """Return what a version has beside its terms."""
        arrays = {"idf": self._idf, **self.state()}
        return {name: np.array(array, np.float32) for name, array in arrays.items()}

    def state(self) -> Arrays:
        """Return the coefficients, from which the next step goes on."""
        return {"coef": self._classifier.coef_, "intercept": self._classifier.intercept_}

    def restore(self, state: Arrays) -> None:
        """Take over what `state` returned; raise CheckpointDamaged for other data's."""
        check_arrays(state, {name: array.shape for name, array in self.state().items()}, "tfidf")
        set_coefficients(self._classifier, len(self.config.labels), state)
