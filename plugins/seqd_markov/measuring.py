"""How well a version predicts a text: bits a character, each given all before it.

Characters that a version of characters does not know are left out, and end the context. Words
that a version of words does not know are paid for: each prediction leaves them `unknown_share`,
and `spelling` spells them. A text of words, or of sentences, has each run of blanks as one
character, and the end of a sentence as one. Called by `training` and for `measure`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from seqd_markov.artifact import Version
from seqd_markov.reading import Chunk, blank_free_length, ids_of, sentences_of
from seqd_markov.tokens import Words
from seqd_ngrams import NgramModel, Smoothing, fit

#: Of a symbol, at most: what a perplexity is made of is a number all the same.
_LARGEST_BITS = 1_000.0


@dataclass
class _Sum:
    """What was measured so far."""

    bits: float = 0.0
    characters: int = 0
    predicted: int = 0  # symbols that were paid for
    unknown: int = 0

    def figures(self, *, of_words: bool) -> dict[str, float]:
        """Make figures of it; none where nothing was predicted."""
        if not self.predicted:
            return {}
        left_out = 0 if of_words else self.unknown
        figures = {
            "bits_per_char": self.bits / self.characters,
            "unknown_share": self.unknown / (self.predicted + left_out),
        }
        if of_words:
            figures["perplexity"] = 2.0 ** min(self.bits / self.predicted, _LARGEST_BITS)
        return figures


def measure(version: Version, chunks: Iterable[Chunk]) -> dict[str, float]:
    """Measure a text that comes in chunks, which are read to their end.

    Gives `bits_per_char` and `unknown_share`, and of a version of words `perplexity`: that of a
    word or mark, unknown ones with their spelling. Empty where nothing could be predicted. To an
    unsmoothed version most texts are impossible: it is measured with additive smoothing.
    """
    found, state, model = _Sum(), 0, _smoothed(version.model)
    for chunk in chunks:
        ids = ids_of(chunk.text, version.tokens, version.config.ends)
        logs = model.log_probs(ids, state)
        state = model.state_after(ids, state)
        predicted, unknown = int((~np.isnan(logs)).sum()), int((ids < 0).sum())
        found.bits -= float(np.nansum(logs) / np.log(2.0))
        found.predicted += predicted
        found.unknown += unknown
        if version.spelling is None:
            found.characters += predicted
        else:
            # The blank between two chunks is one more character.
            found.characters += blank_free_length(chunk.text) + (found.characters > 0)
            found.predicted += unknown
            found.bits += _bits_of_words(version, chunk.text, predicted, unknown)
    return found.figures(of_words=version.spelling is not None)


def _smoothed(model: NgramModel) -> NgramModel:
    if model.smoothing is not Smoothing.NONE:
        return model
    return fit(model.counts(), Smoothing.ADDITIVE, model.additive)


def _bits_of_words(version: Version, text: str, known: int, unknown: int) -> float:
    """What is paid beside the model: leaving room for unknown words, and spelling them."""
    share = version.config.unknown_share
    bits = -known * np.log2(1.0 - share)
    if unknown:
        assert isinstance(version.tokens, Words)
        assert version.spelling is not None
        words = version.tokens.unknown_in(sentences_of(text, version.config.ends))
        bits += version.spelling.bits(words) - unknown * np.log2(share)
    return float(bits)
