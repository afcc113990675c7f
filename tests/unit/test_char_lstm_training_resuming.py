"""A training of `char_lstm` on streams that is stopped or killed ends like an undisturbed one."""

import pytest

from seqd.errors import Stopped
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from stream_training_builders import TEXT, a_context, files_of, trained


class KilledError(BaseException):
    """The end of a worker: nothing that a plugin catches, and no time to save."""


class KilledContext(MemoryTrainContext):
    """A training whose worker dies in a step."""

    dies_at = 0

    def step(self, done: int, total: int, **metrics: float) -> None:
        super().step(done, total, **metrics)
        if len(self.steps) == self.dies_at:
            raise KilledError


def test_the_same_seed_gives_the_same_files_and_another_seed_does_not(tmp_path):
    contexts = [a_context(tmp_path / name) for name in ("first", "second", "other")]

    for context, seed in zip(contexts, (5, 5, 6), strict=True):
        trained(context, seed=seed, dropout=0.3)

    first, second, other = (files_of(context) for context in contexts)
    assert first == second
    assert first["weights.safetensors"] != other["weights.safetensors"]
    assert contexts[0].samples == contexts[1].samples


@pytest.mark.parametrize("dies_at", [1, 13, 14, 15, 30, 42])
def test_a_training_that_is_killed_ends_like_an_undisturbed_one(tmp_path, dies_at):
    parameters = {"ema_momentum": 0.9, "layers": 2, "validation_split": 0.1, "patience": 2}
    whole = a_context(tmp_path / "whole")
    expected = trained(whole, **parameters)

    checkpoints = MemoryCheckpoints(due_every=4)
    killed = KilledContext(
        tmp_path / "killed", TextDataset(TEXT, "a test"), checkpoints=checkpoints
    )
    killed.dies_at = min(dies_at, len(whole.steps))
    with pytest.raises(KilledError):
        trained(killed, **parameters)
    resumed = a_context(tmp_path / "resumed", checkpoints=checkpoints)
    found = trained(resumed, **parameters)

    assert files_of(resumed) == files_of(whole)
    assert found.metrics == expected.metrics
    told = {one.epoch: one.metrics for one in [*killed.epochs, *resumed.epochs]}
    assert told == {one.epoch: one.metrics for one in whole.epochs}
    assert len(resumed.steps) < len(whole.steps) or dies_at < 4


def test_the_best_epochs_weights_outlive_a_kill(tmp_path):
    parameters = {"epochs": 30, "patience": 2, "learning_rate": 0.03}
    other = TextDataset("tttt eeee nnnn aaaa " * 4, "of another kind")
    whole = MemoryTrainContext(tmp_path / "whole", TextDataset(TEXT, "a test"), other)
    expected = trained(whole, **parameters)
    best = int(expected.metrics["epochs"])

    checkpoints = MemoryCheckpoints(due_every=4)
    killed = KilledContext(
        tmp_path / "killed", TextDataset(TEXT, "a test"), other, checkpoints=checkpoints
    )
    killed.dies_at = 14 * (best + 1) + 3  # in the last epoch, two behind the best one
    with pytest.raises(KilledError):
        trained(killed, **parameters)
    resumed = MemoryTrainContext(
        tmp_path / "resumed", TextDataset(TEXT, "a test"), other, checkpoints=checkpoints
    )
    found = trained(resumed, **parameters)

    assert found.metrics == expected.metrics
    assert files_of(resumed) == files_of(whole)
    assert len(resumed.epochs) == 1


def test_a_training_that_is_stopped_at_any_question_ends_like_an_undisturbed_one(tmp_path):
    parameters = {"epochs": 1, "validation_split": 0.1, "dropout": 0.2}
    whole = a_context(tmp_path / "whole")
    trained(whole, **parameters)

    # How often it asks while it measures and writes hangs on the machine's speed.
    for questions in range(0, 1_000, 3):
        checkpoints = MemoryCheckpoints()
        stopped = a_context(
            tmp_path / f"stopped-{questions}", checkpoints=checkpoints, stop_after=questions
        )
        try:
            trained(stopped, **parameters)
        except Stopped:
            resumed = a_context(tmp_path / f"resumed-{questions}", checkpoints=checkpoints)
            trained(resumed, **parameters)
            assert files_of(resumed) == files_of(whole), questions
        else:
            break

    assert questions > len(whole.steps)


@pytest.mark.parametrize("questions", [0, 3])
def test_a_stop_is_heeded_at_each_step(tmp_path, questions):
    context = a_context(tmp_path, stop_after=questions)

    with pytest.raises(Stopped) as raised:
        trained(context)

    assert len(context.steps) == questions
    assert str(raised.value) == (
        f"The training was stopped after step {questions} of 42; it made no version."
    )
    assert list(tmp_path.iterdir()) == []
