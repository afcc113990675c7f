"""N-gram models over integer symbols: counting, smoothing, and a back-off automaton.

Texts, files and random numbers are the caller's. Map characters or words to ids, count them with
`count`, estimate probabilities with `fit`, and read the `NgramModel`. Needs NumPy alone.
"""

from seqd_modelkit.ngrams.counting import SPAN_SYMBOLS, NgramCounter, NgramCounts, combine, count
from seqd_modelkit.ngrams.model import Arcs, NgramModel, fit
from seqd_modelkit.ngrams.smoothing import Smoothing
from seqd_modelkit.ngrams.storage import deflate, inflate
from seqd_modelkit.ngrams.trie import Ids

__all__ = [
    "SPAN_SYMBOLS",
    "Arcs",
    "Ids",
    "NgramCounter",
    "NgramCounts",
    "NgramModel",
    "Smoothing",
    "combine",
    "count",
    "deflate",
    "fit",
    "inflate",
]
