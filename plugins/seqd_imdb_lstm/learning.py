"""Goes through the epochs: their figures, stops, checkpoints, and which weights are kept.

Called by `training` once the data has proved good. Knows ids and classes; files and words are
others' business, and so is the arithmetic of a step.
"""

import math
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from seqd.errors import InvalidParameters, Stopped
from seqd.hookspecs import TrainContext, check_arrays
from seqd_imdb_lstm.artifact import Floats, Probabilities, Version, Weights
from seqd_imdb_lstm.batches import Batches
from seqd_imdb_lstm.data import LabelledReviews
from seqd_imdb_lstm.engine import Engine, engine_for
from seqd_imdb_lstm.learner import Learner, State
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.place import Best, Place
from seqd_modelkit.optimizers import ExponentialMovingAverage

#: Reviews validated between two looks at the stop request; a fifth of a second on one core.
_VALIDATE_REVIEWS: Final = 512

#: Nearest to 0 that a probability counts in a loss, as in Keras.
_EPSILON: Final = 1e-7

#: Share of a training over which the step size rises, where it is to fall later: the first steps
#: of Adam, whose running means have seen little, would go too far.
_RISE: Final = 0.05

#: Beginnings of the names, in a checkpoint, of arrays that are not the learner's.
_MEAN: Final = "running_mean."
_BEST: Final = "best."


class Learning:
    """One training's epochs. `run` it once, take its `weights`, and drop it."""

    def __init__(
        self,
        learner: Learner,
        version_of: Callable[[Weights], Version],
        batches: Batches,
        parameters: TrainParameters,
        context: TrainContext,
    ) -> None:
        """`version_of` gives the version that weights make."""
        self._learner = learner
        self._version_of = version_of
        self._batches = batches
        self._parameters = parameters
        self._context = context
        self._place = Place()
        self._mean = ExponentialMovingAverage(parameters.ema_momentum)
        #: The best epoch's weights, where they are kept.
        self._best: dict[str, Floats] = {}

    def run(self, validation: LabelledReviews) -> dict[str, float]:
        """Go through all epochs, or those that a checkpoint has left; gives the kept one's figures.

        Raises Stopped within one step, InvalidParameters when the loss is lost.
        """
        self._resume()
        while not self._is_done():
            epoch, began_s = self._place.epoch, time.monotonic()
            self._learn()
            seconds = time.monotonic() - began_s
            figures = self._place.means() | self.validated(self._version_now(), validation)
            self._context.epoch(epoch, self._parameters.epochs, seconds, **figures)
            self._keep_if_best(figures)
            self._place = self._place.after_epoch(figures)
            self._save()
        best = self._place.best
        return self._place.figures if best is None else best.figures

    def weights(self) -> Weights:
        """Give the weights that the version has: after the best epoch, or now; of these the mean.

        See `patience` and `ema_momentum`.
        """
        return Weights(**self._best) if self._best else self._weights_now()

    def _weights_now(self) -> Weights:
        return Weights(**self._mean.arrays) if self._mean.arrays else self._learner.weights()

    def _is_done(self) -> bool:
        epoch, best = self._place.epoch, self._place.best
        if best is not None and epoch - 1 - best.epoch >= self._parameters.patience:
            return True
        return epoch > self._parameters.epochs

    def _keep_if_best(self, figures: dict[str, float]) -> None:
        if not self._parameters.patience or "validation_loss" not in figures:
            return
        best = self._place.best
        if best is None or figures["validation_loss"] < best.figures["validation_loss"]:
            self._place.best = Best(epoch=self._place.epoch, figures=figures)
            arrays = self._weights_now().arrays()
            self._best = {name: array.copy() for name, array in arrays.items()}

    def _resume(self) -> None:
        checkpoint = self._context.checkpoints.load()
        if checkpoint is None:
            return
        place = Place.of(checkpoint.progress)
        learner, mean, best = _parted(checkpoint.arrays)
        shapes = {name: array.shape for name, array in self._weights_now().arrays().items()}
        averages = self._parameters.ema_momentum > 0.0
        check_arrays(mean, shapes if averages else {}, "imdb_lstm")
        check_arrays(best, shapes if place.best else {}, "imdb_lstm")
        self._learner.restore(learner)
        self._place = place
        self._mean.arrays = {name: np.array(array) for name, array in mean.items()}
        self._best = {name: np.array(array) for name, array in best.items()}

    def _save(self) -> None:
        arrays = {
            **self._learner.state(),
            **{_MEAN + name: array for name, array in self._mean.arrays.items()},
            **{_BEST + name: array for name, array in self._best.items()},
        }
        self._context.checkpoints.save(arrays, self._place.model_dump())

    def _learn(self) -> None:
        """Go through what is left of an epoch."""
        place = self._place
        steps = len(self._batches) * self._parameters.epochs
        for batch in self._batches.of_epoch(place.epoch, place.batches):
            done = (place.epoch - 1) * len(self._batches) + place.batches
            loss, accuracy = self._learner.step(batch, self._learning_rate(done / steps))
            place.add(loss, accuracy, len(batch))
            self._check_loss()
            if self._parameters.ema_momentum:
                self._mean.add(self._learner.weights().arrays(), done + 1)
            self._context.step(done + 1, steps, **place.means())
            if self._stop_requested():
                raise Stopped("The training was asked to stop.")
            if self._context.checkpoints.due():
                self._save()

    def _learning_rate(self, share_done: float) -> float:
        """Give the size of the step after a share of all steps."""
        full = self._parameters.learning_rate
        if self._parameters.schedule == "constant":
            return full
        if share_done < _RISE:
            # Never 0: the first step would change nothing.
            return full * (share_done + _RISE / 10) / (1.1 * _RISE)
        fallen = (share_done - _RISE) / (1.0 - _RISE)
        return full * 0.5 * (1.0 + math.cos(math.pi * fallen))

    def _check_loss(self) -> None:
        loss = self._place.means()["loss"]
        if not math.isfinite(loss):
            raise InvalidParameters(
                f"The loss became {loss} in epoch {self._place.epoch} with learning_rate "
                f"{self._parameters.learning_rate}. Train with a lower one."
            )

    def _version_now(self) -> Version:
        return self._version_of(self._weights_now())

    def validated(self, version: Version, validation: LabelledReviews) -> dict[str, float]:
        """Give a version's loss and accuracy, nothing without reviews. Raises Stopped."""
        if not len(validation):
            return {}
        engine = engine_for(version, self._context.device)
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
    """Give mean cross-entropy in nats, and the share of right classes."""
    of_right = probabilities[np.arange(len(reviews)), reviews.targets].astype(np.float64)
    return {
        "validation_loss": float(-np.log(np.maximum(of_right, _EPSILON)).mean()),
        "validation_accuracy": float((probabilities.argmax(axis=1) == reviews.targets).mean()),
    }


def _parted(arrays: State) -> tuple[State, State, State]:
    """Part a checkpoint's arrays into the learner's, the running mean's and the best epoch's."""
    mean = {name.removeprefix(_MEAN): arrays[name] for name in arrays if name.startswith(_MEAN)}
    best = {name.removeprefix(_BEST): arrays[name] for name in arrays if name.startswith(_BEST)}
    learner = {name: arrays[name] for name in arrays if not name.startswith((_MEAN, _BEST))}
    return learner, mean, best
