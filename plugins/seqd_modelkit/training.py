"""The training loop: epochs, validation, early stopping, checkpoints, resume and stop requests.

A plugin describes what it trains as a `TrainingTask`: `step` learns from one batch, `validate`
measures the weights. `TrainingLoop.run` does the rest, which is the same for every model:

    resume from a checkpoint, where there is one
    for each epoch:
        for each batch: step, report, save a checkpoint where one is due
        validate, report, write samples, keep the weights if they are the best so far, save
    return the best epoch's weights with `patience`, else the last ones

A training that was stopped or killed ends with the same weights as one that was not, bit for bit,
if a step depends on nothing but its batch, its number and the task's state, and an epoch's batches
on nothing but the epoch's number and the seed.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from seqd.errors import CheckpointDamaged, InvalidParameters, Stopped
from seqd.hookspecs import TrainContext, check_arrays

Arrays = Mapping[str, npt.NDArray[np.generic]]
Weights = Mapping[str, npt.NDArray[np.float32]]
Batch = TypeVar("Batch")

#: Prefix of the best epoch's weights in a checkpoint; no name of a task's state begins with it.
_BEST: Final = "best."

#: The sum of what the batches of an epoch took, in whatever processes. No field of its own: the
#: release before this one takes a checkpoint up too, and refuses a field that it does not know.
_SECONDS: Final = "seconds"


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """What one step measured with the weights from before it."""

    #: Examples or predictions that are summed over.
    examples: int
    #: Sums over these, `loss` among them; an epoch reports the means.
    sums: Mapping[str, float]
    #: Values that are reported as they are, such as the learning rate.
    latest: Mapping[str, float] = field(default_factory=dict)


class Sample(NamedTuple):
    """A text that the model continued after an epoch."""

    temperature: float
    prompt: str
    text: str


class TrainingTask(ABC, Generic[Batch]):
    """What a plugin trains: its batches, a step, a validation, and the state of both."""

    @property
    @abstractmethod
    def batches_per_epoch(self) -> int:
        """Batches of every epoch, at least 1."""

    @abstractmethod
    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Return the batches of an epoch, counted from 1, from number `first` on.

        With `first` 0 the epoch begins; a resumed one goes on with a later batch.
        """

    @abstractmethod
    def step(self, batch: Batch, done: int, total: int) -> StepMetrics:
        """Learn from a batch, after `done` of the training's `total` steps."""

    def report(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Return the metrics to report of the means of `StepMetrics.sums`; by default these."""
        return means

    def validate(self, stop_requested: Callable[[], bool]) -> Mapping[str, float]:
        """Return the metrics of the weights on held-out data, nothing without any.

        Early stopping compares `validation_loss`. Raises Stopped where `stop_requested` says so;
        ask it every 0.1 s or so.
        """
        del stop_requested
        return {}

    def samples(self, epoch: int, stop_requested: Callable[[], bool]) -> Iterable[Sample]:
        """Yield texts to show after an epoch. Raises Stopped as `validate` does."""
        del epoch, stop_requested
        return ()

    @abstractmethod
    def weights(self) -> Weights:
        """Return the weights that a version would have now, by name."""

    @abstractmethod
    def state(self) -> Arrays:
        """Return all that the steps to come read, by name, for a checkpoint."""

    @abstractmethod
    def restore(self, state: Arrays) -> None:
        """Take over what `state` returned; raise CheckpointDamaged for another network's."""


class TrainingResult(NamedTuple):
    """What a training ends with."""

    #: The epoch whose weights these are, from 1.
    epoch: int
    metrics: Mapping[str, float]
    weights: Weights


class _BestEpoch(BaseModel):
    """The epoch with the lowest validation loss so far."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    epoch: int = Field(ge=1)
    metrics: dict[str, float]


class TrainerState(BaseModel):
    """How far a training is, between two steps: a checkpoint's progress, beside its arrays."""

    model_config = ConfigDict(extra="forbid")

    #: The current epoch, from 1; one beyond the last when the training is done.
    epoch: int = Field(default=1, ge=1)
    #: Batches of it that were learnt from, the examples in them, and sums over these: `_SECONDS`,
    #: and those of the steps.
    batches: int = Field(default=0, ge=0)
    examples: int = Field(default=0, ge=0)
    sums: dict[str, float] = Field(default_factory=dict)
    #: `StepMetrics.latest` of the last step.
    latest: dict[str, float] = Field(default_factory=dict)
    #: Metrics of the epoch before.
    metrics: dict[str, float] = Field(default_factory=dict)
    #: None until an epoch was validated, and always without `patience`.
    best: _BestEpoch | None = None

    def add(self, step: StepMetrics, seconds: float) -> None:
        """Count a batch that took so many seconds."""
        sums = {**step.sums, _SECONDS: seconds}
        self.batches += 1
        self.examples += step.examples
        self.sums = {name: self.sums.get(name, 0.0) + sums[name] for name in sums}
        self.latest = dict(step.latest)

    def means(self) -> dict[str, float]:
        """Return the means over the epoch's examples so far."""
        sums = {name: total for name, total in self.sums.items() if name != _SECONDS}
        return {name: total / self.examples for name, total in sums.items()}

    def next_epoch(self, metrics: Mapping[str, float]) -> "TrainerState":
        """Return the beginning of the epoch after this one, which had these metrics."""
        return TrainerState(epoch=self.epoch + 1, metrics=dict(metrics), best=self.best)


class TrainingLoop(Generic[Batch]):
    """One training: `run` it once."""

    def __init__(
        self,
        task: TrainingTask[Batch],
        context: TrainContext,
        *,
        model: str,
        epochs: int,
        learning_rate: float | None = None,
        patience: int = 0,
        throughput: str | None = None,
    ) -> None:
        """Prepare a training from the first step, or from the last checkpoint.

        `model` and `learning_rate`, where there is one, are for error messages. `patience` is the
        number of epochs without a lower validation loss after which the training ends, 0: none.
        `throughput` names a metric for the examples per second of a step, such as
        `characters_per_s`.
        """
        self._task = task
        self._context = context
        self._model = model
        self._epochs = epochs
        self._learning_rate = learning_rate
        self._patience = patience
        self._throughput = throughput
        self._total = task.batches_per_epoch * epochs
        self._state = TrainerState()
        #: Weights of `TrainerState.best`.
        self._best: dict[str, npt.NDArray[np.float32]] = {}

    def run(self) -> TrainingResult:
        """Train all epochs, or those that a checkpoint has left, and return the kept weights.

        Raises Stopped before the next step, once a checkpoint is saved; InvalidParameters when the
        loss is no number any more; CheckpointDamaged.
        """
        self._resume()
        while not self._is_done():
            self._run_epoch()
        best = self._state.best
        if best is not None:
            return TrainingResult(best.epoch, best.metrics, self._best)
        return TrainingResult(self._state.epoch - 1, self._state.metrics, self._task.weights())

    def _is_done(self) -> bool:
        epoch, best = self._state.epoch, self._state.best
        if best is not None and epoch - 1 - best.epoch >= self._patience:
            return True
        return epoch > self._epochs

    def _run_epoch(self) -> None:
        epoch = self._state.epoch
        self._learn()
        began_s = time.monotonic()
        # No throughput: a resumed training reports the same epochs as an undisturbed one.
        metrics = self._metrics() | dict(self._task.validate(self._stop_requested))
        seconds = self._state.sums.get(_SECONDS, 0.0) + time.monotonic() - began_s
        self._context.epoch(epoch, self._epochs, seconds, **metrics)
        for sample in self._task.samples(epoch, self._stop_requested):
            self._context.sample(epoch, sample.temperature, sample.prompt, sample.text)
        self._keep_if_best(metrics)
        self._state = self._state.next_epoch(metrics)
        self._save()

    def _learn(self) -> None:
        """Learn from what is left of an epoch."""
        state, per_epoch = self._state, self._task.batches_per_epoch
        before, first = (state.epoch - 1) * per_epoch, state.batches
        began_s, began_examples = time.monotonic(), state.examples
        counted_s = began_s
        batches = self._task.batches(state.epoch, first)
        for done in range(before + first, before + per_epoch):
            self._check_stop(done)
            step = self._task.step(next(batches), done, self._total)
            now_s = time.monotonic()
            state.add(step, now_s - counted_s)
            counted_s = now_s
            metrics = self._metrics()
            self._check_loss(metrics["loss"])
            if self._throughput:
                seconds = max(now_s - began_s, 1e-9)
                metrics[self._throughput] = (state.examples - began_examples) / seconds
            self._context.step(done + 1, self._total, **metrics)
            if self._context.checkpoints.due():
                self._save()
        self._check_stop(before + per_epoch)

    def _metrics(self) -> dict[str, float]:
        """Return the metrics of the epoch so far."""
        return {**self._task.report(self._state.means()), **self._state.latest}

    def _check_loss(self, loss: float) -> None:
        if not math.isfinite(loss):
            became = f"The loss became {loss} in epoch {self._state.epoch}"
            if self._learning_rate is None:
                raise InvalidParameters(f"{became}. Train with other parameters.")
            raise InvalidParameters(
                f"{became} with learning_rate {self._learning_rate}. Train with a lower one."
            )

    def _check_stop(self, done: int) -> None:
        if self._stop_requested():
            raise Stopped(
                f"The training was stopped after step {done:,} of {self._total:,}; it made no "
                "version."
            )

    def _stop_requested(self) -> bool:
        """Return whether the training should stop; a checkpoint is saved first."""
        if not self._context.stop_requested():
            return False
        self._save()
        return True

    def _keep_if_best(self, metrics: Mapping[str, float]) -> None:
        if not self._patience or "validation_loss" not in metrics:
            return
        best = self._state.best
        if best is None or metrics["validation_loss"] < best.metrics["validation_loss"]:
            self._state.best = _BestEpoch(epoch=self._state.epoch, metrics=dict(metrics))
            self._best = {name: array.copy() for name, array in self._task.weights().items()}

    def _save(self) -> None:
        best = {_BEST + name: array for name, array in self._best.items()}
        self._context.checkpoints.save({**self._task.state(), **best}, self._state.model_dump())

    def _resume(self) -> None:
        checkpoint = self._context.checkpoints.load()
        if checkpoint is None:
            return
        try:
            state = TrainerState.model_validate(dict(checkpoint.progress))
        except ValidationError as error:
            raise CheckpointDamaged(
                f"The checkpoint's progress is not {self._model}'s: {error.errors()[0]['msg']}. It "
                "was saved by another version of the plugin. Train anew."
            ) from None
        arrays = checkpoint.arrays
        best = {name.removeprefix(_BEST): arrays[name] for name in arrays if name.startswith(_BEST)}
        shapes = {name: array.shape for name, array in self._task.weights().items()}
        check_arrays(best, shapes if state.best else {}, self._model)
        self._task.restore({name: arrays[name] for name in arrays if not name.startswith(_BEST)})
        self._state = state
        self._best = {name: np.array(array, np.float32) for name, array in best.items()}
