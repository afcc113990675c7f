"""Learns on a CPU: each batch in as many parts as there are threads, then one step of Adam.

Called by `training` and `learning`, through `learner`. What a part says about the weights is
`packed_network`'s arithmetic.
"""

import math
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from seqd.hookspecs import check_arrays
from seqd_imdb_lstm.adam import Adam
from seqd_imdb_lstm.artifact import Floats, VersionConfig, Weights
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.learner import State
from seqd_imdb_lstm.packed_lstm import Workspace
from seqd_imdb_lstm.packed_network import Gradients, Lstm, PackedNetwork, fastest_lstm
from seqd_imdb_lstm.parameters import TrainParameters


class PackedLearner:
    """See `learner.Learner`."""

    def __init__(
        self,
        config: VersionConfig,
        parameters: TrainParameters,
        first: Weights,
        threads: int = 1,
        lstm: Callable[[Floats, Floats, Floats, Workspace], Lstm] | None = None,
    ) -> None:
        """Begin with the weights `first`.

        With another number of `threads` sums are added up in another order: weights differ in
        their last bits.
        """
        self._seed = parameters.seed
        self._clip_norm = parameters.clipnorm
        self._weights = {name: array.copy() for name, array in first.arrays().items()}
        self._adam = Adam(self._weights)
        make = lstm or fastest_lstm()
        self._networks = [PackedNetwork(config, parameters, make) for _ in range(threads)]
        self._threads = ThreadPoolExecutor(threads, "imdb_lstm-learns") if threads > 1 else None

    def step(self, batch: Batch, learning_rate: float) -> tuple[float, float]:
        """See `Learner.step`."""
        found = self.gradients(batch)
        with np.errstate(over="ignore", invalid="ignore"):  # see _part
            if self._clip_norm:
                _clip(found.arrays, self._clip_norm)
            self._adam.step(found.arrays, learning_rate)
        return found.loss / len(batch), found.right / len(batch)

    def gradients(self, batch: Batch) -> Gradients:
        """Give what a batch says about the weights."""
        parts = min(len(self._networks), len(batch))
        numbers = range(parts)
        if self._threads is None or parts == 1:
            found = [self._part(batch, number, parts) for number in numbers]
        else:
            found = list(self._threads.map(lambda one: self._part(batch, one, parts), numbers))
        first, *others = found
        for other in others:
            for name, array in other.arrays.items():
                first.arrays[name] += array
        loss, right = (sum(getattr(one, name) for one in found) for name in ("loss", "right"))
        return Gradients(loss, right, first.arrays)

    def _part(self, batch: Batch, number: int, parts: int) -> Gradients:
        # Dealt out by length, so that the parts are alike.
        lengths = np.array([len(ids) for ids in batch.reviews])
        rows = np.argsort(-lengths, kind="stable")[number::parts]
        part = Batch(
            [batch.reviews[row] for row in rows], batch.targets[rows], batch.sample_weight[rows]
        )
        # By the step's number, so that a training that goes on draws the same.
        random = np.random.default_rng((self._seed, self._adam.steps, number, parts))
        # Numbers too large to count show in the loss, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            network = self._networks[number]
            return network.gradients(self._weights, part, len(batch), random)

    def weights(self) -> Weights:
        """See `Learner.weights`."""
        return Weights(**{name: array.copy() for name, array in self._weights.items()})

    def state(self) -> State:
        """See `Learner.state`."""
        state = {**self._weight_state(), **self._adam.state()}
        return {name: array.copy() for name, array in state.items()}

    def restore(self, state: State) -> None:
        """See `Learner.restore`."""
        weights = self._weight_state()
        needed = {**weights, **self._adam.state()}
        check_arrays(state, {name: array.shape for name, array in needed.items()}, "imdb_lstm")
        for name, array in weights.items():
            array[:] = state[name]
        self._adam.restore(state)

    def library_versions(self) -> dict[str, str]:
        """See `Learner.library_versions`."""
        versions = {"numpy": np.__version__}
        if "numba" in sys.modules:  # it compiles the steps where it can be imported
            versions["numba"] = str(sys.modules["numba"].__version__)
        return versions

    def _weight_state(self) -> dict[str, Floats]:
        return {f"weight.{name}": array for name, array in self._weights.items()}


def _clip(gradients: dict[str, Floats], longest: float) -> None:
    """Shorten gradients, all together, to a length, as Keras's `global_clipnorm` does."""
    squares = [float(np.vdot(array, array)) for array in gradients.values()]
    length = math.sqrt(sum(squares))
    if length > longest:
        for array in gradients.values():
            array *= np.float32(longest / length)
