"""The n-gram model that a training compares its network with, and mixes into it where asked to.

Interpolated modified Kneser-Ney over the same characters, fitted by `seqd_modelkit.ngrams`.
"""

from collections.abc import Callable

from seqd.errors import Stopped
from seqd_char_lstm.text import Ids
from seqd_modelkit.ngrams import NgramModel, Smoothing, count, fit


def fit_ngrams(
    ids: Ids, symbols: int, order: int, stop_requested: Callable[[], bool]
) -> NgramModel:
    """Fit a model that reads `order` characters to known ids. Raises Stopped.

    About a second for 600,000 characters; a training that is killed meanwhile begins it again.
    """

    def heed(_: int) -> None:
        if stop_requested():
            raise Stopped("The training was stopped while it fitted its n-grams.")

    return fit(count([ids], order=order, symbols=symbols, on_span=heed), Smoothing.KNESER_NEY)
