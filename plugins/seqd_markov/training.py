"""Trains a version: counts the text, smooths, measures, and writes the files.

Called by the model's description (`seqd_markov.Markov`). Reads the data two or three times and
never holds it whole, but for the ids of a text that is kept. Makes no checkpoints: a million
characters are counted in a tenth of a second, so that beginning anew costs less than saving.
"""

import time
from collections.abc import Iterator, Mapping

import numpy as np

from seqd.errors import Stopped
from seqd.hookspecs import Dataset, TrainContext, TrainedModel
from seqd_markov.artifact import Config, Version, save
from seqd_markov.measuring import measure
from seqd_markov.reading import Chunk, Part, ids_of
from seqd_markov.sentences import Ends
from seqd_markov.survey import Survey
from seqd_markov.train_parameters import TrainParameters
from seqd_markov.weighing import KeptText, WeighedCounting

#: Characters of the training text that it is measured on at least, if it has them.
_MEASURED_CHARACTERS = 1_000_000


def train(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Learn from all of the data but what is held out.

    Raises Stopped within one chunk of a million characters.
    """
    began = time.monotonic()
    training = _Training(parameters, context)
    survey = training.survey(training.learnt)
    survey.check("text")
    if context.held_out is not None:
        training.survey(Part(context.held_out)).check("held-out text")
    version = training.version(survey)
    own = measure(version, _beginning(training.chunks(training.learnt)))
    metrics = {name: value for name, value in own.items() if name == "bits_per_char"}
    if training.held_out is not None:
        metrics |= _held_out(measure(version, training.chunks(training.held_out)))
    context.epoch(1, 1, time.monotonic() - began, **metrics)
    save(context.folder, version)
    sizes = {
        "characters": float(survey.characters),
        "states": float(version.model.states - 1),
        "ngrams": float(version.model.ngrams[-1]),
    }
    return TrainedModel(metrics=metrics | sizes, libraries={"numpy": np.__version__})


class _Training:
    """One training: its data in two parts, read as often as need be."""

    def __init__(self, parameters: TrainParameters, context: TrainContext) -> None:
        self._parameters = parameters
        self._context = context
        self._ends: Ends | None = parameters.sentence_ends if parameters.sentences else None
        border = None
        if context.held_out is None and parameters.validation_share:
            size = self._size_of(context.data)
            border = size - int(size * parameters.validation_share)
        of_words = parameters.level == "words"
        self.learnt = Part(context.data, border, keeps_words=of_words)
        #: What is measured on, if anything.
        self.held_out: Part | None = None
        if context.held_out is not None:
            self.held_out = Part(context.held_out)
        elif border is not None:
            self.held_out = Part(context.data, border, is_rest=True, keeps_words=of_words)

    def chunks(self, part: Part) -> Iterator[Chunk]:
        """Read a part. Raises Stopped before the next chunk once a stop is asked for."""
        by_label = bool(self._parameters.label_weights)
        for chunk in part.chunks(self._ends, by_label=by_label):
            self._ask()
            yield chunk

    def survey(self, part: Part) -> Survey:
        """Find the symbols of a part."""
        survey = Survey(self._parameters.level, lower_case=self._parameters.lower_case)
        for chunk in self.chunks(part):
            survey.add(chunk.text, self._ends)
        return survey

    def version(self, survey: Survey) -> Version:
        """Count the text that was surveyed, and smooth."""
        parameters = self._parameters
        symbols = survey.symbols(parameters.max_vocabulary)
        config = Config(
            level=parameters.level,
            lower_case=parameters.lower_case,
            sentences=parameters.sentences,
            sentence_ends=parameters.sentence_ends,
            alphabet=symbols.alphabet,
            unknown_share=symbols.unknown_share,
        )
        tokens = config.tokens(symbols.vocabulary)
        counting = WeighedCounting(parameters, tokens.symbols, tokens.begin)
        kept = KeptText(tokens.symbols) if parameters.keep_text else None
        for number, chunk in enumerate(self.chunks(self.learnt)):
            self._context.step(number, survey.chunks)
            ids = ids_of(chunk.text, tokens, self._ends)
            counting.add(ids, chunk.label)
            if kept is not None:
                kept.add(ids)
        self._context.step(survey.chunks, survey.chunks)
        corpus = None if kept is None else kept.ids()
        return Version(config, tokens, counting.model(), corpus, symbols.spelling)

    def _size_of(self, data: Dataset) -> int:
        """Characters of a data set."""
        size = 0
        for piece in data.segments():
            self._ask()
            size += len(piece.text)
        return size

    def _ask(self) -> None:
        if self._context.stop_requested():
            raise Stopped("The counting was stopped before its end; there is no version.")


def _beginning(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """The chunks of a text's beginning that is long enough to measure."""
    characters = 0
    for chunk in chunks:
        yield chunk
        characters += len(chunk.text)
        if characters >= _MEASURED_CHARACTERS:
            return


def _held_out(measured: Mapping[str, float]) -> dict[str, float]:
    """Names of what was measured on held-out text; none for a text that is too short."""
    names = {"perplexity": "validation_perplexity", "bits_per_char": "validation_bits_per_char"}
    return {names.get(name, name): value for name, value in measured.items()}
