"""Optimizers in NumPy: AdamW, gradient clipping, a learning-rate schedule, and EMA of weights.

All work on float32 arrays by name, and change them in place.
"""

import math
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

_BETA_1: Final = 0.9
_BETA_2: Final = 0.999
_EPSILON: Final = np.float32(1e-7)

#: Numbers that are gone through at once, so that all passes over them find them in the cache.
_BLOCK: Final = 16_384


class AdamW:
    """Adam (Kingma & Ba 2015) with decoupled weight decay (Loshchilov & Hutter 2019).

    As Keras computes it, the bias correction in the learning rate and epsilon (1e-7) outside:

        m += (1 - β₁)(g - m),  v += (1 - β₂)(g² - v)
        w -= lr · decay · w                              matrices only, not biases
        w -= lr · √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)

    With β₁ = 0.9 and β₂ = 0.999. Without decay it is Adam.
    """

    def __init__(self, weights: Mapping[str, Floats], weight_decay: float = 0.0) -> None:
        """Begin at step 0. `weights` must be contiguous."""
        self._weights = weights
        self._decay = weight_decay
        #: Steps that have been taken.
        self.steps = 0
        self._first = {name: np.zeros_like(array) for name, array in weights.items()}
        self._second = {name: np.zeros_like(array) for name, array in weights.items()}

    def step(
        self, gradients: Mapping[str, Floats], learning_rate: float, scale: float = 1.0
    ) -> None:
        """Take one step; gradients have their weights' shapes, and are multiplied by `scale`."""
        self.steps += 1
        unbias = np.sqrt(1.0 - _BETA_2**self.steps) / (1.0 - _BETA_1**self.steps)
        rate = np.float32(learning_rate * unbias)
        for name, weight in self._weights.items():
            keep = np.float32(1.0 - learning_rate * self._decay if weight.ndim == 2 else 1.0)
            arrays = (weight, self._first[name], self._second[name], gradients[name])
            flat = [array.reshape(-1) for array in arrays]
            for start in range(0, weight.size, _BLOCK):
                weights, first, second, gradient = (array[start : start + _BLOCK] for array in flat)
                if scale != 1.0:
                    gradient = gradient * np.float32(scale)
                _step_block(weights, first, second, gradient, rate, keep)

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all that a step reads and changes beside the weights; not copied."""
        first = {f"first_moment.{name}": array for name, array in self._first.items()}
        second = {f"second_moment.{name}": array for name, array in self._second.items()}
        return {**first, **second, "steps": np.array(self.steps, dtype=np.int64)}

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over what `state` returned, of the same names and shapes."""
        self.steps = int(state["steps"])
        for name in self._weights:
            self._first[name][:] = state[f"first_moment.{name}"]
            self._second[name][:] = state[f"second_moment.{name}"]


def _step_block(
    weights: Floats,
    first: Floats,
    second: Floats,
    gradient: Floats,
    rate: np.float32,
    keep: np.float32,
) -> None:
    first += (gradient - first) * np.float32(1.0 - _BETA_1)
    second += (gradient * gradient - second) * np.float32(1.0 - _BETA_2)
    if keep != 1.0:
        weights *= keep
    weights -= rate * first / (np.sqrt(second) + _EPSILON)


def clip_scale(gradients: Mapping[str, Floats], clipnorm: float) -> float:
    """Return what shortens all gradients together to an L2 norm of at most `clipnorm`.

    Clipping by global norm (Pascanu et al. 2013, arXiv 1211.5063), Keras's `global_clipnorm`. 1.0
    where they are short enough, and where `clipnorm` is 0.
    """
    if not clipnorm:
        return 1.0
    norm = math.sqrt(sum(float(np.vdot(array, array)) for array in gradients.values()))
    return clipnorm / norm if norm > clipnorm else 1.0


def warmup_cosine(
    done: int, total: int, *, peak: float, final: float = 0.0, warmup_steps: int = 0
) -> float:
    """Return the learning rate of the step after `done` of `total` steps.

    Over the first `warmup_steps`, at most half of all, it rises evenly to `peak`; then it falls as
    half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983) to `final` at the last step.
    """
    warmup = min(warmup_steps, total // 2)
    if done < warmup:
        return peak * (done + 1) / warmup
    progress = min(1.0, (done - warmup) / max(1, total - 1 - warmup))
    return final + (peak - final) * 0.5 * (1.0 + math.cos(math.pi * progress))


def ema_decay(momentum: float, count: int) -> float:
    """Return what an average of `count` weights, the newest included, keeps of itself.

    min(momentum, count / (count + 9)), as TensorFlow's ExponentialMovingAverage with `num_updates`:
    a short average at first, so that it does not stay near the weights drawn at random.
    """
    return min(momentum, count / (count + 9.0))


class ExponentialMovingAverage:
    """Exponential moving average (EMA) of weights, which often predicts better than the last."""

    def __init__(self, momentum: float) -> None:
        """Begin with nothing; `momentum` is Keras's `ema_momentum`."""
        self._momentum = momentum
        #: The averages by name; empty until weights were added.
        self.arrays: dict[str, Floats] = {}

    def add(self, arrays: Mapping[str, Floats], count: int) -> None:
        """Add weights, the `count`-th ones from 1: average += (1 - decay)(weights - average)."""
        share = np.float32(1.0 - ema_decay(self._momentum, count))
        if not self.arrays:
            self.arrays = {name: array.copy() for name, array in arrays.items()}
        for name, array in arrays.items():
            average = self.arrays[name]
            average += (array - average) * share
