"""The states of torch in the model kit: a training goes on from them to the same bits."""

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged

torch = pytest.importorskip("torch", reason="torch is not installed: pip install torch")


def a_network(units=4):
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Linear(3, units), torch.nn.BatchNorm1d(units), torch.nn.Linear(units, 1)
    )


def steps(network, optimizer, numbers):
    for number in numbers:
        torch.manual_seed(number)
        optimizer.zero_grad()
        network(torch.randn(8, 3)).square().mean().backward()
        optimizer.step()


def bits(state):
    return {name: np.asarray(array).tobytes() for name, array in state.items()}


@pytest.mark.parametrize("optimizer", ["AdamW", "SGD"])
def test_a_module_and_its_optimizer_go_on_from_their_state_to_the_same_bits(optimizer):
    from seqd_modelkit.torch_state import ModuleState, OptimizerState

    def made():
        network = a_network()
        options = {"momentum": 0.9} if optimizer == "SGD" else {}
        return network, getattr(torch.optim, optimizer)(network.parameters(), lr=0.1, **options)

    undisturbed, stopped, resumed = made(), made(), made()
    steps(*undisturbed, range(6))
    steps(*stopped, range(3))
    ModuleState(resumed[0]).restore(ModuleState(stopped[0]).state())
    OptimizerState(resumed[1]).restore(OptimizerState(stopped[1]).state())
    steps(*resumed, range(3, 6))

    assert bits(ModuleState(resumed[0]).state()) == bits(ModuleState(undisturbed[0]).state())
    assert bits(OptimizerState(resumed[1]).state()) == bits(OptimizerState(undisturbed[1]).state())


def test_the_state_of_another_module_is_refused():
    from seqd_modelkit.torch_state import ModuleState

    with pytest.raises(CheckpointDamaged, match=r"size mismatch for 0\.weight[\s\S]*Train anew\."):
        ModuleState(a_network(4)).restore(ModuleState(a_network(5)).state())
