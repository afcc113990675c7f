"""The features of texts: their words and n-grams of characters, hashed to 65,536 numbers.

All texts of a call are hashed at once, in NumPy. The hash is the same in each process and on each
machine, unlike Python's own, since what a training learns is stored by it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

#: Different features.
FEATURES: Final = 65_536

#: Characters of an n-gram, a word's first and last space among them.
SIZES: Final = (3, 4)

Integers = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]

_WORD: Final = re.compile(r"[^\W_]+")

_SPACE: Final = ord(" ")
#: Stands before each text; no word has one.
_BEGIN: Final = ord("\n")

# Constants of FNV-1a and of the finalizer of MurmurHash3, both of 64 bits.
_FNV_OFFSET: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_MIX_1: Final = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2: Final = np.uint64(0xC4CEB9FE1A85EC53)
_GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(33)
_FEATURE_SHIFT: Final = np.uint64(48)


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each feature is in each text; those of a text stand together, by feature."""

    #: The text's place, the feature, and how often it is there.
    texts: Integers
    features: Integers
    counts: Integers


def normalized(text: str) -> str:
    """Return the words of a text in lower case, one space before and after each; "" for none.

    Where there are neither letters nor digits, what stands between spaces counts as a word.
    """
    words = _WORD.findall(text.casefold()) or text.split()
    return f" {' '.join(words)} " if words else ""


def count_features(texts: Sequence[str]) -> Counts:
    """Return the features of normalized texts."""
    content = "".join(f"\n{text}" for text in texts).encode("utf-32-le")
    codes = np.frombuffer(content, np.uint32).astype(np.uint64)
    places = np.cumsum(codes == _BEGIN) - 1
    parts = [_ngrams(codes, places, size) for size in SIZES] if len(codes) else []
    parts.append(_words(codes, places))
    keys = np.concatenate([(at * FEATURES) | _feature(hashes) for at, hashes in parts])
    found, counts = np.unique(keys, return_counts=True)
    return Counts(found // FEATURES, found % FEATURES, counts)


def mix(hashes: _Hashes) -> _Hashes:
    """Return hashes in which each bit hangs on all bits of the given ones."""
    hashes = (hashes ^ (hashes >> _HALF)) * _MIX_1
    hashes = (hashes ^ (hashes >> _HALF)) * _MIX_2
    return hashes ^ (hashes >> _HALF)


def _feature(hashes: _Hashes) -> Integers:
    return (mix(hashes) >> _FEATURE_SHIFT).astype(np.int64)


def _ngrams(codes: _Hashes, places: Integers, size: int) -> tuple[Integers, _Hashes]:
    """Return the n-grams of one size that lie within a word and its spaces."""
    count = max(0, len(codes) - size + 1)
    hashes = np.full(count, _FNV_OFFSET + np.uint64(size))
    for offset in range(size):
        hashes = (hashes ^ codes[offset : offset + count]) * _FNV_PRIME
    spaces = np.concatenate([[0], np.cumsum(codes == _SPACE)])
    starts = np.arange(count)
    inner_spaces = spaces[starts + size - 1] - spaces[starts + 1]
    is_whole = (
        (inner_spaces == 0)
        & (codes[:count] != _BEGIN)
        & (places[:count] == places[size - 1 : size - 1 + count])
    )
    return places[:count][is_whole], hashes[is_whole]


def _words(codes: _Hashes, places: Integers) -> tuple[Integers, _Hashes]:
    """Return all words; a word's hash is the sum of those of its characters and their places."""
    in_word = (codes != _SPACE) & (codes != _BEGIN)
    is_first = in_word & ~np.concatenate([[False], in_word[:-1]])
    starts = np.flatnonzero(is_first)
    if not len(starts):
        return starts, np.zeros(0, np.uint64)
    inside = np.flatnonzero(in_word)
    first_inside = np.flatnonzero(is_first[inside])
    lengths = np.diff(np.append(first_inside, len(inside)))
    offsets = (inside - np.repeat(starts, lengths)).astype(np.uint64)
    letters = mix(codes[inside] + (offsets + np.uint64(1)) * _GOLDEN)
    return places[starts], np.add.reduceat(letters, first_inside)
