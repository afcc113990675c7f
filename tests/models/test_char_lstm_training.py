"""Training `char_lstm` on windows of a tiny text, as the tutorial does: results, events, stops."""

import math

import pytest

from seqd.errors import InvalidData, InvalidParameters, Stopped
from seqd.hookspecs import WorkItem
from seqd.inputs.datasets import TextDataset
from seqd.testing import CPU, MemoryRunContext, MemoryTrainContext, train_to_artifact
from seqd_char_lstm import CharLstm, GenerateParameters, TrainParameters
from seqd_char_lstm.artifact import load

pytestmark = pytest.mark.network

TEXT = "The cat sat on the mat. The rat sat on a cat. " * 8  # 368 characters
SMALL = {
    "window": 10,
    "units": 12,
    "batch_size": 32,
    "epochs": 2,
    "sample_length": 15,
    "sample_temperatures": [0.0, 1.0],
}


def a_context(folder, text=TEXT, held_out=None, **options) -> MemoryTrainContext:
    return MemoryTrainContext(
        folder,
        TextDataset(text, "a test"),
        held_out and TextDataset(held_out, "held out"),
        **options,
    )


def trained(context, **parameters):
    return CharLstm().train(TrainParameters.model_validate(SMALL | parameters), context)


@pytest.mark.smoke
def test_a_training_learns_and_its_version_writes_text(tmp_path):
    model = CharLstm()
    parameters = SMALL | {"epochs": 60, "sample_length": 0}

    artifact = train_to_artifact(model, parameters, TextDataset(TEXT, "a test"), tmp_path)
    (outcome,) = model.load(artifact, CPU).generate(
        [WorkItem(0, "the cat ")], GenerateParameters(length=20, temperature=0), MemoryRunContext()
    )

    metrics = artifact.manifest.metrics
    assert metrics["loss"] < 0.3
    assert metrics["bits_per_char"] == pytest.approx(metrics["loss"] / math.log(2))
    assert (metrics["characters"], metrics["alphabet"]) == (368, 12)
    assert (metrics["windows"], metrics["epochs"]) == (120, 60)  # (368 - 10) / 3, rounded up
    assert {"keras", "numpy"} < set(artifact.manifest.libraries)
    assert outcome.samples[0].text.startswith("sat on")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    contexts = [a_context(tmp_path / name) for name in ("first", "second", "other")]

    for context, seed in zip(contexts, (5, 5, 6), strict=True):
        trained(context, seed=seed)

    first, second, other = (
        (context.folder / "weights.safetensors").read_bytes() for context in contexts
    )
    assert first == second != other
    assert contexts[0].samples == contexts[1].samples


def test_each_step_and_each_epoch_is_reported_and_samples_go_on_from_one_text_of_the_corpus(
    tmp_path,
):
    context = a_context(tmp_path)

    result = trained(context)

    # 120 windows are 4 batches of 32, in each of 2 epochs
    assert [(step.done, step.total) for step in context.steps] == [(n, 8) for n in range(1, 9)]
    assert [(report.epoch, report.epochs) for report in context.epochs] == [(1, 2), (2, 2)]
    assert context.epochs[0].metrics["loss"] == context.steps[3].metrics["loss"]
    assert set(context.steps[0].metrics) == {"loss", "bits_per_char", "characters_per_s"}
    assert context.epochs[1].metrics["loss"] == result.metrics["loss"]
    # a sample at each temperature
    assert [(sample.epoch, sample.temperature) for sample in context.samples] == [
        (1, 0.0),
        (1, 1.0),
        (2, 0.0),
        (2, 1.0),
    ]
    assert all(sample.prompt in TEXT.lower() for sample in context.samples)
    assert {len(sample.prompt) for sample in context.samples} == {10}
    assert {len(sample.text) for sample in context.samples} == {15}
    assert context.samples[0].prompt == context.samples[1].prompt


@pytest.mark.slow
def test_a_version_keeps_the_case_of_its_text_and_a_held_out_text_is_measured_where_it_is_known(
    tmp_path,
):
    context = a_context(tmp_path, held_out="The rat sat on the mat! The cat sat.")

    metrics = trained(context, lower_case=False, steps=8, layers=2).metrics

    assert metrics["unknown_share"] == pytest.approx(1 / 36)
    assert metrics["validation_bits_per_char"] == metrics["network_validation_bits_per_char"]
    assert metrics["validation_bits_per_char"] == pytest.approx(
        metrics["validation_loss"] / math.log(2)
    )
    assert context.epochs[-1].metrics["validation_loss"] == metrics["validation_loss"]
    assert metrics["ngram_validation_bits_per_char"] < 1.0  # the text repeats itself

    config = load(context.folder).config
    assert config.alphabet == "".join(sorted(set(TEXT)))
    assert config.lead_in == " the mat. "  # the first sentence's last ten characters
    assert not config.lower_case

    assert context.logs == [
        "Not used in mode window: layers, steps. What they are for is mode stream."
    ]


@pytest.mark.slow
def test_the_end_of_the_text_can_be_held_out_of_windows_too(tmp_path):
    context = a_context(tmp_path)

    metrics = trained(context, validation_split=0.25).metrics

    assert metrics["characters"] == 276
    assert "validation_loss" in context.epochs[0].metrics


@pytest.mark.parametrize("questions", [0, 3])
def test_a_stop_is_heeded_at_each_step(tmp_path, questions):
    context = a_context(tmp_path, stop_after=questions)

    with pytest.raises(Stopped) as raised:
        trained(context)

    assert len(context.steps) == questions
    assert str(raised.value) == (
        f"The training was stopped after step {questions} of 8; it made no version."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_text_shorter_than_a_window_is_refused_with_both_lengths(tmp_path):
    with pytest.raises(InvalidData) as raised:
        trained(a_context(tmp_path, "too short"), window=40)

    assert str(raised.value) == (
        "The text has 9 characters to learn from; a window of 40 and the character after it need "
        "at least 41. Give a longer text or a smaller window."
    )


def test_a_text_of_one_character_only_is_refused(tmp_path):
    with pytest.raises(InvalidData, match="The text has 1 distinct characters"):
        trained(a_context(tmp_path, "a" * 100))


def test_a_loss_that_is_lost_is_named_with_the_learning_rate(tmp_path, monkeypatch):
    from seqd_char_lstm.network import WindowNetwork

    monkeypatch.setattr(WindowNetwork, "train_step", lambda *_: math.nan)

    with pytest.raises(InvalidParameters) as raised:
        trained(a_context(tmp_path), learning_rate=1.0)

    assert str(raised.value) == (
        "The loss became nan in epoch 1 with learning_rate 1.0. Train with a lower one."
    )
