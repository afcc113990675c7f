"""What an unknown word costs: a small model of characters that spells it.

A model of words gives its own words all but `unknown_share` of each prediction; an unknown word
has the rest, times the probability of its spelling. So every text has a proper code length in
bits, however small the vocabulary. Made by `training`, kept by `artifact`, used by `measuring`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from seqd_markov.tokens import Characters
from seqd_ngrams import NgramModel, Smoothing, count, fit

#: Characters of context: a word is short, and its model a fraction of the version's.
_ORDER = 3

#: Code points that a character outside the alphabet may be, each as probable as the others.
_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Spelling:
    """Characters of words, each word between its beginning and its end.

    The last character of the alphabet stands for all that are not in it.
    """

    alphabet: str
    model: NgramModel

    def bits(self, words: Sequence[str]) -> float:
        """The code length of some words, each with its end, together."""
        ids, outside = [], 0
        for word in words:
            of_word = self._characters.encode(word)
            outside += int((of_word < 0).sum())
            of_word[of_word < 0] = len(self.alphabet)
            ids.append(np.concatenate([[self._begin], of_word, [self._end]]))
        if not ids:
            return 0.0
        logs = self.model.log_probs(np.concatenate(ids))
        return float(-np.nansum(logs) / np.log(2.0) + outside * np.log2(_CODE_POINTS))

    @property
    def _begin(self) -> int:
        return len(self.alphabet) + 1

    @property
    def _end(self) -> int:
        return len(self.alphabet) + 2

    @cached_property
    def _characters(self) -> Characters:
        return Characters(self.alphabet, lower_case=False)


def learn_spelling(words: Iterable[str]) -> Spelling:
    """Learn from words, each counted once, as new words are more like rare ones than frequent."""
    known = list(words)
    alphabet = "".join(sorted(set().union(*known)))
    begin, encode = len(alphabet) + 1, Characters(alphabet, lower_case=False).encode
    spans = (np.concatenate([[begin], encode(word), [begin + 1]]) for word in known)
    counts = count(
        [np.concatenate(list(spans))], order=_ORDER, symbols=symbols_of(alphabet), begin=begin
    )
    return Spelling(alphabet, fit(counts, Smoothing.WITTEN_BELL))


def symbols_of(alphabet: str) -> int:
    """Ids of a spelling: the alphabet, all else, the beginning and the end."""
    return len(alphabet) + 3


def read_spelling(alphabet: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> Spelling:
    """Read a spelling's model. Raises ValueError where it does not fit its alphabet."""
    model = NgramModel.of(arrays)
    if (model.symbols, model.begin) != (symbols_of(alphabet), len(alphabet) + 1):
        raise ValueError(
            f"{model.symbols} symbols are spelled; the alphabet makes {symbols_of(alphabet)}"
        )
    return Spelling(alphabet, model)
