"""Turns review texts into word ids, by the rule behind Keras's own IMDB set.

The rule, which Keras's legacy tokenizer set: lower-case; each character of `SEPARATORS`
becomes a space; split at spaces. Apostrophes stay, and so do tabs' and newlines' cousins
such as the no-break space. The ids: 0 pads, 1 starts a review, 2 stands for every word
outside the vocabulary, and the word of rank r, counted from 1, is r + 3.

Pure, and the hot path of serving. Knows nothing of labels, files or networks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from seqd_imdb_lstm import unicode_words
from seqd_imdb_lstm.parameters import Tokenizer
from seqd_imdb_lstm.word_table import Ids as Ids
from seqd_imdb_lstm.word_table import WordTable

#: Name of the rule; stored with each version, so that texts are never read by another.
TOKENIZER: Final[Tokenizer] = "keras-legacy-1"

PAD_ID: Final = 0
START_ID: Final = 1
UNKNOWN_ID: Final = 2
#: A word's id is its rank, from 1, plus this; so id 3 is never used.
INDEX_FROM: Final = 3

SEPARATORS: Final = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'

#: Bytes to bytes: all separators are ASCII, and UTF-8 uses no ASCII byte inside a longer
#: character, so a text may be split as bytes. Measured on 25,000 reviews, one core: 0.59 s
#: to ids, against 0.86 s as `str`, whose `translate` is slower still on non-ASCII text.
_TO_SPACE: Final = bytes(32 if chr(byte) in SEPARATORS else byte for byte in range(256))

#: Stands for the start among the words that are looked up. A separator is in no text's words.
_START_WORD: Final = b"\n"

#: Characters of texts that are looked up together. On 25,000 reviews, one core: 6.5 us a review
#: with 32 reviews of 1,300 characters, whose arrays stay in the cache, 12 us with 512.
_TOGETHER_CHARS: Final = 49_152


class EncodedReview(NamedTuple):
    """A review as the model reads it."""

    #: (tokens,) at most `max_tokens`; the start id first, unless it was cut off.
    ids: Ids
    #: Words of the whole text, the cut ones included.
    words: int
    #: Those of them that are not in the vocabulary.
    unknown_words: int
    #: True when words, and not merely the start id, were cut off at the front.
    truncated: bool


def words_of(text: str, tokenizer: Tokenizer = TOKENIZER) -> list[bytes]:
    """Split a text into its words, each as UTF-8. Lone surrogates survive as such."""
    return all_words_of([text], tokenizer)[0]


def all_words_of(texts: Sequence[str], tokenizer: Tokenizer = TOKENIZER) -> list[list[bytes]]:
    """Split texts, each as `words_of` does; `unicode-1` is several times as fast on some tens."""
    return [[word for word in text.split(b" ") if word] for text in _SPACED[tokenizer](texts)]


def text_of(word: bytes) -> str:
    """Give a word of `words_of` back as text."""
    return word.decode("utf-8", "surrogatepass")


def cut_to_tail(word_ids: Ids, max_tokens: int) -> Ids:
    """Put the start id in front and keep the last `max_tokens` ids."""
    if len(word_ids) >= max_tokens:
        return word_ids[-max_tokens:]
    started = np.empty(len(word_ids) + 1, dtype=np.int32)
    started[0] = START_ID
    started[1:] = word_ids
    return started


class Vocabulary:
    """The words that a model knows, the most frequent first."""

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer = TOKENIZER) -> None:
        """`tokenizer` is the rule by which the texts were split that the words come from."""
        self.words = tuple(words)
        self._spaced = _SPACED[tokenizer]
        self._id_of_word = _IdOfWord(
            (word.encode("utf-8", "surrogatepass"), rank + INDEX_FROM)
            for rank, word in enumerate(self.words, start=1)
        )
        self._table = WordTable(self._id_of_word | {_START_WORD: START_ID}, UNKNOWN_ID)

    def id_of(self, word: bytes) -> int:
        """Give a word's id; `UNKNOWN_ID` for one outside the vocabulary."""
        return self._id_of_word[word]

    def encode_all(self, texts: Sequence[str], max_tokens: int) -> list[EncodedReview]:
        """Turn texts into ids, of each the end where it is longer than `max_tokens`."""
        reviews: list[EncodedReview] = []
        for batch in _batches(texts):
            reviews.extend(self._encode_batch(self._spaced(batch), max_tokens))
        return reviews

    def _encode_batch(self, texts: Sequence[bytes], max_tokens: int) -> Iterator[EncodedReview]:
        """Look the words of all texts up together; each text is split already."""
        begin = _START_WORD + b" "
        ids = self._table.ids_of(begin + (b" " + begin).join(texts))
        bounds = [*np.flatnonzero(ids == START_ID).tolist(), len(ids)]
        unknown = np.flatnonzero(ids == UNKNOWN_ID)
        unknown_before = np.searchsorted(unknown, bounds).tolist()
        for place, start in enumerate(bounds[:-1]):
            end = bounds[place + 1]
            words = end - start - 1
            yield EncodedReview(
                ids=ids[max(start, end - max_tokens) : end],
                words=words,
                unknown_words=unknown_before[place + 1] - unknown_before[place],
                truncated=words > max_tokens,
            )

    def encode_words(self, words: Sequence[bytes], max_tokens: int) -> EncodedReview:
        """Turn the words of a text into ids, keeping the last ones."""
        ids = list(map(self._id_of_word.__getitem__, words))
        return EncodedReview(
            # Cut before the conversion, which is the dearer half for a text of 1 MB.
            ids=cut_to_tail(np.array(ids[-max_tokens:], dtype=np.int32), max_tokens),
            words=len(ids),
            unknown_words=ids.count(UNKNOWN_ID),
            truncated=len(ids) > max_tokens,
        )


class _IdOfWord(dict[bytes, int]):
    """Gives `UNKNOWN_ID` for other words, at the speed of a plain look-up for known ones."""

    def __missing__(self, word: bytes) -> int:
        return UNKNOWN_ID


def _spaced(texts: Sequence[str]) -> list[bytes]:
    """Give each text in lower case, as UTF-8, with a space for each separator."""
    return [text.lower().encode("utf-8", "surrogatepass").translate(_TO_SPACE) for text in texts]


#: By a rule's name: what puts spaces between the words of texts, and nowhere into them.
_SPACED: Final[Mapping[Tokenizer, Callable[[Sequence[str]], list[bytes]]]] = {
    "keras-legacy-1": _spaced,
    "unicode-1": unicode_words.spaced,
}


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Give the texts, a few at a time."""
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _TOGETHER_CHARS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
