"""Fits the n-gram branch: which n-grams own the table's buckets, and their weights.

Deterministic, and without draws: the same reviews give the same table. Called by `training` once
the LSTM has learnt. `ngrams` serves what comes out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.classes import Targets
from seqd_imdb_lstm.lbfgs import minimise
from seqd_imdb_lstm.ngrams import (
    Features,
    Fingerprints,
    Floats,
    Hashes,
    NgramTable,
    hashes_of,
    places_of,
)
from seqd_imdb_lstm.word_table import Ids

Doubles = npt.NDArray[np.float64]

#: What is added to each count of an n-gram before a ratio is taken of it.
_SMOOTHING: Final = 1.0

#: Reviews in which an n-gram must stand to own a bucket.
_LEAST_REVIEWS: Final = 2

#: Reviews that are hashed at once, a tenth of a second of work.
_CHUNK_REVIEWS: Final = 1_024

#: Parts of the table whose owners are chosen one after the other. All n-grams of 25,000 reviews
#: at once, 20 million, would take a gigabyte while they are sorted.
_PARTS: Final = 16

#: Steps of the optimiser at most; 25,000 reviews took 40 to 60 until the gradient was a ten-
#: thousandth of the first one.
_MOST_STEPS: Final = 80

#: Largest share of weights that rounding to int8 cuts off.
_CUT_OFF: Final = 0.0001


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """What the branch learns from."""

    reviews: Sequence[Ids]
    targets: Targets  # (reviews,)
    #: (reviews,) what each one's loss counts.
    shares: Floats

    def one_hot(self, classes: int) -> Doubles:
        """Give (reviews, outputs): 1 where a review is of an output's class.

        Of two classes there is one output, the second's.
        """
        first = 1 if classes == 2 else 0
        wanted = np.arange(first, classes)
        return np.asarray(self.targets[:, None] == wanted, dtype=np.float64)


def fit_table(
    data: LabelledIds,
    classes: int,
    *,
    length: int,
    buckets: int,
    l2: float,
    check_stop: Callable[[], None] = lambda: None,
) -> NgramTable:
    """Fit a table of `buckets`, a power of two, to n-grams of up to `length` words.

    `l2` weighs the squares of the weights against the sum of the reviews' losses. `check_stop` is
    called at least each second, and may raise.
    """
    one_hot = data.one_hot(classes)
    owners = _choose_owners(data, one_hot, length, buckets, check_stop)
    outputs = one_hot.shape[1]
    # A table without weights, to find the features by.
    bare = NgramTable(
        length,
        owners,
        np.zeros((buckets, outputs), dtype=np.int8),
        np.ones(outputs, dtype=np.float32),
        np.zeros(outputs, dtype=np.float32),
    )
    features = _all_features(bare, data.reviews, check_stop)
    ratios = _log_count_ratios(features, one_hot, buckets)
    loss = _Loss(features, one_hot, data.shares.astype(np.float64), ratios, l2)
    found = minimise(loss, np.zeros(loss.size), _MOST_STEPS, check_stop)
    scaled, bias = loss.split(found)
    weights, scale = _rounded(scaled * ratios)
    return NgramTable(length, owners, weights, scale, bias.astype(np.float32))


def _chunks(reviews: Sequence[Ids]) -> Iterator[tuple[int, Sequence[Ids]]]:
    for start in range(0, len(reviews), _CHUNK_REVIEWS):
        yield start, reviews[start : start + _CHUNK_REVIEWS]


def _choose_owners(
    data: LabelledIds,
    one_hot: Doubles,
    length: int,
    buckets: int,
    check_stop: Callable[[], None],
) -> Fingerprints:
    """Give each bucket to the n-gram that tells the most of those that fall into it."""
    owners = np.zeros(buckets, dtype=np.uint8)
    shift = np.uint64(64 - (_PARTS.bit_length() - 1))
    for part in range(_PARTS):
        rows, hashes = [], []
        for start, chunk in _chunks(data.reviews):
            check_stop()
            row, found = hashes_of(chunk, length)
            is_here = found >> shift == part
            rows.append(row[is_here] + np.int32(start))
            hashes.append(found[is_here])
        _settle(owners, np.concatenate(rows), np.concatenate(hashes), one_hot)
    return owners


def _settle(
    owners: Fingerprints, rows: npt.NDArray[np.int32], hashes: Hashes, one_hot: Doubles
) -> None:
    """Write the owners of those buckets that some n-grams fall into, of all reviews."""
    order = np.lexsort((rows, hashes))
    rows, hashes = rows[order], hashes[order]
    is_new = np.diff(hashes, prepend=~hashes[:1]) != 0
    is_first = is_new | (np.diff(rows, prepend=-1) != 0)  # once a review
    which = np.cumsum(is_new)[is_first] - 1  # (uses,)
    ngrams, rows = hashes[is_new], rows[is_first]
    counts = np.bincount(which, minlength=len(ngrams)).astype(np.float64)
    telling = _telling(which, rows, counts, one_hot)
    kept = np.flatnonzero(counts >= _LEAST_REVIEWS)
    rising = kept[np.argsort(telling[kept], kind="stable")]
    buckets, fingerprints = places_of(ngrams[rising], len(owners))
    owners[buckets] = fingerprints  # of several for one place NumPy keeps the last


def _telling(
    which: npt.NDArray[np.int64], rows: npt.NDArray[np.int32], counts: Doubles, one_hot: Doubles
) -> Doubles:
    """Say how much each n-gram tells: |log of its odds over the class's| · √reviews."""
    told = np.zeros(len(counts))
    for is_class in one_hot.T:
        inside = np.bincount(which, is_class[rows], minlength=len(counts)) + _SMOOTHING
        outside = counts - inside + 2 * _SMOOTHING
        prior = np.log(is_class.sum() / (len(is_class) - is_class.sum()))
        told = np.maximum(told, np.abs(np.log(inside / outside) - prior))
    return np.asarray(told * np.sqrt(counts))


def _all_features(
    table: NgramTable, reviews: Sequence[Ids], check_stop: Callable[[], None]
) -> Features:
    found = []
    for start, chunk in _chunks(reviews):
        check_stop()
        features = table.features(chunk)
        found.append(Features(features.rows + np.int32(start), features.buckets))
    return Features(
        np.concatenate([part.rows for part in found]),
        np.concatenate([part.buckets for part in found]),
    )


def _log_count_ratios(features: Features, one_hot: Doubles, buckets: int) -> Doubles:
    """Give (buckets, outputs): log of a bucket's share of a class's uses over the others'."""
    used = np.bincount(features.buckets, minlength=buckets)
    ratios = np.zeros((buckets, one_hot.shape[1]))
    for output, is_class in enumerate(one_hot.T):
        uses = np.bincount(features.buckets, is_class[features.rows], minlength=buckets)
        inside = uses.astype(np.float64) + _SMOOTHING
        outside = used - inside + 2 * _SMOOTHING
        ratios[:, output] = np.log(inside / inside.sum()) - np.log(outside / outside.sum())
    ratios[used == 0] = 0.0
    return ratios


class _Loss:
    """Mean cross-entropy and l2 · |weights|² / (2 · reviews), of (buckets + 1, outputs)."""

    def __init__(
        self,
        features: Features,
        one_hot: Doubles,
        shares: Doubles,
        ratios: Doubles,
        l2: float,
    ) -> None:
        self._features = features
        self._one_hot = one_hot
        self._shares = shares / len(one_hot)
        self._ratios = ratios
        self._decay = l2 / len(one_hot)
        self.size = (len(ratios) + 1) * ratios.shape[1]

    def split(self, flat: Doubles) -> tuple[Doubles, Doubles]:
        """Give the weights (buckets, outputs) and the bias (outputs,) of a flat vector."""
        table = flat.reshape(-1, self._ratios.shape[1])
        return table[:-1], table[-1]

    def __call__(self, flat: Doubles) -> tuple[float, Doubles]:
        weights, bias = self.split(flat)
        loss, slope = _cross_entropy(self._scores(weights) + bias, self._one_hot, self._shares)
        gradient = np.empty((len(weights) + 1, len(bias)))
        for output in range(len(bias)):
            pulls = slope[self._features.rows, output]
            summed = np.bincount(self._features.buckets, pulls, minlength=len(weights))
            gradient[:-1, output] = summed * self._ratios[:, output]
        gradient[:-1] += self._decay * weights
        gradient[-1] = slope.sum(axis=0)
        return loss + 0.5 * self._decay * float(np.vdot(weights, weights)), gradient.ravel()

    def _scores(self, weights: Doubles) -> Doubles:
        reviews, outputs = self._one_hot.shape
        scores = np.empty((reviews, outputs))
        for output in range(outputs):
            effective = weights[:, output] * self._ratios[:, output]
            used = effective[self._features.buckets]
            scores[:, output] = np.bincount(self._features.rows, used, minlength=reviews)
        return scores


def _cross_entropy(scores: Doubles, one_hot: Doubles, shares: Doubles) -> tuple[float, Doubles]:
    """Give the loss and its slope (reviews, outputs): logistic for one output, else softmax."""
    if scores.shape[1] == 1:
        losses = np.logaddexp(0.0, scores) - one_hot * scores
        probabilities = np.exp(scores - np.logaddexp(0.0, scores))
    else:
        shifted = scores - scores.max(axis=1, keepdims=True)
        total = np.exp(shifted).sum(axis=1, keepdims=True)
        losses = (np.log(total) - shifted) * one_hot
        probabilities = np.exp(shifted) / total
    loss = float((losses.sum(axis=1) * shares).sum())
    return loss, (probabilities - one_hot) * shares[:, None]


def _rounded(weights: Doubles) -> tuple[npt.NDArray[np.int8], Floats]:
    """Round (buckets, outputs) to whole numbers from -127 to 127, and give their scales."""
    scales = np.ones(weights.shape[1], dtype=np.float32)
    for output, column in enumerate(weights.T):
        sizes = np.abs(column[column != 0])
        if len(sizes):
            scales[output] = np.quantile(sizes, 1.0 - _CUT_OFF) / 127
    return np.clip(np.rint(weights / scales), -127, 127).astype(np.int8), scales
