"""Split texts into words, by one of two rules; a version names the rule it was trained with.

`keras-legacy-1`, the rule of Keras's legacy tokenizer and of its IMDB set: lower-case; each
character of `SEPARATORS` becomes a space; split at spaces. Apostrophes and all other white space,
such as the no-break space, stay within words.

`unicode-1`, for any script: lower-case; Unicode's composed form (NFC), so that a letter and its
accent are the same word however they were typed; the typographic apostrophe is an apostrophe. Then

- a run of letters and digits is a word, an apostrophe between two of them included;
- each Chinese character and each kana is a word of its own, since no spaces part them;
- each other character that is not white space is a word of its own, punctuation and emoji too;
- combining marks and invisible format characters belong to the character before them.

Thai, Lao, Khmer and Burmese have no spaces either and are not split: that takes a dictionary.
What a letter is, the running Python's Unicode tables say: characters that a later edition of
Unicode adds may be split differently there.

The texts of serving pass through here, so both rules work on whole batches.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.parameters import Tokenizer

#: The words of a record, as UTF-8, and its label where it has one.
LabelledWords = tuple[list[bytes], str | None]

#: The rule that Keras's built-in IMDB set was made by.
KERAS_LEGACY: Final[Tokenizer] = "keras-legacy-1"

SEPARATORS: Final = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'

#: Bytes to bytes: all separators are ASCII, and UTF-8 uses no ASCII byte inside a longer
#: character, so a text may be split as bytes. Measured on 25,000 reviews, one core: 0.59 s
#: to ids, against 0.86 s as `str`, whose `translate` is slower still on non-ASCII text.
_TO_SPACE: Final = bytes(32 if chr(byte) in SEPARATORS else byte for byte in range(256))

#: Code points: of ASCII text its bytes, of other text UTF-32.
_CodePoints = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]
_Kinds = npt.NDArray[np.uint8]
_Flags = npt.NDArray[np.bool_]

#: Kinds of characters under `unicode-1`: white space, part of a longer word, a word of its own,
#: and what belongs to the character before it.
_SPACE: Final = 0
_LETTER: Final = 1
_SINGLE: Final = 2
_MARK: Final = 3

_MARK_CATEGORIES: Final = frozenset({"Mn", "Mc", "Me", "Cf"})

#: Scripts without spaces whose characters are words: iteration marks and zero, kana, Han, Han for
#: compatibility, kana of half width, old kana, and the two planes that hold nothing but Han.
_UNSPACED: Final = (
    (0x3005, 0x3005),
    (0x3007, 0x3007),
    (0x3041, 0x3098),
    (0x309B, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_ZERO_WIDTH_SPACE: Final = 0x200B
#: Letters and marks end below; from here on planes are uniform.
_FIRST_UNIFORM: Final = 0x20000
#: Tags and variation selectors, the only assigned characters of their plane.
_TAGS: Final = (0xE0000, 0xE01EF)

#: Joins texts that are split together; within them it is replaced by a space.
_TEXT_SEPARATOR: Final = "\n"


def tokenize(text: str, tokenizer: Tokenizer = KERAS_LEGACY) -> list[bytes]:
    """Return a text's words, each as UTF-8; lone surrogates survive (`surrogatepass`)."""
    return tokenize_all([text], tokenizer)[0]


def tokenize_all(texts: Sequence[str], tokenizer: Tokenizer = KERAS_LEGACY) -> list[list[bytes]]:
    """Return each text's words. `unicode-1` is several times as fast on some tens of texts."""
    return [[word for word in text.split(b" ") if word] for text in space_words(texts, tokenizer)]


def space_words(texts: Sequence[str], tokenizer: Tokenizer) -> list[bytes]:
    """Return each text as UTF-8 with at least one space between words, and none within a word."""
    return _SPACE_WORDS[tokenizer](texts)


def decode_word(word: bytes) -> str:
    """Return a word of `tokenize` as `str`."""
    return word.decode("utf-8", "surrogatepass")


def _space_keras_words(texts: Sequence[str]) -> list[bytes]:
    return [text.lower().encode("utf-8", "surrogatepass").translate(_TO_SPACE) for text in texts]


def _space_unicode_words(texts: Sequence[str]) -> list[bytes]:
    """Space words under `unicode-1`, ASCII texts apart from the others: they take a byte a letter.

    On 4,000 English reviews, one core: 7 us a review in batches of 32 and 29 us one by one; one
    regular expression took 12 times as long as batches.
    """
    normalized = [_normalize(text) for text in texts]
    spaced = [b""] * len(texts)
    for rows, space in (
        ([row for row, text in enumerate(normalized) if text.isascii()], _space_ascii),
        ([row for row, text in enumerate(normalized) if not text.isascii()], _space_non_ascii),
    ):
        if rows:
            parts = space(_TEXT_SEPARATOR.join(normalized[row] for row in rows)).split(b"\n")
            for row, part in zip(rows, parts, strict=True):
                spaced[row] = part
    return spaced


_SPACE_WORDS: Final[Mapping[Tokenizer, Callable[[Sequence[str]], list[bytes]]]] = {
    "keras-legacy-1": _space_keras_words,
    "unicode-1": _space_unicode_words,
}


def _normalize(text: str) -> str:
    lowered = text.lower().replace(_TEXT_SEPARATOR, " ")
    if lowered.isascii():
        return lowered
    return unicodedata.normalize("NFC", lowered).replace("\u2019", "'")


def _space_ascii(text: str) -> bytes:
    return _insert_spaces(np.frombuffer(text.encode("ascii"), dtype=np.uint8)).tobytes()


def _space_non_ascii(text: str) -> bytes:
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    spaced = _insert_spaces(characters).tobytes().decode("utf-32-le", "surrogatepass")
    return spaced.encode("utf-8", "surrogatepass")


def _insert_spaces(characters: _CodePoints) -> npt.NDArray[np.generic]:
    """Insert a space before each word that follows another one: (n,) → (n or more,)."""
    kinds, is_attached = _kinds_of(characters)
    before, here = kinds[:-1], kinds[1:]
    begins = (here == _SINGLE) | ((here == _LETTER) & (before == _SINGLE))
    begins &= before != _SPACE
    begins &= ~is_attached[1:]
    others = (kinds == _SPACE) & (characters != ord(" ")) & (characters != ord(_TEXT_SEPARATOR))
    if others.any():
        characters = np.where(others, characters.dtype.type(ord(" ")), characters)
    return np.insert(characters, np.flatnonzero(begins) + 1, ord(" "))


def _kinds_of(characters: _CodePoints) -> tuple[_Kinds, _Flags]:
    """Return each character's kind, and whether it is a mark attached to the one before it.

    An attached mark has the kind of its base character.
    """
    kinds = _kind_of_code_point()[characters]
    is_attached = kinds == _MARK
    is_letter = kinds == _LETTER
    if is_attached.any():
        bases = np.where(is_attached, 0, np.arange(len(kinds)))
        np.maximum.accumulate(bases, out=bases)
        kinds = kinds[bases]
        # A mark after a space, or at the very start, has no base: it is a word of its own.
        no_base = is_attached & ((kinds == _SPACE) | (kinds == _MARK))
        kinds[no_base] = _SINGLE
        is_attached[1:] &= ~no_base[1:] | is_attached[:-1]
        is_attached[0] = False
    apostrophes = np.flatnonzero(characters[1:-1] == ord("'")) + 1
    inside = apostrophes[(kinds[apostrophes - 1] == _LETTER) & is_letter[apostrophes + 1]]
    kinds[inside] = _LETTER
    return kinds, is_attached


@cache
def _kind_of_code_point() -> _Kinds:
    """Return the kind of every code point, (0x110000,); takes 30 ms and a megabyte."""
    kinds = np.full(0x110000, _SINGLE, dtype=np.uint8)
    for code in range(_FIRST_UNIFORM):
        character = chr(code)
        if character.isalnum():
            kinds[code] = _LETTER
        elif character.isspace() or code == _ZERO_WIDTH_SPACE:
            kinds[code] = _SPACE
        elif unicodedata.category(character) in _MARK_CATEGORIES:
            kinds[code] = _MARK
    for first, last in _UNSPACED:
        kinds[first : last + 1] = _SINGLE
    kinds[_TAGS[0] : _TAGS[1] + 1] = _MARK
    return kinds
