"""Makes n-gram counts of small texts, and says of them by plain means what they should be."""

from collections import Counter

import numpy as np
from hypothesis import strategies as st

from seqd_modelkit.ngrams import NgramCounts, count

#: Ids of texts over a few symbols, -1 among them; 3 is a beginning where there is one.
SYMBOLS, BEGIN = 4, 3
texts = st.lists(st.integers(-1, SYMBOLS - 1), max_size=60)
orders = st.integers(1, 4)
begins = st.sampled_from([None, BEGIN])


def ids(*symbols: int) -> np.ndarray:
    return np.array(symbols, np.int32)


def counted(text, order, begin=None, symbols=SYMBOLS) -> NgramCounts:
    return count([np.array(text, np.int32)], order=order, symbols=symbols, begin=begin)


def sequences(text, order, begin=None) -> Counter:
    """How often each sequence of 1 to order + 1 symbols is in a text, one by one."""
    found: Counter = Counter()
    for first in range(len(text)):
        for length in range(1, order + 2):
            sequence = tuple(text[first : first + length])
            if len(sequence) < length or -1 in sequence or begin in sequence[1:]:
                break
            found[sequence] += 1
    return found


def known_sequences(counts: NgramCounts) -> dict:
    """The same, as counts have it."""
    trie = counts.trie
    spelled = [()]
    for parent, label in zip(trie.parents, trie.labels, strict=True):
        spelled.append((*spelled[parent], int(label)))
    return dict(zip(spelled[1:], trie.counts.tolist(), strict=True))
