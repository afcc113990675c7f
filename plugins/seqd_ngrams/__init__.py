"""N-gram models over integer symbols: counting, smoothing, and a back-off automaton.

A library, no plugin: it knows nothing of texts, files, jobs or random numbers, and imports NumPy
and the standard library alone. The text plugins map characters or words to ids, count them with
`count`, estimate with `fit`, and read the `NgramModel`.
"""

from seqd_ngrams.counting import SPAN_SYMBOLS, Counting, NgramCounts, combine, count
from seqd_ngrams.deflating import deflated, inflated
from seqd_ngrams.keys import Ids
from seqd_ngrams.model import Arcs, NgramModel, Tables, fit
from seqd_ngrams.smoothing import Smoothing

__all__ = [
    "SPAN_SYMBOLS",
    "Arcs",
    "Counting",
    "Ids",
    "NgramCounts",
    "NgramModel",
    "Smoothing",
    "Tables",
    "combine",
    "count",
    "deflated",
    "fit",
    "inflated",
]
