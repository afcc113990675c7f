"""Characters as numbers: the alphabet, the training windows, the text before a short prompt.

Pure NumPy: knows nothing of Keras, of files or of jobs. Used by `training`, `generation`
and `artifact`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int32]

#: Id of a character that the alphabet does not have.
UNKNOWN = -1

_SENTENCE_END = re.compile(r"[.!?]\s")


@dataclass(frozen=True)
class Alphabet:
    """The characters that a model knows, in code-point order; an id is a place in it."""

    characters: str

    @classmethod
    def of(cls, text: str) -> Self:
        """Collect the distinct characters of `text`."""
        return cls("".join(sorted(set(text))))

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


@dataclass(frozen=True)
class Windows:
    """All training windows of a text: `window` characters each, and the one that follows.

    Cut on demand, so that a long text does not stand in memory `window` times.
    """

    ids: Ids
    window: int
    step: int

    def __len__(self) -> int:
        return max(0, -(-(len(self.ids) - self.window) // self.step))

    def batch(self, numbers: npt.NDArray[np.int64]) -> tuple[Ids, Ids]:
        """Cut the windows with these numbers: (batch, window) ids and (batch,) next ids."""
        starts = numbers * self.step  # (batch,)
        inputs = self.ids[starts[:, None] + np.arange(self.window)]  # (batch, window)
        return inputs, self.ids[starts + self.window]

    def batches(
        self, order: npt.NDArray[np.int64], batch_windows: int
    ) -> Iterator[tuple[Ids, Ids]]:
        """Cut all windows in this order, `batch_windows` at a time; the last may be fewer."""
        for first in range(0, len(order), batch_windows):
            yield self.batch(order[first : first + batch_windows])


def lead_in(text: str, window: int) -> str:
    """Choose the `window` characters of the corpus that stand before a short prompt.

    They end with the first sentence end that has so many characters before it, so that a
    prompt begins a sentence; without one they are the first of the text.
    """
    match = _SENTENCE_END.search(text, max(0, window - 2))
    end = window if match is None else match.end()
    return text[end - window : end]


def _code_points_of(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
