"""Texts as ids of words, and the vocabulary that a version keeps."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

#: What fills a row up behind its words.
PAD_ID: Final = 0
#: The out-of-vocabulary token.
UNKNOWN_ID: Final = 1

_FIRST_WORD_ID: Final = 2
_WORD: Final = re.compile(r"\w+|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, each punctuation mark being one."""
    return _WORD.findall(text.lower())


class WordVocabulary:
    """The words that a model knows, and their ids from 2 on."""

    def __init__(self, words: Sequence[str]) -> None:
        """Number the words in their order."""
        self.words = tuple(words)
        self._ids = {word: _FIRST_WORD_ID + rank for rank, word in enumerate(self.words)}

    @classmethod
    def of_texts(cls, texts: Iterable[str], words: int) -> "WordVocabulary":
        """Return the vocabulary of the most frequent words; of equal ones those first in order."""
        counts = Counter[str]()
        for text in texts:
            counts.update(split_words(text))
        ranked = sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
        return cls([word for word, _ in ranked[:words]])

    @property
    def ids(self) -> int:
        """Ids that there are, `PAD_ID` and `UNKNOWN_ID` among them: the rows of an embedding."""
        return _FIRST_WORD_ID + len(self.words)

    def encode(self, text: str, max_tokens: int) -> Ids:
        """Return the ids of a text's first `max_tokens` words; at least one, the unknown word's."""
        words = split_words(text)[:max_tokens] or [""]
        return np.array([self._ids.get(word, UNKNOWN_ID) for word in words], np.int32)


def padded(rows: Sequence[Ids], max_tokens: int) -> Ids:
    """Return the rows as one array, (rows, tokens), with `PAD_ID` behind shorter ones.

    Tokens are those of the longest row, rounded up to a power of two, `max_tokens` at most: a
    network that is compiled for each shape then sees few.
    """
    longest = max((len(row) for row in rows), default=1)
    tokens = min(1 << (longest - 1).bit_length(), max_tokens)
    array = np.full((len(rows), tokens), PAD_ID, np.int32)
    for at, row in enumerate(rows):
        array[at, : len(row)] = row
    return array
