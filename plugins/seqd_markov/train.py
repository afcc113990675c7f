"""Trains a version: scans the vocabulary, counts n-grams and smooths, or learns to mix contexts.

The data are read two or three times, and never held whole but for the ids of a text that is kept.
There are no checkpoints of n-grams: a million characters are counted in a tenth of a second, so
beginning again costs less than saving.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from seqd.errors import InvalidData, Stopped
from seqd.hookspecs import Dataset, TrainContext
from seqd_markov.data import (
    CharacterTokenizer,
    Chunk,
    CorpusPart,
    Ids,
    SentenceEnds,
    code_points,
    sentences_of,
    split_words,
)
from seqd_markov.model import Config, SpellingModel, Version, check_numba, fit_spelling, measure
from seqd_markov.ngrams.counting import NgramCounter, combine
from seqd_markov.ngrams.model import NgramModel, fit
from seqd_markov.parameters import TrainParameters

#: Symbols of a text that is kept: 50 MB of characters.
MAX_KEPT_SYMBOLS = 50_000_000

#: Characters of the training text that it is measured on at least, if it has them.
_MEASURED_CHARACTERS = 1_000_000

#: Words that a spelling model is fitted on: the rare ones, if they are this many at least. New
#: words are more like rare words than like frequent ones.
_FEWEST_RARE, _MOST_RARE = 100, 200_000

#: Probability that a prediction leaves to unknown words at most.
_LARGEST_UNKNOWN_SHARE = 0.5

#: Ids, and records, that are counted at once where labels alternate.
_COUNTED_TOGETHER, _RECORDS_TOGETHER = 100_000, 1_000


def train(
    data: Dataset, parameters: TrainParameters, context: TrainContext
) -> tuple[Version, dict[str, float]]:
    """Return a version of all of the data but what is held out, and its figures.

    Raises Stopped within one chunk of a million characters.
    """
    began = time.monotonic()
    training = _Training(data, parameters, context)
    scan = training.scan(training.training_part)
    scan.check("text")
    if context.held_out is not None:
        training.scan(CorpusPart(context.held_out)).check("held-out text")
    learn = training.mixed if parameters.smoothing == "mixing" else training.counted
    version, bits_per_char = learn(scan)
    metrics = {"bits_per_char": bits_per_char}
    if training.validation_part is not None:
        chunks = training.chunks(training.validation_part)
        for name, value in measure(version, chunks, training.check_stop).items():
            metrics[name if name == "unknown_share" else f"validation_{name}"] = value
    context.epoch(1, 1, time.monotonic() - began, **metrics)
    return version, metrics | version.sizes | {"characters": float(scan.characters)}


class _Training:
    """One training: its data in two parts, read as often as need be."""

    def __init__(self, data: Dataset, parameters: TrainParameters, context: TrainContext) -> None:
        self._parameters = parameters
        self._context = context
        self._ends = parameters.sentence_ends if parameters.sentences else None
        border = None
        if context.held_out is None and parameters.validation_split:
            size = self._size_of(data)
            border = size - int(size * parameters.validation_split)
        of_words = parameters.level == "words"
        self.training_part = CorpusPart(data, border, keeps_words=of_words)
        #: What is measured on, if anything.
        self.validation_part: CorpusPart | None = None
        if context.held_out is not None:
            self.validation_part = CorpusPart(context.held_out)
        elif border is not None:
            self.validation_part = replace(self.training_part, is_rest=True)

    def chunks(self, part: CorpusPart) -> Iterator[Chunk]:
        """Yield a part's chunks. Raises Stopped before the next one once a stop is requested."""
        by_label = bool(self._parameters.label_weights)
        for chunk in part.chunks(self._ends, by_label=by_label):
            self.check_stop()
            yield chunk

    def scan(self, part: CorpusPart) -> "VocabularyScan":
        """Return the symbols of a part."""
        scan = VocabularyScan(self._parameters.level, lower_case=self._parameters.lower_case)
        for chunk in self.chunks(part):
            scan.add(chunk.text, self._ends)
        return scan

    def counted(self, scan: "VocabularyScan") -> tuple[Version, float]:
        """Count the text that was scanned and smooth; return bits a character of its beginning."""
        parameters = self._parameters
        vocabulary = scan.vocabulary(parameters.max_vocabulary)
        config = Config(
            level=parameters.level,
            lower_case=parameters.lower_case,
            sentences=parameters.sentences,
            sentence_ends=parameters.sentence_ends,
            alphabet=vocabulary.alphabet,
            unknown_share=vocabulary.unknown_share,
        )
        tokenizer = config.tokenizer(vocabulary.words)
        counting = WeightedCounting(parameters, tokenizer.symbols, tokenizer.begin)
        kept: list[Ids] | None = [] if parameters.keep_text else None
        code, size = np.min_scalar_type(-tokenizer.symbols), 0  # signed: -1 is an unknown word
        for number, chunk in enumerate(self.chunks(self.training_part)):
            self._context.step(number, scan.chunks)
            ids = tokenizer.encode_chunk(chunk.text)
            counting.add(ids, chunk.label)
            size += len(ids)
            if size > MAX_KEPT_SYMBOLS:
                kept = None
            if kept is not None:
                kept.append(ids.astype(code))
        self._context.step(scan.chunks, scan.chunks)
        corpus = None if kept is None else np.concatenate(kept)
        version = Version(config, tokenizer, counting.model(), corpus, vocabulary.spelling)
        beginning = _beginning(self.chunks(self.training_part))
        return version, measure(version, beginning, self.check_stop)["bits_per_char"]

    def mixed(self, scan: "VocabularyScan") -> tuple[Version, float]:
        """Learn to mix contexts of the text that was scanned; return bits a character of it.

        Raises InvalidData for too much text.
        """
        check_numba()
        from seqd_modelkit.mixing.model import MAX_ALPHABET, MAX_CHARACTERS, Learning

        alphabet = scan.vocabulary(self._parameters.max_vocabulary).alphabet
        if scan.characters > MAX_CHARACTERS or len(alphabet) > MAX_ALPHABET:
            raise InvalidData(
                f"The text has {scan.characters:,} characters, {len(alphabet):,} of them "
                f"different; smoothing=mixing takes {MAX_CHARACTERS:,} and {MAX_ALPHABET:,} at "
                "most. Give a part of it, or train with smoothing=kneser_ney."
            )
        encode = CharacterTokenizer(alphabet, self._parameters.lower_case).encode
        ids = np.concatenate([encode(one.text) for one in self.chunks(self.training_part)])
        mixture, bits = Learning(ids, alphabet, self._context).run()
        config = Config(
            level="characters",
            lower_case=self._parameters.lower_case,
            sentences=False,
            mixes=True,
            alphabet=alphabet,
            unknown_share=mixture.unknown_share,
        )
        version = Version(config, config.tokenizer(()), mixture, mixture.model.past.ids)
        return version, bits

    def _size_of(self, data: Dataset) -> int:
        """Return the characters of a data set."""
        size = 0
        for segment in data.segments():
            self.check_stop()
            size += len(segment.text)
        return size

    def check_stop(self) -> None:
        """Raise Stopped once a stop is requested."""
        if self._context.stop_requested():
            raise Stopped("The counting was stopped before its end; there is no version.")


@dataclass(frozen=True)
class Vocabulary:
    """The symbols of a version; the fields are those of `model.Config` and `model.Version`."""

    alphabet: str
    words: tuple[str, ...] = ()
    unknown_share: float = 0.0
    spelling: SpellingModel | None = None


class VocabularyScan:
    """Collects the symbols of a text before it is counted."""

    def __init__(self, level: Literal["characters", "words"], *, lower_case: bool) -> None:
        self._of_words = level == "words"
        self._lower_case = lower_case
        self._raw = _CharacterSet()
        self._alphabet = _CharacterSet()
        self._words: Counter[str] = Counter()
        #: Characters and chunks so far.
        self.characters = 0
        self.chunks = 0

    def add(self, text: str, ends: SentenceEnds | None) -> None:
        """Take the next chunk."""
        lowered = text.lower() if self._lower_case else text
        self.characters += len(lowered)
        self.chunks += 1
        self._raw.add(lowered)
        if self._of_words or ends is not None:
            for sentence in sentences_of(text, ends):
                self._add_sentence(sentence.lower() if self._lower_case else sentence)

    def check(self, name: str) -> None:
        """Raise InvalidData for a text that nothing can be learnt from."""
        raw = self._raw.characters()
        if len(raw) < 2 or raw.isspace() or (self._of_words and not self._words):
            raise InvalidData(
                f"The {name} has {self.characters:,} characters, {len(raw)} of them "
                "different; a chain needs 2 different ones at least, and something else than "
                "spaces. Give a longer text."
            )

    def vocabulary(self, max_vocabulary: int) -> Vocabulary:
        """Return all characters, or the `max_vocabulary` most frequent words.

        The probability of an unknown word is the share of words that occurred once or were left
        out (Good 1953: unseen events are together as probable as those seen once).
        """
        if not self._of_words:
            return Vocabulary(self._alphabet.characters() or self._raw.characters())
        ordered = sorted(self._words, key=lambda word: (-self._words[word], word))
        kept, others = ordered[:max_vocabulary], ordered[max_vocabulary:]
        once = [word for word in kept if self._words[word] == 1]
        unknown = max(1, len(once) + sum(self._words[word] for word in others))
        rare = [*once, *others]
        spelling = fit_spelling((rare if len(rare) >= _FEWEST_RARE else ordered)[:_MOST_RARE])
        share = min(unknown / self._words.total(), _LARGEST_UNKNOWN_SHARE)
        return Vocabulary(spelling.alphabet, tuple(kept), share, spelling)

    def _add_sentence(self, sentence: str) -> None:
        if self._of_words:
            self._words.update(split_words(sentence))
        else:
            self._alphabet.add(sentence)


class _CharacterSet:
    """The distinct characters of texts; ten times as fast as a set of them."""

    def __init__(self) -> None:
        self._seen = np.zeros(sys.maxunicode + 1, np.bool_)

    def add(self, text: str) -> None:
        self._seen[code_points(text)] = True

    def characters(self) -> str:
        """Return all of them, in code-point order."""
        return "".join(map(chr, np.flatnonzero(self._seen).tolist()))


class WeightedCounting:
    """Counts the text of each weighted label apart; the model is of the weighted sum."""

    def __init__(self, parameters: TrainParameters, symbols: int, begin: int | None) -> None:
        self._parameters = parameters
        self._symbols, self._begin = symbols, begin
        self._counters: dict[str | None, NgramCounter] = {}
        #: Ids of each label that are still to be counted; small records are counted together.
        self._waiting: dict[str | None, list[Ids]] = {}
        self._seen: set[str | None] = set()

    def add(self, ids: Ids, label: str | None) -> None:
        """Count the next ids of a label's text."""
        self._seen.add(label)
        known = label if label in self._parameters.weights else None
        waiting = self._waiting.setdefault(known, [])
        waiting.append(ids)
        if sum(map(len, waiting)) >= _COUNTED_TOGETHER or len(waiting) >= _RECORDS_TOGETHER:
            self._count(known)

    def _count(self, label: str | None) -> None:
        if label not in self._counters:
            self._counters[label] = NgramCounter(self._parameters.order, self._symbols, self._begin)
        self._counters[label].add(np.concatenate(self._waiting.pop(label)))

    def model(self) -> NgramModel:
        """Add up, prune and smooth. Raises InvalidData for a weight of no record."""
        weights = self._parameters.weights
        missing = weights.keys() - self._seen
        if missing:
            labels = ", ".join(repr(label) for label in sorted(filter(None, self._seen))[:20])
            raise InvalidData(
                f"No record has the label {min(missing)!r}, which label_weights has. Labels in the "
                f"data: {labels or 'none'}. Mend the data or the weights."
            )
        for label in list(self._waiting):
            self._count(label)
        parts = [counter.counts() for counter in self._counters.values()]
        counts = combine(parts, [weights.get(label or "", 1.0) for label in self._counters])
        if self._parameters.min_count > 1:
            counts = counts.pruned(self._parameters.min_count)
        return fit(counts, self._parameters.smoothing, self._parameters.additive)


def _beginning(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
    """Yield the first chunks of a text, until they are long enough to measure."""
    characters = 0
    for chunk in chunks:
        yield chunk
        characters += len(chunk.text)
        if characters >= _MEASURED_CHARACTERS:
            return
