"""Trains a version: counts in how many texts each feature is."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Final

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import TrainContext, TrainedModel
from seqd_embed.hashing import FEATURES, count_features, normalized
from seqd_embed.records import MAX_CHARS, TrainParameters
from seqd_embed.serving import LoadedNgrams
from seqd_embed.weights import Weights, save

#: Texts that are counted at once.
BATCH_TEXTS: Final = 256


def train(parameters: TrainParameters, context: TrainContext) -> TrainedModel:
    """Count the features of all texts, write the weights, and return the figures.

    It takes a second for 10,000 short texts, and keeps no checkpoints.
    """
    began = time.monotonic()
    texts, texts_with = 0, np.zeros(FEATURES, np.int64)
    for batch in _batches(context):
        texts_with += np.bincount(count_features(batch).features, minlength=FEATURES)
        texts += len(batch)
    if texts == 0:
        raise InvalidData("no text has a letter or a digit; at least one is due")
    texts_with[texts_with < parameters.min_texts] = 0
    weights = Weights.learnt(texts, texts_with)
    save(weights, context.folder)
    metrics = {"texts": float(texts), "features": float(np.count_nonzero(texts_with))}
    context.epoch(1, 1, time.monotonic() - began, **metrics)
    return TrainedModel(metrics, {"numpy": np.__version__}, LoadedNgrams(weights))


def _batches(context: TrainContext) -> Iterator[list[str]]:
    """Yield the texts that have words. Raises Stopped where a stop is requested."""
    texts = (normalized(record.text[:MAX_CHARS]) for record in context.data.records())
    with_words = filter(None, texts)
    while True:
        if context.stop_requested():
            raise Stopped
        batch = list(islice(with_words, BATCH_TEXTS))
        if not batch:
            return
        yield batch
