"""Reviews' ids end to end in one array: four bytes an id, and no object for each review.

Called by `corpus`, which fills it; whoever learns or validates reads it as a plain sequence.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, overload

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.word_table import Ids

#: Numbers of reviews.
Rows = npt.NDArray[np.intp]

#: Reviews that are gone through together, so that what is computed of them stays small.
_BLOCK_REVIEWS: Final = 16_384


class PackedReviews(Sequence[Ids]):
    """Reviews as views into one array; a slice is a list of them."""

    def __init__(self, ids: Ids, starts: npt.NDArray[np.int64]) -> None:
        """`ids` (all ids,); `starts` (reviews + 1,) where each begins, and where the last ends."""
        self._ids = ids
        self._starts = starts

    def __len__(self) -> int:
        return len(self._starts) - 1

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
        return self._ids[self._starts[row] : self._starts[row + 1]]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(reviews,) ids of each."""
        return np.diff(self._starts)

    def blocks(self, rows: Rows) -> Iterator[Ids]:
        """Give the ids of some reviews, end to end, in blocks of many reviews."""
        for start in range(0, len(rows), _BLOCK_REVIEWS):
            yield np.concatenate([self[row] for row in rows[start : start + _BLOCK_REVIEWS]])

    def exchanged(self, rows: Rows, table: Ids) -> "PackedReviews":
        """Give some reviews with `table[number]` in the place of each number."""
        starts = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(self.lengths[rows], out=starts[1:])
        ids, done = np.empty(starts[-1], dtype=np.int32), 0
        for block in self.blocks(rows):
            ids[done : done + len(block)] = table[block]
            done += len(block)
        return PackedReviews(ids, starts)


class ReviewPacker:
    """Takes reviews one by one."""

    def __init__(self) -> None:
        self._ids = array("i")
        self._starts = array("q", [0])

    @property
    def ids(self) -> int:
        """Number of ids that were taken."""
        return len(self._ids)

    def add(self, ids: Iterable[int]) -> None:
        """Take a review."""
        self._ids.extend(ids)
        self._starts.append(len(self._ids))

    def packed(self) -> PackedReviews:
        """Give all of them; no more may be added then."""
        return PackedReviews(
            np.frombuffer(self._ids, dtype=np.int32), np.frombuffer(self._starts, dtype=np.int64)
        )
