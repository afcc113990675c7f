"""A text as overlapping windows, cut as the tutorial cuts it.

Pure NumPy. Used by `window_training`; `streams` cuts a text the other way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.text import Ids


@dataclass(frozen=True)
class Windows:
    """All training windows of a text: `window` characters each, and the one that follows.

    Cut on demand, so that a long text does not stand in memory `window` times.
    """

    ids: Ids
    window: int
    step: int

    def __len__(self) -> int:
        return max(0, -(-(len(self.ids) - self.window) // self.step))

    def batch(self, numbers: npt.NDArray[np.int64]) -> tuple[Ids, Ids]:
        """Cut the windows with these numbers: (batch, window) ids and (batch,) next ids."""
        starts = numbers * self.step  # (batch,)
        inputs = self.ids[starts[:, None] + np.arange(self.window)]  # (batch, window)
        return inputs, self.ids[starts + self.window]

    def batches(
        self, order: npt.NDArray[np.int64], batch_windows: int
    ) -> Iterator[tuple[Ids, Ids]]:
        """Cut all windows in this order, `batch_windows` at a time; the last may be fewer."""
        for first in range(0, len(order), batch_windows):
            yield self.batch(order[first : first + batch_windows])
