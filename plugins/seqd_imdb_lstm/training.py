"""Trains a version: data in, network trained and validated, files out.

Called by `ImdbLstm.train` only. Which words are known is `corpus`'s work, the epochs are
`learning`'s; what is trained on, and what of it becomes files, stands here.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import Dataset, TrainContext, TrainedModel
from seqd_imdb_lstm.corpus import (
    Corpus,
    LabelledReviews,
    LabelledWords,
    read_corpus,
    read_held_out,
)
from seqd_imdb_lstm.parameters import KERAS_IMDB, TrainParameters
from seqd_imdb_lstm.reviews import Vocabulary, words_of
from seqd_imdb_lstm.version import Version, VersionConfig, write_version

#: Reviews read between two looks at the stop request; 20 ms of work.
_READ_REVIEWS: Final = 512

#: Halves of Keras's built-in set.
_TRAINING_HALF: Final = 0
_TEST_HALF: Final = 1


@dataclass(frozen=True, slots=True)
class _Material:
    """All that a training works on."""

    config: VersionConfig
    vocabulary: Vocabulary
    training: LabelledReviews
    validation: LabelledReviews


def train_version(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Train, and write the version of the last epoch into `context.folder`.

    Raises InvalidData and Stopped.
    """
    material = _read_material(parameters, context)
    _tell_what_is_trained_on(material, context)
    # Not before the data has proved good: importing Keras takes seconds.
    from seqd_imdb_lstm import network
    from seqd_imdb_lstm.learning import Learning

    config, vocabulary = material.config, material.vocabulary
    learner = network.Learner(config, parameters)

    def version() -> Version:
        return Version(config, vocabulary, learner.weights())

    learning = Learning(learner, version, material.training, parameters, context)
    figures = learning.run(material.validation)
    write_version(version(), context.folder)
    return TrainedModel(figures, network.library_versions() | {"numpy": np.__version__})


def _read_material(parameters: TrainParameters, context: TrainContext) -> _Material:
    corpus = _read_training_data(context)
    held_out = context.held_out
    # Held-out data of the caller's own leaves all of the training data to be trained on.
    fraction = parameters.validation_fraction if held_out is None else 0.0
    rows, validation_rows = corpus.split(fraction, parameters.seed)
    # From the training rows alone: a word must not be known for being in the held-out ones.
    vocabulary = corpus.vocabulary(rows, parameters.vocabulary_words)
    max_tokens = parameters.max_tokens
    if held_out is None:
        validation = corpus.encode(validation_rows, vocabulary, max_tokens)
    else:
        words = _words(held_out, _TEST_HALF, context)
        validation = read_held_out(
            words, held_out.description, vocabulary, corpus.labels, max_tokens
        )
    training = corpus.encode(rows, vocabulary, max_tokens)
    return _Material(_config_of(parameters, corpus.labels), vocabulary, training, validation)


def _read_training_data(context: TrainContext) -> Corpus:
    words = _words(context.data, _TRAINING_HALF, context)
    if context.data.named is not None:
        words = _fingerprinted(words, context)
    corpus = read_corpus(words, context.data.description)
    if corpus.wordless:
        context.log(f"Left out {corpus.wordless:,} records without a single word.")
    return corpus


def _words(dataset: Dataset, half: int, context: TrainContext) -> Iterator[LabelledWords]:
    """Give a data set's reviews as words, looking at the stop request now and then."""
    for position, (words, label) in enumerate(_all_words(dataset, half)):
        if position % _READ_REVIEWS == 0 and context.stop_requested():
            raise Stopped("The training was asked to stop while it read its data.")
        yield words, label


def _all_words(dataset: Dataset, half: int) -> Iterator[LabelledWords]:
    if dataset.named is None:
        for record in dataset.records():
            yield words_of(record.text), record.label
    elif dataset.named == KERAS_IMDB:
        from seqd_imdb_lstm import network

        yield from network.builtin_imdb(half)
    else:
        raise InvalidData(
            f"imdb_lstm knows no data set named {dataset.named!r}; it knows {KERAS_IMDB!r}."
        )


def _fingerprinted(
    records: Iterator[LabelledWords], context: TrainContext
) -> Iterator[LabelledWords]:
    """Pass records on, and state their number and digest at the end."""
    digest, count = hashlib.sha256(), 0
    for words, label in records:
        digest.update(b" ".join(words) + b"\n" + str(label).encode() + b"\n")
        count += 1
        yield words, label
    context.fingerprint(count, digest.hexdigest())


def _config_of(parameters: TrainParameters, labels: tuple[str, str]) -> VersionConfig:
    return VersionConfig(
        vocabulary_words=parameters.vocabulary_words,
        max_tokens=parameters.max_tokens,
        embedding_length=parameters.embedding_length,
        lstm_units=parameters.lstm_units,
        labels=labels,
    )


def _tell_what_is_trained_on(material: _Material, context: TrainContext) -> None:
    negative, positive = material.config.labels
    ones = int(material.training.targets.sum())
    context.log(
        f"Training on {len(material.training):,} reviews, "
        f"{len(material.training) - ones:,} {negative!r} (0) and {ones:,} {positive!r} (1), "
        f"with {len(material.vocabulary.words):,} known words; "
        f"validating on {len(material.validation):,}."
    )
