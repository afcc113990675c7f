"""A batch of reviews laid out by time step, so that a step computes on real tokens alone.

All reviews end together, the longest first; step s holds the ids of those that have begun. What
stands at one step lies side by side, so that it is one matrix product. Where pads are read like
words (the tutorial's network), a row of nothing but pads runs in front of the batch, and every
review begins at the state which that row has reached: what 500 padded steps a review compute, but
each pad once a batch. The gradients flow back the same way, so they are exact.

Called by `packed_learner`; `packed_lstm` runs over it. Knows ids alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.vocabulary import PAD_ID, Ids

Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """Reviews by time step; a row is a review, or the pads in front."""

    #: (tokens,) ids of step 0, then those of step 1, and so on.
    ids: Ids
    #: (tokens,) row of each.
    rows: Places
    #: (reviews,) which review each row is, the pads' row left out.
    order: Places
    #: (rows,) tokens of each row, the greatest first.
    lengths: Places
    #: Rows that have begun, at each step; then, at the end, all of them.
    counts: list[int]
    #: Where each step's ids begin; then where the last step's end.
    starts: list[int]
    #: True when row 0 is the pads, from whose states the reviews begin; else they begin at zeros.
    has_pads: bool

    @classmethod
    def of(cls, reviews: Sequence[Ids], pads: int) -> Self:
        """Lay reviews out, (tokens,) each; with `pads`, behind so many pads in all.

        No review may be longer than `pads`, where there are any.
        """
        lengths = np.array([len(ids) for ids in reviews], dtype=np.intp)
        order = np.argsort(-lengths, kind="stable")
        front = [np.full(pads, PAD_ID, dtype=np.int32)] if pads else []
        lined_up = front + [reviews[place] for place in order]
        lengths = np.array([len(ids) for ids in lined_up], dtype=np.intp)
        steps = int(lengths[0])
        # At step s those have begun that have at least steps - s tokens.
        counts = np.searchsorted(-lengths, np.arange(steps) - steps, side="right")
        grid = np.zeros((steps, len(lined_up)), dtype=np.int32)
        for row, ids in enumerate(lined_up):
            grid[steps - len(ids) :, row] = ids
        has_begun = np.arange(len(lined_up)) < counts[:, None]  # (steps, rows)
        starts = np.concatenate([[0], np.cumsum(counts)])
        return cls(
            ids=grid[has_begun],
            rows=np.nonzero(has_begun)[1],
            order=order,
            lengths=lengths,
            counts=[*counts.tolist(), len(lined_up)],
            starts=starts.tolist(),
            has_pads=bool(pads),
        )

    @property
    def steps(self) -> int:
        """Time steps, as many as the longest row has tokens."""
        return len(self.counts) - 1

    @property
    def first_review(self) -> int:
        """Row of the first review."""
        return 1 if self.has_pads else 0

    def mirrored(self) -> Places:
        """Give, for each token's place, that of its mirror image: the first's is the last's.

        Read by these places, a batch is laid out as if its reviews were written backwards.
        """
        step = np.repeat(np.arange(self.steps), self.counts[:-1])
        mirror = 2 * self.steps - 1 - self.lengths[self.rows] - step
        return np.asarray(np.array(self.starts)[mirror] + self.rows)
