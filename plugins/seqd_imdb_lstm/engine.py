"""What computes probabilities, whichever kernel does it.

Three kernels stand behind this door and are held against each other by tests: the packed ones,
`packed_compiled` and `packed_numpy`, which serve on a CPU through `packed_engine`, and Keras
itself, `network.KerasEngine`, which serves on a GPU. Called by `classifier` for serving and by
`learning` for validation, so that a version's figures are those of the kernel that serves it.
"""

from collections.abc import Sequence
from typing import Protocol

from seqd.hookspecs import Device
from seqd_imdb_lstm.artifact import Probabilities, Version
from seqd_imdb_lstm.vocabulary import Ids


class Engine(Protocol):
    """A loaded network. Used by one thread at a time."""

    @property
    def memory_bytes(self) -> int:
        """Memory that it holds, in bytes."""

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """Give each review's probability of each class: (reviews, classes), rows that sum to 1.

        `reviews` are id arrays of shape (tokens,), at most `max_tokens` long, in any order. With
        the compiled kernel a review's answer is the same, bit for bit, whatever else is in
        `reviews`; with the others it moves by about 1e-7, for in a matrix of another size the same
        sum is added up in another order.
        """

    def computed_tokens(self, reviews: Sequence[Ids]) -> int:
        """Say for how many tokens `probabilities` computes: what exceeds theirs is padding.

        A network that reads in both directions has each token counted once.
        """


def engine_for(version: Version, device: Device) -> Engine:
    """Choose the kernel for a device, with the n-gram branch beside it where there is one.

    On one CPU core the compiled kernel does four to five times as many reviews a second as Keras
    does on two; a GPU needs Keras's cuDNN path.
    """
    lstm = lstm_engine_for(version, device)
    if version.ngrams is None:
        return lstm
    from seqd_imdb_lstm.averaged_engine import AveragedEngine

    return AveragedEngine(lstm, version.ngrams, version.config.lstm_share)


def lstm_engine_for(version: Version, device: Device) -> Engine:
    """Choose the kernel of the LSTM alone."""
    if device.kind == "gpu":
        from seqd_imdb_lstm.network import KerasEngine

        return KerasEngine(version)
    from seqd_imdb_lstm.packed_engine import PackedEngine

    return PackedEngine(version)
