"""Trains a version that reads a stream: every position predicted, the state carried along.

Called by the model's description (`seqd_char_lstm.CharLstm`); `training` has what both modes share.
What a step computes is a `StreamLearner`'s: `cpu_learner` on a CPU, `network` (Keras) on a GPU.
"""

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData, InvalidParameters
from seqd.hookspecs import TrainContext, check_arrays
from seqd_char_lstm.artifact import Version, named
from seqd_char_lstm.config import Config
from seqd_char_lstm.corpus import Corpus
from seqd_char_lstm.learner import learner_for, learning_rate
from seqd_char_lstm.place import Best
from seqd_char_lstm.streams import Streams
from seqd_char_lstm.text import lead_in
from seqd_char_lstm.train_parameters import TrainParameters
from seqd_char_lstm.training import State, Training
from seqd_char_lstm.weights import as_weights

#: Characters of the text that a version reads before an empty prompt.
_LEAD_IN: Final = 64

#: Prefix of the best epoch's weights in a checkpoint.
_BEST: Final = "best."

#: Memory that a batch may take while it is gone back through, in bytes.
_MOST_BYTES: Final = 8 * 2**30


class StreamTraining(Training):
    """See `Training`. An epoch reads the text once, from a place of its own on."""

    def __init__(self, parameters: TrainParameters, context: TrainContext, corpus: Corpus) -> None:
        _check_size(corpus, parameters)
        if parameters.patience and corpus.held_out is None:
            raise InvalidParameters(
                f"patience is {parameters.patience}, and there is nothing to measure on: give "
                "held-out data or a validation_share, or set patience to 0."
            )
        self._streams = Streams(corpus.ids, parameters.streams, parameters.steps)
        super().__init__(parameters, context, corpus, len(self._streams))
        self._learner = learner_for(len(corpus.alphabet), parameters, context.device)
        #: The best epoch's weights by name; none where the last ones are kept.
        self._best: dict[str, npt.NDArray[np.float32]] = {}
        text = corpus.text
        self._config = Config(
            reads="stream",
            alphabet=corpus.alphabet.characters,
            lower_case=parameters.lower_case,
            units=parameters.units,
            layers=parameters.layers,
            embedding_length=parameters.embedding_length,
            lead_in=lead_in(text, min(_LEAD_IN, len(text))),
            ngram_share=parameters.ngram_share,
        )

    def _losses(self, random: np.random.Generator) -> Iterator[tuple[float, int]]:
        place, first = int(random.integers(len(self._corpus.ids))), self._place.batches
        if not first:
            self._learner.begin_epoch()
        for inputs, targets in self._streams.batches(place, first):
            rate = learning_rate(self._parameters, self._steps_done, self._steps)
            yield self._learner.step(inputs, targets, rate), targets.size

    def _version(self) -> Version:
        return Version(self._config, self._learner.weights())

    def _kept_version(self) -> Version:
        best = as_weights(self._best) if self._best else self._learner.weights()
        return Version(self._config, best)

    def _tell_what_is_unused(self) -> None:
        super()._tell_what_is_unused()
        if self._context.device.kind == "gpu" and self._parameters.recurrent_dropout:
            self._context.log(
                "Not used on a GPU: recurrent_dropout. cuDNN has no LSTM that leaves recurrent "
                "weights out; more dropout does something alike."
            )

    def _step_metrics(self) -> dict[str, float]:
        done = self._steps_done - 1  # before the step that is told of
        return {"learning_rate": learning_rate(self._parameters, done, self._steps)}

    def _end_epoch(self, metrics: dict[str, float]) -> None:
        best, name = self._place.best, "validation_loss"
        if self._parameters.patience and (best is None or metrics[name] < best.metrics[name]):
            self._place.best = Best(epoch=self._place.epoch, metrics=metrics)
            self._best = named(self._learner.weights())
        super()._end_epoch(metrics)

    def _is_done(self) -> bool:
        best = self._place.best
        waited = self._place.epoch - 1 - best.epoch if best else 0
        return super()._is_done() or (best is not None and waited >= self._parameters.patience)

    def _state(self) -> State:
        best = {_BEST + name: array for name, array in self._best.items()}
        return {**self._learner.state(), **best}

    def _restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        best = {name.removeprefix(_BEST): state[name] for name in state if name.startswith(_BEST)}
        shapes = {name: array.shape for name, array in named(self._learner.weights()).items()}
        check_arrays(best, shapes if self._place.best else {}, "char_lstm")
        self._learner.restore({name: state[name] for name in state if not name.startswith(_BEST)})
        self._best = {name: array.astype(np.float32) for name, array in best.items()}

    def _libraries(self) -> dict[str, str]:
        return self._learner.library_versions()


def _check_size(corpus: Corpus, parameters: TrainParameters) -> None:
    batch = parameters.streams * parameters.steps
    if len(corpus.ids) < batch:
        raise InvalidData(
            f"The text has {len(corpus.ids):,} characters to learn from; {parameters.streams} "
            f"streams of {parameters.steps} steps need at least {batch:,}. Give a longer text, or "
            "fewer streams or steps."
        )
    # Gates, states and outputs of each layer, and the scores thrice; float32.
    of_character = 8 * parameters.layers * parameters.units + 3 * len(corpus.alphabet)
    if 4 * batch * of_character > _MOST_BYTES:
        raise InvalidParameters(
            f"A batch of {parameters.streams} streams of {parameters.steps} steps would take "
            f"{4 * batch * of_character / 2**30:.0f} GiB with {parameters.layers} x "
            f"{parameters.units} units and {len(corpus.alphabet):,} characters; at most "
            f"{_MOST_BYTES // 2**30} are allowed. Use fewer streams or steps."
        )
