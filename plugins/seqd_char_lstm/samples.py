"""One sample as it is written: text let out piece by piece, and the figures that it ends with.

Knows neither the network nor jobs. Used by `generation`.
"""

import math
from typing import Final

import numpy as np

from seqd_char_lstm.chains import Doubles, Ids
from seqd_char_lstm.stopping import HeldBack, StopTexts
from seqd_char_lstm.text import Alphabet
from seqd_schemas import FinishReason, GeneratedSample

#: Lengths of the n-grams whose variety is told.
_DISTINCT: Final = (1, 2, 3)


class Sample:
    """A text under way."""

    def __init__(self, alphabet: Alphabet, stops: StopTexts) -> None:
        self._alphabet = alphabet
        self._held_back = HeldBack(stops)
        self._texts: list[str] = []
        self._log_probs: list[Doubles] = []

    @property
    def is_stopped(self) -> bool:
        """True once a stop text came."""
        return self._held_back.is_stopped

    def add(self, ids: Ids, log_probs: Doubles) -> str:
        """Take the next characters; gives the text that is certain now."""
        if self.is_stopped:
            return ""
        self._log_probs.append(log_probs)
        return self._let_out(self._held_back.add(self._alphabet.decode(ids)))

    def rest(self) -> str:
        """Give the text that was held back, at the end."""
        return self._let_out(self._held_back.rest())

    def finished(self, temperature: float, seed: int) -> GeneratedSample:
        """Give the sample, once its rest was let out."""
        text = "".join(self._texts)
        log_probs = np.concatenate(self._log_probs)[: len(text)]  # without those of a stop text
        return GeneratedSample(
            text=text,
            temperature=temperature,
            seed=seed,
            # fsum, unlike sum, gives the same whatever the pieces were.
            mean_log_prob=math.fsum(log_probs) / len(text) if text else None,
            finish_reason=FinishReason.STOP if self.is_stopped else FinishReason.LENGTH,
            distinct_n=_distinct(self._alphabet.encode(text)),
        )

    def _let_out(self, text: str) -> str:
        self._texts.append(text)
        return text


def _distinct(ids: Ids) -> tuple[float, ...]:
    """Share of different n-grams among its n-grams, for n of 1, 2, 3 as far as it has any."""
    grams = ids.astype(np.int64)
    base = int(grams.max(initial=0)) + 1  # at most 10,000, so that three fit in 64 bits
    shares = []
    for n in _DISTINCT[: len(ids)]:
        if n > 1:
            grams = grams[:-1] * base + ids[n - 1 :]
        shares.append(len(np.unique(grams)) / len(grams))
    return tuple(shares)
