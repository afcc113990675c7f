"""The linear branch: logistic regression on n-grams of words, in a hash table of int8 weights.

A feature is the presence of an n-gram of one to three words, scaled by its naive-Bayes log-count
ratio (Wang and Manning 2012). A bucket of the table holds the weight
of one n-gram of the training data and an 8-bit fingerprint of it; another n-gram that hashes there
has no weight. Plain feature hashing would give n-grams that training never saw the weights of
others: on 5,000 held-out reviews the accuracy was 89.7% with 2**20 buckets and no fingerprints,
90.7% with half as many and fingerprints, 90.5% with an exact dictionary.

First `NgramTable`, which a version holds and serves with; then `fit_table`, which is deterministic:
the same reviews give the same table, bit for bit; then L-BFGS, which fits the weights.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.vocabulary import START_ID, Ids

Fingerprints = npt.NDArray[np.uint8]
Hashes = npt.NDArray[np.uint64]
_Floats = npt.NDArray[np.float32]
_Doubles = npt.NDArray[np.float64]
_Rows = npt.NDArray[np.int32]
_Buckets = npt.NDArray[np.int64]
#: Returns a function's value and its gradient at a point.
_Function = Callable[[_Doubles], tuple[float, _Doubles]]

#: Bits of a key that one id takes: three fit into 60, so no two n-grams have one key.
_ID_BITS: Final = 20

#: Multipliers of splitmix64's finalizer (Steele, Lea and Flood 2014): multiply and shift, twice,
#: and every bit of a key changes half of the hash's.
_MULTIPLIER_1: Final = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2: Final = np.uint64(0x94D049BB133111EB)

#: Additive smoothing of the counts in a ratio (alpha of Wang and Manning).
_SMOOTHING: Final = 1.0

#: Reviews in which an n-gram must stand to own a bucket.
_MIN_REVIEWS: Final = 2

#: Reviews that are hashed at once, a tenth of a second of work.
_CHUNK_REVIEWS: Final = 1_024

#: Parts of the table whose owners are chosen one after the other. All n-grams of 25,000 reviews
#: at once, 20 million, would take a gigabyte while they are sorted.
_PARTS: Final = 16

#: Iterations of L-BFGS at most; 25,000 reviews took 40 to 60 to reach `_TOLERANCE`.
_MAX_ITERATIONS: Final = 80

#: Largest share of weights that rounding to int8 clips.
_CLIPPED_SHARE: Final = 0.0001

#: Steps that L-BFGS approximates the Hessian from (m of Liu and Nocedal).
_HISTORY: Final = 10

#: L-BFGS ends where the gradient's norm is this share of the first one's.
_TOLERANCE: Final = 1e-4

#: Armijo's condition: the share of the decrease promised by the slope that a step must bring.
_SUFFICIENT_DECREASE: Final = 1e-4

#: Shortest step of the line search; a convex function decreases long before.
_MIN_STEP: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Features:
    """A sparse binary matrix (reviews, buckets) in coordinate form, sorted, each entry once."""

    rows: _Rows  # (entries,)
    buckets: _Rows  # (entries,)


@dataclass(frozen=True, slots=True)
class NgramTable:
    """The fitted branch. The number of buckets is a power of two."""

    order: int  # of the longest n-gram, in words
    owners: Fingerprints  # (buckets,) the owner's fingerprint; 0 where a bucket has no owner
    weights: npt.NDArray[np.int8]  # (buckets, outputs)
    scale: _Floats  # (outputs,) that a weight is multiplied by
    bias: _Floats  # (outputs,)

    @property
    def memory_bytes(self) -> int:
        """Memory of the arrays, in bytes."""
        return self.owners.nbytes + self.weights.nbytes

    def features(self, reviews: Sequence[Ids]) -> Features:
        """Return which owned buckets each review's n-grams fall into."""
        rows, hashes = hash_ngrams(reviews, self.order)
        buckets, fingerprints = _bucket_and_fingerprint(hashes, len(self.owners))
        is_owner = self.owners[buckets] == fingerprints
        return _unique_features(rows[is_owner], buckets[is_owner], len(self.owners))

    def logits(self, reviews: Sequence[Ids]) -> _Floats:
        """Return (reviews, outputs) float32: the log-odds of the second of two classes, or logits.

        A review's logits do not depend on the other reviews.
        """
        features = self.features(reviews)
        logits = np.empty((len(reviews), len(self.bias)), dtype=np.float32)
        for output, (scale, bias) in enumerate(zip(self.scale, self.bias, strict=True)):
            used = self.weights[features.buckets, output]
            # Sums of whole numbers, which are exact in any order.
            sums = np.bincount(features.rows, used, minlength=len(reviews))
            logits[:, output] = sums * scale + bias
        return logits


def hash_ngrams(reviews: Sequence[Ids], order: int) -> tuple[_Rows, Hashes]:
    """Return the review and the 64-bit hash of each n-gram of 1 to `order` words, with repeats.

    An n-gram's key is its ids as digits to the base 2**20. The start id is no word, and no n-gram
    spans two reviews. Versions keep what hangs on the hash, so it never changes.
    """
    words = [ids[1:] if len(ids) and ids[0] == START_ID else ids for ids in reviews]
    sizes = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    row = np.repeat(np.arange(len(words), dtype=np.int32), sizes)  # (words,)
    unigrams = np.concatenate([*words, np.empty(0, np.int32)]).astype(np.uint64)  # (words,)
    key, rows, keys = unigrams, [row], [unigrams]
    for reach in range(1, order):
        # key[i]: the n-gram of `reach` words that begins at i
        key = (key[:-1] << np.uint64(_ID_BITS)) | unigrams[reach:]
        is_whole = row[:-reach] == row[reach:]
        rows.append(row[:-reach][is_whole])
        keys.append(key[is_whole])
    return np.concatenate(rows), _splitmix64(np.concatenate(keys))


def _splitmix64(keys: Hashes) -> Hashes:
    """Return splitmix64's finalizer of each key, the same on every machine: uint64 wraps."""
    mixed = keys ^ (keys >> np.uint64(30))
    mixed *= _MULTIPLIER_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MULTIPLIER_2
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _bucket_and_fingerprint(hashes: Hashes, buckets: int) -> tuple[_Buckets, Fingerprints]:
    """Return each hash's bucket, from its highest bits, and fingerprint, from 1 to 255."""
    shift = np.uint64(64 - (buckets.bit_length() - 1))
    fingerprints = (hashes & np.uint64(0xFF)).astype(np.uint8)
    return (hashes >> shift).astype(np.int64), np.maximum(fingerprints, np.uint8(1))


def _unique_features(rows: _Rows, buckets: _Buckets, size: int) -> Features:
    entries = rows.astype(np.int64) * size + buckets
    entries.sort()
    is_first = np.diff(entries, prepend=-1) != 0
    entries = entries[is_first]
    return Features((entries // size).astype(np.int32), (entries % size).astype(np.int32))


@dataclass(frozen=True, slots=True)
class WeightedReviews:
    """What the branch is fitted to."""

    reviews: Sequence[Ids]
    #: (reviews,) the class of each.
    targets: npt.NDArray[np.int32]
    #: (reviews,) the weight of each one's loss.
    sample_weight: _Floats

    def one_hot(self, classes: int) -> _Doubles:
        """Return (reviews, outputs) float64: 1 where a review is of an output's class.

        Of two classes there is one output, the second's.
        """
        first = 1 if classes == 2 else 0
        wanted = np.arange(first, classes)
        return np.asarray(self.targets[:, None] == wanted, dtype=np.float64)


def fit_table(
    data: WeightedReviews,
    classes: int,
    *,
    order: int,
    buckets: int,
    l2: float,
    check_stop: Callable[[], None] = lambda: None,
) -> NgramTable:
    """Return a table of `buckets`, a power of two, fitted to n-grams of up to `order` words.

    The weights minimize the mean weighted cross-entropy plus l2 · |weights|² / (2 · reviews).
    `check_stop` is called at least each second, and may raise.
    """
    one_hot = data.one_hot(classes)
    owners = _choose_owners(data, one_hot, order, buckets, check_stop)
    outputs = one_hot.shape[1]
    # A table without weights, to find the features with.
    bare = NgramTable(
        order,
        owners,
        np.zeros((buckets, outputs), dtype=np.int8),
        np.ones(outputs, dtype=np.float32),
        np.zeros(outputs, dtype=np.float32),
    )
    features = _all_features(bare, data.reviews, check_stop)
    ratios = _log_count_ratios(features, one_hot, buckets)
    loss = _Loss(features, one_hot, data.sample_weight.astype(np.float64), ratios, l2)
    found = minimize_lbfgs(loss, np.zeros(loss.size), _MAX_ITERATIONS, check_stop)
    scaled, bias = loss.split(found)
    weights, scale = _quantize(scaled * ratios)
    return NgramTable(order, owners, weights, scale, bias.astype(np.float32))


def _chunks(reviews: Sequence[Ids]) -> Iterator[tuple[int, Sequence[Ids]]]:
    for start in range(0, len(reviews), _CHUNK_REVIEWS):
        yield start, reviews[start : start + _CHUNK_REVIEWS]


def _choose_owners(
    data: WeightedReviews,
    one_hot: _Doubles,
    order: int,
    buckets: int,
    check_stop: Callable[[], None],
) -> Fingerprints:
    """Return each bucket's owner: of the n-grams that fall into it the most informative one."""
    owners = np.zeros(buckets, dtype=np.uint8)
    shift = np.uint64(64 - (_PARTS.bit_length() - 1))
    for part in range(_PARTS):
        rows, hashes = [], []
        for start, chunk in _chunks(data.reviews):
            check_stop()
            row, found = hash_ngrams(chunk, order)
            is_here = found >> shift == part
            rows.append(row[is_here] + np.int32(start))
            hashes.append(found[is_here])
        _assign_owners(owners, np.concatenate(rows), np.concatenate(hashes), one_hot)
    return owners


def _assign_owners(owners: Fingerprints, rows: _Rows, hashes: Hashes, one_hot: _Doubles) -> None:
    """Write the owners of the buckets that these n-grams, of all reviews, fall into."""
    by_hash = np.lexsort((rows, hashes))
    rows, hashes = rows[by_hash], hashes[by_hash]
    is_new = np.diff(hashes, prepend=~hashes[:1]) != 0
    is_first = is_new | (np.diff(rows, prepend=-1) != 0)  # once a review
    ngram = np.cumsum(is_new)[is_first] - 1  # (entries,)
    ngrams, rows = hashes[is_new], rows[is_first]
    counts = np.bincount(ngram, minlength=len(ngrams)).astype(np.float64)
    scores = _informativeness(ngram, rows, counts, one_hot)
    kept = np.flatnonzero(counts >= _MIN_REVIEWS)
    rising = kept[np.argsort(scores[kept], kind="stable")]
    buckets, fingerprints = _bucket_and_fingerprint(ngrams[rising], len(owners))
    owners[buckets] = fingerprints  # of several for one bucket NumPy keeps the last


def _informativeness(
    ngram: npt.NDArray[np.int64], rows: _Rows, counts: _Doubles, one_hot: _Doubles
) -> _Doubles:
    """Return (n-grams,): √count · |log-odds of a class given the n-gram - its prior log-odds|.

    Of several classes the greatest counts. `counts` are the reviews that each n-gram stands in;
    `ngram` and `rows` (entries,) say in which.
    """
    scores = np.zeros(len(counts))
    for is_class in one_hot.T:
        inside = np.bincount(ngram, is_class[rows], minlength=len(counts)) + _SMOOTHING
        outside = counts - inside + 2 * _SMOOTHING
        prior = np.log(is_class.sum() / (len(is_class) - is_class.sum()))
        scores = np.maximum(scores, np.abs(np.log(inside / outside) - prior))
    return np.asarray(scores * np.sqrt(counts))


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


def _log_count_ratios(features: Features, one_hot: _Doubles, buckets: int) -> _Doubles:
    """Return (buckets, outputs): r = log((p / |p|₁) / (q / |q|₁)) of Wang and Manning (2012).

    p and q are the smoothed counts of a bucket in the class and in all others. The ratio of a
    bucket that no review uses is 0.
    """
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
    """The loss and its gradient at a flat vector of weights and bias, (buckets + 1, outputs)."""

    def __init__(
        self,
        features: Features,
        one_hot: _Doubles,
        sample_weight: _Doubles,
        ratios: _Doubles,
        l2: float,
    ) -> None:
        self._features = features
        self._one_hot = one_hot
        self._sample_weight = sample_weight / len(one_hot)
        self._ratios = ratios
        self._decay = l2 / len(one_hot)
        self.size = (len(ratios) + 1) * ratios.shape[1]

    def split(self, flat: _Doubles) -> tuple[_Doubles, _Doubles]:
        """Return the weights (buckets, outputs) and the bias (outputs,) of a flat vector."""
        table = flat.reshape(-1, self._ratios.shape[1])
        return table[:-1], table[-1]

    def __call__(self, flat: _Doubles) -> tuple[float, _Doubles]:
        weights, bias = self.split(flat)
        loss, d_logits = _cross_entropy(
            self._logits(weights) + bias, self._one_hot, self._sample_weight
        )
        gradient = np.empty((len(weights) + 1, len(bias)))
        for output in range(len(bias)):
            of_entries = d_logits[self._features.rows, output]
            summed = np.bincount(self._features.buckets, of_entries, minlength=len(weights))
            gradient[:-1, output] = summed * self._ratios[:, output]
        gradient[:-1] += self._decay * weights
        gradient[-1] = d_logits.sum(axis=0)
        return loss + 0.5 * self._decay * float(np.vdot(weights, weights)), gradient.ravel()

    def _logits(self, weights: _Doubles) -> _Doubles:
        """Return (reviews, outputs), without the bias."""
        reviews, outputs = self._one_hot.shape
        logits = np.empty((reviews, outputs))
        for output in range(outputs):
            effective = weights[:, output] * self._ratios[:, output]
            used = effective[self._features.buckets]
            logits[:, output] = np.bincount(self._features.rows, used, minlength=reviews)
        return logits


def _cross_entropy(
    logits: _Doubles, one_hot: _Doubles, sample_weight: _Doubles
) -> tuple[float, _Doubles]:
    """Return the weighted cross-entropy and its gradient (reviews, outputs).

    Sigmoid cross-entropy for one output, else softmax cross-entropy.
    """
    if logits.shape[1] == 1:
        losses = np.logaddexp(0.0, logits) - one_hot * logits
        probabilities = np.exp(logits - np.logaddexp(0.0, logits))
    else:
        shifted = logits - logits.max(axis=1, keepdims=True)
        total = np.exp(shifted).sum(axis=1, keepdims=True)
        losses = (np.log(total) - shifted) * one_hot
        probabilities = np.exp(shifted) / total
    loss = float((losses.sum(axis=1) * sample_weight).sum())
    return loss, (probabilities - one_hot) * sample_weight[:, None]


def _quantize(weights: _Doubles) -> tuple[npt.NDArray[np.int8], _Floats]:
    """Return (buckets, outputs) as integers from -127 to 127, and each output's scale."""
    scales = np.ones(weights.shape[1], dtype=np.float32)
    for output, column in enumerate(weights.T):
        sizes = np.abs(column[column != 0])
        if len(sizes):
            scales[output] = np.quantile(sizes, 1.0 - _CLIPPED_SHARE) / 127
    return np.clip(np.rint(weights / scales), -127, 127).astype(np.int8), scales


def minimize_lbfgs(
    function: _Function,
    start: _Doubles,
    max_iterations: int,
    check_stop: Callable[[], None] = lambda: None,
) -> _Doubles:
    """Return a point (n,) near the minimum of a smooth convex function (Liu and Nocedal 1989).

    Limited-memory BFGS with a backtracking line search. It ends at `max_iterations`, or where the
    gradient's norm is a ten-thousandth of the first one's. `check_stop` is called before each
    iteration and may raise. SciPy has the same; it would be a dependency for these lines alone.
    """
    point, (value, gradient) = start, function(start)
    goal = _TOLERANCE * float(np.linalg.norm(gradient))
    history: list[tuple[_Doubles, _Doubles]] = []
    for _ in range(max_iterations):
        check_stop()
        if np.linalg.norm(gradient) <= goal:
            break
        direction = -_inverse_hessian_product(gradient, history)
        slope, step = float(gradient @ direction), 1.0
        while True:
            next_point = point + step * direction
            next_value, next_gradient = function(next_point)
            if next_value <= value + _SUFFICIENT_DECREASE * step * slope or step < _MIN_STEP:
                break
            step *= 0.5
        s, y = next_point - point, next_gradient - gradient
        if s @ y > 0.0:
            history = [*history[1 - _HISTORY :], (s, y)]
        point, value, gradient = next_point, next_value, next_gradient
    return point


def _inverse_hessian_product(
    gradient: _Doubles, history: Sequence[tuple[_Doubles, _Doubles]]
) -> _Doubles:
    """Return H⁻¹ · gradient by the two-loop recursion (Nocedal 1980).

    `history` has the last steps s and the changes of the gradient y, the newest last.
    """
    product, alphas = gradient.copy(), []
    for s, y in reversed(history):
        alphas.append(float(s @ product) / float(s @ y))
        product -= alphas[-1] * y
    if history:
        s, y = history[-1]
        product *= float(s @ y) / float(y @ y)
    else:
        product /= max(float(np.linalg.norm(gradient)), 1e-12)
    for (s, y), alpha in zip(history, reversed(alphas), strict=True):
        product += (alpha - float(y @ product) / float(s @ y)) * s
    return product
