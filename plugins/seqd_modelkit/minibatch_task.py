"""A training on shuffled mini-batches, of which a plugin writes `step` and `validate` alone.

`MiniBatchTask` adds the rest of a `TrainingTask`: an epoch's batches follow from the seed and the
epoch's number, and a checkpoint's arrays come from the states that it is given.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np

from seqd.hookspecs import check_arrays, random_stream
from seqd_modelkit.labelled_texts import Indices
from seqd_modelkit.training import Arrays, TrainingTask, Weights
from seqd_modelkit.training_state import TrainingState

_WEIGHTS: Final = "weights."
_OPTIMIZER: Final = "optimizer."


class MiniBatchTask(TrainingTask[Indices]):
    """What is trained on `examples` examples, which are numbered from 0.

    A subclass has `step`, which gets the numbers of a batch's examples, and `validate` where there
    is held-out data. Whatever else a step draws, such as dropout, follows from `done` or is part of
    a state.
    """

    def __init__(
        self,
        examples: int,
        *,
        batch_size: int,
        seed: int,
        model: str,
        weights: TrainingState,
        optimizer: TrainingState,
    ) -> None:
        """`weights` are what a version has; `optimizer` is all else that steps read and change.

        `seed` is that of the order of the examples; `model` is for error messages. The last batch
        of an epoch has what is left.
        """
        self._examples = examples
        self._batch_size = batch_size
        self._seed = seed
        self._model = model
        self._states = {_WEIGHTS: weights, _OPTIMIZER: optimizer}

    @property
    def batches_per_epoch(self) -> int:
        """Batches of every epoch."""
        return -(-self._examples // self._batch_size)

    def batches(self, epoch: int, first: int) -> Iterator[Indices]:
        """Yield the numbers of each batch's examples, from batch `first` on."""
        order = random_stream(self._seed, epoch, 0).permutation(self._examples)
        for start in range(first * self._batch_size, self._examples, self._batch_size):
            yield order[start : start + self._batch_size]

    def weights(self) -> Weights:
        """Return the weights as float32, which later steps do not change."""
        arrays = self._states[_WEIGHTS].state()
        return {name: np.array(array, np.float32) for name, array in arrays.items()}

    def state(self) -> Arrays:
        """Return the weights, and what the optimizer keeps."""
        return {
            prefix + name: array
            for prefix, part in self._states.items()
            for name, array in part.state().items()
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` returned; raise CheckpointDamaged for another network's."""
        for prefix, part in self._states.items():
            arrays = {
                name.removeprefix(prefix): array
                for name, array in state.items()
                if name.startswith(prefix)
            }
            shapes = {name: array.shape for name, array in part.state().items()}
            # Optimizers of torch have no state before their first step.
            if shapes:
                check_arrays(arrays, shapes, self._model)
            part.restore(arrays)
