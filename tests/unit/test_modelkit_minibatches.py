"""The mini-batch task of the model kit: batches by seed, states that go on, and other networks'."""

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged, Stopped
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_modelkit.minibatch_task import MiniBatchTask
from seqd_modelkit.optimizers import AdamW
from seqd_modelkit.training import StepMetrics, TrainingLoop
from seqd_modelkit.training_state import ArrayState, VariableState

POINTS = np.random.default_rng(5).normal(size=(50, 3)).astype(np.float32)


class Mean(MiniBatchTask):
    """Learns the mean of the points by AdamW."""

    def __init__(self, size=3):
        self.arrays = {"mean": np.zeros(size, np.float32)}
        self.optimizer = AdamW(self.arrays)
        super().__init__(
            50, batch_size=8, seed=4, model="mean", weights=ArrayState(self.arrays),
            optimizer=self.optimizer,
        )  # fmt: skip

    def step(self, batch, done, total):
        away = self.arrays["mean"] - POINTS[batch]
        self.optimizer.step({"mean": away.mean(axis=0)}, learning_rate=0.05)
        return StepMetrics(len(batch), {"loss": float((away**2).sum())})


class Held:
    """A variable as Keras has them."""

    def __init__(self, numbers):
        self.numbers = np.array(numbers, np.float32)

    @property
    def shape(self):
        return self.numbers.shape

    def numpy(self):
        return self.numbers

    def assign(self, value):
        self.numbers = np.array(value)


def trained(folder, checkpoints=None, stop_after=None):
    context = MemoryTrainContext(
        folder, TextDataset("text", "a test"), checkpoints=checkpoints, stop_after=stop_after
    )
    return TrainingLoop(Mean(), context, model="mean", epochs=3).run()


def test_an_epoch_has_each_example_once_in_an_order_of_its_own():
    task = Mean()

    first, second = (list(task.batches(epoch, 0)) for epoch in (1, 2))

    assert [len(batch) for batch in first] == [8, 8, 8, 8, 8, 8, 2]
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == list(range(50))
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))


def test_an_epoch_that_is_resumed_has_the_batches_that_are_left():
    whole, rest = (list(Mean().batches(2, first)) for first in (0, 5))

    assert [batch.tolist() for batch in rest] == [batch.tolist() for batch in whole[5:]]


def test_a_training_that_was_stopped_in_an_epoch_ends_with_the_same_bytes(tmp_path):
    undisturbed, saved = trained(tmp_path / "undisturbed"), MemoryCheckpoints()

    with pytest.raises(Stopped):
        trained(tmp_path / "stopped", saved, stop_after=11)
    resumed = trained(tmp_path / "resumed", saved)

    assert resumed.weights["mean"].tobytes() == undisturbed.weights["mean"].tobytes()
    assert resumed.metrics == undisturbed.metrics


def test_weights_that_were_handed_out_stay_as_they_are():
    task = Mean()
    before = task.weights()["mean"]

    task.step(np.arange(8), 0, 21)

    assert before.tolist() == [0, 0, 0]


def test_the_state_of_another_network_is_refused():
    with pytest.raises(CheckpointDamaged, match=r"this network has \{'mean': "):
        Mean(3).restore(Mean(4).state())


def test_variables_are_named_by_their_order_and_take_their_numbers_again():
    state = VariableState([Held([1, 2]), Held(3)])
    saved, others = state.state(), [Held([0, 0]), Held(0)]

    VariableState(others).restore(saved)

    assert list(saved) == ["0", "1"]
    assert [one.numbers.tolist() for one in others] == [[1, 2], 3]
