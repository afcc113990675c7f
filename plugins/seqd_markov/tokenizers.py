"""Turns text into symbol ids and back, by characters or by words and punctuation marks.

An id of -1 is an out-of-vocabulary symbol. Lower-casing happens here, so that a prompt is read as
the training text was. Where texts are sentences, two more ids are their beginning and their end.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.integer]

#: Scripts without spaces between words, by the first words of their characters' names.
_UNSPACED = (
    "CJK ", "HIRAGANA", "KATAKANA", "THAI", "LAO ", "KHMER", "MYANMAR", "TIBETAN", "BOPOMOFO",
)  # fmt: skip

#: Character classes: w letter, n digit, m mark that belongs to the character before, i letter of
#: an unspaced script, a apostrophe, h hyphen, d full stop, c comma, s white space, p other mark.
_CLASSES = {"'": "a", "’": "a", "-": "h", "‐": "h", "–": "h", "—": "h", ".": "d", ",": "c"}

_TOKEN = re.compile(r"[wn][wnm]*(?:[ah](?=[wn])[wnm]+|(?<=n)[dc](?=n)[wnm]+)*|h+|d+|[^s]m*")

#: What a token asks for on one side: no space, or a space; a space stands between two tokens that
#: together ask for 2 * _WORD at least.
_NO_SPACE, _UNSPACED_SCRIPT, _WORD, _SPACE = range(4)


@dataclass(frozen=True)
class Tokenizer(ABC):
    """A vocabulary and its ids, and two ids beyond it where texts are sentences."""

    vocabulary: Sequence[str]
    lower_case: bool
    separator: str | None = None  # between sentences, where texts are sentences

    @property
    def symbols(self) -> int:
        """Number of ids, those of the beginning and the end of a sentence included."""
        return len(self.vocabulary) + (0 if self.separator is None else 2)

    @property
    def begin(self) -> int | None:
        """The id that begins a sentence; None where texts are not sentences."""
        return None if self.separator is None else len(self.vocabulary)

    @property
    def end(self) -> int | None:
        """The id that ends a sentence; None where texts are not sentences."""
        return None if self.separator is None else len(self.vocabulary) + 1

    @abstractmethod
    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, -1 for each unknown symbol; without begin and end."""

    @abstractmethod
    def decode(self, ids: Ids, after: int | None = None) -> str:
        """Return the text of some ids, as it goes on after the id `after`, or from nothing.

        Texts of consecutive ids, each given the last id before, are the text of all of them.
        `end` has no text, and `begin` has what separates two sentences.
        """

    def shown(self, symbol: int) -> str:
        """Return one symbol for people: quoted, or <begin>, <end> or <unknown>."""
        if symbol < 0:
            return "<unknown>"
        if symbol >= len(self.vocabulary):
            return "<begin>" if symbol == self.begin else "<end>"
        return repr(self.vocabulary[symbol])

    def _cased(self, text: str) -> str:
        return text.lower() if self.lower_case else text


@dataclass(frozen=True)
class CharacterTokenizer(Tokenizer):
    """Characters; the vocabulary is one string of them, in code-point order."""

    vocabulary: str

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, -1 for each unknown character."""
        codes = code_points(self._cased(text))
        return self._ids[np.minimum(codes, len(self._ids) - 1)]

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """Return the text of some ids; see `Tokenizer`."""
        if self.separator is None:
            text: str = self._codes[ids].tobytes().decode("utf-32-le")
            return text
        parts = list(map(self._spellings.__getitem__, ids))
        if after is None and parts and ids[0] == self.begin:
            parts[0] = ""
        return "".join(parts)

    @cached_property
    def _codes(self) -> npt.NDArray[np.uint32]:
        return code_points(self.vocabulary)

    @cached_property
    def _ids(self) -> npt.NDArray[np.int32]:
        """The id of each code point up to the vocabulary's last, and -1 for all behind it."""
        ids = np.full(int(self._codes[-1]) + 2, -1, np.int32)
        ids[self._codes] = np.arange(len(self._codes))
        return ids

    @cached_property
    def _spellings(self) -> list[str]:
        return [*self.vocabulary, self.separator or "", ""]


@dataclass(frozen=True)
class WordTokenizer(Tokenizer):
    """Words and punctuation marks as `split_words` spells them, the most frequent first."""

    #: Read an unknown word as its lower-case form. For prompts, never for training.
    lower_case_fallback: bool = False

    def encode(self, text: str) -> npt.NDArray[np.int32]:
        """Return the ids of a text, -1 for each unknown word."""
        words = split_words(self._cased(text))
        return np.fromiter(map(self._id_of, words), np.int32, count=len(words))

    def unknown_in(self, texts: Iterable[str]) -> list[str]:
        """Return the words of some texts that are unknown, each as often as it occurs."""
        words = (word for text in texts for word in split_words(self._cased(text)))
        return [word for word in words if self._id_of(word) < 0]

    def decode(self, ids: Ids, after: int | None = None) -> str:
        """Return the text of some ids; see `Tokenizer`.

        A space stands between two words; a mark has the spaces that it had in the training text.
        """
        parts: list[str] = []
        for symbol in ids.tolist():
            if after is not None and _is_spaced(self._spacing[after][1], self._spacing[symbol][0]):
                parts.append(" ")
            if symbol != self.begin or after is not None:
                parts.append(self._spellings[symbol])
            after = symbol
        return "".join(parts)

    def _id_of(self, word: str) -> int:
        found = self._ids.get(word, -1)
        return self._ids.get(word.lower(), -1) if found < 0 and self.lower_case_fallback else found

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: symbol for symbol, word in enumerate(self.vocabulary)}

    @cached_property
    def _spellings(self) -> list[str]:
        return [*map(without_spaces, self.vocabulary), self.separator or "", ""]

    @cached_property
    def _spacing(self) -> list[tuple[int, int]]:
        """What each symbol asks for before and after it."""
        return [*map(_spacing_of, self.vocabulary), (_NO_SPACE, _NO_SPACE), (_NO_SPACE, _NO_SPACE)]


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """Return the code points of a text. Raises UnicodeEncodeError for a lone surrogate."""
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def split_words(text: str) -> list[str]:
    """Return the words and punctuation marks of a text in any script, in order.

    A word is a run of letters and digits with their combining marks, with apostrophes and hyphens
    inside, and full stops and commas between digits. A run of hyphens or of full stops is one
    mark. In scripts without spaces between words each character is a word. A mark keeps the spaces
    that it has in the text: ` (`, `) `, ` "` and `" ` are four different ones, so that quotes and
    brackets can be decoded. The beginning and the end of the text count as spaces.
    """
    classes = text.translate(_CHARACTER_CLASSES)
    words = []
    for match in _TOKEN.finditer(classes):
        first, last = match.span()
        word = text[first:last]
        if classes[first] not in "wni":
            before = " " if first == 0 or classes[first - 1] == "s" else ""
            after = " " if last == len(classes) or classes[last] == "s" else ""
            word = f"{before}{word}{after}"
        words.append(word)
    return words


def without_spaces(word: str) -> str:
    """Return a mark without the spaces that it keeps, and a word as it is."""
    return word.strip(" ")


def _spacing_of(word: str) -> tuple[int, int]:
    kind = _CHARACTER_CLASSES[ord(word[0])]
    if kind in "wn":
        return _WORD, _WORD
    if kind == "i":
        return _UNSPACED_SCRIPT, _UNSPACED_SCRIPT
    return (
        _SPACE if word.startswith(" ") else _NO_SPACE,
        _SPACE if word.endswith(" ") else _NO_SPACE,
    )


def _is_spaced(after: int, before: int) -> bool:
    """Return whether a space stands between two tokens that ask for this there.

    A mark decides. Two words have one; a character of an unspaced script has none beside it.
    """
    return after > _NO_SPACE and before > _NO_SPACE and after + before >= 2 * _WORD


class _CharacterClasses(dict[int, str]):
    """Classes of characters by code point, each found when it is first asked for."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _class_of(chr(code))
        return found


def _class_of(character: str) -> str:
    if character in _CLASSES:
        return _CLASSES[character]
    category = unicodedata.category(character)
    if character.isspace() or category == "Cc":
        return "s"
    if category[0] == "M" or category == "Cf":
        return "m"
    if unicodedata.name(character, "").startswith(_UNSPACED):
        return "i" if category[0] in "LN" else "p"
    return {"L": "w", "N": "n"}.get(category[0], "p")


_CHARACTER_CLASSES = _CharacterClasses()
