"""A network's variables as the arrays of a checkpoint, and back.

For plugins whose library keeps numbers in variables of its own, as Keras does. Knows no such
library: a variable is whatever has a shape, gives its numbers and takes others. Beside
`Checkpoints`, which keeps the arrays.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from seqd.errors import CheckpointDamaged

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Variable(Protocol):
    """Numbers that a library holds, such as a `keras.Variable`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, which stays."""

    def numpy(self) -> "npt.NDArray[np.generic]":
        """Give its numbers."""

    def assign(self, value: "npt.NDArray[np.generic]") -> object:
        """Take other numbers, of the same shape."""


def saved_variables(variables: Mapping[str, Variable]) -> "dict[str, npt.NDArray[np.generic]]":
    """Copy the variables' numbers out, for `Checkpoints.save`."""
    import numpy as np  # 0.1 s, which clients that only read these names need not pay

    return {name: np.array(variable.numpy()) for name, variable in variables.items()}


def restore_variables(
    variables: Mapping[str, Variable],
    arrays: "Mapping[str, npt.NDArray[np.generic]]",
    model: str,
) -> None:
    """Give variables the numbers that a checkpoint has for them.

    Raises CheckpointDamaged, and changes nothing, where names or shapes differ.
    """
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    check_arrays(arrays, shapes, model)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def check_arrays(
    arrays: "Mapping[str, npt.NDArray[np.generic]]",
    shapes: Mapping[str, tuple[int, ...]],
    model: str,
) -> None:
    """Raise CheckpointDamaged unless a checkpoint's arrays have these names and shapes.

    `model` is the plugin's model, for the message.
    """
    found = {name: array.shape for name, array in arrays.items()}
    if found != dict(shapes):
        raise CheckpointDamaged(
            f"The checkpoint has arrays of the shapes {found}; this network has {dict(shapes)}. It "
            f"was saved by another version of {model} or of its libraries. Train anew."
        )
