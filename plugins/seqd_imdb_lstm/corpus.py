"""Reads a training set into ids: one pass over the texts, which are not kept.

Words get provisional numbers in the order in which they are first seen; ranks by frequency
are known only at the end, and then the numbers are exchanged. Texts from a file and Keras's
built-in set come in by the same door, as words, and so are ranked by the same rule.

Of a review only what the network will read is kept, its last `max_tokens` words, and only these
are counted: a set takes memory by its records times `max_tokens`, and is refused as soon as that
is more than there is.

Called by `training`. Knows nothing of Keras and of files.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from seqd.errors import InvalidData
from seqd_imdb_lstm.classes import ClassFinder, Targets, named
from seqd_imdb_lstm.packed_reviews import PackedReviews, ReviewPacker, Rows
from seqd_imdb_lstm.parameters import Tokenizer
from seqd_imdb_lstm.repeats import RepeatFinder, Repeats
from seqd_imdb_lstm.reviews import INDEX_FROM, START_ID, TOKENIZER, Vocabulary, text_of
from seqd_imdb_lstm.word_table import Ids

#: A review's words, and its label where it has one.
LabelledWords = tuple[list[bytes], str | None]

#: Its number is 0 and stands for the start of a review: no word is empty.
_START: Final = b""

#: An id is held twice for a moment: as it was read, and in the vocabulary's numbering.
_BYTES_PER_ID: Final = 8
_BYTES_PER_HELD_OUT_ID: Final = 4
#: Digest, class, place, where its ids begin, and what sorting the digests takes for a moment.
_BYTES_PER_RECORD: Final = 70
#: Of a word, beside its letters: a bytes object, its number, and its place in a dict.
_BYTES_PER_WORD: Final = 160

#: Records between two looks at the memory, and records whose words are measured.
_LOOK_RECORDS: Final = 256
_MEASURED_RECORDS: Final = 1_000


@dataclass(frozen=True, slots=True)
class LabelledReviews:
    """Reviews as a network learns from them."""

    reviews: Sequence[Ids]
    #: (reviews,) int32, each one's class: its place in `VersionConfig.labels`.
    targets: Targets

    def __len__(self) -> int:
        return len(self.reviews)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A training set whose words still carry provisional numbers."""

    #: Every distinct word; its place is its provisional number. The first stands for the start.
    words: Sequence[bytes]
    reviews: PackedReviews
    #: (reviews,) int32, each one's class: its place in `labels`.
    targets: Targets
    labels: tuple[str, ...]
    repeats: Repeats
    #: (reviews,) which record of the data each was, from 1.
    places: Sequence[int]
    #: Records that were left out because there is no word in them.
    wordless: int
    #: Characters of a word, of the first records: the mean in each, and of these the median.
    word_chars: float
    #: Memory that it takes until it is encoded, both forms together.
    size_bytes: int

    def split(self, fraction: float, seed: int) -> tuple[Rows, Rows]:
        """Draw the rows to train on and the rows to hold out, the same share of each class."""
        random = np.random.default_rng(seed)
        kept, held_out = [], []
        for target in range(len(self.labels)):
            rows = random.permutation(np.flatnonzero(self.targets == target))
            # One of each class at least is left to train on.
            count = min(round(fraction * len(rows)), len(rows) - 1)
            held_out.append(rows[:count])
            kept.append(rows[count:])
        return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held_out))

    def vocabulary(
        self, rows: Rows, vocabulary_size: int, tokenizer: Tokenizer = TOKENIZER
    ) -> Vocabulary:
        """Rank the words of some rows: the frequent first, of equals the one seen first.

        `tokenizer` is the rule that split the texts.
        """
        counts = np.zeros(len(self.words), dtype=np.int64)
        for numbers in self.reviews.blocks(rows):
            counts += np.bincount(numbers, minlength=len(self.words))
        counts[0] = 0  # the start is no word
        ranked = np.argsort(-counts, kind="stable")[: vocabulary_size - INDEX_FROM - 1]
        words = [text_of(self.words[number]) for number in ranked if counts[number]]
        return Vocabulary(words, tokenizer)

    def encode(self, rows: Rows, vocabulary: Vocabulary) -> LabelledReviews:
        """Exchange provisional numbers for ids."""
        id_of_number = np.array([vocabulary.id_of(word) for word in self.words], dtype=np.int32)
        id_of_number[0] = START_ID
        return LabelledReviews(self.reviews.exchanged(rows, id_of_number), self.targets[rows])


def read_corpus(
    records: Iterable[LabelledWords], description: str, max_tokens: int, limit_bytes: int
) -> Corpus:
    """Read a training set whole; `description` names it in messages.

    Raises InvalidData when it is empty, takes more than `limit_bytes`, when a label is missing or
    empty, or when its labels are less than two or more than classes can be.
    """
    reader = _Reader(description, max_tokens, limit_bytes)
    for place, (words, label) in enumerate(_labelled(records, description), start=1):
        reader.add(place, words, label)
    return reader.corpus()


class _Reader:
    """Takes the records of a training set one by one."""

    def __init__(self, description: str, max_tokens: int, limit_bytes: int) -> None:
        self._description = description
        self._max_tokens = max_tokens
        self._limit_bytes = limit_bytes
        self._number_of_word = _FirstSeen({_START: 0})
        self._reviews = ReviewPacker()
        self._classes = ClassFinder(description)
        self._repeats = RepeatFinder()
        self._places = array("q")
        self._wordless = 0
        self._word_chars = list[float]()

    def add(self, place: int, words: list[bytes], label: str) -> None:
        if not words:
            self._wordless += 1
            return
        tail = words[-self._max_tokens :]
        numbers = list(map(self._number_of_word.__getitem__, tail))
        if len(numbers) < self._max_tokens:
            numbers.insert(0, 0)
        self._reviews.add(numbers)
        self._classes.add(label)
        self._repeats.add(words)
        self._places.append(place)
        if len(self._word_chars) < _MEASURED_RECORDS:
            self._word_chars.append(sum(len(text_of(word)) for word in tail) / len(tail))
        if len(self._places) % _LOOK_RECORDS == 0:
            self._check_memory()

    def corpus(self) -> Corpus:
        labels, targets = self._classes.found()
        self._check_memory()
        return Corpus(
            words=tuple(self._number_of_word),
            reviews=self._reviews.packed(),
            targets=targets,
            labels=labels,
            repeats=self._repeats.found(targets),
            places=self._places,
            wordless=self._wordless,
            word_chars=median(self._word_chars),
            size_bytes=self._size_bytes(),
        )

    def _size_bytes(self) -> int:
        return (
            _BYTES_PER_ID * self._reviews.ids
            + _BYTES_PER_RECORD * len(self._places)
            + _BYTES_PER_WORD * len(self._number_of_word)
            + self._number_of_word.letter_bytes
        )

    def _check_memory(self) -> None:
        size_bytes = self._size_bytes()
        if size_bytes > self._limit_bytes:
            raise _too_large(
                f"{self._description} is larger than this machine can learn from: its first "
                f"{len(self._places):,} records take {_megabytes(size_bytes)} of memory "
                f"({self._reviews.ids:,} words, {len(self._number_of_word):,} of them different), "
                f"and a training set may take {_megabytes(self._limit_bytes)} here.",
                self._max_tokens,
            )


def read_held_out(
    records: Iterable[LabelledWords],
    description: str,
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    max_tokens: int,
    limit_bytes: int,
) -> LabelledReviews:
    """Read a set to validate on, in another set's vocabulary and classes.

    Raises InvalidData when it is empty, takes more than `limit_bytes`, or has another class.
    Reviews without a word are left out, as they are at training.
    """
    place_of_label = {label: place for place, label in enumerate(labels)}
    reviews, targets = ReviewPacker(), array("i")
    for place, (words, label) in enumerate(_labelled(records, description), start=1):
        if label not in place_of_label:
            raise InvalidData(
                f"Record {place:,} of {description} has the class {label[:40]!r}, and the "
                f"training data has {named(labels)}. Held-out data must have the same classes."
            )
        if words:
            reviews.add(vocabulary.encode_words(words, max_tokens).ids.tolist())
            targets.append(place_of_label[label])
        size_bytes = _BYTES_PER_HELD_OUT_ID * (reviews.ids + 3 * len(targets))
        if size_bytes > limit_bytes:
            raise _too_large(
                f"{description} is larger than there is room for: its first {place:,} records "
                f"take {_megabytes(size_bytes)} of memory, and beside the training data "
                f"{_megabytes(limit_bytes)} are left.",
                max_tokens,
            )
    if not targets:
        raise InvalidData(f"{description} holds no reviews with words in them to validate on.")
    return LabelledReviews(reviews.packed(), np.frombuffer(targets, dtype=np.int32))


class _FirstSeen(dict[bytes, int]):
    """Numbers words in the order in which they are first looked up."""

    #: Bytes of all words.
    letter_bytes = 0

    def __missing__(self, word: bytes) -> int:
        number = self[word] = len(self)
        self.letter_bytes += len(word)
        return number


def _labelled(
    records: Iterable[LabelledWords], description: str
) -> Iterator[tuple[list[bytes], str]]:
    """Pass records on, and raise InvalidData at the first one without a label."""
    for place, (words, label) in enumerate(records, start=1):
        if not label:
            raise InvalidData(
                f"Record {place:,} of {description} has no label; imdb_lstm learns from "
                "reviews that all have one. Name the field that holds it (label_field; on "
                "the command line --label-field)."
            )
        yield words, label


def _too_large(what: str, max_tokens: int) -> InvalidData:
    return InvalidData(
        f"{what} Train on fewer records, with a smaller max_tokens (it is {max_tokens:,}), or on a "
        "machine with more memory."
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"
