"""Finds the longest span of a written text that stands in the training text.

Looks at many texts at once, exactly. Knows nothing of models or jobs. Called by `writing`.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from seqd.errors import Stopped
from seqd_markov.suffixes import KEY_BYTES, Keys, Numbers, Places, Suffixes, code_type, keys_of

StopRequested = Callable[[], bool]

#: Symbols of the training text that are sorted together, which bounds what sorting takes, to
#: 170 MB; and how many the next part has as well, so that no copy is cut: as many as a text has,
#: beginnings of sentences included.
PART_SYMBOLS = 1 << 22
SHARED_SYMBOLS = 200_000

#: Of so many places one is looked at first; of the others those that can still have the longest
#: copy, which are few: what the training text has from a place on, it has from the next place on.
_EVERY = 4

#: Places that are looked at one after the other between two questions for a stop: 0.1 s.
_PLACES_A_QUESTION = 10_000

#: Keys that all places of a batch are followed for, 64 characters of a small alphabet. What is the
#: same for longer is rare, and is looked at one place after the other.
_KEYS = 8


@dataclass(frozen=True)
class Written:
    """A text to look at: its symbols, and the characters of the text that each of them is."""

    ids: Numbers  # (symbols,), none below 0
    starts: Places  # (symbols,), rising: where each symbol's characters begin
    ends: Places  # (symbols,), rising: and where they end


class Copies:
    """A training text, sorted on first use.

    Ids outside of 0 to `symbols` - 1 stand for what the model does not know, and no written text
    has.
    """

    def __init__(self, corpus: Numbers, symbols: int) -> None:
        self._corpus = corpus
        self._alphabet = symbols
        self._code = code_type(symbols)
        self._parts: list[Suffixes] = []

    @property
    def symbols(self) -> int:
        """Length of the training text."""
        return len(self._corpus)

    @property
    def nbytes(self) -> int:
        """Memory once it is sorted: 5.5 bytes a symbol of an alphabet of up to 254."""
        return int(len(self._corpus) * (self._code.itemsize + 4.5))

    def longest(self, texts: Sequence[Written], stop_requested: StopRequested) -> list[int]:
        """Characters of each text's longest span that stands in the training text; 0 for none.

        The first call sorts: 0.1 s for 600,000 characters. Raises Stopped.
        """
        if not self._parts:
            self._parts = list(self._sorted(stop_requested))
        batch = _Batch.of(texts, self._code)
        found = [_Search(part, batch, stop_requested).longest() for part in self._parts]
        return np.max(found, axis=0).tolist() if texts and found else [0] * len(texts)

    def _sorted(self, stop_requested: StopRequested) -> Iterator[Suffixes]:
        last = len(self._corpus)
        for first in range(0, max(last - SHARED_SYMBOLS, min(last, 1)), PART_SYMBOLS):
            span = self._corpus[first : first + PART_SYMBOLS + SHARED_SYMBOLS]
            is_known = (span >= 0) & (span < self._alphabet)
            codes = np.where(is_known, span.astype(np.int64) + 1, 0)
            part = Suffixes(codes, self._code)
            part.sort(stop_requested)
            yield part


@dataclass(frozen=True)
class _Batch:
    """Texts one behind the other, a code between them that no training text has."""

    content: bytes
    size: int  # bytes of a code
    keys: Keys  # (symbols,)
    bounds: Places  # (texts + 1,): where each text begins
    starts: Places  # (symbols,), in characters of its text
    ends: Places  # (symbols,)

    @classmethod
    def of(cls, texts: Sequence[Written], code: np.dtype[np.unsignedinteger]) -> "_Batch":
        ids = [np.append(text.ids.astype(np.int64) + 1, np.iinfo(code).max) for text in texts]
        nothing = np.zeros(0, np.int64)
        codes = np.concatenate([nothing, *ids])
        content = codes.astype(code).tobytes() + bytes(KEY_BYTES)
        return cls(
            content,
            code.itemsize,
            keys_of(content, code.itemsize, len(codes)).astype(np.uint64),
            np.cumsum([0, *map(len, ids)]),
            np.concatenate([nothing, *(_with_end(text.starts) for text in texts)]),
            np.concatenate([nothing, *(_with_end(text.ends) for text in texts)]),
        )

    def characters(self, places: Places, symbols: Places) -> Places:
        """Characters of spans; each has one symbol at least."""
        characters: Places = self.ends[places + symbols - 1] - self.starts[places]
        return characters


def _with_end(offsets: Places) -> Places:
    """One more for the code between two texts: no characters behind the last."""
    return np.append(offsets, offsets[-1:] if len(offsets) else 0)


class _Search:
    """A search of one part for the longest copy of each text."""

    def __init__(self, part: Suffixes, batch: _Batch, stop_requested: StopRequested) -> None:
        self._part = part
        self._batch = batch
        self._stop_requested = stop_requested
        self._text_of = np.repeat(np.arange(len(batch.bounds) - 1), np.diff(batch.bounds))
        #: Where what the part has of the text from each place on ends, at the latest.
        self._reach = batch.bounds[1:][self._text_of] - 1
        self._best = np.zeros(len(batch.bounds) - 1, np.int64)

    def longest(self) -> Places:
        """Characters of each text's longest copy: (texts,)."""
        places = np.arange(len(self._batch.keys))
        is_first = (places % _EVERY == 0) | (self._reach == places)
        self._look(places[is_first])
        # What stands before a place reaches no further than it does.
        following = np.minimum.accumulate(np.where(is_first, places, len(places))[::-1])[::-1]
        others = places[~is_first]
        symbols = self._reach[following[others]] - others
        possible = self._batch.characters(others, np.maximum(symbols, 1))
        self._look(others[(symbols > 0) & (possible > self._best[self._text_of[others]])])
        return self._best

    def _look(self, places: Places) -> None:
        """Follow the part from some places on, for `_reach` and `_best`."""
        part, keys_of_all = self._part, self._batch.keys
        low, high = np.zeros_like(places), np.full_like(places, len(part))
        for skip in range(0, _KEYS * part.per_key, part.per_key):
            self._ask()
            keys = keys_of_all[places + skip]
            first = part.lower(low, high, keys, skip)
            here = _most_same(part, keys, skip, first, low, high)
            whole = here == part.per_key
            self._note(places[~whole], skip + here[~whole])
            places, keys, low, high = places[whole], keys[whole], first[whole], high[whole]
            high = part.upper(low, high, keys, skip)
        ranges = zip(places.tolist(), low.tolist(), high.tolist(), strict=True)
        for number, (place, *ranks) in enumerate(ranges):
            if number % _PLACES_A_QUESTION == 0:
                self._ask()
            text = self._text_of[place]
            follower = _Follower(part, self._batch, place, *ranks)
            self._best[text] = follower.longest(int(self._reach[place]), int(self._best[text]))

    def _note(self, places: Places, symbols: Places) -> None:
        """Keep how many symbols the part has of the texts from some places on."""
        self._reach[places] = places + symbols
        places, symbols = places[symbols > 0], symbols[symbols > 0]
        characters = self._batch.characters(places, symbols)
        np.maximum.at(self._best, self._text_of[places], characters)

    def _ask(self) -> None:
        if self._stop_requested():
            raise Stopped("The search for copies was stopped before its end; there is no result.")


def _most_same(
    part: Suffixes, keys: Keys, skip: int, first: Places, low: Places, high: Places
) -> Places:
    """Symbols of each key that a suffix of its range has: of the two beside the key's place."""
    after = _same(part.key_at(first, skip), keys, part.per_key)
    before = _same(part.key_at(first - 1, skip), keys, part.per_key)
    after, before = np.where(first < high, after, 0), np.where(first > low, before, 0)
    return np.maximum(after, before)


def _same(some: Keys, others: Keys, per_key: int) -> Places:
    """Symbols at the beginning that two keys have in common."""
    bits = 8 * KEY_BYTES // per_key
    limits = np.array([1 << bits * number for number in range(per_key)], np.uint64)
    return per_key - np.searchsorted(limits, some ^ others, side="right")


@dataclass(frozen=True)
class _Follower:
    """A place whose first symbols stand in the part, at the suffixes of the ranks given."""

    part: Suffixes
    batch: _Batch
    place: int
    low: int
    high: int

    def longest(self, end: int, best: int) -> int:
        """Characters of the longest copy that begins here and before `end`, `best` at least."""
        # The least that is longer than the best: so most places cost one search.
        target = int(self.batch.starts[self.place]) + best
        last = bisect_right(self.batch.ends, target, self.place, end)
        symbols = last - self.place + 1
        if last >= end or not self._stands(symbols):
            return best
        step = symbols
        while step:
            further = min(symbols + step, end - self.place)
            if further > symbols and self._stands(further):
                symbols, step = further, step * 2
            else:
                step //= 2
        return int(self.batch.ends[self.place + symbols - 1] - self.batch.starts[self.place])

    def _stands(self, symbols: int) -> bool:
        size = self.batch.size
        span = self.batch.content[self.place * size : (self.place + symbols) * size]
        return self.part.has(span, self.low, self.high)
