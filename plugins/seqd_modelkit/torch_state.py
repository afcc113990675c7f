"""State of a training in torch, as arrays by name. It imports torch, so import it where you train.

What a step draws from torch's own generator is not part of it: seed that by the step's number,
`torch.manual_seed(seed + done)`.
"""

import numpy as np
import torch

from seqd.errors import CheckpointDamaged
from seqd_modelkit.training import Arrays


class ModuleState:
    """The state of a module: its `state_dict`."""

    def __init__(self, module: torch.nn.Module) -> None:
        """Keep the module."""
        self._module = module

    def state(self) -> Arrays:
        """Return copies of the parameters and buffers."""
        return {name: _array(tensor) for name, tensor in self._module.state_dict().items()}

    def restore(self, state: Arrays) -> None:
        """Copy the numbers into the module; raise CheckpointDamaged where they are another's."""
        try:
            self._module.load_state_dict({name: _tensor(state[name]) for name in state})
        except RuntimeError as error:
            raise CheckpointDamaged(f"{error} Train anew.") from error


class OptimizerState:
    """The state of an optimizer, such as the moments of `torch.optim.AdamW`.

    Learning rates and other options are not part of it: they follow from the parameters of the
    training, and from the step's number.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the optimizer."""
        self._optimizer = optimizer

    def state(self) -> Arrays:
        """Return copies of each parameter's state; nothing before the first step."""
        parameters = self._optimizer.state_dict()["state"]
        return {
            f"{number}.{name}": _array(tensor)
            for number, values in parameters.items()
            for name, tensor in values.items()
        }

    def restore(self, state: Arrays) -> None:
        """Hand the numbers to the optimizer."""
        parameters = dict[int, dict[str, torch.Tensor]]()
        for key, array in state.items():
            number, _, name = key.partition(".")
            parameters.setdefault(int(number), {})[name] = _tensor(array)
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": parameters, "param_groups": groups})


def _array(tensor: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    array: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = tensor.detach().cpu().numpy().copy()
    return array


def _tensor(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> torch.Tensor:
    return torch.from_numpy(np.array(array))  # a copy, for the arrays of a checkpoint may be fixed
