"""Reads a training set into ids: one pass over the texts, which are not kept.

Words get provisional numbers in the order in which they are first seen; ranks by frequency
are known only at the end, and then the numbers are exchanged. Texts from a file and Keras's
built-in set come in by the same door, as words, and so are ranked by the same rule.

Called by `training`. Knows nothing of Keras and of files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd_imdb_lstm.reviews import (
    INDEX_FROM,
    Ids,
    Vocabulary,
    cut_to_tail,
    text_of,
)

#: A review's words, and its label where it has one.
LabelledWords = tuple[list[bytes], str | None]
Rows = npt.NDArray[np.intp]

#: Longest name of a class, as in `Classification.label`.
MAX_LABEL_CHARS: Final = 256

#: Classes that a message names before it only counts them.
_NAMED_CLASSES: Final = 5


@dataclass(frozen=True, slots=True)
class LabelledReviews:
    """Reviews as a network learns from them."""

    reviews: Sequence[Ids]
    #: (reviews,) 0.0 for the first label, 1.0 for the second.
    targets: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.reviews)


@dataclass(frozen=True, slots=True)
class Corpus:
    """A training set whose words still carry provisional numbers."""

    #: Every distinct word; its place is its provisional number.
    words: Sequence[bytes]
    reviews: Sequence[Ids]
    #: (reviews,) 0.0 for the first label, 1.0 for the second.
    targets: npt.NDArray[np.float32]
    labels: tuple[str, str]
    #: Records that were left out because there is no word in them.
    wordless: int

    def split(self, fraction: float, seed: int) -> tuple[Rows, Rows]:
        """Draw the rows to train on and the rows to hold out, the same share of each class."""
        random = np.random.default_rng(seed)
        kept, held_out = [], []
        for target in (0.0, 1.0):
            rows = random.permutation(np.flatnonzero(self.targets == target))
            # One of each class at least is left to train on.
            count = min(round(fraction * len(rows)), len(rows) - 1)
            held_out.append(rows[:count])
            kept.append(rows[count:])
        return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held_out))

    def vocabulary(self, rows: Rows, vocabulary_words: int) -> Vocabulary:
        """Rank the words of some rows: the frequent first, of equals the one seen first."""
        numbers = np.concatenate([self.reviews[row] for row in rows])
        counts = np.bincount(numbers, minlength=len(self.words))
        ranked = np.argsort(-counts, kind="stable")[: vocabulary_words - INDEX_FROM - 1]
        return Vocabulary([text_of(self.words[number]) for number in ranked if counts[number]])

    def encode(self, rows: Rows, vocabulary: Vocabulary, max_tokens: int) -> LabelledReviews:
        """Exchange provisional numbers for ids, and keep each review's end."""
        id_of_number = np.array([vocabulary.id_of(word) for word in self.words], dtype=np.int32)
        reviews = [cut_to_tail(id_of_number[self.reviews[row]], max_tokens) for row in rows]
        return LabelledReviews(reviews, self.targets[rows])


def read_corpus(records: Iterable[LabelledWords], description: str) -> Corpus:
    """Read a training set whole; `description` names it in messages.

    Raises InvalidData when it is empty, when a label is missing or empty, or when its labels
    are not exactly two. Of the two, sorted as text, the last is the network's 1: of negative and
    positive, of neg and pos, of 0 and 1 that is the one which a person expects.
    """
    number_of_word = _FirstSeen()
    reviews, labels, wordless = [], [], 0
    for words, label in _labelled(records, description):
        if words:
            numbers = list(map(number_of_word.__getitem__, words))
            reviews.append(np.array(numbers, dtype=np.int32))
            labels.append(label)
        else:
            wordless += 1
    classes = _two_classes(labels, description)
    targets = np.array([label == classes[1] for label in labels], dtype=np.float32)
    return Corpus(tuple(number_of_word), reviews, targets, classes, wordless)


def read_held_out(
    records: Iterable[LabelledWords],
    description: str,
    vocabulary: Vocabulary,
    labels: tuple[str, str],
    max_tokens: int,
) -> LabelledReviews:
    """Read a set to validate on, in another set's vocabulary and classes.

    Raises InvalidData when it is empty or has another class. Reviews without a word are
    left out, as they are at training.
    """
    reviews, targets = [], []
    for words, label in _labelled(records, description):
        if label not in labels:
            raise InvalidData(
                f"{description} has the class {label!r}, and the training data has "
                f"{labels[0]!r} and {labels[1]!r}. Held-out data must have the same classes."
            )
        if words:
            reviews.append(vocabulary.encode_words(words, max_tokens).ids)
            targets.append(label == labels[1])
    if not reviews:
        raise InvalidData(f"{description} holds no reviews with words in them to validate on.")
    return LabelledReviews(reviews, np.array(targets, dtype=np.float32))


class _FirstSeen(dict[bytes, int]):
    """Numbers words in the order in which they are first looked up."""

    def __missing__(self, word: bytes) -> int:
        number = self[word] = len(self)
        return number


def _labelled(
    records: Iterable[LabelledWords], description: str
) -> Iterator[tuple[list[bytes], str]]:
    """Pass records on, and raise InvalidData at the first one without a label."""
    for position, (words, label) in enumerate(records, start=1):
        if not label:
            raise InvalidData(
                f"Record {position} of {description} has no label; imdb_lstm learns from "
                "reviews that all have one. Name the field that holds it (label_field; on "
                "the command line --label-field)."
            )
        yield words, label


def _two_classes(labels: Sequence[str], description: str) -> tuple[str, str]:
    """Give the two classes in order, or raise InvalidData with those that there are."""
    classes = sorted(set(labels))
    if not classes:
        raise InvalidData(
            f"{description} holds no reviews with words in them; imdb_lstm learns from "
            "labelled reviews of two classes."
        )
    if len(classes) != 2:
        raise InvalidData(
            f"{description} has {_named(classes)}; imdb_lstm tells exactly two apart. Is "
            "label_field (--label-field) the field that holds the class?"
        )
    longest = max(classes, key=len)
    if len(longest) > MAX_LABEL_CHARS:
        raise InvalidData(
            f"{description} has a class of {len(longest):,} characters, {longest[:40]!r}...; at "
            f"most {MAX_LABEL_CHARS} are allowed. Is label_field (--label-field) the field that "
            "holds the class?"
        )
    return classes[0], classes[1]


def _named(classes: Sequence[str]) -> str:
    names = ", ".join(repr(name[:40]) for name in classes[:_NAMED_CLASSES])
    if len(classes) == 1:
        return f"one class only, {names}"
    more = len(classes) - _NAMED_CLASSES
    return f"{len(classes):,} classes, {names}" + (f" and {more:,} more" if more > 0 else "")
