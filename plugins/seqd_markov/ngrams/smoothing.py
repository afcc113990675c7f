"""Estimates probabilities from counts, by interpolation with lower orders.

Every method has the form

    P(w | context) = discounted(context, w) + backoff(context) P(w | shorter) + uniform(context)

where `shorter` is the context without its first symbol. With c = count, C = the total of a context,
T = number of its distinct successors, V = size of the vocabulary:

- none: discounted = c / C, the maximum likelihood.
- additive (Lidstone): discounted = c / (C + k V), uniform = k / (C + k V).
- witten_bell: discounted = c / (C + T), backoff = T / (C + T) (Witten, Bell 1991, method C).
- kneser_ney: interpolated modified Kneser-Ney (Chen and Goodman 1999). Each order has three
  discounts, for c = 1, c = 2 and c >= 3. Below the highest order c is the continuation count: the
  number of distinct symbols before the n-gram. All occurrences after no symbol (at a text's
  beginning, after an unknown symbol or a pruned n-gram) are added as they are; so an n-gram that
  can only begin a text keeps its plain count.

A context without counts backs off entirely. So does the mass of pruned n-grams, which with
additive smoothing is uniform instead. The empty context backs off to the uniform distribution.
In every state either the back-off weight or the uniform term is 0.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from seqd_markov.ngrams.trie import Floats, Trie

#: The one discount where a corpus is too small to estimate any.
_DEFAULT_DISCOUNT = 0.5


class Smoothing(StrEnum):
    """How n-grams that were not seen get a probability."""

    NONE = "none"
    ADDITIVE = "additive"
    WITTEN_BELL = "witten_bell"
    KNESER_NEY = "kneser_ney"


@dataclass(frozen=True)
class Estimates:
    """The three terms of the interpolated probability."""

    discounted: Floats  # (arcs,)
    backoffs: Floats  # (states,)
    uniforms: Floats  # (states,)


def estimate(
    trie: Trie,
    smoothing: Smoothing,
    *,
    additive: float,
    begin: int | None,
    discounts: Floats | None = None,
) -> Estimates:
    """Return the smoothed estimates of a trie. `begin` is the symbol that is never predicted.

    `discounts`, (order + 1, 3), replaces the Kneser-Ney discounts of counts that were pruned.
    """
    counts = _counts(trie, smoothing, begin)
    freed = np.zeros(len(counts))  # what is subtracted from each count
    extra = np.zeros(len(counts))  # what is added to the total for each count
    if smoothing is Smoothing.KNESER_NEY:
        if discounts is None:
            discounts = kneser_ney_discounts(trie, begin)
        freed = _discounts_of(trie, counts, discounts)
    elif smoothing is Smoothing.WITTEN_BELL:
        extra = (counts > 0).astype(np.float64)
    predictable = trie.symbols - (begin is not None)
    added = additive if smoothing is Smoothing.ADDITIVE else 0.0
    seen = _sum_by_state(trie, counts) + trie.pruned
    followed = seen > 0  # other states back off entirely
    totals = np.where(followed, seen + _sum_by_state(trie, extra) + added * predictable, 1.0)
    backed_off, uniform = _sum_by_state(trie, freed + extra) + trie.pruned, np.zeros(trie.states)
    if smoothing is Smoothing.ADDITIVE:
        backed_off, uniform = uniform, added + backed_off / predictable
    backoffs = np.where(followed, backed_off / totals, 1.0)
    uniforms = np.where(followed, uniform / totals, 0.0)
    # The empty context backs off to the uniform distribution.
    uniforms[0] += backoffs[0] / predictable
    backoffs[0] = 0.0
    return Estimates((counts - freed) / totals[trie.parents], backoffs, uniforms)


def kneser_ney_discounts(trie: Trie, begin: int | None) -> Floats:
    """Return the discounts of each order for counts of 1, 2, and 3 or more: (order + 1, 3).

    Estimated as in Chen and Goodman (1999) from n1 to n4, the numbers of n-grams with these
    counts: with Y = n1 / (n1 + 2 n2) they are 1 - 2 Y n2 / n1, 2 - 3 Y n3 / n2 and
    3 - 4 Y n4 / n3. Where one of these is undefined or not above 0, all three are Y; where Y is
    undefined too, they are 0.5.
    """
    counts = _counts(trie, Smoothing.KNESER_NEY, begin)
    discounts = np.empty((len(trie.lengths), 3))
    for length, level in enumerate(trie.levels()):
        of_length = counts[level]
        n1, n2, n3, n4 = (float((np.ceil(of_length) == times).sum()) for times in (1, 2, 3, 4))
        discounts[length] = _DEFAULT_DISCOUNT
        if n1 and n2:
            y = n1 / (n1 + 2 * n2)
            found = np.array([1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / (n3 or 1)])
            sound = n3 and n4 and (found > 0).all()
            discounts[length] = found if sound else y
    return discounts


def _counts(trie: Trie, smoothing: Smoothing, begin: int | None) -> Floats:
    """Return the counts that a method works on; 0 for the symbol that is never predicted."""
    counts = _continuation_counts(trie) if smoothing is Smoothing.KNESER_NEY else trie.counts.copy()
    if begin is not None:
        single = trie.lengths[0]
        counts[:single][trie.labels[:single] == begin] = 0.0
    return counts


def _continuation_counts(trie: Trie) -> Floats:
    """Return plain counts at the highest order, and continuation counts below it: (arcs,)."""
    counts = trie.counts.copy()
    last = len(counts) - trie.lengths[-1]
    suffix_arcs = trie.suffixes - 1  # the arc of each n-gram without its first symbol
    longer = suffix_arcs >= 0
    different = np.bincount(suffix_arcs[longer], minlength=last)[:last]
    covered = np.bincount(suffix_arcs[longer], trie.counts[longer], minlength=last)[:last]
    counts[:last] = different + np.maximum(counts[:last] - covered, 0.0)
    return counts


def _discounts_of(trie: Trie, counts: Floats, discounts: Floats) -> Floats:
    lengths = np.repeat(np.arange(len(trie.lengths)), trie.lengths)
    kinds = np.clip(np.ceil(counts), 1, 3).astype(np.int64) - 1
    # A weighted count may be less than its discount.
    return np.minimum(discounts[lengths, kinds], counts)


def _sum_by_state(trie: Trie, amounts: Floats) -> Floats:
    """Return the sum over each state's arcs: (states,)."""
    return np.bincount(trie.parents, amounts, minlength=trie.states).astype(np.float64)
