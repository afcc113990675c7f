"""`char_lstm` and Keras: compiled kernels beside it, and trainings on windows, which it does."""

import math
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from char_lstm_builders import (
    STREAM,
    WINDOW,
    a_context,
    a_generator,
    config_of,
    files_of,
    loaded,
    some_weights,
)
from seqd.errors import CheckpointDamaged, InvalidData, InvalidParameters, Stopped
from seqd.hookspecs import Device, WorkItem
from seqd.testing import MemoryCheckpoints, MemoryRunContext
from seqd_char_lstm import CharLstm, GenerateParameters, TrainParameters

pytestmark = [pytest.mark.network, pytest.mark.slow]

TEXT = "The cat sat on the mat. The rat sat on a cat. " * 8  # 368 characters
#: On its slot Keras learns and serves; no GPU is needed for it.
GPU = Device(slot="gpu:0", kind="gpu")
STREAMS = {
    "mode": "stream",
    "units": 8,
    "embedding_dim": 5,
    "batch_size": 6,
    "steps": 9,
    "dropout": 0.0,
    "epochs": 2,
    "warmup_steps": 3,
    "sample_length": 0,
}
WINDOWS = {
    "window": 10,
    "units": 12,
    "batch_size": 32,
    "epochs": 2,
    "sample_length": 15,
    "sample_temperatures": [0.0, 1.0],
}


def trained(context, given, **parameters):
    return CharLstm().train(TrainParameters.model_validate(given | parameters), context)


def tensors_of(context):
    return load_file(context.folder / "weights.safetensors")


@pytest.mark.parametrize(
    "parameters",
    [
        {"layers": 1, "clipnorm": 0.05, "weight_decay": 0.1},
        {"layers": 1, "embedding_dim": 0, "clipnorm": 0.0, "weight_decay": 0.0},
        {"layers": 2, "clipnorm": 0.0, "weight_decay": 1.0},
        {"layers": 2, "embedding_dim": 0, "clipnorm": 0.05, "ema_momentum": 0.6},
    ],
    ids=str,
)
def test_the_compiled_learner_and_keras_learn_the_same_from_the_same_text(tmp_path, parameters):
    compiled = a_context(tmp_path / "compiled", TEXT)
    keras = a_context(tmp_path / "keras", TEXT, device=GPU)

    found = [trained(context, STREAMS, **parameters) for context in (compiled, keras)]

    assert ["keras" in result.libraries for result in found] == [False, True]
    losses = [[step.metrics["loss"] for step in one.steps] for one in (compiled, keras)]
    # Two epochs of six steps, each of which goes on from the states that the one before left.
    assert len(losses[0]) == 12
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    kerass = tensors_of(keras)
    for name, array in tensors_of(compiled).items():
        # Adam divides a gradient by its own size, so that a rounded one shows in its weight.
        np.testing.assert_allclose(array, kerass[name], atol=1e-4, err_msg=name)


def test_what_is_hidden_from_keras_is_so_and_a_stopped_training_goes_on(tmp_path):
    hiding = {"dropout": 0.2, "input_dropout": 0.2, "recurrent_dropout": 0.1, "ema_momentum": 0.9}
    parameters = STREAMS | hiding | {"validation_split": 0.1, "sample_length": 5}
    saved = MemoryCheckpoints()
    whole = a_context(tmp_path / "whole", TEXT, device=GPU)
    plain = a_context(tmp_path / "plain", TEXT, device=GPU)
    stopped = a_context(tmp_path / "1", TEXT, device=GPU, checkpoints=saved, stop_after=7)
    other = a_context(tmp_path / "2", TEXT, device=GPU, checkpoints=saved)
    resumed = a_context(tmp_path / "3", TEXT, device=GPU, checkpoints=saved)

    expected = trained(whole, parameters)
    trained(plain, STREAMS, validation_split=0.1)
    with pytest.raises(Stopped):
        trained(stopped, parameters)
    with pytest.raises(CheckpointDamaged, match="saved by another version of char_lstm"):
        trained(other, parameters, units=9)
    found = trained(resumed, parameters)

    assert whole.logs == [
        "Not used on a GPU: recurrent_dropout. cuDNN has no LSTM that leaves recurrent weights "
        "out; more dropout does something alike."
    ]
    assert abs(whole.steps[0].metrics["loss"] - plain.steps[0].metrics["loss"]) > 1e-4
    assert found.metrics == expected.metrics
    assert files_of(resumed) == files_of(whole)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(WINDOW, id="window", marks=pytest.mark.smoke),
        pytest.param(STREAM, id="stream", marks=pytest.mark.smoke),
        pytest.param(
            STREAM | {"layers": 1, "embedding_dim": 0, "units": 48},
            id="one-hot",
            marks=pytest.mark.long,
        ),
    ],
)
def test_without_numba_keras_predicts_and_writes_the_same(config, monkeypatch):
    weights, text = some_weights(config), "bad cab. add a dab. " * 5
    items = [WorkItem(index, prompt) for index, prompt in enumerate(("", "bad", "a cab. d" * 3))]
    parameters = GenerateParameters(
        length=40, temperature=[0.0, 0.7, 1.2], top_p=0.9, repetition_penalty=1.2
    )

    ends = (1, 9, len(text))

    def told_by(model):
        written = model.generate(items, parameters, MemoryRunContext())
        return written, [model.measure(text[:end], MemoryRunContext()) for end in ends]

    by_compiled, figures = told_by(a_generator(config, weights))
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError
    by_keras, of_keras = told_by(a_generator(config, weights))

    for one, other in zip(by_compiled, by_keras, strict=True):
        assert [sample.text for sample in one.samples] == [sample.text for sample in other.samples]
        assert [sample.mean_log_prob for sample in one.samples] == pytest.approx(
            [sample.mean_log_prob for sample in other.samples], abs=1e-5
        )
    for one, other in zip(figures, of_keras, strict=True):
        assert one == pytest.approx(other, abs=1e-5)


def test_without_numba_keras_learns(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)

    result = trained(a_context(tmp_path, TEXT), STREAMS, epochs=1)

    assert "keras" in result.libraries


# Windows, as the tutorial learns from them


@pytest.mark.smoke
def test_a_training_on_windows_learns_and_its_version_writes_text(tmp_path):
    context = a_context(tmp_path, TEXT)

    result = trained(context, WINDOWS, epochs=60, sample_length=0)
    (outcome,) = loaded(context).generate(
        [WorkItem(0, "the cat ")], GenerateParameters(length=20, temperature=0), MemoryRunContext()
    )

    metrics = result.metrics
    assert metrics["loss"] < 0.3
    assert metrics["bits_per_char"] == pytest.approx(metrics["loss"] / math.log(2))
    assert (metrics["characters"], metrics["alphabet"]) == (368, 12)
    assert (metrics["windows"], metrics["epochs"]) == (120, 60)  # (368 - 10) / 3, rounded up
    assert {"keras", "numpy"} < set(result.libraries)
    assert outcome.samples[0].text.startswith("sat on")


def test_windows_have_seeds_held_out_texts_and_cases_as_streams_have(tmp_path):
    held_out = "The rat sat on the mat! The cat sat."
    contexts = [a_context(tmp_path / name, TEXT, held_out) for name in ("a", "b", "c")]

    first, *_ = (
        trained(context, WINDOWS, lower_case=False, steps=8, layers=2, seed=seed)
        for context, seed in zip(contexts, (5, 5, 6), strict=True)
    )
    split = trained(a_context(tmp_path / "d", TEXT), WINDOWS, validation_split=0.25)

    same, again, other = (files_of(context)["weights.safetensors"] for context in contexts)
    assert same == again != other
    assert contexts[0].samples == contexts[1].samples
    metrics = first.metrics
    assert metrics["unknown_share"] == pytest.approx(1 / 36)
    assert contexts[0].epochs[-1].metrics["validation_loss"] == metrics["validation_loss"]
    config = config_of(contexts[0])
    assert config["alphabet"] == "".join(sorted(set(TEXT)))
    assert config["lead_in"] == " the mat. "  # the first sentence's last ten characters
    assert not config["lower_case"]
    assert contexts[0].logs == [
        "Not used in mode window: layers, steps. What they are for is mode stream."
    ]
    assert split.metrics["characters"] == 276
    assert split.metrics["validation_loss"] > 0


def test_texts_that_windows_cannot_be_learnt_from_and_a_lost_loss_are_refused(
    tmp_path, monkeypatch
):
    with pytest.raises(InvalidData) as raised:
        trained(a_context(tmp_path, "too short"), WINDOWS, window=40)
    assert str(raised.value) == (
        "The text has 9 characters to learn from; a window of 40 and the character after it need "
        "at least 41. Give a longer text or a smaller window."
    )

    monkeypatch.setattr("seqd_char_lstm.network.WindowNetwork.train_step", lambda *_: math.nan)
    with pytest.raises(InvalidParameters, match=r"^The loss became nan in epoch 1 with learning_r"):
        trained(a_context(tmp_path, TEXT), WINDOWS)
