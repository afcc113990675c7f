"""Turn texts into token ids, by the numbering of Keras's IMDB set.

Id 0 is padding, 1 starts a text, 2 is every out-of-vocabulary word, and the word of frequency rank
r, counted from 1, is r + 3.

The texts of serving pass through here: `Vocabulary.encode_all` looks the words of many texts up at
once, in a hash table whose operations are NumPy's.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.parameters import Tokenizer
from seqd_imdb_lstm.tokenizer import KERAS_LEGACY, space_words

#: Token ids of one text: (tokens,).
Ids = npt.NDArray[np.int32]

PAD_ID: Final = 0
START_ID: Final = 1
UNKNOWN_ID: Final = 2
#: A word's id is its rank, from 1, plus this; so id 3 is never used.
INDEX_FROM: Final = 3

#: Looked up as the start of a text. The byte is a separator of both tokenizers, so in no word.
_START_WORD: Final = b"\n"

#: Characters of texts that are looked up together. On 25,000 reviews, one core: 6.5 us a review
#: with 32 reviews of 1,300 characters, whose arrays stay in the cache, 12 us with 512.
_BATCH_CHARS: Final = 49_152

_Keys = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.intp]

_SPACE: Final = 32
#: Longest word that a key of two numbers holds: eight bytes, then seven and the length.
_MAX_KEY_BYTES: Final = 15
#: Spaces behind the last word, over which a key may read.
_MARGIN: Final = b" " * 16
#: Slots of the table for each word, at least: few words then meet another one in their slot.
_SLOTS_PER_WORD: Final = 4
#: Id of a free slot.
_FREE: Final = -1

#: Odd numbers without a pattern, by which keys are multiplied; the hash is the top of the sum.
_MULTIPLIERS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], dtype=np.uint64)

#: By a number of bytes, 0 to 8 and more: which of eight bytes are kept.
_BYTE_MASK: Final[_Keys] = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(17)], dtype=np.uint64)
#: By a word's length, 0 to 16: the length's bits in the first number of its key and in the second.
_LENGTH_BITS: Final[_Keys] = np.array(
    [*(size << 56 for size in range(8)), *[0] * 9], dtype=np.uint64
)
_LONG_LENGTH_BITS: Final[_Keys] = np.array([size << 56 for size in range(17)], dtype=np.uint64)


class EncodedReview(NamedTuple):
    """A text as token ids."""

    #: (tokens,) at most `max_tokens`; the start id first, unless it was cut off.
    ids: Ids
    #: Words of the whole text, the cut ones included.
    words: int
    #: Those of them that are out of the vocabulary.
    unknown_words: int
    #: True when words, and not merely the start id, were cut off at the front.
    truncated: bool


class Vocabulary:
    """The words that a version knows, the most frequent first."""

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer = KERAS_LEGACY) -> None:
        """Number `words` by their order; `tokenizer` is the rule that split the texts of them."""
        self.words = tuple(words)
        self._tokenizer = tokenizer
        self._id_of_word = _IdOfWord(
            (word.encode("utf-8", "surrogatepass"), rank + INDEX_FROM)
            for rank, word in enumerate(self.words, start=1)
        )
        self._table = WordTable(self._id_of_word | {_START_WORD: START_ID}, UNKNOWN_ID)

    def id_of(self, word: bytes) -> int:
        """Return a word's id, `UNKNOWN_ID` where it is out of the vocabulary."""
        return self._id_of_word[word]

    def encode_all(self, texts: Sequence[str], max_tokens: int) -> list[EncodedReview]:
        """Return texts as ids, in order, cut at the front to the last `max_tokens` of each."""
        reviews: list[EncodedReview] = []
        for batch in _batches(texts):
            reviews.extend(self._encode_batch(space_words(batch, self._tokenizer), max_tokens))
        return reviews

    def _encode_batch(self, texts: Sequence[bytes], max_tokens: int) -> Iterator[EncodedReview]:
        """Look the words of all texts up together; spaces part the words already."""
        begin = _START_WORD + b" "
        ids = self._table.ids_of(begin + (b" " + begin).join(texts))
        bounds = [*np.flatnonzero(ids == START_ID).tolist(), len(ids)]
        unknown = np.flatnonzero(ids == UNKNOWN_ID)
        unknown_before = np.searchsorted(unknown, bounds).tolist()
        for row, start in enumerate(bounds[:-1]):
            end = bounds[row + 1]
            words = end - start - 1
            yield EncodedReview(
                ids=ids[max(start, end - max_tokens) : end],
                words=words,
                unknown_words=unknown_before[row + 1] - unknown_before[row],
                truncated=words > max_tokens,
            )

    def encode_words(self, words: Sequence[bytes], max_tokens: int) -> EncodedReview:
        """Return the words of one text as ids, cut as `encode_all` cuts it."""
        ids = list(map(self._id_of_word.__getitem__, words))
        # Cut before the conversion, which is the dearer half for a text of 1 MB.
        tail = ids[-max_tokens:] if len(ids) >= max_tokens else [START_ID, *ids]
        return EncodedReview(
            ids=np.array(tail, dtype=np.int32),
            words=len(ids),
            unknown_words=ids.count(UNKNOWN_ID),
            truncated=len(ids) > max_tokens,
        )


def clip_to_vocabulary(ids: Ids, size: int) -> Ids:
    """Return ids of the same shape, `UNKNOWN_ID` in place of each one from `size` on."""
    return np.where(ids < size, ids, np.int32(UNKNOWN_ID))


class _IdOfWord(dict[bytes, int]):
    """Maps other words to `UNKNOWN_ID`; a known one costs no more than in a plain dict."""

    def __missing__(self, word: bytes) -> int:
        return UNKNOWN_ID


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the texts in order, each batch as soon as it has `_BATCH_CHARS` characters."""
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class WordTable:
    """An exact hash table from words to ids, open addressing with linear probing, in NumPy.

    The key of a word of up to 15 bytes is two uint64: its first eight bytes, then the others with
    the length in the top byte. So cutting a buffer into words, hashing and comparing are a few
    passes over whole arrays. On 25,000 reviews, one core: 7 us a review, where a dict took 30.
    Longer words are looked up in a dict.
    """

    def __init__(self, id_of_word: Mapping[bytes, int], unknown_id: int) -> None:
        """Build the table; the words that come first in `id_of_word` are found the fastest."""
        self._unknown_id = unknown_id
        self._long = {
            word: number for word, number in id_of_word.items() if len(word) > _MAX_KEY_BYTES
        }
        short = [word for word in id_of_word if 0 < len(word) <= _MAX_KEY_BYTES]
        bits = max(4, (_SLOTS_PER_WORD * len(short)).bit_length())
        self._shift = np.uint64(64 - bits)
        self._last_slot = (1 << bits) - 1
        #: By slot: a word's key, and its id. No word has the key (0, 0).
        self._first = np.zeros(1 << bits, dtype=np.uint64)
        self._second = np.zeros_like(self._first)
        self._ids = np.full(1 << bits, _FREE, dtype=np.int32)
        self._fill(short, np.array([id_of_word[word] for word in short], dtype=np.int32))

    def ids_of(self, words: bytes) -> Ids:
        """Return the id of each word of a text in which spaces part words → (words,)."""
        buffer = b" " + words + _MARGIN
        starts, sizes = _word_bounds(buffer)
        first, second = _keys(buffer, starts, sizes)
        ids = self._look_up(first, second)
        if self._long:
            for index in np.flatnonzero(sizes > _MAX_KEY_BYTES).tolist():
                start = starts[index]
                word = buffer[start : start + sizes[index]]
                ids[index] = self._long.get(word, self._unknown_id)
        return ids

    def _look_up(self, first: _Keys, second: _Keys) -> Ids:
        slots = self._slots(first, second)
        ids, collides = self._compare(slots, first, second)
        pending = np.flatnonzero(collides)
        slots = slots[pending]
        while len(pending):
            slots = slots + 1 & self._last_slot
            ids[pending], collides = self._compare(slots, first[pending], second[pending])
            pending, slots = pending[collides], slots[collides]
        return ids

    def _compare(
        self, slots: _Indices, first: _Keys, second: _Keys
    ) -> tuple[Ids, npt.NDArray[np.bool_]]:
        """Return the ids of words that are in their slots; also, which collide with another."""
        is_other = self._first[slots] != first
        is_other |= self._second[slots] != second
        held = self._ids[slots]
        ids = np.where(is_other, np.int32(self._unknown_id), held)
        is_other &= held != _FREE
        return ids, is_other

    def _fill(self, words: list[bytes], ids: Ids) -> None:
        buffer = b" " + b" ".join(words) + _MARGIN
        sizes = np.array([len(word) for word in words], dtype=np.intp)
        starts = 1 + np.cumsum(sizes + 1) - sizes - 1
        first, second = _keys(buffer, starts, sizes)
        for index, home in enumerate(self._slots(first, second).tolist()):
            slot = home
            while self._ids[slot] != _FREE:
                slot = slot + 1 & self._last_slot
            self._first[slot], self._second[slot] = first[index], second[index]
            self._ids[slot] = ids[index]

    def _slots(self, first: _Keys, second: _Keys) -> _Indices:
        hashes = first * _MULTIPLIERS[0]
        hashes += second * _MULTIPLIERS[1]
        hashes >>= self._shift
        slots: _Indices = hashes.view(np.intp)
        return slots


def _word_bounds(buffer: bytes) -> tuple[_Indices, _Indices]:
    """Return each word's start and length, in bytes; the buffer begins and ends with a space."""
    is_word = np.frombuffer(buffer, dtype=np.uint8) != _SPACE
    edges = np.flatnonzero(is_word[1:] != is_word[:-1])  # a word's edges: in front, at its end
    starts = edges[::2] + 1
    return starts, edges[1::2] + 1 - starts


def _keys(buffer: bytes, starts: _Indices, sizes: _Indices) -> tuple[_Keys, _Keys]:
    """Return the key of each word; that of a word over `_MAX_KEY_BYTES` matches no word."""
    #: By offset: the eight bytes from there on as a number.
    eights = np.ndarray((len(buffer) - 7,), dtype="<u8", buffer=buffer, strides=(1,))
    first = eights[starts].astype(np.uint64, copy=False)
    first &= _BYTE_MASK.take(sizes, mode="clip")
    first |= _LENGTH_BITS.take(sizes, mode="clip")
    second = np.zeros_like(first)
    longer = np.flatnonzero(sizes > 7)
    more = np.minimum(sizes[longer], _MAX_KEY_BYTES + 1)
    rest = eights[starts[longer] + 8].astype(np.uint64, copy=False)
    rest &= _BYTE_MASK[np.minimum(more - 8, 7)]
    rest |= _LONG_LENGTH_BITS[more]
    second[longer] = rest
    return first, second
