"""Characters as numbers: the alphabet, and the text of the corpus before a prompt.

Pure NumPy: knows nothing of Keras, of files or of jobs. Used by whatever reads or writes text.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

#: Id of a character that the alphabet does not have.
UNKNOWN = -1

#: Also of scripts that put no space behind it.
_SENTENCE_END = re.compile(r"[.!?]\s|[。！？।؟]")


@dataclass(frozen=True)
class Alphabet:
    """The characters that a model knows, in code-point order; an id is a place in it."""

    characters: str

    @classmethod
    def of(cls, text: str, min_count: int = 1) -> Self:
        """Collect the distinct characters that `text` has at least `min_count` times."""
        counts = Counter(text)
        return cls("".join(sorted(one for one in counts if counts[one] >= min_count)))

    def __len__(self) -> int:
        return len(self.characters)

    @cached_property
    def _code_points(self) -> npt.NDArray[np.uint32]:
        return _code_points_of(self.characters)

    def encode(self, text: str) -> Ids:
        """Give each character its id, or UNKNOWN."""
        wanted = _code_points_of(text)  # (characters,)
        places = np.searchsorted(self._code_points, wanted)
        places[places == len(self)] = 0
        known = self._code_points[places] == wanted
        return np.where(known, places, UNKNOWN).astype(np.int32)

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Give the text of known ids."""
        text: str = self._code_points[ids].tobytes().decode("utf-32-le")
        return text

    def unknown_in(self, text: str) -> str:
        """The distinct characters of `text` that the alphabet lacks, in code-point order."""
        return "".join(sorted(set(text) - set(self.characters)))


def lead_in(text: str, window: int) -> str:
    """Choose the `window` characters of the corpus that stand before a short prompt.

    They end with the first sentence end that has so many characters before it, so that a
    prompt begins a sentence; without one they are the first of the text. A shorter text is given
    whole.
    """
    found = (match.end() for match in _SENTENCE_END.finditer(text, max(0, window - 2)))
    end = next((end for end in found if end >= window), window)
    return text[end - window : end]


def _code_points_of(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
