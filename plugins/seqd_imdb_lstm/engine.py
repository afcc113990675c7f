"""What computes probabilities, whichever kernel does it.

Two kernels stand behind this door and are checked against each other: `packed_numpy`, which
serves on a CPU, and `network.KerasEngine`, which serves on a GPU. Called by `classifier`
for serving and by `training` for validation, so that a version's figures are those of the
kernel that will serve it.
"""

from collections.abc import Sequence
from typing import Protocol

from seqd.hookspecs import Device
from seqd_imdb_lstm.reviews import Ids
from seqd_imdb_lstm.version import Probabilities, Version


class Engine(Protocol):
    """A loaded network. Used by one thread at a time."""

    @property
    def memory_bytes(self) -> int:
        """Memory that it holds, in bytes."""

    def probabilities(self, reviews: Sequence[Ids]) -> Probabilities:
        """Give each review's probability of the second label.

        `reviews` are id arrays of shape (tokens,), at most `max_tokens` long, in any order;
        the answer has shape (reviews,). What else is in `reviews` moves a review's answer by
        about 1e-7: in a matrix of another size the same sum is added up in another order.
        """


def engine_for(version: Version, device: Device) -> Engine:
    """Choose the kernel for a device.

    On one CPU core the packed kernel runs twice as many reviews a second as Keras does on
    two (4,500 to 4,850 against 2,000 to 2,150); a GPU needs Keras's cuDNN path.
    """
    if device.kind == "gpu":
        from seqd_imdb_lstm.network import KerasEngine

        return KerasEngine(version)
    from seqd_imdb_lstm.packed_numpy import PackedNumpyEngine

    return PackedNumpyEngine(version.weights, version.config.max_tokens)
