"""Reviews as the tutorial's script feeds them: word ids by frequency, padded and cut at the front.

What a user of Keras writes with its tokenizer and `pad_sequences`. Its time is never counted.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

_SEPARATORS = str.maketrans(dict.fromkeys('!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n', " "))

#: 0 pads, 1 starts a review, 2 is an unknown word, and the word of rank 1 is 4.
_START, _UNKNOWN, _FIRST_WORD = 1, 2, 4


def read_reviews(path: str) -> tuple[list[str], list[str]]:
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def words_of(text: str) -> list[str]:
    return text.lower().translate(_SEPARATORS).split()


def ranks_of(texts: Sequence[str], words: int) -> dict[str, int]:
    """Return the id of each of the most frequent words, `words` ids in all."""
    counted = Counter(word for text in texts for word in words_of(text))
    frequent = counted.most_common(max(0, words - _FIRST_WORD))
    return {word: rank for rank, (word, _) in enumerate(frequent, start=_FIRST_WORD)}


def padded(texts: Sequence[str], ranks: dict[str, int], longest: int) -> npt.NDArray[np.int32]:
    """Return (texts, longest) ids, zeros in front of the shorter ones."""
    found = np.zeros((len(texts), longest), dtype=np.int32)
    for row, text in enumerate(texts):
        ids = [_START, *(ranks.get(word, _UNKNOWN) for word in words_of(text))][-longest:]
        found[row, longest - len(ids) :] = ids
    return found
