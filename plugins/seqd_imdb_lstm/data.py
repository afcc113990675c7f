"""Read a labelled training set into token ids, in one pass over its texts, which are not kept.

Words get provisional ids in the order in which they are first seen; ranks by frequency are known
only at the end, and then `Corpus.encode` replaces the ids. Keras's built-in set comes in as words
too, so its vocabulary is ranked by the same rule.

Of a text only what the network will read is kept, its last `max_tokens` words, and only these are
counted. A set takes memory by its records times `max_tokens`, and is refused while it is read, as
soon as that exceeds a limit. All tokens lie in one array, four bytes each (`PackedReviews`).

Odd sets are trained on as they are; `data_warnings` says what is odd about one.
"""

import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Final, overload

import numpy as np
import numpy.typing as npt

from seqd.errors import InvalidData
from seqd_imdb_lstm.artifact import Floats, Targets
from seqd_imdb_lstm.parameters import ClassWeight, Tokenizer, TrainParameters
from seqd_imdb_lstm.tokenizer import KERAS_LEGACY, LabelledWords, decode_word
from seqd_imdb_lstm.vocabulary import INDEX_FROM, START_ID, Ids, Vocabulary
from seqd_schemas import MAX_CLASSES

#: Indices of reviews.
Rows = npt.NDArray[np.intp]

#: The word of the provisional id 0, the start of a review: no real word is empty.
_START_WORD: Final = b""

#: A token is held twice for a moment: as it was read, and in the vocabulary's ids.
_BYTES_PER_TOKEN: Final = 8
_BYTES_PER_HELD_OUT_TOKEN: Final = 4
#: Digest, class, record number, offset, and what sorting the digests takes for a moment.
_BYTES_PER_RECORD: Final = 70
#: Of a distinct word, beside its letters: a bytes object, its id, and its entry in a dict.
_BYTES_PER_WORD: Final = 160

#: Records between two checks of the memory, and records whose word lengths are measured.
_CHECK_RECORDS: Final = 256
_MEASURED_RECORDS: Final = 1_000

#: Reviews whose tokens are concatenated at once, so that the copies stay small.
_BLOCK_REVIEWS: Final = 16_384

#: Bytes of a review's digest. With 64 bits two of ten million different reviews have the same one
#: with a probability of 3e-6.
_DIGEST_BYTES: Final = 8

#: Longest name of a class, as in `Classification.label`.
MAX_LABEL_CHARS: Final = 256

#: Up to so many classes are accepted whatever their sizes; more of them need two records each on
#: the average.
_FEW_CLASSES: Final = 20

#: Classes that a message names before it only counts them.
_NAMED_CLASSES: Final = 5

_WHICH_FIELD: Final = "Is label_field (--label-field) the field that holds the class?"
_NO_CLASS: Final = (
    "It looks like an identifier or a measurement, of which nearly every record has its own. "
    f"{_WHICH_FIELD} Of numbers make classes first, such as `low` and `high`."
)

#: Ratio of the largest class to the smallest from which on class weights are advised.
_IMBALANCED: Final = 10

#: Mean characters of a word beyond which a language does not seem to put spaces between words:
#: English has 4.5, German 6, Finnish 8; a Thai or Chinese clause that nobody cut has 10 to 40.
_LONG_WORDS: Final = 12

#: By version of control groups: where its tree is mounted, and the file with a group's limit.
_CGROUPS: Final = {
    "v2": ("sys/fs/cgroup", "memory.max"),
    "v1": ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
}


class PackedReviews(Sequence[Ids]):
    """Reviews as views into one array; a slice is a list of them."""

    def __init__(self, ids: Ids, offsets: npt.NDArray[np.int64]) -> None:
        """Take `ids` (all tokens,) and `offsets` (reviews + 1,): where each begins and ends."""
        self._ids = ids
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, row: int) -> Ids: ...

    @overload
    def __getitem__(self, row: slice) -> Sequence[Ids]: ...

    def __getitem__(self, row: int | slice) -> Ids | Sequence[Ids]:
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        if not -len(self) <= row < len(self):
            raise IndexError(f"review {row} of {len(self)}")
        row %= len(self)
        return self._ids[self._offsets[row] : self._offsets[row + 1]]

    def blocks(self, rows: Rows) -> Iterator[Ids]:
        """Yield the tokens of some reviews, concatenated, many reviews at a time."""
        for start in range(0, len(rows), _BLOCK_REVIEWS):
            yield np.concatenate([self[row] for row in rows[start : start + _BLOCK_REVIEWS]])

    def mapped(self, rows: Rows, new_ids: Ids) -> "PackedReviews":
        """Return some reviews with `new_ids[id]` in place of each id."""
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(np.diff(self._offsets)[rows], out=offsets[1:])
        ids, done = np.empty(offsets[-1], dtype=np.int32), 0
        for block in self.blocks(rows):
            ids[done : done + len(block)] = new_ids[block]
            done += len(block)
        return PackedReviews(ids, offsets)


@dataclass(frozen=True, slots=True)
class LabelledReviews:
    """Reviews and their classes, as a network is trained and validated on them."""

    reviews: Sequence[Ids]
    #: (reviews,) int32, the class of each.
    targets: Targets

    def __len__(self) -> int:
        return len(self.reviews)


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Reviews of the same words."""

    #: Records with the words and the label of an earlier one.
    same_label: int = 0
    #: Texts that stand under more than one label, each counted once.
    conflicting: int = 0
    #: The rows of two records of one such text; None without any.
    example: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """A training set whose tokens still have provisional ids."""

    #: Every distinct word, by its provisional id. The first stands for the start of a review.
    words: Sequence[bytes]
    reviews: PackedReviews
    #: (reviews,) int32, the class of each, as its index in `labels`.
    targets: Targets
    labels: tuple[str, ...]
    duplicates: Duplicates
    #: (reviews,) the number of each one's record in the data, from 1.
    record_numbers: Sequence[int]
    #: Records that were left out because there is no word in them.
    wordless: int
    #: Median over the first records of the mean characters of a word.
    word_chars: float
    #: Memory that it takes until it is encoded, both forms together.
    size_bytes: int

    def split(self, validation_split: float, seed: int) -> tuple[Rows, Rows]:
        """Return the rows to train on and to validate on, ascending; a random, stratified split.

        `validation_split` is the share of each class that is held out, which leaves at least one
        record of it to train on.
        """
        random = np.random.default_rng(seed)
        training, validation = [], []
        for target in range(len(self.labels)):
            rows = random.permutation(np.flatnonzero(self.targets == target))
            count = min(round(validation_split * len(rows)), len(rows) - 1)
            validation.append(rows[:count])
            training.append(rows[count:])
        return np.sort(np.concatenate(training)), np.sort(np.concatenate(validation))

    def vocabulary(
        self, rows: Rows, vocabulary_size: int, tokenizer: Tokenizer = KERAS_LEGACY
    ) -> Vocabulary:
        """Return the most frequent words of some rows; of equally frequent ones the first seen.

        `vocabulary_size` counts the four reserved ids. `tokenizer` is the rule that split the
        texts.
        """
        counts = np.zeros(len(self.words), dtype=np.int64)
        for ids in self.reviews.blocks(rows):
            counts += np.bincount(ids, minlength=len(self.words))
        counts[0] = 0  # the start is no word
        ranked = np.argsort(-counts, kind="stable")[: vocabulary_size - INDEX_FROM - 1]
        words = [decode_word(self.words[word]) for word in ranked if counts[word]]
        return Vocabulary(words, tokenizer)

    def encode(self, rows: Rows, vocabulary: Vocabulary) -> LabelledReviews:
        """Return some rows in the ids of a vocabulary."""
        new_ids = np.array([vocabulary.id_of(word) for word in self.words], dtype=np.int32)
        new_ids[0] = START_ID
        return LabelledReviews(self.reviews.mapped(rows, new_ids), self.targets[rows])


def read_corpus(
    records: Iterable[LabelledWords], description: str, max_tokens: int, limit_bytes: int
) -> Corpus:
    """Return a whole training set; `description` names it in messages.

    Raises InvalidData when it is empty, takes more than `limit_bytes`, when a label is missing or
    empty, or when its labels are less than two or more than classes can be.
    """
    reader = _CorpusReader(description, max_tokens, limit_bytes)
    for number, words, label in _labelled(records, description):
        reader.add(number, words, label)
    return reader.corpus()


def read_held_out(
    records: Iterable[LabelledWords],
    description: str,
    vocabulary: Vocabulary,
    labels: tuple[str, ...],
    max_tokens: int,
    limit_bytes: int,
) -> LabelledReviews:
    """Return a set to validate on, in the vocabulary and the classes of the training set.

    Reviews without a word are left out, as they are at training. Raises InvalidData when it is
    empty, takes more than `limit_bytes`, or has another class.
    """
    target_of_label = {label: target for target, label in enumerate(labels)}
    reviews, targets = _ReviewPacker(), array("i")
    for number, words, label in _labelled(records, description):
        if label not in target_of_label:
            raise InvalidData(
                f"Record {number:,} of {description} has the class {label[:40]!r}, and the "
                f"training data has {_listed(labels)}. Held-out data must have the same classes."
            )
        if words:
            reviews.add(vocabulary.encode_words(words, max_tokens).ids.tolist())
            targets.append(target_of_label[label])
        size_bytes = _BYTES_PER_HELD_OUT_TOKEN * (reviews.tokens + 3 * len(targets))
        if size_bytes > limit_bytes:
            raise _too_large(
                f"{description} is larger than there is room for: its first {number:,} records "
                f"take {_megabytes(size_bytes)} of memory, and beside the training data "
                f"{_megabytes(limit_bytes)} are left.",
                max_tokens,
            )
    if not targets:
        raise InvalidData(f"{description} holds no reviews with words in them to validate on.")
    return LabelledReviews(reviews.packed(), np.frombuffer(targets, dtype=np.int32))


def class_counts(targets: Targets, classes: int) -> npt.NDArray[np.intp]:
    """Return the records of each class → (classes,)."""
    return np.bincount(targets, minlength=classes)


def loss_weights(targets: Targets, classes: int, class_weight: ClassWeight) -> Floats:
    """Return the weight of each class's loss → (classes,) float32, all 1 for `none`.

    `balanced` gives records / (classes * records of the class), as scikit-learn does: the mean
    over all records is 1. Every class must have a record.
    """
    if class_weight == "none":
        return np.ones(classes, dtype=np.float32)
    counts = class_counts(targets, classes)
    return np.asarray(len(targets) / (classes * counts), dtype=np.float32)


def data_warnings(corpus: Corpus, parameters: TrainParameters) -> Iterator[str]:
    """Yield what a person should know about a training set, a sentence or two for each doubt."""
    yield from _warn_of_records(corpus)
    yield from _warn_of_classes(corpus, parameters)
    yield from _warn_of_long_words(corpus, parameters)


def memory_limit_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process may use, in bytes.

    That is the smallest of the machine's memory and the limits of the process's control groups.
    `root` is where `/proc` and `/sys` are looked for; without them it is the machine's memory.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits(root)])


class _CorpusReader:
    """Collects the records of a training set, one by one."""

    def __init__(self, description: str, max_tokens: int, limit_bytes: int) -> None:
        self._description = description
        self._max_tokens = max_tokens
        self._limit_bytes = limit_bytes
        self._id_of_word = _FirstSeen({_START_WORD: 0})
        self._reviews = _ReviewPacker()
        self._classes = _ClassCollector(description)
        self._duplicates = _DuplicateFinder()
        self._record_numbers = array("q")
        self._wordless = 0
        self._word_chars = list[float]()

    def add(self, number: int, words: list[bytes], label: str) -> None:
        if not words:
            self._wordless += 1
            return
        tail = words[-self._max_tokens :]
        ids = list(map(self._id_of_word.__getitem__, tail))
        if len(ids) < self._max_tokens:
            ids.insert(0, 0)
        self._reviews.add(ids)
        self._classes.add(label)
        self._duplicates.add(words)
        self._record_numbers.append(number)
        if len(self._word_chars) < _MEASURED_RECORDS:
            self._word_chars.append(sum(len(decode_word(word)) for word in tail) / len(tail))
        if len(self._record_numbers) % _CHECK_RECORDS == 0:
            self._check_memory()

    def corpus(self) -> Corpus:
        labels, targets = self._classes.classes()
        self._check_memory()
        return Corpus(
            words=tuple(self._id_of_word),
            reviews=self._reviews.packed(),
            targets=targets,
            labels=labels,
            duplicates=self._duplicates.found(targets),
            record_numbers=self._record_numbers,
            wordless=self._wordless,
            word_chars=median(self._word_chars),
            size_bytes=self._size_bytes(),
        )

    def _size_bytes(self) -> int:
        return (
            _BYTES_PER_TOKEN * self._reviews.tokens
            + _BYTES_PER_RECORD * len(self._record_numbers)
            + _BYTES_PER_WORD * len(self._id_of_word)
            + self._id_of_word.letter_bytes
        )

    def _check_memory(self) -> None:
        size_bytes = self._size_bytes()
        if size_bytes > self._limit_bytes:
            raise _too_large(
                f"{self._description} is larger than this machine can learn from: its first "
                f"{len(self._record_numbers):,} records take {_megabytes(size_bytes)} of memory "
                f"({self._reviews.tokens:,} words, {len(self._id_of_word):,} of them different), "
                f"and a training set may take {_megabytes(self._limit_bytes)} here.",
                self._max_tokens,
            )


class _FirstSeen(dict[bytes, int]):
    """Numbers words in the order in which they are first looked up."""

    #: Bytes of all words.
    letter_bytes = 0

    def __missing__(self, word: bytes) -> int:
        number = self[word] = len(self)
        self.letter_bytes += len(word)
        return number


class _ReviewPacker:
    """Collects reviews into one array."""

    def __init__(self) -> None:
        self._ids = array("i")
        self._offsets = array("q", [0])

    @property
    def tokens(self) -> int:
        return len(self._ids)

    def add(self, ids: Iterable[int]) -> None:
        self._ids.extend(ids)
        self._offsets.append(len(self._ids))

    def packed(self) -> PackedReviews:
        """Return all reviews; the arrays are shared, so none may be added after."""
        return PackedReviews(
            np.frombuffer(self._ids, dtype=np.int32), np.frombuffer(self._offsets, dtype=np.int64)
        )


class _ClassCollector:
    """Collects each record's class, numbered in the order in which they are first seen."""

    def __init__(self, description: str) -> None:
        self._description = description
        self._number_of_label: dict[str, int] = {}
        self._numbers = array("i")

    def add(self, label: str) -> None:
        """Add a record's label; raise InvalidData at the first class too many."""
        number = self._number_of_label.setdefault(label, len(self._number_of_label))
        self._numbers.append(number)
        if number >= MAX_CLASSES:
            raise InvalidData(
                f"{self._description} has more than {MAX_CLASSES:,} classes in its first "
                f"{len(self._numbers):,} records, such as {_listed(list(self._number_of_label))}; "
                f"imdb_lstm tells at most {MAX_CLASSES:,} apart. {_NO_CLASS}"
            )

    def classes(self) -> tuple[tuple[str, ...], Targets]:
        """Return the labels, sorted as text, and each record's target; raise InvalidData.

        Of two classes the second is then the one that a person expects to be the network's 1: of
        negative and positive, of neg and pos, of 0 and 1.
        """
        self._check()
        labels = tuple(sorted(self._number_of_label))
        target_of_label = {label: target for target, label in enumerate(labels)}
        targets = np.array([target_of_label[one] for one in self._number_of_label], dtype=np.int32)
        return labels, targets[np.frombuffer(self._numbers, dtype=np.int32)]

    def _check(self) -> None:
        labels, records = list(self._number_of_label), len(self._numbers)
        if not labels:
            raise InvalidData(
                f"{self._description} holds no reviews with words in them; imdb_lstm learns from "
                "labelled reviews of two classes or more."
            )
        if len(labels) == 1:
            raise InvalidData(
                f"{self._description} has one class only, {_listed(labels)}; imdb_lstm tells two "
                f"or more apart. {_WHICH_FIELD}"
            )
        if len(labels) > _FEW_CLASSES and 2 * len(labels) > records:
            raise InvalidData(
                f"{self._description} has {len(labels):,} classes in {records:,} records, such as "
                f"{_listed(labels)}; a class needs several records to be learnt from. {_NO_CLASS}"
            )
        longest = max(labels, key=len)
        if len(longest) > MAX_LABEL_CHARS:
            raise InvalidData(
                f"{self._description} has a class of {len(longest):,} characters, "
                f"{longest[:40]!r}...; at most {MAX_LABEL_CHARS} are allowed. {_WHICH_FIELD}"
            )


class _DuplicateFinder:
    """Collects a digest of each review's words."""

    def __init__(self) -> None:
        self._digests = array("Q")

    def add(self, words: Sequence[bytes]) -> None:
        digest = blake2b(b" ".join(words), digest_size=_DIGEST_BYTES).digest()
        self._digests.append(int.from_bytes(digest, "little"))

    def found(self, targets: Targets) -> Duplicates:
        """Return what is there twice; `targets` are the reviews' classes, in the same order."""
        digests = np.frombuffer(self._digests, dtype=np.uint64)
        order = np.lexsort((targets, digests))  # stable: of equal ones the first comes first
        digests, targets = digests[order], targets[order]
        again = digests[1:] == digests[:-1]
        conflicts = again & (targets[1:] != targets[:-1])
        text_of_row = np.cumsum(~again)
        pairs = np.flatnonzero(conflicts)
        example = None
        if len(pairs):
            first = pairs[np.argmin(order[pairs])]
            one, other = sorted(order[first : first + 2].tolist())
            example = (one, other)
        return Duplicates(
            same_label=int(np.count_nonzero(again & ~conflicts)),
            conflicting=len(np.unique(text_of_row[pairs])),
            example=example,
        )


def _labelled(
    records: Iterable[LabelledWords], description: str
) -> Iterator[tuple[int, list[bytes], str]]:
    """Yield each record's number, from 1, words and label; raise InvalidData without a label."""
    for number, (words, label) in enumerate(records, start=1):
        if not label:
            raise InvalidData(
                f"Record {number:,} of {description} has no label; imdb_lstm learns from "
                "reviews that all have one. Name the field that holds it (label_field; on "
                "the command line --label-field)."
            )
        yield number, words, label


def _too_large(what: str, max_tokens: int) -> InvalidData:
    return InvalidData(
        f"{what} Train on fewer records, with a smaller max_tokens (it is {max_tokens:,}), or on a "
        "machine with more memory."
    )


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:,.1f} MB"


def _listed(labels: Sequence[str]) -> str:
    """Return classes as a message lists them, the first ones by name."""
    names = ", ".join(repr(label[:40]) for label in labels[:_NAMED_CLASSES])
    more = len(labels) - _NAMED_CLASSES
    return names + (f" and {more:,} more" if more > 0 else "")


def _warn_of_records(corpus: Corpus) -> Iterator[str]:
    duplicates = corpus.duplicates
    if corpus.wordless:
        yield f"Records left out because there is no word in them: {corpus.wordless:,}."
    if duplicates.same_label:
        yield (
            f"Records with the words and the label of an earlier one: {duplicates.same_label:,}. "
            "They are learnt from like others; one that is held out may also be trained on."
        )
    if duplicates.example is not None:
        one, other = (
            f"record {corpus.record_numbers[row]:,} as {corpus.labels[corpus.targets[row]][:40]!r}"
            for row in duplicates.example
        )
        yield (
            f"Warning: texts that stand under more than one label: {duplicates.conflicting:,}, "
            f"such as {one} and {other}. All are learnt from; no model can get them all right."
        )


def _warn_of_classes(corpus: Corpus, parameters: TrainParameters) -> Iterator[str]:
    counts = class_counts(corpus.targets, len(corpus.labels))
    single = [label for label, count in zip(corpus.labels, counts, strict=True) if count == 1]
    if single:
        yield (
            f"Warning: a class was seen only once: {_listed(single)}. Its one record is trained on "
            "and cannot be held out, so nothing tells how well the class is learnt."
        )
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[most] > _IMBALANCED * counts[least] and parameters.class_weight == "none":
        yield (
            f"Warning: {corpus.labels[most][:40]!r} has {counts[most]:,} records and "
            f"{corpus.labels[least][:40]!r} has {counts[least]:,}, so the rare class is easily "
            "overlooked. With class_weight=balanced all classes count the same."
        )


def _warn_of_long_words(corpus: Corpus, parameters: TrainParameters) -> Iterator[str]:
    if corpus.word_chars <= _LONG_WORDS:
        return
    unicode = "Train with tokenizer=unicode-1, to which each Chinese character and kana is a word. "
    yield (
        f"Warning: half of the texts have words of {corpus.word_chars:,.0f} characters or more on "
        "the average, as if there were no spaces between their words; hardly any word is then "
        f"seen twice. {unicode if parameters.tokenizer != 'unicode-1' else ''}"
        "Texts in Thai, Lao, Khmer or Burmese need their words parted by spaces first."
    )


def _group_limits(root: Path) -> Iterator[int]:
    groups = root / "proc/self/cgroup"
    if not groups.is_file():
        return
    for line in groups.read_text(encoding="utf-8").splitlines():
        # Such as `0::/user.slice` (version 2) and `4:memory:/docker/1f` (version 1).
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0":
            yield from _limits_above(root, "v2", path)
        elif "memory" in controllers.split(","):
            yield from _limits_above(root, "v1", path)


def _limits_above(root: Path, version: str, path: str) -> Iterator[int]:
    """Yield the limits of a group and of its parents: each of them holds.

    In a container the group's path may be the host's, which is not there: then the tree's top has
    the limit.
    """
    tree, name = _CGROUPS[version]
    top = root / tree
    group = top / path.lstrip("/")
    for folder in [group, *group.parents]:
        file = folder / name
        if folder.is_relative_to(top) and file.is_file():
            limit = file.read_text(encoding="ascii").strip()
            if limit.isdecimal():  # else `max`: no limit
                yield int(limit)
