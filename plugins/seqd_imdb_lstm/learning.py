"""The training task of the LSTM: batches, learning-rate schedule, EMA, validation, by a learner.

`seqd_modelkit.training` has the loop: checkpoints, early stopping, stop requests.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from seqd.errors import Stopped
from seqd.hookspecs import TrainContext, check_arrays
from seqd_imdb_lstm.artifact import Floats, Probabilities, Version, Weights
from seqd_imdb_lstm.batches import Batch, Batches
from seqd_imdb_lstm.data import LabelledReviews
from seqd_imdb_lstm.engine import engine_for
from seqd_imdb_lstm.learner import Learner, State
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_modelkit.optimizers import ExponentialMovingAverage
from seqd_modelkit.training import StepMetrics, TrainingLoop, TrainingTask

#: Reviews validated between two checks of the stop request; a fifth of a second on one core.
_VALIDATE_REVIEWS: Final = 512

#: Lowest probability that a loss counts, as in Keras.
_EPSILON: Final = 1e-7

#: Share of all steps that the warm-up of schedule "cosine" takes. Adam's moments are estimates of
#: few gradients at first, and full steps would go too far.
_WARMUP: Final = 0.05

#: Prefix of the EMA of the weights in a checkpoint.
_EMA: Final = "ema."


class Learning(TrainingTask[Batch]):
    """One training of the network. `run` it once, then take its `weights`."""

    def __init__(
        self,
        learner: Learner,
        version_of: Callable[[Weights], Version],
        batches: Batches,
        parameters: TrainParameters,
        context: TrainContext,
    ) -> None:
        """`version_of` returns the version with these weights."""
        self._learner = learner
        self._version_of = version_of
        self._batches = batches
        self._parameters = parameters
        self._context = context
        self._ema = ExponentialMovingAverage(parameters.ema_momentum)
        self._validation: LabelledReviews | None = None
        self._kept: Weights | None = None

    def run(self, validation: LabelledReviews) -> dict[str, float]:
        """Train all epochs and return the metrics of the one whose weights are kept.

        With `patience` it is the epoch of the lowest validation loss, else the last one. Raises
        Stopped, InvalidParameters and CheckpointDamaged as `TrainingLoop.run` does.
        """
        self._validation = validation
        parameters = self._parameters
        loop = TrainingLoop(
            self,
            self._context,
            model="imdb_lstm",
            epochs=parameters.epochs,
            learning_rate=parameters.learning_rate,
            patience=parameters.patience,
        )
        result = loop.run()
        self._kept = Weights(**result.weights)
        return dict(result.metrics)

    def kept_weights(self) -> Weights:
        """Return the weights that the version has, once `run` has returned."""
        assert self._kept is not None
        return self._kept

    @property
    def batches_per_epoch(self) -> int:
        """Batches of every epoch."""
        return len(self._batches)

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Return the batches of an epoch from number `first` on."""
        return self._batches.of_epoch(epoch, first)

    def step(self, batch: Batch, done: int, total: int) -> StepMetrics:
        """Learn from a batch, and add the weights to their EMA."""
        loss, accuracy = self._learner.step(batch, self._scheduled_rate(done / total))
        if self._parameters.ema_momentum:
            self._ema.add(self._learner.weights().arrays(), done + 1)
        reviews = len(batch)
        right = float(round(accuracy * reviews))
        return StepMetrics(reviews, {"loss": loss * reviews, "accuracy": right})

    def validate(self, stop_requested: Callable[[], bool]) -> dict[str, float]:
        """Return loss and accuracy of the current weights, of their EMA where one is kept."""
        assert self._validation is not None
        version = self._version_of(Weights(**self.weights()))
        return self._validated(version, self._validation, stop_requested)

    def validated(self, version: Version, validation: LabelledReviews) -> dict[str, float]:
        """Return a version's loss and accuracy, nothing without reviews. Raises Stopped."""
        return self._validated(version, validation, self._context.stop_requested)

    def weights(self) -> dict[str, Floats]:
        """Return the current weights, or their EMA where one is kept."""
        return self._ema.arrays or self._learner.weights().arrays()

    def state(self) -> State:
        """Return the learner's state and the EMA of the weights."""
        ema = {_EMA + name: array for name, array in self._ema.arrays.items()}
        return {**self._learner.state(), **ema}

    def restore(self, state: State) -> None:
        """Take over a state; raise CheckpointDamaged for another network's."""
        ema = {name.removeprefix(_EMA): state[name] for name in state if name.startswith(_EMA)}
        shapes = {name: array.shape for name, array in self._learner.weights().arrays().items()}
        check_arrays(ema, shapes if self._parameters.ema_momentum else {}, "imdb_lstm")
        self._learner.restore({name: state[name] for name in state if not name.startswith(_EMA)})
        self._ema.arrays = {name: np.array(array, np.float32) for name, array in ema.items()}

    def _scheduled_rate(self, share_done: float) -> float:
        """Return the learning rate of the step after a share of all steps.

        Constant; or a linear warm-up, then a cosine decay to 0 (Loshchilov & Hutter 2017, arXiv
        1608.03983).
        """
        peak = self._parameters.learning_rate
        if self._parameters.schedule == "constant":
            return peak
        if share_done < _WARMUP:
            # Never 0: the first step would change nothing.
            return peak * (share_done + _WARMUP / 10) / (1.1 * _WARMUP)
        decayed = (share_done - _WARMUP) / (1.0 - _WARMUP)
        return peak * 0.5 * (1.0 + math.cos(math.pi * decayed))

    def _validated(
        self, version: Version, validation: LabelledReviews, stop_requested: Callable[[], bool]
    ) -> dict[str, float]:
        if not len(validation):
            return {}
        engine, parts = engine_for(version, self._context.device), []
        for start in range(0, len(validation), _VALIDATE_REVIEWS):
            if stop_requested():
                raise Stopped("The training was asked to stop while it validated.")
            reviews = validation.reviews[start : start + _VALIDATE_REVIEWS]
            parts.append(engine.probabilities(reviews))
        return validation_figures(np.concatenate(parts), validation)


def validation_figures(probabilities: Probabilities, reviews: LabelledReviews) -> dict[str, float]:
    """Return the mean cross-entropy in nats, and the accuracy, of (reviews, classes)."""
    of_right = probabilities[np.arange(len(reviews)), reviews.targets].astype(np.float64)
    return {
        "validation_loss": float(-np.log(np.maximum(of_right, _EPSILON)).mean()),
        "validation_accuracy": float((probabilities.argmax(axis=1) == reviews.targets).mean()),
    }
