"""Adam in NumPy, as Keras computes it.

Called by `packed_learner`. Knows arrays by name; what they are for is others' business.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd_imdb_lstm.artifact import Floats

_BETA_1: Final = 0.9
_BETA_2: Final = 0.999
_EPSILON: Final = np.float32(1e-7)

#: Numbers that are gone through at once, so that all passes over them find them in the cache.
_BLOCK: Final = 16_384


class Adam:
    """The running means of gradients and of their squares."""

    def __init__(self, weights: Mapping[str, Floats]) -> None:
        """`weights` are changed in place by each step, and must lie in rows."""
        self._weights = weights
        #: Steps that have been taken.
        self.steps = 0
        self._means = {name: np.zeros_like(array) for name, array in weights.items()}
        self._squares = {name: np.zeros_like(array) for name, array in weights.items()}

    def step(self, gradients: Mapping[str, Floats], learning_rate: float) -> None:
        """Change the weights by one step; each gradient has its weight's shape."""
        self.steps += 1
        unbias = np.sqrt(1.0 - _BETA_2**self.steps) / (1.0 - _BETA_1**self.steps)
        rate = np.float32(learning_rate * unbias)
        for name, weight in self._weights.items():
            arrays = (weight, self._means[name], self._squares[name], gradients[name])
            flat = [array.reshape(-1) for array in arrays]
            for start in range(0, weight.size, _BLOCK):
                weight_block, mean, square, gradient = (
                    array[start : start + _BLOCK] for array in flat
                )
                _step_block(weight_block, mean, square, gradient, rate)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give all that a step reads and changes beside the weights; arrays are its own."""
        means = {f"mean.{name}": array for name, array in self._means.items()}
        squares = {f"square.{name}": array for name, array in self._squares.items()}
        return {**means, **squares, "steps": np.array(self.steps, dtype=np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over what `state` gave, of the same names and shapes."""
        self.steps = int(state["steps"])
        for name in self._weights:
            self._means[name][:] = state[f"mean.{name}"]
            self._squares[name][:] = state[f"square.{name}"]


def _step_block(
    weight: Floats, mean: Floats, square: Floats, gradient: Floats, rate: np.float32
) -> None:
    mean += (gradient - mean) * np.float32(1.0 - _BETA_1)
    square += (gradient * gradient - square) * np.float32(1.0 - _BETA_2)
    weight -= rate * mean / (np.sqrt(square) + _EPSILON)
