"""Texts as ids of words, and the vocabulary that a version keeps."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

#: What fills a row up behind its words, and the out-of-vocabulary token; words are from 2 on.
PAD_ID: Final = 0
UNKNOWN_ID: Final = 1
_FIRST_WORD_ID: Final = 2

_WORD: Final = re.compile(r"\w+|[^\w\s]")


def split_words(text: str) -> list[str]:
    """Return the words of a text in lower case, each punctuation mark being one."""
    return _WORD.findall(text.lower())


class WordVocabulary:
    """The words that a model knows, and their ids."""

    def __init__(self, words: Sequence[str]) -> None:
        """Number the words in their order."""
        self.words = tuple(words)
        self._ids = {word: _FIRST_WORD_ID + rank for rank, word in enumerate(self.words)}

    @classmethod
    def of_texts(cls, texts: Iterable[str], words: int) -> "WordVocabulary":
        """Return the vocabulary of the most frequent words; of equal ones those first in order."""
        counts = Counter(word for text in texts for word in split_words(text))
        ranked = sorted(counts.items(), key=lambda counted: (-counted[1], counted[0]))
        return cls([word for word, _ in ranked[:words]])

    @property
    def ids(self) -> int:
        """Ids that there are, `PAD_ID` and `UNKNOWN_ID` among them: the rows of an embedding."""
        return _FIRST_WORD_ID + len(self.words)

    def encode_all(self, texts: Sequence[str], max_tokens: int) -> npt.NDArray[np.int32]:
        """Return ids (texts, tokens) of the texts' first `max_tokens` words, `PAD_ID` behind them.

        A text without words has `UNKNOWN_ID` as its one. Tokens are those of the longest text,
        rounded up to a power of two, `max_tokens` at most: a network that is compiled for each
        shape then sees few.
        """
        rows = [split_words(text)[:max_tokens] or [""] for text in texts]
        longest = max(map(len, rows), default=1)
        tokens = min(1 << (longest - 1).bit_length(), max_tokens)
        ids = np.full((len(rows), tokens), PAD_ID, np.int32)
        for row, words in zip(ids, rows, strict=True):
            row[: len(words)] = [self._ids.get(word, UNKNOWN_ID) for word in words]
        return ids
