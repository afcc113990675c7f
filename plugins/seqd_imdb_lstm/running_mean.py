"""A running mean of a network's weights, which often classifies better than the last step's.

Called by `learning`. Knows arrays by name.
"""

from collections.abc import Mapping

import numpy as np

from seqd_imdb_lstm.artifact import Floats


class RunningMean:
    """The mean of the weights after each step, the last steps counting most."""

    def __init__(self, momentum: float) -> None:
        """`momentum` is what the mean keeps of itself at each step, once it has seen enough."""
        self._momentum = momentum
        self.arrays: dict[str, Floats] = {}

    def add(self, arrays: Mapping[str, Floats], step: int) -> None:
        """Take the weights after a step, counted from 1.

        The first steps keep less, so that the mean is not one of the weights drawn at random.
        """
        momentum = np.float32(min(self._momentum, step / (step + 9.0)))
        if not self.arrays:
            self.arrays = {name: array.copy() for name, array in arrays.items()}
        for name, array in arrays.items():
            mean = self.arrays[name]
            mean += (array - mean) * (np.float32(1.0) - momentum)
