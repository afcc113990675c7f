"""What learns a network that carries its state from batch to batch: the interface, no code.

`cpu_learner` has the one for processors, `network` the one in Keras, for GPUs; `stream_training`
drives either, step by step, and knows no difference.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqd_char_lstm.artifact import Weights

State = Mapping[str, npt.NDArray[np.generic]]
Ids = npt.NDArray[np.int32]


class StreamLearner(Protocol):
    """A network, its optimizer, and the states of the streams that it reads side by side."""

    def begin_epoch(self) -> None:
        """Forget what the streams have read: their states are zeros again."""

    def step(self, inputs: Ids, targets: Ids, learning_rate: float) -> float:
        """Learn from the next characters of all streams.

        Both are (streams, steps): each target is the character that follows its input. Steps
        may be fewer than usual, streams may not. Gives the mean loss of a character in nats, from
        before the step. The streams' states after the last input are where the next step begins;
        gradients do not go back beyond this step's first input.
        """

    def weights(self) -> Weights:
        """Copy out the weights to write text with: their running mean where one is kept."""

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Copy out all that a step reads and changes, the streams' states too."""

    def restore(self, state: State) -> None:
        """Take a state over; the steps after it are those of the training that it comes from.

        Raises CheckpointDamaged for the state of another network.
        """

    def library_versions(self) -> dict[str, str]:
        """Versions of the libraries that take part, by name."""
