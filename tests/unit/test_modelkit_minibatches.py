"""The mini-batch task of the model kit: batches by seed, states that go on, and other networks'."""

import numpy as np
import pytest

from seqd.errors import Stopped
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_modelkit.minibatch_task import MiniBatchTask
from seqd_modelkit.optimizers import AdamW
from seqd_modelkit.training import StepMetrics, TrainingLoop
from seqd_modelkit.training_state import ArrayState

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


def test_a_training_that_was_stopped_in_an_epoch_ends_with_the_same_bytes(tmp_path):
    undisturbed, saved = trained(tmp_path / "undisturbed"), MemoryCheckpoints()

    with pytest.raises(Stopped):
        trained(tmp_path / "stopped", saved, stop_after=11)
    resumed = trained(tmp_path / "resumed", saved)

    assert resumed.weights["mean"].tobytes() == undisturbed.weights["mean"].tobytes()
    assert resumed.metrics == undisturbed.metrics
