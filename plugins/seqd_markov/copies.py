"""Finds the longest span of a generated text that stands in the training text, exactly.

Spans are looked up in a suffix array of the training text, sorted by prefix doubling (Manber and
Myers 1990) eight bytes at a time. Many texts are looked at together, in NumPy.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped

Numbers = npt.NDArray[np.integer]
Indices = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
StopRequested = Callable[[], bool]

#: Symbols of the training text that are sorted together, which bounds the memory of sorting to
#: 170 MB; and how many two parts share, so that no copy is cut: as many as a text has, beginnings
#: of sentences included.
PART_SYMBOLS = 1 << 22
OVERLAP_SYMBOLS = 200_000

#: One in so many places is looked up first; of the others those that can still begin the longest
#: copy. They are few: a copy that begins at one place goes on at the next.
_FIRST_STEP = 4

#: Places that are looked up one after the other between two checks for a stop: 0.1 s.
_PLACES_PER_CHECK = 10_000

#: Keys that all places of a batch are compared by, 64 characters of a small vocabulary. Longer
#: copies are rare, and are looked up one place after the other.
_BATCH_KEYS = 8

#: Bytes that two spans are compared by at once.
KEY_BYTES = 8

#: One key in so many is kept beside the sorted suffixes: half a byte a symbol, which stays in the
#: nearest cache.
_STRIDE = 16


def code_type(symbols: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest type for the codes 1 to `symbols`, 0, and one that no text has."""
    return np.min_scalar_type(symbols + 1).newbyteorder(">")


def keys_of(content: bytes, size: int, symbols: int) -> Keys:
    """Return the first eight bytes from each symbol on, as big-endian integers: (symbols,).

    `content` is `symbols` codes of `size` bytes, and eight bytes more.
    """
    return np.ndarray((symbols,), ">u8", content, strides=(size,))


class SuffixArray:
    """The sorted suffixes of a text of integer codes above 0."""

    def __init__(self, codes: Numbers, code: np.dtype[np.unsignedinteger]) -> None:
        self._code = code
        self._size = code.itemsize
        self._content = codes.astype(code).tobytes() + bytes(KEY_BYTES)
        self._keys = keys_of(self._content, self._size, len(codes))
        self._order = np.empty(0, np.int32)
        self._sparse = np.empty(0, np.uint64)

    @property
    def per_key(self) -> int:
        """Symbols of one key."""
        return KEY_BYTES // self._size

    def __len__(self) -> int:
        return len(self._keys)

    def sort(self, stop_requested: StopRequested) -> None:
        """Sort the suffixes; to be called first. Raises Stopped within one round of sorting."""
        keys = self._keys.astype(np.uint64)
        order = np.argsort(keys)
        ordered = keys[order]
        begins = _differs(ordered)  # True for the first of each group of equals
        ranks = np.empty(len(order), np.int64)
        ranks[order] = _first_of_each(begins, np.arange(len(order)))
        span = self.per_key
        while span < len(order):
            _check_stop(stop_requested)
            tied = np.flatnonzero(~(begins & np.append(begins[1:], True)))
            if not len(tied):
                break
            _sort_tied(order, ranks, begins, tied, span)
            span *= 2
        self._order = order.astype(np.int32)
        self._sparse = ordered[::_STRIDE].copy()

    def lower(self, low: Indices, high: Indices, keys: Keys, skip: int) -> Indices:
        """Return the first rank of each range whose key behind `skip` symbols is not less.

        That is `high` where there is none. The suffixes of a range share their first `skip`
        symbols.
        """
        if skip == 0:
            low, high = self._block(keys, "left")
        return self._bound(low, high, keys, skip, np.less)

    def upper(self, low: Indices, high: Indices, keys: Keys, skip: int) -> Indices:
        """Return the first rank of each range whose key behind `skip` symbols is greater."""
        if skip == 0:
            low, high = self._block(keys, "right")
        return self._bound(low, high, keys, skip, np.less_equal)

    def key_at(self, ranks: Indices, skip: int) -> Keys:
        """Return the key behind `skip` symbols of the suffixes of ranks; 0 behind the text."""
        places = self._order[np.clip(ranks, 0, len(self) - 1)] + np.int64(skip)
        keys = self._keys[np.minimum(places, len(self) - 1)].astype(np.uint64)
        return np.where(places < len(self), keys, np.uint64(0))

    def has(self, span: bytes, low: int, high: int) -> bool:
        """Return whether a suffix of the range begins with the span."""

        def beginning(rank: int) -> bytes:
            first = int(self._order[rank]) * self._size
            return self._content[first : first + len(span)]

        rank = bisect_left(range(high), span, lo=low, key=beginning)
        return rank < high and beginning(rank) == span

    def _block(self, keys: Keys, side: Literal["left", "right"]) -> tuple[Indices, Indices]:
        """Return the ranks between two sparse keys, among which the bound is."""
        blocks = np.searchsorted(self._sparse, keys, side=side)
        return np.maximum(blocks - 1, 0) * _STRIDE, np.minimum(blocks * _STRIDE, len(self))

    def _bound(
        self, low: Indices, high: Indices, keys: Keys, skip: int, before: np.ufunc
    ) -> Indices:
        while (low < high).any():
            middle = (low + high) >> 1
            is_before = before(self.key_at(middle, skip), keys) & (low < high)
            low, high = np.where(is_before, middle + 1, low), np.where(is_before, high, middle)
        return low


def _sort_tied(
    order: Indices, ranks: Indices, begins: npt.NDArray[np.bool_], tied: Indices, span: int
) -> None:
    """Sort suffixes that are equal so far by the rank `span` symbols further on, in place."""
    places = order[tied]
    further = places + span
    second = np.where(further < len(order), ranks[np.minimum(further, len(order) - 1)] + 1, 0)
    keys = ranks[places] * (len(order) + 1) + second
    by = np.argsort(keys)
    order[tied] = places[by]
    begins[tied] = _differs(keys[by])
    ranks[order[tied]] = _first_of_each(begins[tied], tied)


def _differs(ordered: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return True for each element that differs from the one before."""
    differs = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return differs


def _first_of_each(begins: npt.NDArray[np.bool_], numbers: Indices) -> Indices:
    """Return for each element the number of its group's first; numbers are ascending."""
    first: Indices = np.maximum.accumulate(np.where(begins, numbers, 0))
    return first


@dataclass(frozen=True)
class AlignedText:
    """A text as symbols, each aligned with the characters that it stands for."""

    ids: Numbers  # (symbols,), none below 0
    starts: Indices  # (symbols,), rising: where each symbol's characters begin
    ends: Indices  # (symbols,), rising: and where they end


class CopyFinder:
    """Finds copies of a training text, whose suffix array is sorted on first use.

    Ids outside of 0 to `symbols` - 1 are unknown symbols, which no generated text has.
    """

    def __init__(self, corpus: Numbers, symbols: int) -> None:
        self._corpus = corpus
        self._vocabulary_size = symbols
        self._code = code_type(symbols)
        self._parts: list[SuffixArray] = []

    @property
    def symbols(self) -> int:
        """Length of the training text in symbols."""
        return len(self._corpus)

    @property
    def nbytes(self) -> int:
        """Bytes once it is sorted: 5.5 a symbol of a vocabulary of up to 254."""
        return int(len(self._corpus) * (self._code.itemsize + 4.5))

    def longest(self, texts: Sequence[AlignedText], stop_requested: StopRequested) -> list[int]:
        """Return the characters of each text's longest span in the training text; 0 for none.

        The first call sorts: 0.1 s for 600,000 characters. Raises Stopped.
        """
        if not self._parts:
            self._parts = list(self._sorted(stop_requested))
        batch = _Batch.of(texts, self._code)
        found = [_Search(part, batch, stop_requested).longest() for part in self._parts]
        return np.max(found, axis=0).tolist() if texts and found else [0] * len(texts)

    def _sorted(self, stop_requested: StopRequested) -> Iterator[SuffixArray]:
        last = len(self._corpus)
        for first in range(0, max(last - OVERLAP_SYMBOLS, min(last, 1)), PART_SYMBOLS):
            span = self._corpus[first : first + PART_SYMBOLS + OVERLAP_SYMBOLS]
            is_known = (span >= 0) & (span < self._vocabulary_size)
            codes = np.where(is_known, span.astype(np.int64) + 1, 0)
            part = SuffixArray(codes, self._code)
            part.sort(stop_requested)
            yield part


@dataclass(frozen=True)
class _Batch:
    """Texts one behind the other, with a code between them that no training text has."""

    content: bytes
    size: int  # bytes of a code
    keys: Keys  # (symbols,)
    bounds: Indices  # (texts + 1,), where each text begins
    starts: Indices  # (symbols,), in characters of its text
    ends: Indices  # (symbols,)

    @classmethod
    def of(cls, texts: Sequence[AlignedText], code: np.dtype[np.unsignedinteger]) -> "_Batch":
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

    def characters(self, places: Indices, symbols: Indices) -> Indices:
        """Return the characters of spans of `symbols`, each 1 or more, that begin at `places`."""
        characters: Indices = self.ends[places + symbols - 1] - self.starts[places]
        return characters


def _with_end(offsets: Indices) -> Indices:
    """Append an offset for the code between two texts, which has no characters."""
    return np.append(offsets, offsets[-1:] if len(offsets) else 0)


class _Search:
    """Searches one part of the training text for the longest copy of each text."""

    def __init__(self, part: SuffixArray, batch: _Batch, stop_requested: StopRequested) -> None:
        self._part = part
        self._batch = batch
        self._stop_requested = stop_requested
        self._text_of = np.repeat(np.arange(len(batch.bounds) - 1), np.diff(batch.bounds))
        #: Of each place, an upper bound of where a copy that begins there ends.
        self._reach = batch.bounds[1:][self._text_of] - 1
        self._best = np.zeros(len(batch.bounds) - 1, np.int64)

    def longest(self) -> Indices:
        """Return the characters of each text's longest copy: (texts,)."""
        places = np.arange(len(self._batch.keys))
        is_first = (places % _FIRST_STEP == 0) | (self._reach == places)
        self._look_up(places[is_first])
        # A copy from an earlier place reaches no further than one from here.
        following = np.minimum.accumulate(np.where(is_first, places, len(places))[::-1])[::-1]
        others = places[~is_first]
        symbols = self._reach[following[others]] - others
        possible = self._batch.characters(others, np.maximum(symbols, 1))
        self._look_up(others[(symbols > 0) & (possible > self._best[self._text_of[others]])])
        return self._best

    def _look_up(self, places: Indices) -> None:
        """Update `_reach` and `_best` with the copies that begin at some places."""
        part, keys_of_all = self._part, self._batch.keys
        low, high = np.zeros_like(places), np.full_like(places, len(part))
        for skip in range(0, _BATCH_KEYS * part.per_key, part.per_key):
            _check_stop(self._stop_requested)
            keys = keys_of_all[places + skip]
            first = part.lower(low, high, keys, skip)
            here = _longest_match(part, keys, skip, first, low, high)
            whole = here == part.per_key
            self._record(places[~whole], skip + here[~whole])
            places, keys, low, high = places[whole], keys[whole], first[whole], high[whole]
            high = part.upper(low, high, keys, skip)
        ranges = zip(places.tolist(), low.tolist(), high.tolist(), strict=True)
        for number, (place, *ranks) in enumerate(ranges):
            if number % _PLACES_PER_CHECK == 0:
                _check_stop(self._stop_requested)
            text = self._text_of[place]
            long_copy = _LongCopy(part, self._batch, place, *ranks)
            self._best[text] = long_copy.longest(int(self._reach[place]), int(self._best[text]))

    def _record(self, places: Indices, symbols: Indices) -> None:
        """Record copies by their places and their lengths in symbols."""
        self._reach[places] = places + symbols
        places, symbols = places[symbols > 0], symbols[symbols > 0]
        characters = self._batch.characters(places, symbols)
        np.maximum.at(self._best, self._text_of[places], characters)


def _longest_match(
    part: SuffixArray, keys: Keys, skip: int, first: Indices, low: Indices, high: Indices
) -> Indices:
    """Return the longest common prefix, in symbols, of each key with a suffix of its range.

    It is with one of the two suffixes beside the key's own rank.
    """
    after = _common_prefix(part.key_at(first, skip), keys, part.per_key)
    before = _common_prefix(part.key_at(first - 1, skip), keys, part.per_key)
    after, before = np.where(first < high, after, 0), np.where(first > low, before, 0)
    return np.maximum(after, before)


def _common_prefix(some: Keys, others: Keys, per_key: int) -> Indices:
    """Return the length of the common prefix of keys, in symbols."""
    bits = 8 * KEY_BYTES // per_key
    limits = np.array([1 << bits * number for number in range(per_key)], np.uint64)
    return per_key - np.searchsorted(limits, some ^ others, side="right")


@dataclass(frozen=True)
class _LongCopy:
    """A place whose first `_BATCH_KEYS` keys match the suffixes of the ranks `low` to `high`."""

    part: SuffixArray
    batch: _Batch
    place: int
    low: int
    high: int

    def longest(self, end: int, best: int) -> int:
        """Return the characters of the longest copy from here to `end`, at least `best`."""
        # Begin with the shortest span that beats the best: most places cost one search.
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


def _check_stop(stop_requested: StopRequested) -> None:
    if stop_requested():
        raise Stopped("The search for copies was stopped before its end; there is no result.")
