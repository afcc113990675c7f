"""Goes through a training's epochs and writes the version: what both modes share.

`window_training` and `stream_training` say what an epoch learns from and how. Made by the model's
description (`seqd_char_lstm.CharLstm`) when a training begins.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidParameters, Stopped
from seqd.hookspecs import TrainContext, TrainedModel, random_stream
from seqd_char_lstm.artifact import Version, Weights, named, save
from seqd_char_lstm.corpus import Corpus
from seqd_char_lstm.held_out import HeldOut
from seqd_char_lstm.ngram_fitting import fit_ngrams
from seqd_char_lstm.place import Place
from seqd_char_lstm.train_parameters import TrainParameters
from seqd_char_lstm.weights import as_weights
from seqd_char_lstm.writing import write_samples

State = dict[str, npt.NDArray[np.generic]]

#: Characters of the text that a sample goes on from, where no window says how many.
_PROMPT: Final = 40


class Training(ABC):
    """One training, from the text to the files. `run` it once and drop it."""

    def __init__(
        self, parameters: TrainParameters, context: TrainContext, corpus: Corpus, batches: int
    ) -> None:
        """An epoch has so many `batches`. Raises InvalidData for an unusable held-out text."""
        self._parameters = parameters
        self._context = context
        self._corpus = corpus
        self._epoch_batches = batches
        self._steps = batches * parameters.epochs
        self._threads = context.device.threads
        self._held_out = (
            None
            if corpus.held_out is None
            else HeldOut(corpus.held_out, self._stop_requested, self._threads)
        )
        self._place = Place()

    def run(self) -> TrainedModel:
        """Train all epochs, or those that a checkpoint has left, and write the files.

        Raises Stopped within one step, and InvalidParameters when the loss is lost.
        """
        self._tell_what_is_unused()
        self._resume()
        while not self._is_done():
            self._run_epoch(self._place.epoch)
        return self._finish()

    @abstractmethod
    def _losses(self, random: np.random.Generator) -> Iterator[tuple[float, int]]:
        """Learn from the batches that are left of an epoch, one each time that it is asked.

        Gives each batch's mean loss in nats, from before its step, and its predictions. `random`
        is the epoch's own.
        """

    @abstractmethod
    def _version(self) -> Version:
        """Give what would be served now, without n-grams."""

    @abstractmethod
    def _state(self) -> State:
        """Copy out what the steps to come read."""

    @abstractmethod
    def _restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over what `_state` gave; `_place` is already that of the checkpoint."""

    @abstractmethod
    def _libraries(self) -> dict[str, str]:
        """Versions of the libraries that take part, by name."""

    def _kept_version(self) -> Version:
        """Give what is served in the end, without n-grams."""
        return self._version()

    def _is_done(self) -> bool:
        return self._place.epoch > self._parameters.epochs

    def _step_metrics(self) -> dict[str, float]:
        """Give what a mode tells of a step besides its loss and rate."""
        return {}

    def _end_epoch(self, metrics: dict[str, float]) -> None:
        self._place = self._place.after_epoch(metrics)

    def _run_epoch(self, epoch: int) -> None:
        began_s = time.monotonic()
        # One stream an epoch, so that an epoch's order does not hang on the epochs before it.
        random = random_stream(self._parameters.seed, epoch, 0)
        self._learn(epoch, random)
        # No rate: a training that goes on after a kill tells what an undisturbed one does (C1).
        metrics = _loss_figures(self._place.losses.value) | self._step_metrics()
        if self._held_out is not None:
            metrics |= self._held_out.figures(self._version())
        seconds = time.monotonic() - began_s
        self._context.epoch(epoch, self._parameters.epochs, seconds, **metrics)
        self._show_samples(epoch, random)
        self._end_epoch(metrics)
        self._save()

    def _learn(self, epoch: int, random: np.random.Generator) -> None:
        """Go through what is left of an epoch."""
        place, losses = self._place, self._losses(random)
        began_s, before = time.monotonic(), place.losses.predictions
        for _ in range(place.batches, self._epoch_batches):
            self._heed_stop()
            place.losses.add(*next(losses))
            self._check_loss(epoch)
            place.batches += 1
            seconds = max(time.monotonic() - began_s, 1e-9)
            figures = _loss_figures(place.losses.value) | self._step_metrics()
            rate = (place.losses.predictions - before) / seconds
            self._context.step(self._steps_done, self._steps, **figures, characters_per_s=rate)
            if self._context.checkpoints.due():
                self._save()

    def _check_loss(self, epoch: int) -> None:
        loss = self._place.losses.value
        if not math.isfinite(loss):
            raise InvalidParameters(
                f"The loss became {loss} in epoch {epoch} with learning_rate "
                f"{self._parameters.learning_rate}. Train with a lower one."
            )

    def _show_samples(self, epoch: int, random: np.random.Generator) -> None:
        """Let the network, without n-grams, go on from a place of the text. Raises Stopped."""
        length, temperatures = self._parameters.sample_length, self._parameters.sample_temperatures
        if not length:
            return
        version, ids, seed = self._version(), self._corpus.ids, self._parameters.seed
        characters = version.config.window or min(_PROMPT, len(ids))
        start = int(random.integers(len(ids) - characters + 1))
        prompt = ids[start : start + characters]
        streams = [random_stream(seed, epoch, 1 + number) for number in range(len(temperatures))]
        texts = write_samples(
            version, prompt, temperatures, streams, length, self._stop_requested, self._threads
        )
        alphabet = self._corpus.alphabet
        for temperature, text in zip(temperatures, texts, strict=True):
            self._context.sample(epoch, temperature, alphabet.decode(prompt), alphabet.decode(text))

    def _finish(self) -> TrainedModel:
        """Fit what the network is compared with, measure, and write the version's files."""
        version, order = self._kept_version(), self._parameters.ngram_order
        half, figures = self._parameters.half_precision, self._figures_of_epoch()
        if half:
            version = replace(version, weights=rounded_to_half(version.weights))
        if order and (self._held_out is not None or version.config.ngram_share):
            ids, symbols = self._corpus.ids, len(self._corpus.alphabet)
            version = replace(version, ngrams=fit_ngrams(ids, symbols, order, self._stop_requested))
        if self._held_out is not None:
            figures |= self._held_out.compared(version)
        kept = version.ngrams if version.config.ngram_share else None
        save(self._context.folder, version.config, version.weights, kept, half=half)
        return TrainedModel(metrics=figures, libraries=self._libraries())

    def _figures_of_epoch(self) -> dict[str, float]:
        """Give the figures of the epoch whose weights are kept, and what it learnt from."""
        best = self._place.best
        metrics = self._place.metrics if best is None else best.metrics
        return {
            "loss": metrics["loss"],
            "bits_per_char": metrics["bits_per_char"],
            "characters": float(len(self._corpus.ids)),
            "alphabet": float(len(self._corpus.alphabet)),
            "epochs": float(self._place.epoch - 1 if best is None else best.epoch),
        }

    def _tell_what_is_unused(self) -> None:
        mode, unused = self._parameters.mode, self._parameters.unused()
        if unused:
            other = "window" if mode == "stream" else "stream"
            self._context.log(
                f"Not used in mode {mode}: {', '.join(unused)}. What they are for is mode {other}."
            )

    def _resume(self) -> None:
        checkpoint = self._context.checkpoints.load()
        if checkpoint is not None:
            self._place = Place.of(checkpoint.progress)
            self._restore(checkpoint.arrays)

    def _save(self) -> None:
        self._context.checkpoints.save(self._state(), self._place.model_dump())

    def _heed_stop(self) -> None:
        if self._stop_requested():
            raise Stopped(
                f"The training was stopped after step {self._steps_done:,} of {self._steps:,}; "
                "it made no version."
            )

    def _stop_requested(self) -> bool:
        """Ask whether to stop, and save once more if so."""
        if not self._context.stop_requested():
            return False
        self._save()
        return True

    @property
    def _steps_done(self) -> int:
        return (self._place.epoch - 1) * self._epoch_batches + self._place.batches


def rounded_to_half(weights: Weights) -> Weights:
    """Give weights as they are once they were stored with 16 bits each."""
    halves = {name: array.astype(np.float16) for name, array in named(weights).items()}
    return as_weights({name: array.astype(np.float32) for name, array in halves.items()})


def _loss_figures(loss: float) -> dict[str, float]:
    return {"loss": loss, "bits_per_char": loss / math.log(2.0)}
