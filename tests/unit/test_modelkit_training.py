"""The training loop of the model kit, with a task whose weight is the sum of its batches."""

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged, InvalidParameters, Stopped
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_modelkit.training import Sample, StepMetrics, TrainingLoop, TrainingTask

#: Validation losses of the epochs: the second is the best.
LOSSES = [5.0, 3.0, 4.0, 3.5, 9.0]


class Sum(TrainingTask[float]):
    """Three batches an epoch: its number times 10, and the batch's number."""

    batches_per_epoch = 3

    def __init__(self, validation_losses=()):
        self.total = np.zeros(1, np.float32)
        self.epochs_begun = []
        self.losses = validation_losses

    def batches(self, epoch, first):
        self.epochs_begun.append((epoch, first))
        return iter([float(10 * epoch + number) for number in range(first, 3)])

    def step(self, batch, done, total):
        self.total += batch
        return StepMetrics(2, {"loss": 2 * batch}, {"learning_rate": 1.0 / (done + 1)})

    def validate(self, stop_requested):
        if stop_requested():
            raise Stopped("while it validated")
        epoch = self.epochs_begun[-1][0]
        return {"validation_loss": self.losses[epoch - 1]} if self.losses else {}

    def samples(self, epoch, stop_requested):
        yield Sample(0.5, "prompt", f"text of {epoch}")

    def weights(self):
        return {"total": self.total}

    def state(self):
        return {"total": self.total.copy()}

    def restore(self, state):
        self.total = np.array(state["total"], np.float32)


def a_context(folder, **options) -> MemoryTrainContext:
    return MemoryTrainContext(folder, TextDataset("text", "a test"), **options)


def run(task, context, **options):
    values = {"model": "sum", "epochs": 5, "learning_rate": 0.1} | options
    return TrainingLoop(task, context, **values).run()


def test_an_epoch_reports_the_mean_of_its_steps_the_latest_values_and_the_validation(tmp_path):
    context = a_context(tmp_path)

    result = run(Sum(LOSSES), context, epochs=2)

    assert [report.metrics for report in context.epochs] == [
        {"loss": 11.0, "learning_rate": 1 / 3, "validation_loss": 5.0},
        {"loss": 21.0, "learning_rate": 1 / 6, "validation_loss": 3.0},
    ]
    assert [(step.done, step.total) for step in context.steps] == [(n, 6) for n in range(1, 7)]
    assert context.steps[1].metrics == {"loss": 10.5, "learning_rate": 1 / 2}
    assert [(one.epoch, one.text) for one in context.samples] == [
        (1, "text of 1"),
        (2, "text of 2"),
    ]
    assert (result.epoch, result.metrics) == (2, context.epochs[1].metrics)
    assert result.weights["total"].tolist() == [33.0 + 63.0]


def test_a_stop_names_the_step_and_saves_a_checkpoint(tmp_path):
    context = a_context(tmp_path, stop_after=3)

    with pytest.raises(Stopped) as raised:
        run(Sum(), context)

    # asked before each of the epoch's 3 steps, and after them
    assert str(raised.value) == "The training was stopped after step 3 of 15; it made no version."
    assert context.checkpoints.load().progress["batches"] == 3


def test_a_loss_that_is_not_finite_names_the_learning_rate(tmp_path):
    class Lost(Sum):
        def step(self, batch, done, total):
            return StepMetrics(1, {"loss": float("inf")})

    with pytest.raises(InvalidParameters) as raised:
        run(Lost(), a_context(tmp_path))

    assert str(raised.value) == (
        "The loss became inf in epoch 1 with learning_rate 0.1. Train with a lower one."
    )


def test_the_progress_of_another_plugin_is_a_damaged_checkpoint(tmp_path):
    checkpoints = MemoryCheckpoints()
    checkpoints.save({"total": np.zeros(1, np.float32)}, {"epoch": 1, "place": 3})

    with pytest.raises(CheckpointDamaged, match="The checkpoint's progress is not sum's: "):
        run(Sum(), a_context(tmp_path, checkpoints=checkpoints))
