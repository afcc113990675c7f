"""A text as contiguous streams that are read side by side, a batch of steps at a time.

Pure NumPy. Used by `stream_training`; `windows` cuts a text the other way.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from seqd_char_lstm.text import Ids


@dataclass(frozen=True)
class Streams:
    """A text cut into `streams` parts of equal length, each read `steps` ids a batch.

    An epoch begins at a given place of the text and goes on from its end to its beginning, so
    that another place cuts the text elsewhere. What is left out is what follows the last part,
    less than a batch; another place leaves out something else.
    """

    ids: Ids
    streams: int
    steps: int

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self.ids) // (self.streams * self.steps)

    def batches(self, place: int, first: int = 0) -> Iterator[tuple[Ids, Ids]]:
        """Give an epoch's batches from number `first` on: ids, and the id after each of them.

        Both are (streams, steps); a row goes on where it ended in the batch before.
        """
        starts = place + np.arange(self.streams) * (len(self) * self.steps)  # (streams,)
        for number in range(first, len(self)):
            steps = number * self.steps + np.arange(self.steps + 1)  # (steps + 1,)
            read = self.ids[(starts[:, None] + steps) % len(self.ids)]  # (streams, steps + 1)
            yield read[:, :-1], read[:, 1:]
