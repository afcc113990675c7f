"""Cut the batches of an epoch: bucketing by length, random windows, word dropout.

Random draws depend only on the seed, the epoch and the number of the batch, so a training that
resumes from a checkpoint draws what an undisturbed one does.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from seqd_imdb_lstm.artifact import Floats, Targets, VersionConfig
from seqd_imdb_lstm.data import LabelledReviews, Rows, loss_weights
from seqd_imdb_lstm.parameters import TrainParameters
from seqd_imdb_lstm.vocabulary import START_ID, UNKNOWN_ID, Ids, clip_to_vocabulary

#: Lengths are multiplied by a random factor of up to 1 ± this before reviews are sorted by them:
#: else the same reviews would share a batch in each epoch.
_LENGTH_NOISE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """The reviews of one training step."""

    #: (tokens,) each, from 1 to `max_tokens` ids, all below `embedded_words`.
    reviews: Sequence[Ids]
    #: (reviews,) int32, the class of each.
    targets: Targets
    #: (reviews,) float32, the weight of each one's loss; 1 without class weights.
    sample_weight: Floats

    def __len__(self) -> int:
        return len(self.reviews)


class Batches:
    """The batches of a training; their number is that of one epoch."""

    def __init__(
        self, training: LabelledReviews, config: VersionConfig, parameters: TrainParameters
    ) -> None:
        self._training = training
        self._parameters = parameters
        self._embedded_words = config.embedded_words
        self._lengths = np.array([len(ids) for ids in training.reviews], dtype=np.float64)
        self._loss_weights = loss_weights(
            training.targets, len(config.labels), parameters.class_weight
        )

    def __len__(self) -> int:
        return math.ceil(len(self._training) / self._parameters.batch_size)

    def of_epoch(self, epoch: int, first: int) -> Iterator[Batch]:
        """Yield an epoch's batches from number `first` on; epochs count from 1, batches from 0.

        Every review stands in one batch of the epoch.
        """
        batches = self._rows_of_batches(epoch)
        for number in range(first, len(batches)):
            rows = batches[number]
            random = np.random.default_rng((self._parameters.seed, epoch - 1, 1 + number))
            targets = self._training.targets[rows]
            yield Batch(
                reviews=[self._augmented(self._training.reviews[int(row)], random) for row in rows],
                targets=targets,
                sample_weight=self._loss_weights[targets],
            )

    def _rows_of_batches(self, epoch: int) -> list[Rows]:
        """Return the rows of each batch: shuffled, or reviews of similar length together."""
        random = np.random.default_rng((self._parameters.seed, epoch - 1))
        size = self._parameters.batch_size
        order = random.permutation(len(self._training))
        if self._parameters.batching == "by_length":
            noise = random.uniform(1.0 - _LENGTH_NOISE, 1.0 + _LENGTH_NOISE, len(order))
            order = order[np.argsort(self._lengths[order] * noise, kind="stable")]
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        if self._parameters.batching == "by_length":
            batches = [batches[number] for number in random.permutation(len(batches))]
        return batches

    def _augmented(self, ids: Ids, random: np.random.Generator) -> Ids:
        """Return a window of a review in the LSTM's vocabulary, after word dropout."""
        ids = clip_to_vocabulary(self._window(ids, random), self._embedded_words)
        word_dropout = self._parameters.word_dropout
        if not word_dropout:
            return ids
        is_dropped = (random.random(len(ids)) < word_dropout) & (ids != START_ID)
        return np.where(is_dropped, np.int32(UNKNOWN_ID), ids)

    def _window(self, ids: Ids, random: np.random.Generator) -> Ids:
        size = self._parameters.window_tokens
        if not size or len(ids) <= size:
            return ids
        start = int(random.integers(0, len(ids) - size + 1))
        return ids[start : start + size]
