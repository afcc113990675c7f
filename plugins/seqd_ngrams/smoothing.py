"""From counts to probabilities: how much of each context is kept, and how much backs off.

Four ways of one form: P(w | context) = share(context, w) + backoff(context) x P(w | context
without its first symbol) + flat(context). Pure arithmetic on a `Trie`; called by `model`.

- none: share = count / total.
- additive: share = count / (total + k V), flat = k / (total + k V).
- witten_bell: with T different successors, share = count / (total + T), backoff = T / (total + T)
  (Witten and Bell 1991, method C).
- kneser_ney: interpolated modified Kneser-Ney (Chen and Goodman 1999). Each length has three
  discounts, for counts of 1, of 2, and of 3 or more. Below the highest length a count is that of
  the different symbols that stand before the n-gram, where an occurrence after none (a text's
  beginning, an unknown symbol, a pruned n-gram) counts as one more; so an n-gram that can only
  begin a text keeps its plain count.

The empty context backs off to all symbols alike, and with additive smoothing every one that was
followed by anything. What was pruned from a context backs off. One of `backoffs` and `flats` is 0
in each state.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from seqd_ngrams.keys import Floats
from seqd_ngrams.trie import Trie

#: The one discount where a corpus is too small to estimate any.
_DEFAULT_DISCOUNT = 0.5


class Smoothing(StrEnum):
    """How what was not seen gets a probability."""

    NONE = "none"
    ADDITIVE = "additive"
    WITTEN_BELL = "witten_bell"
    KNESER_NEY = "kneser_ney"


@dataclass(frozen=True)
class Estimate:
    """The three terms of a probability."""

    shares: Floats  # (arcs,)
    backoffs: Floats  # (states,)
    flats: Floats  # (states,)


def estimate(
    trie: Trie,
    smoothing: Smoothing,
    *,
    additive: float,
    begin: int | None,
    discounts: Floats | None = None,
) -> Estimate:
    """Smooth counts. `begin` is the symbol that is never predicted.

    `discounts`, (lengths, 3), are Kneser-Ney's where the counts can no longer tell them.
    """
    counts = _counts(trie, smoothing, begin)
    freed = np.zeros(len(counts))  # what each count gives to the back-off
    extra = np.zeros(len(counts))  # what each gives on top
    if smoothing is Smoothing.KNESER_NEY:
        if discounts is None:
            discounts = kneser_ney_discounts(trie, begin)
        freed = _discounted(trie, counts, discounts)
    elif smoothing is Smoothing.WITTEN_BELL:
        extra = (counts > 0).astype(np.float64)
    predictable = trie.symbols - (begin is not None)
    added = additive if smoothing is Smoothing.ADDITIVE else 0.0
    seen = _of_states(trie, counts) + trie.pruned
    followed = seen > 0  # of the others all backs off
    totals = np.where(followed, seen + _of_states(trie, extra) + added * predictable, 1.0)
    back, alike = _of_states(trie, freed + extra) + trie.pruned, np.zeros(trie.states)
    if smoothing is Smoothing.ADDITIVE:
        back, alike = alike, added + back / predictable
    backoffs = np.where(followed, back / totals, 1.0)
    flats = np.where(followed, alike / totals, 0.0)
    # The empty context has none to back off to but all symbols alike.
    flats[0] += backoffs[0] / predictable
    backoffs[0] = 0.0
    return Estimate((counts - freed) / totals[trie.parents], backoffs, flats)


def kneser_ney_discounts(trie: Trie, begin: int | None) -> Floats:
    """Discounts of each length for counts of 1, 2, and 3 or more: (lengths, 3).

    From n1 to n4, the numbers of n-grams with these counts: with Y = n1 / (n1 + 2 n2), 1 - 2 Y
    n2 / n1, 2 - 3 Y n3 / n2 and 3 - 4 Y n4 / n3. Where one of them cannot be had, or is not above
    0 and at most its count, all three are Y, and a half where Y cannot be had either.
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
    """The counts that a smoothing works on; 0 for the symbol that is never predicted."""
    counts = _preceding(trie) if smoothing is Smoothing.KNESER_NEY else trie.counts.copy()
    if begin is not None:
        single = trie.lengths[0]
        counts[:single][trie.labels[:single] == begin] = 0.0
    return counts


def _preceding(trie: Trie) -> Floats:
    """Counts as Kneser-Ney has them: of the highest length plain, else of what stands before."""
    counts = trie.counts.copy()
    last = len(counts) - trie.lengths[-1]
    before = trie.suffixes - 1  # of each arc, the arc that it ends with
    longer = before >= 0
    different = np.bincount(before[longer], minlength=last)[:last]
    covered = np.bincount(before[longer], trie.counts[longer], minlength=last)[:last]
    counts[:last] = different + np.maximum(counts[:last] - covered, 0.0)
    return counts


def _discounted(trie: Trie, counts: Floats, discounts: Floats) -> Floats:
    lengths = np.repeat(np.arange(len(trie.lengths)), trie.lengths)
    kinds = np.clip(np.ceil(counts), 1, 3).astype(np.int64) - 1
    # A weighted count may be less than its discount.
    return np.minimum(discounts[lengths, kinds], counts)


def _of_states(trie: Trie, amounts: Floats) -> Floats:
    """Sum up over each state's arcs: (states,)."""
    return np.bincount(trie.parents, amounts, minlength=trie.states).astype(np.float64)
