"""Training, from a text to a version's files, in two modes.

`WindowTask` learns as the Keras tutorial does: batches of overlapping windows in a random order,
one prediction a window. `StreamTask` learns by truncated back-propagation through time: contiguous
streams, a prediction at each position, LSTM states carried from batch to batch.
`seqd_modelkit.training` has the loop over epochs. Afterwards, with
`mixing`, a model that mixes contexts learns the same text, to predict together with the network.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData, InvalidParameters
from seqd.hookspecs import TrainContext, TrainedModel, random_stream
from seqd_char_lstm.artifact import (
    Config,
    Floats,
    Version,
    Weights,
    as_weights,
    check_numba,
    named,
    save,
)
from seqd_char_lstm.data import Corpus, Ids, Streams, Windows, lead_in, read_corpus
from seqd_char_lstm.decoding import ChainStart, Decoder
from seqd_char_lstm.engine import engine_for
from seqd_char_lstm.evaluation import ValidationText
from seqd_char_lstm.generation import Generator
from seqd_char_lstm.learner import learner_for, learning_rate
from seqd_char_lstm.parameters import TrainParameters
from seqd_modelkit.keras_import import importing_keras
from seqd_modelkit.sampling import SamplingRules
from seqd_modelkit.training import Sample, StepMetrics, TrainingLoop, TrainingResult, TrainingTask

if TYPE_CHECKING:  # it imports Numba
    from seqd_modelkit.mixing.model import Mixture

Arrays = Mapping[str, npt.NDArray[np.generic]]
Batch = tuple[Ids, Ids]

#: Characters of the text that a sample continues, where no window says how many.
_PROMPT: Final = 40

#: Characters of the text that a version of mode "stream" reads before an empty prompt.
_LEAD_IN: Final = 64

#: Memory that back-propagation through one batch may take, in bytes.
_MOST_BYTES: Final = 8 * 2**30


def train_version(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Train, and write the version's files into `context.folder`; return its metrics.

    Raises InvalidData and InvalidParameters before any work for what cannot be learnt from, and
    what `TrainingLoop.run` raises.
    """
    corpus = read_corpus(parameters, context)
    streams = parameters.mode == "stream"
    task = (StreamTask if streams else WindowTask)(parameters, context, corpus)
    _log_unused(parameters, context)
    loop = TrainingLoop(
        task,
        context,
        model="char_lstm",
        epochs=parameters.epochs,
        learning_rate=parameters.learning_rate,
        patience=parameters.patience if streams else 0,
        throughput="characters_per_s",
    )
    return _finish(task, loop.run(), parameters, context)


def _log_unused(parameters: TrainParameters, context: TrainContext) -> None:
    mode, unused = parameters.mode, parameters.unused()
    if unused:
        other = "window" if mode == "stream" else "stream"
        context.log(
            f"Not used in mode {mode}: {', '.join(unused)}. What they are for is mode {other}."
        )
    if mode == "stream" and context.device.kind == "gpu" and parameters.recurrent_dropout:
        context.log(
            "Not used on a GPU: recurrent_dropout. cuDNN has no LSTM that leaves recurrent weights "
            "out; more dropout does something alike."
        )


class TextTask(TrainingTask[Batch]):
    """What both modes share: validation and samples."""

    def __init__(self, parameters: TrainParameters, context: TrainContext, corpus: Corpus) -> None:
        """Raises InvalidData for an unusable held-out text."""
        self.corpus: Final = corpus
        self.config: Final = self._config_of(parameters, corpus)
        threads = context.device.threads
        held_out = corpus.held_out
        self.validation: Final = None if held_out is None else ValidationText(held_out, threads)
        self._parameters = parameters
        self._threads = threads
        #: The current epoch's random numbers, first of its batches, then of its samples' prompt.
        self._random = random_stream(parameters.seed, 1, 0)

    @staticmethod
    @abstractmethod
    def _config_of(parameters: TrainParameters, corpus: Corpus) -> Config:
        """Return the config that a version will have."""

    def _begin_epoch(self, epoch: int) -> np.random.Generator:
        # One random stream an epoch, so that its order does not depend on the epochs before it.
        self._random = random_stream(self._parameters.seed, epoch, 0)
        return self._random

    @abstractmethod
    def network_weights(self) -> Weights:
        """Return the weights to write text with: their EMA where one is kept."""

    @abstractmethod
    def library_versions(self) -> dict[str, str]:
        """Return the versions of the libraries that take part, by name."""

    def data_metrics(self) -> dict[str, float]:
        """Return the sizes of what was learnt from."""
        characters, alphabet = len(self.corpus.ids), len(self.corpus.alphabet)
        return {"characters": float(characters), "alphabet": float(alphabet)}

    def weights(self) -> dict[str, Floats]:
        """Return `network_weights` by name."""
        return named(self.network_weights())

    def version(self) -> Version:
        """Return what would be served now, without a mixture."""
        return Version(self.config, self.network_weights()).network_alone()

    def report(self, means: Mapping[str, float]) -> Mapping[str, float]:
        """Return the mean loss in nats per character, and in bits."""
        return {"loss": means["loss"], "bits_per_char": means["loss"] / math.log(2.0)}

    def validate(self, stop_requested: Callable[[], bool]) -> Mapping[str, float]:
        """Return loss and bits per character of the network on the held-out text."""
        if self.validation is None:
            return {}
        return self.validation.network_metrics(self.version(), stop_requested)

    def samples(self, epoch: int, stop_requested: Callable[[], bool]) -> Iterator[Sample]:
        """Yield a continuation of one passage of the text at each temperature, by the network."""
        parameters, ids, alphabet = self._parameters, self.corpus.ids, self.corpus.alphabet
        if not parameters.sample_length:
            return
        temperatures, window = parameters.sample_temperatures, self.config.window
        characters = window or min(_PROMPT, len(ids))
        start = int(self._random.integers(len(ids) - characters + 1))
        prompt = ids[start : start + characters]
        starts = [
            ChainStart(prompt, temperature, random_stream(parameters.seed, epoch, 1 + number))
            for number, temperature in enumerate(temperatures)
        ]
        decoder = Decoder(
            engine_for(self.version()),
            starts,
            SamplingRules(),
            chain_rows=window or 1,
            threads=self._threads,
            stop_requested=stop_requested,
        )
        texts = [""] * len(starts)
        for delta in decoder.decode(parameters.sample_length):
            texts[delta.chain] += alphabet.decode(delta.ids)
        for temperature, text in zip(temperatures, texts, strict=True):
            yield Sample(temperature, alphabet.decode(prompt), text)


class WindowTask(TextTask):
    """Learns from each window once an epoch, with Keras on any device."""

    def __init__(self, parameters: TrainParameters, context: TrainContext, corpus: Corpus) -> None:
        if len(corpus.ids) <= parameters.window:
            raise InvalidData(
                f"The text has {len(corpus.ids):,} characters to learn from; a window of "
                f"{parameters.window} and the character after it need at least "
                f"{parameters.window + 1}. Give a longer text or a smaller window."
            )
        super().__init__(parameters, context, corpus)
        with importing_keras(
            "char_lstm learns from windows with Keras, on any device",
            advice="Install seqd[cpu] for this worker, or train in mode 'stream', as the presets "
            "fast and best do",
        ):
            from seqd_char_lstm.network import WindowNetwork, libraries

        self._windows = Windows(corpus.ids, parameters.window, parameters.step)
        self._libraries = libraries
        self._network = WindowNetwork(
            ids=len(corpus.alphabet),
            window=parameters.window,
            units=parameters.units,
            learning_rate=parameters.learning_rate,
            seed=parameters.seed,
        )

    @staticmethod
    def _config_of(parameters: TrainParameters, corpus: Corpus) -> Config:
        return Config(
            reads="window",
            alphabet=corpus.alphabet.characters,
            lower_case=parameters.lower_case,
            units=parameters.units,
            window=parameters.window,
            lead_in=lead_in(corpus.text, parameters.window),
        )

    @property
    def batches_per_epoch(self) -> int:
        """Batches of every epoch, the last of which may be smaller."""
        return -(-len(self._windows) // self._parameters.batch_size)

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Return the epoch's windows, (batch, window), and the ids after them, (batch,)."""
        order = self._begin_epoch(epoch).permutation(len(self._windows))
        size = self._parameters.batch_size
        return self._windows.batches(order[first * size :], size)

    def step(self, batch: Batch, done: int, total: int) -> StepMetrics:
        """Take a step of RMSprop."""
        del done, total
        windows, targets = batch
        loss = self._network.train_step(windows, targets)
        return StepMetrics(len(targets), {"loss": loss * len(targets)})

    def network_weights(self) -> Weights:
        """Return the network's weights."""
        return self._network.weights()

    def library_versions(self) -> dict[str, str]:
        """Return the versions of the libraries that take part, by name."""
        return self._libraries()

    def data_metrics(self) -> dict[str, float]:
        """Return the sizes of what was learnt from, with the number of windows."""
        return super().data_metrics() | {"windows": float(len(self._windows))}

    def state(self) -> Arrays:
        """Return the network's and the optimizer's state."""
        return self._network.state()

    def restore(self, state: Arrays) -> None:
        """Take over a state; raise CheckpointDamaged for another network's."""
        self._network.restore(state)


class StreamTask(TextTask):
    """Learns from the text once an epoch, from an offset of its own on."""

    def __init__(self, parameters: TrainParameters, context: TrainContext, corpus: Corpus) -> None:
        _check_size(corpus, parameters)
        if parameters.patience and corpus.held_out is None:
            raise InvalidParameters(
                f"patience is {parameters.patience}, and there is nothing to validate on: give "
                "held-out data or a validation_split, or set patience to 0."
            )
        super().__init__(parameters, context, corpus)
        self._streams = Streams(corpus.ids, parameters.batch_size, parameters.steps)
        self._learner = learner_for(len(corpus.alphabet), parameters, context.device)

    @staticmethod
    def _config_of(parameters: TrainParameters, corpus: Corpus) -> Config:
        text = corpus.text
        return Config(
            reads="stream",
            alphabet=corpus.alphabet.characters,
            lower_case=parameters.lower_case,
            units=parameters.units,
            layers=parameters.layers,
            embedding_dim=parameters.embedding_dim,
            lead_in=lead_in(text, min(_LEAD_IN, len(text))),
            mixes=parameters.mixing,
        )

    @property
    def batches_per_epoch(self) -> int:
        """Batches of every epoch."""
        return len(self._streams)

    def batches(self, epoch: int, first: int) -> Iterator[Batch]:
        """Return the epoch's inputs and targets, (batch_size, steps) each."""
        offset = int(self._begin_epoch(epoch).integers(len(self.corpus.ids)))
        if not first:
            self._learner.begin_epoch()
        return self._streams.batches(offset, first)

    def step(self, batch: Batch, done: int, total: int) -> StepMetrics:
        """Take a step of AdamW."""
        inputs, targets = batch
        rate = learning_rate(self._parameters, done, total)
        loss = self._learner.step(inputs, targets, rate)
        return StepMetrics(targets.size, {"loss": loss * targets.size}, {"learning_rate": rate})

    def network_weights(self) -> Weights:
        """Return the network's weights, or their EMA where one is kept."""
        return self._learner.weights()

    def library_versions(self) -> dict[str, str]:
        """Return the versions of the libraries that take part, by name."""
        return self._learner.library_versions()

    def state(self) -> Arrays:
        """Return the learner's state, with the LSTM states of the streams."""
        return self._learner.state()

    def restore(self, state: Arrays) -> None:
        """Take over a state; raise CheckpointDamaged for another network's."""
        self._learner.restore(state)


def _check_size(corpus: Corpus, parameters: TrainParameters) -> None:
    batch = parameters.batch_size * parameters.steps
    if len(corpus.ids) < batch:
        raise InvalidData(
            f"The text has {len(corpus.ids):,} characters to learn from; {parameters.batch_size} "
            f"streams of {parameters.steps} steps need at least {batch:,}. Give a longer text, or "
            "a smaller batch_size or fewer steps."
        )
    # Gates, states and outputs of each layer, and the logits thrice; float32.
    of_character = 8 * parameters.layers * parameters.units + 3 * len(corpus.alphabet)
    if 4 * batch * of_character > _MOST_BYTES:
        raise InvalidParameters(
            f"A batch of {parameters.batch_size} streams of {parameters.steps} steps would take "
            f"{4 * batch * of_character / 2**30:.0f} GiB with {parameters.layers} x "
            f"{parameters.units} units and {len(corpus.alphabet):,} characters; at most "
            f"{_MOST_BYTES // 2**30} are allowed. Use a smaller batch_size or fewer steps."
        )
    if parameters.mixing:
        _check_mixing(corpus)


def _check_mixing(corpus: Corpus) -> None:
    check_numba()
    from seqd_modelkit.mixing.model import MAX_CHARACTERS

    if len(corpus.ids) > MAX_CHARACTERS:
        raise InvalidData(
            f"The text has {len(corpus.ids):,} characters to learn from; mixing takes "
            f"{MAX_CHARACTERS:,} at most. Give a part of it, or train with mixing=false."
        )


def _finish(
    task: TextTask, result: TrainingResult, parameters: TrainParameters, context: TrainContext
) -> TrainedModel:
    """Learn the mixture, validate what will be served, and write the version's files."""
    metrics = {name: result.metrics[name] for name in ("loss", "bits_per_char")}
    metrics |= task.data_metrics() | {"epochs": float(result.epoch)}
    tensors, half = dict(result.weights), parameters.half_precision
    if half:  # as they are once they were stored
        tensors = {name: _rounded_to_half(array) for name, array in tensors.items()}
    version = Version(task.config, as_weights(tensors), _learn_mixture(task, context))
    if task.validation is not None:
        metrics |= task.validation.all_metrics(version, context.stop_requested)
    save(context.folder, version, half=half)
    return TrainedModel(metrics, task.library_versions(), Generator(version))


def _rounded_to_half(array: Floats) -> Floats:
    return array.astype(np.float16).astype(np.float32)


def _learn_mixture(task: TextTask, context: TrainContext) -> "Mixture | None":
    """Return a model that mixes contexts of the text that is trained on. Raises Stopped.

    40 s for 600,000 characters; a training that is killed meanwhile begins it again.
    """
    if not task.config.mixes:
        return None
    from seqd_modelkit.mixing.model import Learning

    context.log("Learning to mix contexts, which the network will predict together with.")
    learning = Learning(task.corpus.ids, task.config.alphabet, context, keeps=False)
    return replace(learning.run()[0], unknown_share=0.0)
