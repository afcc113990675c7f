"""Finds out what symbols a text has, before it is counted.

Characters: all of them. Words: the most frequent; what the others are is told by two figures and
a spelling model. Used by `training`.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from seqd.errors import InvalidData
from seqd_markov.reading import sentences_of
from seqd_markov.sentences import Ends
from seqd_markov.spelling import Spelling, learn_spelling
from seqd_markov.tokens import code_points
from seqd_markov.words import tokens_of

#: Words that a spelling is learnt from: the rare ones, if they are this many at least.
_FEWEST_RARE, _MOST_RARE = 100, 200_000

#: Share of each prediction that unknown words have at most.
_LARGEST_UNKNOWN_SHARE = 0.5


@dataclass(frozen=True)
class Symbols:
    """The symbols of a version; see `artifact.Config` for what is what."""

    alphabet: str
    vocabulary: tuple[str, ...] = ()
    unknown_share: float = 0.0
    spelling: Spelling | None = None


class Survey:
    """What a text consists of."""

    def __init__(self, level: Literal["characters", "words"], *, lower_case: bool) -> None:
        self._of_words = level == "words"
        self._lower_case = lower_case
        self._raw = _CharacterSet()
        self._alphabet = _CharacterSet()
        self._words: Counter[str] = Counter()
        #: Characters and chunks so far.
        self.characters = 0
        self.chunks = 0

    def add(self, text: str, ends: Ends | None) -> None:
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

    def symbols(self, max_vocabulary: int) -> Symbols:
        """Choose the symbols of a version."""
        if not self._of_words:
            return Symbols(self._alphabet.characters() or self._raw.characters())
        ordered = sorted(self._words, key=lambda word: (-self._words[word], word))
        vocabulary, others = ordered[:max_vocabulary], ordered[max_vocabulary:]
        once = [word for word in vocabulary if self._words[word] == 1]
        # A new word is as probable as one that was seen once (Good 1953), and those left out are
        # unknown as well.
        unknown = max(1, len(once) + sum(self._words[word] for word in others))
        rare = [*once, *others]
        spelling = learn_spelling((rare if len(rare) >= _FEWEST_RARE else ordered)[:_MOST_RARE])
        share = min(unknown / self._words.total(), _LARGEST_UNKNOWN_SHARE)
        return Symbols(spelling.alphabet, tuple(vocabulary), share, spelling)

    def _add_sentence(self, sentence: str) -> None:
        if self._of_words:
            self._words.update(tokens_of(sentence))
        else:
            self._alphabet.add(sentence)


class _CharacterSet:
    """The different characters of texts; ten times as fast as a set of them."""

    def __init__(self) -> None:
        self._seen = np.zeros(sys.maxunicode + 1, np.bool_)

    def add(self, text: str) -> None:
        self._seen[code_points(text)] = True

    def characters(self) -> str:
        """All of them, in code-point order."""
        return "".join(map(chr, np.flatnonzero(self._seen).tolist()))
