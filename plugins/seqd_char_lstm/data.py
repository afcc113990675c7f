"""From a text to batches: the alphabet, the corpus, windows and streams.

An id is a character's index in the alphabet. `read_corpus` is the only place where a training looks
at text; it raises InvalidData for what cannot be learnt from before any work is done.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd.hookspecs import TrainContext
from seqd_char_lstm.artifact import MAX_ALPHABET
from seqd_char_lstm.parameters import TrainParameters

Ids = npt.NDArray[np.int32]

#: Id of a character that the alphabet does not have.
UNKNOWN: Final = -1

#: Also of scripts that put no space behind it.
_SENTENCE_END: Final = re.compile(r"[.!?]\s|[。！？।؟]")


@dataclass(frozen=True)
class Alphabet:
    """The vocabulary of a model: the characters that it knows, in code-point order."""

    characters: str

    @classmethod
    def of(cls, text: str, min_count: int = 1) -> Self:
        """Return the alphabet of the characters that `text` has at least `min_count` times."""
        counts = Counter(text)
        return cls("".join(sorted(one for one in counts if counts[one] >= min_count)))

    def __len__(self) -> int:
        return len(self.characters)

    @cached_property
    def _code_points(self) -> npt.NDArray[np.uint32]:
        return _code_points_of(self.characters)

    def encode(self, text: str) -> Ids:
        """Return each character's id, or UNKNOWN: (characters,)."""
        wanted = _code_points_of(text)  # (characters,)
        indices = np.searchsorted(self._code_points, wanted)
        indices[indices == len(self)] = 0
        known = self._code_points[indices] == wanted
        return np.where(known, indices, UNKNOWN).astype(np.int32)

    def decode(self, ids: npt.NDArray[np.integer]) -> str:
        """Return the text of known ids."""
        text: str = self._code_points[ids].tobytes().decode("utf-32-le")
        return text

    def unknown_in(self, text: str) -> str:
        """Return the distinct characters of `text` that it lacks, in code-point order."""
        return "".join(sorted(set(text) - set(self.characters)))


def _code_points_of(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def lead_in(text: str, length: int) -> str:
    """Return the `length` characters of the corpus that stand before a short prompt.

    They end with the first sentence end that has so many characters before it, so that a prompt
    begins a sentence; without one they are the first of the text. A shorter text is returned whole.
    """
    found = (match.end() for match in _SENTENCE_END.finditer(text, max(0, length - 2)))
    end = next((end for end in found if end >= length), length)
    return text[end - length : end]


@dataclass(frozen=True)
class Corpus:
    """A text to train on, and one to validate on."""

    alphabet: Alphabet
    #: (characters,) known ones only.
    ids: Ids
    #: (characters,) with UNKNOWN among them; None where nothing is held out.
    held_out: Ids | None

    @property
    def text(self) -> str:
        """The text that is trained on."""
        return self.alphabet.decode(self.ids)


def read_corpus(parameters: TrainParameters, context: TrainContext) -> Corpus:
    """Return the training data as ids; the alphabet is that of the text that is trained on.

    Without held-out data the last `validation_split` of the text is held out. Characters rarer than
    `min_count` are taken out of the text. Raises InvalidData.
    """
    text = _cased(context.data.text(), parameters)
    held_out = context.held_out
    if held_out is None:
        cut = int(len(text) * (1.0 - parameters.validation_split))
        text, rest = text[:cut], text[cut:]
    else:
        rest = _cased(held_out.text(), parameters)
    alphabet = _alphabet_of(text, parameters.min_count)
    ids = alphabet.encode(text)
    known = ids[ids != UNKNOWN]
    if len(known) < len(ids):
        context.log(
            f"{len(ids) - len(known):,} of {len(ids):,} characters are left out: each of them is "
            f"rarer than min_count {parameters.min_count:,}."
        )
    validates = held_out is not None or parameters.validation_split > 0.0
    return Corpus(alphabet, known, alphabet.encode(rest) if validates else None)


def _cased(text: str, parameters: TrainParameters) -> str:
    return text.lower() if parameters.lower_case else text


def _alphabet_of(text: str, min_count: int) -> Alphabet:
    if not text:
        raise InvalidData("The text to learn from is empty. Give a text of some thousand words.")
    alphabet = Alphabet.of(text, min_count)
    often = f" that it has at least {min_count:,} times" if min_count > 1 else ""
    if not 2 <= len(alphabet) <= MAX_ALPHABET:
        raise InvalidData(
            f"The text has {len(alphabet):,} distinct characters{often}; "
            f"from 2 to {MAX_ALPHABET:,} can be learnt. Give a text of words"
            + (", or a higher min_count." if len(alphabet) > 2 else ".")
        )
    return alphabet


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
        """Return the windows with these numbers, (batch, window), and the next ids, (batch,)."""
        starts = numbers * self.step  # (batch,)
        inputs = self.ids[starts[:, None] + np.arange(self.window)]  # (batch, window)
        return inputs, self.ids[starts + self.window]

    def batches(self, order: npt.NDArray[np.int64], batch_size: int) -> Iterator[tuple[Ids, Ids]]:
        """Yield batches of the windows in this order; the last may be smaller."""
        for first in range(0, len(order), batch_size):
            yield self.batch(order[first : first + batch_size])


@dataclass(frozen=True)
class Streams:
    """A text cut into `batch_size` contiguous streams, each read `steps` ids a batch.

    For truncated back-propagation through time: row n of a batch continues row n of the one before.
    An epoch begins at an offset in the text and wraps around at its end. What follows the last
    stream, less than a batch, is left out; another offset leaves out something else.
    """

    ids: Ids
    batch_size: int
    steps: int

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return len(self.ids) // (self.batch_size * self.steps)

    def batches(self, offset: int, first: int = 0) -> Iterator[tuple[Ids, Ids]]:
        """Yield an epoch's batches from number `first` on: inputs, and the id after each.

        Both are (batch_size, steps).
        """
        starts = offset + np.arange(self.batch_size) * (len(self) * self.steps)  # (batch_size,)
        for number in range(first, len(self)):
            steps = number * self.steps + np.arange(self.steps + 1)  # (steps + 1,)
            read = self.ids[(starts[:, None] + steps) % len(self.ids)]  # (batch_size, steps + 1)
            yield read[:, :-1], read[:, 1:]
