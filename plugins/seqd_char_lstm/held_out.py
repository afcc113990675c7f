"""How well a network, an n-gram model and a mixture of both predict the held-out text.

In bits a character, the mean over its characters, each given all before it. What the training text
lacks is not read, and in no mean; `unknown_share` says how much that is. `reading` does the work;
called by `training` after each epoch and at the end.
"""

import math
from collections.abc import Callable
from typing import Final

from seqd.errors import InvalidData
from seqd_char_lstm.artifact import Version
from seqd_char_lstm.chains import Doubles
from seqd_char_lstm.reading import mixed, ngram_log_probs, read_log_probs
from seqd_char_lstm.text import UNKNOWN, Ids


class HeldOut:
    """A text that is measured and not learnt from."""

    def __init__(self, ids: Ids, stop_requested: Callable[[], bool], threads: int) -> None:
        """Take ids with UNKNOWN among them. Raises InvalidData when nothing else is there."""
        self._ids: Final[Ids] = ids[ids != UNKNOWN]
        self._stop_requested = stop_requested
        self._threads: Final = threads
        if not len(self._ids):
            raise InvalidData(
                f"The held-out text has {len(ids):,} characters, and none that the training text "
                "also has. Hold out a longer part of the same kind."
            )
        self._unknown_share: Final = 1.0 - len(self._ids) / len(ids)

    def figures(self, version: Version) -> dict[str, float]:
        """Give loss and bits a character of the version's network. Raises Stopped."""
        return _loss_figures(self._read(version))

    def compared(self, version: Version) -> dict[str, float]:
        """Give the figures of what the version serves, and of its parts. Raises Stopped.

        N-grams of no share are those that the network is compared with.
        """
        served = network = self._read(version)
        figures = {"network_validation_bits_per_char": bits_per_char(network)}
        if version.config.ngram_share:
            served, ngrams = mixed(version, self._ids, network)
            figures["mixture_validation_bits_per_char"] = bits_per_char(served)
            figures["ngram_validation_bits_per_char"] = bits_per_char(ngrams)
        elif version.ngrams is not None:
            ngrams = ngram_log_probs(version, self._ids)
            figures["ngram_validation_bits_per_char"] = bits_per_char(ngrams)
        return _loss_figures(served) | figures | {"unknown_share": self._unknown_share}

    def _read(self, version: Version) -> Doubles:
        return read_log_probs(version, self._ids, self._stop_requested, self._threads)


def bits_per_char(log_probs: Doubles) -> float:
    """Give the mean code length of characters in bits, from their natural log-probabilities."""
    return float(-log_probs.mean() / math.log(2.0))


def _loss_figures(log_probs: Doubles) -> dict[str, float]:
    bits = bits_per_char(log_probs)
    return {"validation_loss": bits * math.log(2.0), "validation_bits_per_char": bits}
