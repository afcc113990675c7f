"""Trains a version: data in, network trained and validated, files out.

Called by `ImdbLstm.train` only. Which words are known is `corpus`'s work, the epochs are
`learning`'s; what is trained on, and what of it becomes files, stands here.
"""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from seqd.errors import InvalidData, InvalidParameters, Stopped
from seqd.hookspecs import Dataset, TrainContext, TrainedModel
from seqd_imdb_lstm.batches import Batches
from seqd_imdb_lstm.classes import class_counts, class_shares
from seqd_imdb_lstm.corpus import (
    Corpus,
    LabelledReviews,
    LabelledWords,
    read_corpus,
    read_held_out,
)
from seqd_imdb_lstm.learner import learner_for
from seqd_imdb_lstm.learning import Learning
from seqd_imdb_lstm.memory import memory_limit_bytes
from seqd_imdb_lstm.ngram_fitting import LabelledIds, fit_table
from seqd_imdb_lstm.parameters import KERAS_IMDB, Tokenizer, TrainParameters
from seqd_imdb_lstm.remarks import remarks
from seqd_imdb_lstm.reviews import INDEX_FROM, TOKENIZER, Vocabulary, all_words_of
from seqd_imdb_lstm.version import Version, VersionConfig, Weights, write_version

#: Reviews read between two looks at the stop request; 20 ms of work.
_READ_REVIEWS: Final = 512

#: Reviews that are split into words together.
_SPLIT_REVIEWS: Final = 32

#: Classes whose records are counted in what the caller is told.
_SHOWN_CLASSES: Final = 10

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
    """Train, and write the version that `Learning` keeps into `context.folder`.

    Raises InvalidData and Stopped.
    """
    material = _read_material(parameters, context)
    _tell_what_is_trained_on(material, context)
    config = material.config
    learner = learner_for(config, parameters, context.device)

    def version_of(weights: Weights) -> Version:
        return Version(config, material.vocabulary, weights)

    batches = Batches(material.training, config, parameters)
    learning = Learning(learner, version_of, batches, parameters, context)
    figures = learning.run(material.validation)
    version = version_of(learning.kept_weights())
    if parameters.ngram_length:
        version = _with_ngrams(version, material.training, parameters, context)
        of_lstm = {f"lstm_{name}": value for name, value in figures.items()}
        figures = of_lstm | learning.validated(version, material.validation)
    write_version(version, context.folder)
    return TrainedModel(figures, learner.library_versions() | {"numpy": np.__version__})


def _with_ngrams(
    version: Version,
    training: LabelledReviews,
    parameters: TrainParameters,
    context: TrainContext,
) -> Version:
    """Fit the n-gram branch. A training that is killed meanwhile begins here again."""
    began_s = time.monotonic()

    def check_stop() -> None:
        if context.stop_requested():
            raise Stopped("The training was asked to stop while it fitted its n-grams.")

    shares = class_shares(training.targets, len(version.config.labels), parameters.class_weights)
    table = fit_table(
        LabelledIds(training.reviews, training.targets, shares[training.targets]),
        len(version.config.labels),
        length=parameters.ngram_length,
        buckets=parameters.ngram_buckets,
        l2=parameters.ngram_l2,
        check_stop=check_stop,
    )
    context.log(
        f"Fitted {np.count_nonzero(table.owners):,} n-grams of up to {table.length} words in "
        f"{time.monotonic() - began_s:.0f} s."
    )
    return replace(version, ngrams=table)


def _read_material(parameters: TrainParameters, context: TrainContext) -> _Material:
    # What is left is for the libraries, the network, and a worker beside this one.
    limit_bytes = memory_limit_bytes() // 2
    corpus = _read_training_data(parameters, context, limit_bytes)
    held_out = context.held_out
    # Held-out data of the caller's own leaves all of the training data to be trained on.
    fraction = parameters.validation_fraction if held_out is None else 0.0
    rows, validation_rows = corpus.split(fraction, parameters.seed)
    # From the training rows alone: a word must not be known for being in the held-out ones.
    vocabulary = corpus.vocabulary(rows, parameters.vocabulary_words, parameters.tokenizer)
    if held_out is None:
        validation = corpus.encode(validation_rows, vocabulary)
    else:
        words = _words(held_out, _TEST_HALF, parameters, context)
        validation = read_held_out(
            words,
            held_out.description,
            vocabulary,
            corpus.labels,
            parameters.max_tokens,
            limit_bytes - corpus.size_bytes,
        )
    if parameters.patience_epochs and not len(validation):
        raise InvalidParameters(
            f"patience_epochs is {parameters.patience_epochs}, and there is nothing to validate "
            "on: no class of the data has enough records to hold one out. Give held-out data, "
            "raise validation_fraction, or leave patience_epochs at 0."
        )
    training = corpus.encode(rows, vocabulary)
    config = _config_of(parameters, corpus.labels, vocabulary, training)
    return _Material(config, vocabulary, training, validation)


def _read_training_data(
    parameters: TrainParameters, context: TrainContext, limit_bytes: int
) -> Corpus:
    words = _words(context.data, _TRAINING_HALF, parameters, context)
    if context.data.named is not None:
        words = _fingerprinted(words, context)
    corpus = read_corpus(words, context.data.description, parameters.max_tokens, limit_bytes)
    for remark in remarks(corpus, parameters):
        context.log(remark)
    return corpus


def _words(
    dataset: Dataset, half: int, parameters: TrainParameters, context: TrainContext
) -> Iterator[LabelledWords]:
    """Give a data set's reviews as words, looking at the stop request now and then."""
    for position, (words, label) in enumerate(_all_words(dataset, half, parameters.tokenizer)):
        if position % _READ_REVIEWS == 0 and context.stop_requested():
            raise Stopped("The training was asked to stop while it read its data.")
        yield words, label


def _all_words(dataset: Dataset, half: int, tokenizer: Tokenizer) -> Iterator[LabelledWords]:
    if dataset.named is None:
        records = dataset.records()
        while batch := list(islice(records, _SPLIT_REVIEWS)):
            texts = all_words_of([record.text for record in batch], tokenizer)
            yield from zip(texts, [record.label for record in batch], strict=True)
    elif dataset.named == KERAS_IMDB:
        if tokenizer != TOKENIZER:
            raise InvalidParameters(
                f"{KERAS_IMDB} holds words, not texts: {TOKENIZER} split them, so tokenizer cannot "
                f"be {tokenizer!r}. Leave it at {TOKENIZER!r}, or train from the raw reviews."
            )
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


def _config_of(
    parameters: TrainParameters,
    labels: tuple[str, ...],
    vocabulary: Vocabulary,
    training: LabelledReviews,
) -> VersionConfig:
    # No rows of the embedding for words that there are not.
    words = min(parameters.vocabulary_words, INDEX_FROM + len(vocabulary.words) + 1)
    return VersionConfig(
        tokenizer=parameters.tokenizer,
        vocabulary_words=words,
        network_words=min(parameters.network_words, words),
        max_tokens=parameters.max_tokens,
        padding=parameters.padding,
        embedding_length=parameters.embedding_length,
        lstm_units=parameters.lstm_units,
        bidirectional=parameters.bidirectional,
        pooling=parameters.pooling,
        ngram_length=parameters.ngram_length,
        ngram_buckets=parameters.ngram_buckets if parameters.ngram_length else 0,
        lstm_share=parameters.lstm_share if parameters.ngram_length else 1.0,
        labels=labels,
        class_counts=tuple(class_counts(training.targets, len(labels)).tolist()),
    )


def _tell_what_is_trained_on(material: _Material, context: TrainContext) -> None:
    config = material.config
    counted = zip(config.labels, config.class_counts, strict=True)
    shown = [f"{count:,} {label[:40]!r}" for label, count in counted]
    more = len(shown) - _SHOWN_CLASSES
    classes = ", ".join(shown[:_SHOWN_CLASSES]) + (f" and {more:,} more classes" * (more > 0))
    context.log(
        f"Training on {len(material.training):,} reviews, {classes}, "
        f"with {len(material.vocabulary.words):,} known words; "
        f"validating on {len(material.validation):,}."
    )
