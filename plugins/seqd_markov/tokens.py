"""What a chain's symbols are: characters, or words and punctuation, as ids.

Text to ids and back, for prompts, training texts and what was written. Lower-casing is done
here, so that a prompt is read as the training text was. An id of -1 is a symbol that the version
does not know. Where texts are sentences, two more ids stand for the beginning and the end of one.
How words are found is `words`'s; made by `training` and `artifact`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqd_markov.words import NO_ROOM, core_of, is_spaced, room_of, tokens_of

Ids = npt.NDArray[np.integer]


class Tokens(Protocol):
    """The symbols of a version."""

    @property
    def symbols(self) -> int:
        """Number of ids, those of the beginning and the end of a sentence included."""

    @property
    def begin(self) -> int | None:
        """The id that begins a sentence; None where texts are not sentences."""

    @property
    def end(self) -> int | None:
        """The id that ends a sentence; None where texts are not sentences."""

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """The ids of a text, -1 for each unknown symbol; without begin and end."""

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """The text of some ids, as it goes on after the id `after`, or from nothing.

        Texts of consecutive ids, each given the last id before, are the text of all of them.
        `end` is no text, and `begin` what separates two sentences.
        """

    def shown(self, symbol: int) -> str:
        """One symbol, for people: quoted, or <begin>, <end> or <unknown>."""


@dataclass(frozen=True)
class Characters:
    """Characters, in code-point order."""

    alphabet: str
    lower_case: bool
    separator: str | None = None  # between sentences, where texts are sentences

    @property
    def symbols(self) -> int:
        """Number of ids."""
        return len(self.alphabet) + (0 if self.separator is None else 2)

    @property
    def begin(self) -> int | None:
        """The id that begins a sentence."""
        return None if self.separator is None else len(self.alphabet)

    @property
    def end(self) -> int | None:
        """The id that ends a sentence."""
        return None if self.separator is None else len(self.alphabet) + 1

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """The ids of a text."""
        codes = code_points(text.lower() if self.lower_case else text)
        return self._ids[np.minimum(codes, len(self._ids) - 1)]

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """The text of some ids."""
        if self.separator is None:
            text: str = self._codes[ids].tobytes().decode("utf-32-le")
            return text
        pieces = list(map(self._spellings.__getitem__, ids))
        if after is None and pieces and ids[0] == self.begin:
            pieces[0] = ""
        return "".join(pieces)

    def shown(self, symbol: int) -> str:
        """One character, quoted."""
        if symbol < 0:
            return "<unknown>"
        if symbol >= len(self.alphabet):
            return "<begin>" if symbol == self.begin else "<end>"
        return repr(self.alphabet[symbol])

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        return code_points(self.alphabet)

    @cached_property
    def _ids(self) -> npt.NDArray[np.int32]:
        """The id of each code point up to the alphabet's last, and -1 for all behind it."""
        ids = np.full(int(self._codes[-1]) + 2, -1, np.int32)
        ids[self._codes] = np.arange(len(self._codes))
        return ids

    @cached_property
    def _spellings(self) -> list[str]:
        return [*self.alphabet, self.separator or "", ""]


@dataclass(frozen=True)
class Words:
    """Words and punctuation, as `words` writes them, the most frequent first.

    Between two of them is a space where both want one; a mark wants what it had in the text.
    """

    vocabulary: Sequence[str]
    lower_case: bool
    separator: str | None = None
    #: Take a word that is not known as it stands in lower case. For prompts, never for training.
    forgiving: bool = False

    @property
    def symbols(self) -> int:
        """Number of ids."""
        return len(self.vocabulary) + (0 if self.separator is None else 2)

    @property
    def begin(self) -> int | None:
        """The id that begins a sentence."""
        return None if self.separator is None else len(self.vocabulary)

    @property
    def end(self) -> int | None:
        """The id that ends a sentence."""
        return None if self.separator is None else len(self.vocabulary) + 1

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """The ids of a text."""
        tokens = tokens_of(text.lower() if self.lower_case else text)
        return np.fromiter(map(self._place_of, tokens), np.int32, count=len(tokens))

    def unknown_in(self, texts: Iterable[str]) -> list[str]:
        """The words of some texts that are not in the vocabulary, each as often as it is there."""
        return [
            token
            for text in texts
            for token in tokens_of(text.lower() if self.lower_case else text)
            if self._place_of(token) < 0
        ]

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """The text of some ids."""
        pieces: list[str] = []
        for symbol in ids.tolist():
            if after is not None and is_spaced(self._rooms[after][1], self._rooms[symbol][0]):
                pieces.append(" ")
            if symbol != self.begin or after is not None:
                pieces.append(self._spellings[symbol])
            after = symbol
        return "".join(pieces)

    def shown(self, symbol: int) -> str:
        """One word or mark, quoted."""
        if symbol < 0:
            return "<unknown>"
        if symbol >= len(self.vocabulary):
            return "<begin>" if symbol == self.begin else "<end>"
        return repr(self.vocabulary[symbol])

    def _place_of(self, token: str) -> int:
        place = self._places.get(token, -1)
        return self._places.get(token.lower(), -1) if place < 0 and self.forgiving else place

    @cached_property
    def _places(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.vocabulary)}

    @cached_property
    def _spellings(self) -> list[str]:
        return [*map(core_of, self.vocabulary), self.separator or "", ""]

    @cached_property
    def _rooms(self) -> list[tuple[int, int]]:
        return [*map(room_of, self.vocabulary), (NO_ROOM, NO_ROOM), (NO_ROOM, NO_ROOM)]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """The code points of a text. Raises UnicodeEncodeError for a lone surrogate."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
