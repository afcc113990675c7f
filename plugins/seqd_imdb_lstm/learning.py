"""Goes through the epochs: their order and batches, their figures, stops and checkpoints.

Imports Keras through `network`, and so is itself imported by `training` only once the data has
proved good. Knows ids and targets; files and words are others' business.
"""

import math
import time
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from seqd.errors import InvalidParameters, Stopped
from seqd.hookspecs import TrainContext
from seqd_imdb_lstm.corpus import LabelledReviews
from seqd_imdb_lstm.engine import Engine, engine_for
from seqd_imdb_lstm.network import Learner, pad
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.place import Place
from seqd_imdb_lstm.reviews import Ids
from seqd_imdb_lstm.version import Floats, Probabilities, Version

#: Reviews validated between two looks at the stop request; a fifth of a second on one core.
_VALIDATE_REVIEWS: Final = 512

#: Nearest to 0 and 1 that a probability counts in a loss, as in Keras.
_EPSILON: Final = 1e-7


class Learning:
    """One training's epochs. `run` it once and drop it."""

    def __init__(
        self,
        learner: Learner,
        version: Callable[[], Version],
        training: LabelledReviews,
        parameters: TrainParameters,
        context: TrainContext,
    ) -> None:
        """`version` gives the version that the learner's weights make at that moment."""
        self._learner = learner
        self._version = version
        self._training = training
        self._parameters = parameters
        self._context = context
        self._batches = math.ceil(len(training) / parameters.batch_reviews)
        self._place = Place()

    def run(self, validation: LabelledReviews) -> dict[str, float]:
        """Go through all epochs, or those that a checkpoint has left; gives the last's figures.

        Raises Stopped within one step, InvalidParameters when the loss is lost.
        """
        self._resume()
        while self._place.epoch <= self._parameters.epochs:
            epoch, began_s = self._place.epoch, time.monotonic()
            self._learn()
            seconds = time.monotonic() - began_s
            figures = self._place.means() | self._validated(validation)
            self._context.epoch(epoch, self._parameters.epochs, seconds, **figures)
            self._place = Place(epoch=epoch + 1, figures=figures)
            self._save()
        return self._place.figures

    def _resume(self) -> None:
        checkpoint = self._context.checkpoints.load()
        if checkpoint is not None:
            self._place = Place.of(checkpoint.progress)
            self._learner.restore(checkpoint.arrays)

    def _save(self) -> None:
        self._context.checkpoints.save(self._learner.state(), self._place.model_dump())

    def _learn(self) -> None:
        """Go through what is left of an epoch."""
        place = self._place
        steps = self._batches * self._parameters.epochs
        for reviews, targets in self._batches_left():
            loss, accuracy = self._learner.step(reviews, targets)
            place.add(loss, accuracy, len(targets))
            self._check_loss()
            done = (place.epoch - 1) * self._batches + place.batches
            self._context.step(done, steps, **place.means())
            if self._stop_requested():
                raise Stopped("The training was asked to stop.")
            if self._context.checkpoints.due():
                self._save()

    def _batches_left(self) -> Iterator[tuple[Ids, Floats]]:
        """Cut the epoch's batches, each padded only when its turn comes.

        Their order hangs on the seed and the epoch's number alone.
        """
        random = np.random.default_rng((self._parameters.seed, self._place.epoch - 1))
        order = random.permutation(len(self._training))
        size = self._parameters.batch_reviews
        for start in range(self._place.batches * size, len(order), size):
            rows = order[start : start + size]
            reviews = [self._training.reviews[row] for row in rows]
            # (batch, max_tokens), (batch,)
            yield pad(reviews, self._parameters.max_tokens), self._training.targets[rows]

    def _check_loss(self) -> None:
        loss = self._place.means()["loss"]
        if not math.isfinite(loss):
            raise InvalidParameters(
                f"The loss became {loss} in epoch {self._place.epoch} with learning_rate "
                f"{self._parameters.learning_rate}. Train with a lower one."
            )

    def _validated(self, validation: LabelledReviews) -> dict[str, float]:
        if not len(validation):
            return {}
        engine = engine_for(self._version(), self._context.device)
        return validation_figures(self._probabilities(engine, validation), validation)

    def _probabilities(self, engine: Engine, reviews: LabelledReviews) -> Probabilities:
        parts = []
        for start in range(0, len(reviews), _VALIDATE_REVIEWS):
            if self._stop_requested():
                raise Stopped("The training was asked to stop while it validated.")
            parts.append(engine.probabilities(reviews.reviews[start : start + _VALIDATE_REVIEWS]))
        return np.concatenate(parts)

    def _stop_requested(self) -> bool:
        """Ask whether to stop, and save once more if so."""
        if not self._context.stop_requested():
            return False
        self._save()
        return True


def validation_figures(probabilities: Probabilities, reviews: LabelledReviews) -> dict[str, float]:
    """Give mean binary cross-entropy in nats, and the share of right labels."""
    clipped = np.clip(probabilities.astype(np.float64), _EPSILON, 1.0 - _EPSILON)
    right = reviews.targets > 0.5
    losses = -np.log(np.where(right, clipped, 1.0 - clipped))
    return {
        "validation_loss": float(losses.mean()),
        "validation_accuracy": float(((probabilities > 0.5) == right).mean()),
    }
