"""Trains a version: windows, epochs, events, samples, checkpoints, and the files at the end.

Imports Keras through `network`, and so is itself imported by the model's description
(`seqd_char_lstm.CharLstm`) only when a training begins.
"""

import math
import time

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData, InvalidParameters, Stopped
from seqd.hookspecs import TrainContext, TrainedModel, random_stream
from seqd_char_lstm.artifact import MAX_ALPHABET, Config, save
from seqd_char_lstm.forward import Folded
from seqd_char_lstm.network import Network, libraries
from seqd_char_lstm.parameters import TrainParameters
from seqd_char_lstm.place import Mean, Place
from seqd_char_lstm.text import UNKNOWN, Alphabet, Windows, lead_in
from seqd_char_lstm.writing import read_prompts, write

#: Held-out windows that are measured at once: a tenth of a second of work.
_HELD_OUT_BATCH = 512


class Training:
    """One training, from the text to the files. `run` it once and drop it."""

    def __init__(self, parameters: TrainParameters, context: TrainContext) -> None:
        text = _training_text(parameters, context)
        self._parameters = parameters
        self._context = context
        self._alphabet = _alphabet_of(text)
        self._lead_in = lead_in(text, parameters.window)
        self._windows = Windows(self._alphabet.encode(text), parameters.window, parameters.step)
        self._held_out = self._held_out_windows()
        self._network = Network(
            ids=len(self._alphabet),
            window=parameters.window,
            units=parameters.units,
            learning_rate=parameters.learning_rate,
            seed=parameters.seed,
        )
        self._epoch_steps = -(-len(self._windows) // parameters.batch_windows)
        self._steps = self._epoch_steps * parameters.epochs
        self._place = Place()

    def run(self) -> TrainedModel:
        """Train all epochs, or those that a checkpoint has left, and write the files.

        Raises Stopped within one step, and InvalidParameters when the loss is lost.
        """
        self._resume()
        while self._place.epoch <= self._parameters.epochs:
            metrics = self._run_epoch(self._place.epoch)
            self._place = Place(epoch=self._place.epoch + 1, metrics=metrics)
            self._save()
        save(self._context.folder, self._config(), self._network.weights())
        metrics = self._place.metrics | {
            "characters": float(len(self._windows.ids)),
            "alphabet": float(len(self._alphabet)),
            "windows": float(len(self._windows)),
            "epochs": float(self._parameters.epochs),
        }
        return TrainedModel(metrics=metrics, libraries=libraries())

    def _resume(self) -> None:
        checkpoint = self._context.checkpoints.load()
        if checkpoint is not None:
            self._place = Place.of(checkpoint.progress)
            self._network.restore(checkpoint.arrays)

    def _save(self) -> None:
        self._context.checkpoints.save(self._network.state(), self._place.model_dump())

    def _run_epoch(self, epoch: int) -> dict[str, float]:
        began = time.monotonic()
        # One stream an epoch, so that an epoch's order does not hang on the epochs before it.
        stream = random_stream(self._parameters.seed, epoch, 0)
        loss = self._learn(epoch, stream.permutation(len(self._windows)))
        metrics = {"loss": loss, "bits_per_char": loss / math.log(2.0)} | self._measure_held_out()
        seconds = time.monotonic() - began
        self._context.epoch(epoch, self._parameters.epochs, seconds, **metrics)
        self._show_samples(epoch, stream)
        return metrics

    def _learn(self, epoch: int, order: npt.NDArray[np.int64]) -> float:
        """Go through all windows once; gives their mean loss, each from before its step."""
        place, batch_windows = self._place, self._parameters.batch_windows
        left = order[place.batches * batch_windows :]
        for windows, targets in self._windows.batches(left, batch_windows):
            self._heed_stop()
            place.losses.add(self._network.train_step(windows, targets), len(targets))
            loss = place.losses.value
            if not math.isfinite(loss):
                raise InvalidParameters(
                    f"The loss became {loss} in epoch {epoch} with learning_rate "
                    f"{self._parameters.learning_rate}. Train with a lower one."
                )
            place.batches += 1
            self._context.step(self._steps_done, self._steps, loss=loss)
            if self._context.checkpoints.due():
                self._save()
        return place.losses.value

    def _measure_held_out(self) -> dict[str, float]:
        if self._held_out is None:
            return {}
        windows, numbers = self._held_out
        losses = Mean()
        for inputs, targets in windows.batches(numbers, _HELD_OUT_BATCH):
            self._heed_stop()
            losses.add(self._network.held_out_step(inputs, targets), len(targets))
        return {
            "validation_loss": losses.value,
            "validation_bits_per_char": losses.value / math.log(2.0),
        }

    def _held_out_windows(self) -> tuple[Windows, npt.NDArray[np.int64]] | None:
        """Every window of the held-out text that has known characters only."""
        if self._context.held_out is None:
            return None
        text = _cased(self._context.held_out.text(), self._parameters)
        windows = Windows(self._alphabet.encode(text), self._parameters.window, step=1)
        spoilt = np.convolve(windows.ids == UNKNOWN, np.ones(windows.window + 1, np.int64), "valid")
        numbers = np.flatnonzero(spoilt == 0) if len(windows) else np.empty(0, np.int64)
        if not len(numbers):
            raise InvalidData(
                f"The held-out text has {len(text):,} characters, but no {windows.window + 1} in a "
                "row that the training text also has. Hold out a longer part of the same kind."
            )
        if len(numbers) < len(windows):
            self._context.log(
                f"{len(windows) - len(numbers):,} of {len(windows):,} held-out windows are left "
                "out: they have characters that the training text lacks."
            )
        return windows, numbers

    def _show_samples(self, epoch: int, stream: np.random.Generator) -> None:
        length, temperatures = self._parameters.sample_length, self._parameters.sample_temperatures
        if not length:
            return
        start = int(stream.integers(len(self._windows.ids) - self._parameters.window + 1))
        prompt = self._windows.ids[start : start + self._parameters.window]  # (window,)
        stop_requested = self._stop_requested
        folded = Folded.of(self._network.weights())
        wavefront = read_prompts(folded, prompt[None, :], stop_requested)
        pieces = write(
            wavefront.chosen(np.zeros(len(temperatures), np.int64)),
            temperatures,
            [random_stream(self._parameters.seed, epoch, 1 + n) for n in range(len(temperatures))],
            length,
            stop_requested,
        )
        ids = np.concatenate([piece.ids for piece in pieces], axis=1)  # (temperatures, length)
        for temperature, row in zip(temperatures, ids, strict=True):
            self._context.sample(
                epoch, temperature, self._alphabet.decode(prompt), self._alphabet.decode(row)
            )

    def _config(self) -> Config:
        return Config(
            alphabet=self._alphabet.characters,
            lower_case=self._parameters.lower_case,
            window=self._parameters.window,
            units=self._parameters.units,
            lead_in=self._lead_in,
        )

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
        return (self._place.epoch - 1) * self._epoch_steps + self._place.batches


def _training_text(parameters: TrainParameters, context: TrainContext) -> str:
    text = _cased(context.data.text(), parameters)
    if len(text) <= parameters.window:
        raise InvalidData(
            f"The text has {len(text):,} characters; a window of {parameters.window} and the "
            f"character after it need at least {parameters.window + 1}. "
            "Give a longer text or a smaller window."
        )
    return text


def _cased(text: str, parameters: TrainParameters) -> str:
    return text.lower() if parameters.lower_case else text


def _alphabet_of(text: str) -> Alphabet:
    alphabet = Alphabet.of(text)
    if not 2 <= len(alphabet) <= MAX_ALPHABET:
        raise InvalidData(
            f"The text has {len(alphabet):,} distinct characters; "
            f"from 2 to {MAX_ALPHABET:,} can be learnt. Give a text of words."
        )
    return alphabet
