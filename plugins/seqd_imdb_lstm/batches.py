"""Cuts an epoch's batches: which reviews are learnt from together, and what of them is hidden.

Everything drawn here hangs on the seed, the epoch's number and the batch's alone, so that a
training that goes on from a checkpoint draws what an undisturbed one does.

Called by `learning`. Knows ids and classes; the network is others' business.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from seqd_imdb_lstm.classes import Targets, class_shares
from seqd_imdb_lstm.corpus import LabelledReviews
from seqd_imdb_lstm.packed_reviews import Rows
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.reviews import START_ID, UNKNOWN_ID
from seqd_imdb_lstm.version import Floats, VersionConfig
from seqd_imdb_lstm.word_table import Ids

#: By so much, at most, a review's length is taken for another when like lengths are put together:
#: else the same reviews would meet at each epoch.
_LENGTH_BLUR: Final = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step learns from."""

    #: (tokens,) each, from 1 to `max_tokens` of them, all below `embedded_words`.
    reviews: Sequence[Ids]
    #: (reviews,) each one's class.
    targets: Targets
    #: (reviews,) what each one's loss counts; 1 where classes are not weighed.
    shares: Floats

    def __len__(self) -> int:
        return len(self.reviews)


class Batches:
    """The batches of a training."""

    def __init__(
        self, training: LabelledReviews, config: VersionConfig, parameters: TrainParameters
    ) -> None:
        self._training = training
        self._parameters = parameters
        self._embedded_words = config.embedded_words
        self._lengths = np.array([len(ids) for ids in training.reviews], dtype=np.float64)
        self._class_shares = class_shares(
            training.targets, len(config.labels), parameters.class_weights
        )

    def __len__(self) -> int:
        """Batches of an epoch."""
        return math.ceil(len(self._training) / self._parameters.batch_reviews)

    def of_epoch(self, epoch: int, first: int) -> Iterator[Batch]:
        """Cut the batches of an epoch, counted from 1, from batch `first` on, counted from 0.

        Each only when its turn comes.
        """
        parts = self._parts(epoch)
        for number in range(first, len(parts)):
            rows = parts[number]
            random = np.random.default_rng((self._parameters.seed, epoch - 1, 1 + number))
            targets = self._training.targets[rows]
            yield Batch(
                reviews=[self._shown(self._training.reviews[int(row)], random) for row in rows],
                targets=targets,
                shares=self._class_shares[targets],
            )

    def _parts(self, epoch: int) -> list[Rows]:
        """Put an epoch's reviews in order, and cut them into batches."""
        random = np.random.default_rng((self._parameters.seed, epoch - 1))
        size = self._parameters.batch_reviews
        order = random.permutation(len(self._training))
        if self._parameters.batching == "by_length":
            blur = random.uniform(1.0 - _LENGTH_BLUR, 1.0 + _LENGTH_BLUR, len(order))
            order = order[np.argsort(self._lengths[order] * blur, kind="stable")]
        parts = [order[start : start + size] for start in range(0, len(order), size)]
        if self._parameters.batching == "by_length":
            parts = [parts[number] for number in random.permutation(len(parts))]
        return parts

    def _shown(self, ids: Ids, random: np.random.Generator) -> Ids:
        """Cut a window out, and hide words: those that the network does not know, and others."""
        ids = known_to_network(self._window(ids, random), self._embedded_words)
        hidden = self._parameters.word_dropout
        if not hidden:
            return ids
        is_hidden = (random.random(len(ids)) < hidden) & (ids != START_ID)
        return np.where(is_hidden, np.int32(UNKNOWN_ID), ids)

    def _window(self, ids: Ids, random: np.random.Generator) -> Ids:
        """Cut a part of a long review out, anywhere in it."""
        size = self._parameters.window_tokens
        if not size or len(ids) <= size:
            return ids
        start = int(random.integers(0, len(ids) - size + 1))
        return ids[start : start + size]


def known_to_network(ids: Ids, embedded_words: int) -> Ids:
    """Put the unknown word in the place of every id that has no row in the embedding."""
    return np.where(ids < embedded_words, ids, np.int32(UNKNOWN_ID))
