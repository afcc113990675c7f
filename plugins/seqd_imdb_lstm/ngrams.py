"""A linear branch over n-grams of words: which bucket each n-gram falls into, and its weight.

The weights are those of a logistic regression on the presence of n-grams of one to three words,
each scaled by its naive-Bayes log-count ratio (Wang and Manning 2012). They stand in a hash table
whose buckets have owners: a bucket belongs to one n-gram of the training data, and another one
counts only if it has the owner's fingerprint. Without that check n-grams which the training never
saw would borrow the weights of strangers: on 5,000 held-out reviews the accuracy was 89.7% with
2**20 buckets and no check, 90.7% with half as many and the check, 90.5% with an exact dictionary.

For serving; `ngram_fitting` makes a table. Knows ids of words; not what they stand for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.reviews import START_ID
from seqd_imdb_lstm.word_table import Ids

Floats = npt.NDArray[np.float32]
Fingerprints = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
Index = npt.NDArray[np.int64]

#: Bits of a key that one id takes: three fit into 60, so no two n-grams have one key.
_ID_BITS: Final = 20

#: The finaliser of splitmix64 (Steele, Lea and Flood 2014): multiply and shift, twice, and every
#: bit of a key changes half of the hash's.
_ROUND_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_ROUND_2: Final = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Features:
    """Which buckets reviews use: pairs of a review's place and a bucket, ascending, each once."""

    rows: npt.NDArray[np.int32]  # (uses,)
    buckets: npt.NDArray[np.int32]  # (uses,)


@dataclass(frozen=True, slots=True)
class NgramTable:
    """The branch, as a version keeps it. The number of buckets is a power of two."""

    length: int  # of the longest n-gram, in words
    owners: Fingerprints  # (buckets,) 0 where nothing is
    weights: npt.NDArray[np.int8]  # (buckets, outputs)
    scale: Floats  # (outputs,) that a weight is multiplied by
    bias: Floats  # (outputs,)

    @property
    def memory_bytes(self) -> int:
        """Memory that it holds, in bytes."""
        return self.owners.nbytes + self.weights.nbytes

    def features(self, reviews: Sequence[Ids]) -> Features:
        """Find the buckets that reviews use."""
        rows, hashes = hashes_of(reviews, self.length)
        buckets, fingerprints = places_of(hashes, len(self.owners))
        is_owner = self.owners[buckets] == fingerprints
        return unique_uses(rows[is_owner], buckets[is_owner], len(self.owners))

    def scores(self, reviews: Sequence[Ids]) -> Floats:
        """Give (reviews, outputs): the second class's log-odds, or one score a class.

        A review's scores do not depend on the others.
        """
        features = self.features(reviews)
        scores = np.empty((len(reviews), len(self.bias)), dtype=np.float32)
        for output, (scale, bias) in enumerate(zip(self.scale, self.bias, strict=True)):
            used = self.weights[features.buckets, output]
            # Sums of whole numbers, which are exact in any order.
            sums = np.bincount(features.rows, used, minlength=len(reviews))
            scores[:, output] = sums * scale + bias
        return scores


def hashes_of(reviews: Sequence[Ids], length: int) -> tuple[npt.NDArray[np.int32], Hashes]:
    """Give each n-gram's review and hash, repeats included; none goes across two reviews.

    A key is the ids as digits to the base 2**20. The id that begins a review is no word.
    """
    words = [ids[1:] if len(ids) and ids[0] == START_ID else ids for ids in reviews]
    sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    row = np.repeat(np.arange(len(words), dtype=np.int32), sizes)  # (words,)
    one = np.concatenate([*words, np.empty(0, np.int32)]).astype(np.uint64)  # (words,)
    key, rows, keys = one, [row], [one]
    for reach in range(1, length):
        # key[i]: the n-gram of `reach` words that begins at i
        key = (key[:-1] << np.uint64(_ID_BITS)) | one[reach:]
        is_whole = row[:-reach] == row[reach:]
        rows.append(row[:-reach][is_whole])
        keys.append(key[is_whole])
    return np.concatenate(rows), _mixed(np.concatenate(keys))


def places_of(hashes: Hashes, buckets: int) -> tuple[Index, Fingerprints]:
    """Give the bucket, from a hash's highest bits, and the fingerprint, from 1 to 255."""
    shift = np.uint64(64 - (buckets.bit_length() - 1))
    fingerprints = (hashes & np.uint64(0xFF)).astype(np.uint8)
    return (hashes >> shift).astype(np.int64), np.maximum(fingerprints, np.uint8(1))


def unique_uses(rows: npt.NDArray[np.int32], buckets: Index, size: int) -> Features:
    """Sort uses, and leave repeats out."""
    uses = rows.astype(np.int64) * size + buckets
    uses.sort()
    is_first = np.diff(uses, prepend=-1) != 0
    uses = uses[is_first]
    return Features((uses // size).astype(np.int32), (uses % size).astype(np.int32))


def _mixed(keys: Hashes) -> Hashes:
    """Hash keys; the same on every machine, since the arithmetic of uint64 wraps."""
    mixed = keys ^ (keys >> np.uint64(30))
    mixed *= _ROUND_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _ROUND_2
    mixed ^= mixed >> np.uint64(31)
    return mixed
