"""Train a version: data in, LSTM and n-gram branch trained and validated, files out.

The LSTM is trained first, by `learning.Learning`; then the n-gram branch is fitted to the same
reviews, where `ngram_order` asks for one. The vocabulary is that of the training rows alone: a
word must not be known for being in the validation rows.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from seqd.errors import InvalidData, InvalidParameters, Stopped
from seqd.hookspecs import Dataset, TrainContext, TrainedModel
from seqd_imdb_lstm.artifact import Version, VersionConfig, Weights, write_version
from seqd_imdb_lstm.batches import Batches
from seqd_imdb_lstm.data import (
    Corpus,
    LabelledReviews,
    class_counts,
    data_warnings,
    loss_weights,
    memory_limit_bytes,
    read_corpus,
    read_held_out,
)
from seqd_imdb_lstm.engine import engine_for
from seqd_imdb_lstm.learner import learner_for
from seqd_imdb_lstm.learning import Learning
from seqd_imdb_lstm.ngrams import WeightedReviews, fit_table
from seqd_imdb_lstm.parameters import KERAS_IMDB, Tokenizer, TrainParameters
from seqd_imdb_lstm.serving import LoadedImdbLstm
from seqd_imdb_lstm.tokenizer import KERAS_LEGACY, LabelledWords, tokenize_all
from seqd_imdb_lstm.vocabulary import INDEX_FROM, Vocabulary
from seqd_modelkit.keras_import import importing_keras

#: Reviews read between two checks of the stop request; 20 ms of work.
_READ_REVIEWS: Final = 512

#: Reviews that are split into words together.
_SPLIT_REVIEWS: Final = 32

#: Classes whose records the log counts by name.
_SHOWN_CLASSES: Final = 10

#: Halves of Keras's built-in set.
_TRAINING_HALF: Final = 0
_TEST_HALF: Final = 1


@dataclass(frozen=True, slots=True)
class _Inputs:
    """What a training starts from."""

    config: VersionConfig
    vocabulary: Vocabulary
    training: LabelledReviews
    validation: LabelledReviews


def train_version(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Train, and write the version into `context.folder`; return its metrics.

    With both branches the metrics of the LSTM alone are named `lstm_…`. Raises InvalidData for
    data that cannot be learnt from, InvalidParameters, and Stopped.
    """
    inputs = _read_inputs(parameters, context)
    _log_inputs(inputs, context)
    config = inputs.config
    learner = learner_for(config, parameters, context.device)

    def version_of(weights: Weights) -> Version:
        return Version(config, inputs.vocabulary, weights)

    batches = Batches(inputs.training, config, parameters)
    learning = Learning(learner, version_of, batches, parameters, context)
    metrics = learning.run(inputs.validation)
    version = version_of(learning.kept_weights())
    if parameters.ngram_order:
        version = _with_ngrams(version, inputs.training, parameters, context)
        of_lstm = {f"lstm_{name}": value for name, value in metrics.items()}
        metrics = of_lstm | learning.validated(version, inputs.validation)
    write_version(version, context.folder)
    libraries = learner.library_versions() | {"numpy": np.__version__}
    in_memory = LoadedImdbLstm(version, engine_for(version, context.device))
    return TrainedModel(metrics, libraries, in_memory)


def _with_ngrams(
    version: Version, training: LabelledReviews, parameters: TrainParameters, context: TrainContext
) -> Version:
    """Return the version with a fitted n-gram branch.

    No checkpoint is saved meanwhile: a training that is killed here fits the branch anew.
    """
    began_s = time.monotonic()

    def check_stop() -> None:
        if context.stop_requested():
            raise Stopped("The training was asked to stop while it fitted its n-grams.")

    classes = len(version.config.labels)
    weights = loss_weights(training.targets, classes, parameters.class_weight)
    table = fit_table(
        WeightedReviews(training.reviews, training.targets, weights[training.targets]),
        classes,
        order=parameters.ngram_order,
        buckets=parameters.ngram_buckets,
        l2=parameters.ngram_l2,
        check_stop=check_stop,
    )
    context.log(
        f"Fitted {np.count_nonzero(table.owners):,} n-grams of up to {table.order} words in "
        f"{time.monotonic() - began_s:.0f} s."
    )
    return replace(version, ngrams=table)


def _read_inputs(parameters: TrainParameters, context: TrainContext) -> _Inputs:
    # The other half is for the libraries, the network, and a worker beside this one.
    limit_bytes = memory_limit_bytes() // 2
    corpus = _read_training_data(parameters, context, limit_bytes)
    held_out = context.held_out
    validation_split = parameters.validation_split if held_out is None else 0.0
    rows, validation_rows = corpus.split(validation_split, parameters.seed)
    vocabulary = corpus.vocabulary(rows, parameters.vocabulary_size, parameters.tokenizer)
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
    if parameters.patience and not len(validation):
        raise InvalidParameters(
            f"patience is {parameters.patience}, and there is nothing to validate on: no class of "
            "the data has enough records to hold one out. Give held-out data, raise "
            "validation_split, or leave patience at 0."
        )
    training = corpus.encode(rows, vocabulary)
    config = _config_of(parameters, corpus.labels, vocabulary, training)
    return _Inputs(config, vocabulary, training, validation)


def _read_training_data(
    parameters: TrainParameters, context: TrainContext, limit_bytes: int
) -> Corpus:
    words = _words(context.data, _TRAINING_HALF, parameters, context)
    if context.data.named is not None:
        words = _fingerprinted(words, context)
    corpus = read_corpus(words, context.data.description, parameters.max_tokens, limit_bytes)
    for warning in data_warnings(corpus, parameters):
        context.log(warning)
    return corpus


def _words(
    dataset: Dataset, half: int, parameters: TrainParameters, context: TrainContext
) -> Iterator[LabelledWords]:
    """Yield a data set's records as words; raise Stopped on request."""
    for position, (words, label) in enumerate(_all_words(dataset, half, parameters.tokenizer)):
        if position % _READ_REVIEWS == 0 and context.stop_requested():
            raise Stopped("The training was asked to stop while it read its data.")
        yield words, label


def _all_words(dataset: Dataset, half: int, tokenizer: Tokenizer) -> Iterator[LabelledWords]:
    if dataset.named is None:
        records = dataset.records()
        while batch := list(islice(records, _SPLIT_REVIEWS)):
            texts = tokenize_all([record.text for record in batch], tokenizer)
            yield from zip(texts, [record.label for record in batch], strict=True)
    elif dataset.named == KERAS_IMDB:
        if tokenizer != KERAS_LEGACY:
            raise InvalidParameters(
                f"{KERAS_IMDB} holds words, not texts: {KERAS_LEGACY} split them, so tokenizer "
                f"cannot be {tokenizer!r}. Leave it at {KERAS_LEGACY!r}, or train from the raw "
                "reviews."
            )
        with importing_keras(
            f"The data set {KERAS_IMDB} comes with Keras",
            advice="Install seqd[cpu] for this worker, or train from a file of reviews",
        ):
            from seqd_imdb_lstm import network

        yield from network.builtin_imdb(half)
    else:
        raise InvalidData(
            f"imdb_lstm knows no data set named {dataset.named!r}; it knows {KERAS_IMDB!r}."
        )


def _fingerprinted(
    records: Iterator[LabelledWords], context: TrainContext
) -> Iterator[LabelledWords]:
    """Yield the records; state their number, SHA-256 and classes at the end."""
    digest, classes, count = hashlib.sha256(), Counter[str](), 0
    for words, label in records:
        digest.update(b" ".join(words) + b"\n" + str(label).encode() + b"\n")
        classes[str(label)] += 1
        count += 1
        yield words, label
    context.fingerprint(count, digest.hexdigest(), classes)


def _config_of(
    parameters: TrainParameters,
    labels: tuple[str, ...],
    vocabulary: Vocabulary,
    training: LabelledReviews,
) -> VersionConfig:
    # The embedding has no rows for words that the data does not have.
    words = min(parameters.vocabulary_size, INDEX_FROM + len(vocabulary.words) + 1)
    return VersionConfig(
        tokenizer=parameters.tokenizer,
        vocabulary_size=words,
        lstm_vocabulary_size=min(parameters.lstm_vocabulary_size, words),
        max_tokens=parameters.max_tokens,
        padding=parameters.padding,
        embedding_dim=parameters.embedding_dim,
        units=parameters.units,
        bidirectional=parameters.bidirectional,
        pooling=parameters.pooling,
        ngram_order=parameters.ngram_order,
        ngram_buckets=parameters.ngram_buckets if parameters.ngram_order else 0,
        lstm_share=parameters.lstm_share if parameters.ngram_order else 1.0,
        labels=labels,
        class_counts=tuple(class_counts(training.targets, len(labels)).tolist()),
    )


def _log_inputs(inputs: _Inputs, context: TrainContext) -> None:
    config = inputs.config
    counted = zip(config.labels, config.class_counts, strict=True)
    shown = [f"{count:,} {label[:40]!r}" for label, count in counted]
    more = len(shown) - _SHOWN_CLASSES
    classes = ", ".join(shown[:_SHOWN_CLASSES]) + (f" and {more:,} more classes" * (more > 0))
    context.log(
        f"Training on {len(inputs.training):,} reviews, {classes}, "
        f"with {len(inputs.vocabulary.words):,} known words; "
        f"validating on {len(inputs.validation):,}."
    )
