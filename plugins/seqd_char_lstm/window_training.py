"""Trains a version that reads windows, as the tutorial does, with Keras on any device.

Called by the model's description (`seqd_char_lstm.CharLstm`); `training` has what both modes share.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd.hookspecs import TrainContext, TrainedModel
from seqd_char_lstm.artifact import Version
from seqd_char_lstm.config import Config
from seqd_char_lstm.corpus import Corpus
from seqd_char_lstm.network import WindowNetwork, libraries
from seqd_char_lstm.text import lead_in
from seqd_char_lstm.train_parameters import TrainParameters
from seqd_char_lstm.training import State, Training
from seqd_char_lstm.windows import Windows


class WindowTraining(Training):
    """See `Training`. An epoch learns from each window once, in an order of its own."""

    def __init__(self, parameters: TrainParameters, context: TrainContext, corpus: Corpus) -> None:
        if len(corpus.ids) <= parameters.window:
            raise InvalidData(
                f"The text has {len(corpus.ids):,} characters to learn from; a window of "
                f"{parameters.window} and the character after it need at least "
                f"{parameters.window + 1}. Give a longer text or a smaller window."
            )
        self._windows = Windows(corpus.ids, parameters.window, parameters.step)
        batches = -(-len(self._windows) // parameters.batch_windows)
        super().__init__(parameters, context, corpus, batches)
        self._network = WindowNetwork(
            ids=len(corpus.alphabet),
            window=parameters.window,
            units=parameters.units,
            learning_rate=parameters.learning_rate,
            seed=parameters.seed,
        )
        self._config = Config(
            reads="window",
            alphabet=corpus.alphabet.characters,
            lower_case=parameters.lower_case,
            units=parameters.units,
            window=parameters.window,
            lead_in=lead_in(corpus.text, parameters.window),
        )

    def _losses(self, random: np.random.Generator) -> Iterator[tuple[float, int]]:
        batch_windows = self._parameters.batch_windows
        left = random.permutation(len(self._windows))[self._place.batches * batch_windows :]
        for windows, targets in self._windows.batches(left, batch_windows):
            yield self._network.train_step(windows, targets), len(targets)

    def _version(self) -> Version:
        return Version(self._config, self._network.weights())

    def _state(self) -> State:
        return self._network.state()

    def _restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        self._network.restore(state)

    def _libraries(self) -> dict[str, str]:
        return libraries()

    def _finish(self) -> TrainedModel:
        trained = super()._finish()
        windows = {"windows": float(len(self._windows))}
        return replace(trained, metrics={**trained.metrics, **windows})
