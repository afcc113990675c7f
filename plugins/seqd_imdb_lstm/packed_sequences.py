"""What a kernel reads, and what it promises: sequences of ids in, one direction's features out.

A direction of the network is an LSTM that reads from the front, or from the back. Here stand its
arrays, the ids of all reviews end to end as it reads them, and the interface of the two kernels,
`packed_compiled` and `packed_numpy`. Put together by `packed_engine`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.artifact import Floats
from seqd_imdb_lstm.vocabulary import Ids

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lstm:
    """One direction's arrays, in Keras's own layout (gates in the order i, f, c, o)."""

    embedding: Floats  # (words, embedding)
    kernel: Floats  # (embedding, 4 units)
    recurrent_kernel: Floats  # (units, 4 units)
    bias: Floats  # (4 units,)

    @property
    def units(self) -> int:
        """Numbers of its state."""
        return len(self.recurrent_kernel)


@dataclass(frozen=True, slots=True)
class PackedSequences:
    """Sequences as one direction reads them."""

    #: (all tokens,) the sequences end to end.
    ids: Ids
    #: (sequences,) where each begins in `ids`, how long it is, and how many pads come before it.
    starts: Places
    lengths: Places
    pads: Places
    #: (sequences,) their numbers, the longest first.
    longest_first: Places

    @classmethod
    def of(cls, sequences: Sequence[Ids], padded_to: int | None) -> Self:
        """Lay sequences end to end; pads come before each up to `padded_to` tokens."""
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        pads = np.zeros_like(lengths) if padded_to is None else padded_to - lengths
        ids = np.concatenate([np.empty(0, dtype=np.int32), *sequences], dtype=np.int32)
        longest_first = np.argsort(-lengths, kind="stable")
        return cls(ids, np.cumsum(lengths) - lengths, lengths, pads, longest_first)

    def __len__(self) -> int:
        return len(self.lengths)


class Kernel(Protocol):
    """One direction's arrays, ready to run. Used by one thread at a time."""

    @property
    def memory_bytes(self) -> int:
        """Memory that it holds, in bytes."""

    def last(self, sequences: PackedSequences) -> Floats:
        """Give the state after each sequence's last token: (sequences, units)."""

    def greatest_and_mean(self, sequences: PackedSequences) -> tuple[Floats, Floats]:
        """Give the greatest and the mean of the states after each token: (sequences, units) both.

        Of the tokens that a sequence has: pads before it must be 0, and its length must not.
        """

    def computed_tokens(self, lengths: Places) -> int:
        """Say for how many tokens it computes when sequences of these lengths run together."""
