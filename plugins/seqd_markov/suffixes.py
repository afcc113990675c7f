"""The suffixes of a training text in order, to look spans up in it.

A suffix array, sorted by prefix doubling (Manber and Myers 1990) eight bytes at a time, in NumPy.
Knows nothing of models, characters or words: symbols are codes above 0. Used by `copies`.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from seqd.errors import Stopped

Numbers = npt.NDArray[np.integer]
Places = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
StopRequested = Callable[[], bool]

#: Bytes that two spans are compared by at once.
KEY_BYTES = 8

#: One key in so many is kept beside the sorted suffixes: half a byte a symbol, which a search
#: finds in the nearest cache.
_STRIDE = 16


def code_type(symbols: int) -> np.dtype[np.unsignedinteger]:
    """The smallest type for the codes 1 to `symbols`, 0 and one more that no text has."""
    return np.min_scalar_type(symbols + 1).newbyteorder(">")


def keys_of(content: bytes, size: int, symbols: int) -> Keys:
    """The first eight bytes from each symbol on, as numbers in the order of the spans.

    `content` has codes of `size` bytes, and eight bytes more than `symbols` of them.
    """
    return np.ndarray((symbols,), ">u8", content, strides=(size,))


class Suffixes:
    """Places of a text in the order of what stands from them on."""

    def __init__(self, codes: Numbers, code: np.dtype[np.unsignedinteger]) -> None:
        self._code = code
        self._size = code.itemsize
        self._content = codes.astype(code).tobytes() + bytes(KEY_BYTES)
        self._keys = keys_of(self._content, self._size, len(codes))
        self._order = np.empty(0, np.int32)
        self._sparse = np.empty(0, np.uint64)

    @property
    def per_key(self) -> int:
        """Symbols of a key."""
        return KEY_BYTES // self._size

    def __len__(self) -> int:
        return len(self._keys)

    def sort(self, stop_requested: StopRequested) -> None:
        """Put them in order; to be called first. Raises Stopped within one round of sorting."""
        keys = self._keys.astype(np.uint64)
        order = np.argsort(keys)
        ordered = keys[order]
        begins = _differs(ordered)  # of each group of equals the first
        ranks = np.empty(len(order), np.int64)
        ranks[order] = _first_of_each(begins, np.arange(len(order)))
        span = self.per_key
        while span < len(order):
            _ask(stop_requested)
            tied = np.flatnonzero(~(begins & np.append(begins[1:], True)))
            if not len(tied):
                break
            _sort_tied(order, ranks, begins, tied, span)
            span *= 2
        self._order = order.astype(np.int32)
        self._sparse = ordered[::_STRIDE].copy()

    def lower(self, low: Places, high: Places, keys: Keys, skip: int) -> Places:
        """The first rank of each range whose key behind `skip` symbols is not less; else its end.

        All suffixes of a range have their first `skip` symbols in common.
        """
        if skip == 0:
            low, high = self._block(keys, "left")
        return self._bound(low, high, keys, skip, np.less)

    def upper(self, low: Places, high: Places, keys: Keys, skip: int) -> Places:
        """The first rank of each range whose key behind `skip` symbols is greater; else its end."""
        if skip == 0:
            low, high = self._block(keys, "right")
        return self._bound(low, high, keys, skip, np.less_equal)

    def key_at(self, ranks: Places, skip: int) -> Keys:
        """The key behind `skip` symbols of the suffixes with these ranks; 0 behind the end."""
        places = self._order[np.clip(ranks, 0, len(self) - 1)] + np.int64(skip)
        keys = self._keys[np.minimum(places, len(self) - 1)].astype(np.uint64)
        return np.where(places < len(self), keys, np.uint64(0))

    def has(self, span: bytes, low: int, high: int) -> bool:
        """True when a suffix of this range begins with the span."""

        def beginning(rank: int) -> bytes:
            first = int(self._order[rank]) * self._size
            return self._content[first : first + len(span)]

        rank = bisect_left(range(high), span, lo=low, key=beginning)
        return rank < high and beginning(rank) == span

    def _block(self, keys: Keys, side: Literal["left", "right"]) -> tuple[Places, Places]:
        """The ranks between two of the keys kept, among which the bound is."""
        blocks = np.searchsorted(self._sparse, keys, side=side)
        return np.maximum(blocks - 1, 0) * _STRIDE, np.minimum(blocks * _STRIDE, len(self))

    def _bound(self, low: Places, high: Places, keys: Keys, skip: int, before: np.ufunc) -> Places:
        while (low < high).any():
            middle = (low + high) >> 1
            is_before = before(self.key_at(middle, skip), keys) & (low < high)
            low, high = np.where(is_before, middle + 1, low), np.where(is_before, high, middle)
        return low


def _sort_tied(
    order: Places, ranks: Places, begins: npt.NDArray[np.bool_], tied: Places, span: int
) -> None:
    """Sort what is equal so far by what stands `span` symbols further on, in place."""
    places = order[tied]
    further = places + span
    second = np.where(further < len(order), ranks[np.minimum(further, len(order) - 1)] + 1, 0)
    keys = ranks[places] * (len(order) + 1) + second
    by = np.argsort(keys)
    order[tied] = places[by]
    begins[tied] = _differs(keys[by])
    ranks[order[tied]] = _first_of_each(begins[tied], tied)


def _differs(ordered: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """True for each that is not as the one before."""
    differs = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=differs[1:])
    return differs


def _first_of_each(begins: npt.NDArray[np.bool_], numbers: Places) -> Places:
    """For each place the number of the group's first, of numbers that rise."""
    first: Places = np.maximum.accumulate(np.where(begins, numbers, 0))
    return first


def _ask(stop_requested: StopRequested) -> None:
    if stop_requested():
        raise Stopped("The search for copies was stopped before its end; there is no result.")
