"""State of a training as arrays by name: of NumPy arrays, and of the variables of Keras.

A checkpoint holds all that the steps to come read: the weights, and every number that the optimizer
keeps. A `TrainingState` hands them out and takes them over. `optimizers.AdamW` is one as it is;
`torch_state` has those of torch.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seqd.hookspecs import Variable, saved_variables
from seqd_modelkit.training import Arrays


class TrainingState(Protocol):
    """What a training changes: weights, or the state of an optimizer."""

    def state(self) -> Arrays:
        """Return the arrays by name, the same names in each process; need not copy them."""

    def restore(self, state: Arrays) -> None:
        """Take over what `state` returned."""


class ArrayState:
    """The state of NumPy arrays, which the steps change in place."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Keep the arrays themselves, not copies."""
        self._arrays = arrays

    def state(self) -> Arrays:
        """Return the arrays."""
        return self._arrays

    def restore(self, state: Arrays) -> None:
        """Copy the numbers into the arrays."""
        for name, array in self._arrays.items():
            array[...] = state[name]


class VariableState:
    """The state of variables, such as `network.weights` or `network.optimizer.variables` of Keras.

    Build the optimizer first, `optimizer.build(network.trainable_variables)`: else its variables
    come with the first step, too late for `restore`.
    """

    def __init__(self, variables: Iterable[Variable]) -> None:
        """Name the variables by their order: Keras numbers names on from network to network."""
        self._variables = {str(number): variable for number, variable in enumerate(variables)}

    def state(self) -> Arrays:
        """Return copies of the variables' numbers."""
        return saved_variables(self._variables)

    def restore(self, state: Arrays) -> None:
        """Assign the numbers to the variables."""
        for name, variable in self._variables.items():
            variable.assign(state[name])
