"""Trainings of `char_lstm` on streams of a tiny text: figures, refusals, resuming, versions."""

import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from char_lstm_builders import (
    STREAM,
    TEXT,
    WINDOW,
    a_context,
    config_of,
    files_of,
    loaded,
    trained,
    write_version,
)
from seqd.errors import (
    ArtifactDamaged,
    CheckpointDamaged,
    InvalidData,
    InvalidParameters,
    LibraryMissing,
    SeqdError,
    Stopped,
)
from seqd.hookspecs import Artifact, WorkItem
from seqd.inputs.datasets import TextDataset
from seqd.testing import CPU, MemoryCheckpoints, MemoryRunContext, MemoryTrainContext
from seqd_char_lstm import (
    CharLstm,
    GenerateParameters,
    TrainParameters,
)


def tensors_of(context):
    return load_file(context.folder / "weights.safetensors")


# Learning


def test_a_training_learns_what_follows_what(tmp_path, monkeypatch):
    for name in ("keras", "tensorflow", "seqd_char_lstm.network"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it would raise ImportError
    result = trained(a_context(tmp_path), epochs=40, units=24, learning_rate=0.02)

    assert result.metrics["loss"] < 0.3  # by chance alone ln 12 = 2.5
    assert result.metrics["bits_per_char"] == result.metrics["loss"] / math.log(2)
    assert (result.metrics["characters"], result.metrics["alphabet"]) == (920, 12)
    assert result.metrics["epochs"] == 40
    assert "numpy" in result.libraries


def test_it_learns_also_with_all_that_hides_something_from_it(tmp_path):
    hiding = {"dropout": 0.1, "input_dropout": 0.1, "recurrent_dropout": 0.1, "ema_momentum": 0.9}

    metrics = trained(
        a_context(tmp_path), epochs=60, units=24, validation_split=0.1, patience=0, **hiding
    ).metrics

    assert metrics["validation_bits_per_char"] < 0.6  # by chance alone 3.6


def test_each_step_and_each_epoch_is_reported_with_its_figures(tmp_path):
    context = a_context(tmp_path, held_out="The cat sat.")

    result = trained(context)

    # 920 characters are 14 batches of 4 x 16, in each of 3 epochs
    assert [(step.done, step.total) for step in context.steps] == [(n, 42) for n in range(1, 43)]
    of_step = {"loss", "bits_per_char", "learning_rate"}
    assert set(context.steps[0].metrics) == of_step | {"characters_per_s"}
    assert [(report.epoch, report.epochs) for report in context.epochs] == [(1, 3), (2, 3), (3, 3)]
    first, _, last = (report.metrics for report in context.epochs)
    assert set(first) == of_step | {"validation_loss", "validation_bits_per_char"}
    assert first["loss"] == context.steps[13].metrics["loss"]
    assert last["learning_rate"] == pytest.approx(1e-5)
    assert last["loss"] == result.metrics["loss"] < first["loss"]
    assert all(report.seconds > 0 for report in context.epochs)


def test_the_learning_rate_rises_evenly_and_falls_as_a_cosine(tmp_path):
    context = a_context(tmp_path, TEXT[: 4 * 13 * 16 + 1])

    trained(context, epochs=1, learning_rate=0.1, final_learning_rate=0.02, warmup_steps=4)

    rates = [step.metrics["learning_rate"] for step in context.steps]
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4] == 0.1
    assert rates[8] == pytest.approx(0.06)  # half-way down from 0.1 to 0.02
    assert rates[12] == pytest.approx(0.02)
    assert rates[4:] == sorted(rates[4:], reverse=True)


def test_the_states_of_the_streams_are_carried_from_step_to_step(tmp_path):
    losses = []
    for steps in (8, 16, 32):
        context = a_context(tmp_path / str(steps), TEXT[:769])
        trained(
            context, steps=steps, epochs=1, learning_rate=1e-6, final_learning_rate=0.0, dropout=0.0
        )
        losses.append(context.epochs[0].metrics["loss"])

    # While nothing is learnt, each character is predicted from all before it in its stream.
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


@pytest.mark.parametrize("threads", [2, 32])
def test_any_number_of_threads_learns_the_same(tmp_path, threads):
    parameters = {"epochs": 1, "recurrent_dropout": 0.1, "ema_momentum": 0.9, "batch_size": 6}
    alone = a_context(tmp_path / "1")
    together = a_context(tmp_path / "n", device=replace(CPU, threads=threads))

    for context in (alone, together):
        trained(context, **parameters)

    for one, other in zip(alone.steps, together.steps, strict=True):
        assert other.metrics["loss"] == pytest.approx(one.metrics["loss"], rel=1e-5)


def test_samples_go_on_from_a_text_of_the_corpus_at_each_temperature(tmp_path):
    context = a_context(tmp_path)

    trained(context, epochs=2)

    assert [(sample.epoch, sample.temperature) for sample in context.samples] == [
        (1, 0.0),
        (1, 1.0),
        (2, 0.0),
        (2, 1.0),
    ]
    assert all(sample.prompt in TEXT.lower() * 2 for sample in context.samples)
    assert {len(sample.prompt) for sample in context.samples} == {40}
    assert {len(sample.text) for sample in context.samples} == {12}


def test_without_a_better_figure_the_training_stops_and_keeps_the_best_epochs_weights(tmp_path):
    # What is held out is of another kind: the more of the text is known, the worse it is predicted.
    held_out = "tttt eeee nnnn aaaa " * 4
    context = a_context(tmp_path, held_out=held_out)

    result = trained(context, epochs=30, patience=2, learning_rate=0.03)

    figures = [epoch.metrics["validation_loss"] for epoch in context.epochs]
    best = int(np.argmin(figures))
    assert len(figures) == best + 3 < 30
    assert result.metrics["epochs"] == best + 1
    assert result.metrics["validation_loss"] == pytest.approx(figures[best], rel=1e-6)
    served = loaded(context).measure(held_out, MemoryRunContext())["bits_per_char"]
    assert served * math.log(2) == pytest.approx(figures[best], rel=1e-6)


# What is held out, left out, kept


def test_the_end_of_the_text_is_held_out_and_what_only_it_has_is_unknown(tmp_path):
    context = a_context(tmp_path, "abab abab abab " * 20 + "aXb!" + "a" * 96)

    metrics = trained(context, validation_split=0.25, lower_case=False).metrics

    assert metrics["characters"] == 300
    assert config_of(context)["alphabet"] == " ab"
    assert metrics["unknown_share"] == pytest.approx(2 / 100)


def test_held_out_data_leaves_all_of_the_text_and_is_measured_where_it_is_known(tmp_path):
    known = a_context(tmp_path / "known", held_out="The cat sat. ")
    spoilt = a_context(tmp_path / "spoilt", held_out="The c§at s§at. §")

    figures = [trained(context, validation_split=0.5).metrics for context in (known, spoilt)]

    assert figures[1]["characters"] == 920
    assert (figures[0]["unknown_share"], figures[1]["unknown_share"]) == (0.0, 3 / 16)
    assert figures[1]["validation_loss"] == figures[0]["validation_loss"]


def test_rare_characters_are_left_out_of_the_text_and_counted(tmp_path):
    context = a_context(tmp_path, "aab ~ bba §" * 20 + "äö")

    metrics = trained(context, min_count=3).metrics

    assert config_of(context)["alphabet"] == " ab~§"
    assert metrics["characters"] == 220
    assert context.logs == [
        "2 of 222 characters are left out: each of them is rarer than min_count 3."
    ]


@pytest.mark.parametrize(
    ("text", "lead_in"),
    [
        ("a" * 70 + " b. cd ef. ", "a" * 60 + " b. "),  # the first end with enough before it
        ("b. " + "a" * 70 + ". cd ", "a" * 62 + ". "),
        ("no end of a sentence here " * 5, ("no end of a sentence here " * 5)[:64]),
        ("x" * 64 + " it costs 3.50 now! re", "x" * 44 + " it costs 3.50 now! "),
        ("今天下午他们去公园" * 8 + "。好", ("今天下午他们去公园" * 8)[-63:] + "。"),  # no space
    ],
)
def test_the_lead_in_ends_with_the_first_sentence_that_fills_it(tmp_path, text, lead_in):
    context = a_context(tmp_path, text)

    trained(context, batch_size=1, steps=8, epochs=1)

    assert config_of(context)["lead_in"] == lead_in


def test_a_network_alone_is_measured_as_it_is(tmp_path):
    context = a_context(tmp_path)

    metrics = trained(context, validation_split=0.1).metrics

    assert not [name for name in metrics if name.startswith(("network_", "mixing_"))]
    assert metrics["unknown_share"] == 0.0
    assert sorted(files_of(context)) == ["config.json", "weights.safetensors"]


def test_a_version_that_mixes_is_measured_beside_its_parts(tmp_path):
    context = a_context(tmp_path)

    metrics = trained(context, validation_split=0.1, mixing=True).metrics

    both = metrics["validation_bits_per_char"]
    assert metrics["validation_loss"] == pytest.approx(both * math.log(2))
    assert both < metrics["network_validation_bits_per_char"]
    assert metrics["mixing_validation_bits_per_char"] < 0.5  # the text repeats itself
    served = loaded(context).measure(TEXT[int(len(TEXT) * 0.9) :], MemoryRunContext())
    assert served["bits_per_char"] == pytest.approx(both, rel=1e-9)


def test_a_text_too_long_to_mix_is_refused_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("seqd_modelkit.mixing.model.MAX_CHARACTERS", 900)

    with pytest.raises(InvalidData, match="920 characters to learn from; mixing takes 900 at most"):
        trained(a_context(tmp_path), mixing=True)


def test_half_precision_halves_the_file_and_is_measured_as_it_is_stored(tmp_path):
    whole, half = a_context(tmp_path / "whole"), a_context(tmp_path / "half")
    texts = {"units": 64, "validation_split": 0.1, "epochs": 1}

    exact = trained(whole, **texts).metrics
    rounded = trained(half, half_precision=True, **texts).metrics

    sizes = [len(files_of(context)["weights.safetensors"]) for context in (whole, half)]
    assert sizes[1] < 0.55 * sizes[0]
    assert exact["validation_loss"] != rounded["validation_loss"]
    assert rounded["validation_loss"] == pytest.approx(exact["validation_loss"], rel=1e-2)
    learnt = tensors_of(whole)
    for name, array in tensors_of(half).items():
        assert np.array_equal(array, learnt[name].astype(np.float16))


# Stopped, killed, resumed


class KilledError(BaseException):
    """The end of a worker: nothing that a plugin catches, and no time to save."""


class KilledContext(MemoryTrainContext):
    """A training whose worker dies in a step."""

    dies_at = 0

    def step(self, done: int, total: int, **metrics: float) -> None:
        super().step(done, total, **metrics)
        if len(self.steps) == self.dies_at:
            raise KilledError


def killed_and_resumed(folder, dies_at, held_out=None, **parameters):
    """A training that dies in a step, and the one that goes on from its last checkpoint."""
    checkpoints = MemoryCheckpoints(due_every=4)
    data = TextDataset(TEXT, "a test"), held_out and TextDataset(held_out, "of another kind")
    killed = KilledContext(folder / "killed", *data, checkpoints=checkpoints)
    killed.dies_at = dies_at
    with pytest.raises(KilledError):
        trained(killed, **parameters)
    resumed = a_context(folder / "resumed", held_out=held_out, checkpoints=checkpoints)
    return killed, resumed, trained(resumed, **parameters)


@pytest.mark.parametrize("dies_at", [1, 13, 14, 15, 30])
def test_a_training_that_is_killed_ends_like_an_undisturbed_one(tmp_path, dies_at):
    parameters = {"ema_momentum": 0.9, "layers": 2, "validation_split": 0.1, "patience": 2}
    whole = a_context(tmp_path / "whole")
    expected = trained(whole, **parameters)

    killed, resumed, found = killed_and_resumed(tmp_path, dies_at, **parameters)

    assert files_of(resumed) == files_of(whole)
    assert found.metrics == expected.metrics
    told = {one.epoch: one.metrics for one in [*killed.epochs, *resumed.epochs]}
    assert told == {one.epoch: one.metrics for one in whole.epochs}
    assert len(resumed.steps) < len(whole.steps) or dies_at < 4


@pytest.mark.parametrize("dies_at", [20, 44])  # an epoch has 14 steps, and there are three
def test_so_does_one_that_is_killed_before_or_while_it_learns_contexts(tmp_path, dies_at):
    whole = a_context(tmp_path / "whole")
    trained(whole, mixing=True)

    killed_and_resumed(tmp_path, dies_at, mixing=True)

    assert files_of(a_context(tmp_path / "resumed")) == files_of(whole)


def test_the_checkpoint_of_another_network_is_refused(tmp_path):
    checkpoints = MemoryCheckpoints()
    with pytest.raises(Stopped):
        trained(a_context(tmp_path / "1", checkpoints=checkpoints, stop_after=5), units=12)

    with pytest.raises(CheckpointDamaged):
        trained(a_context(tmp_path / "2", checkpoints=checkpoints))


# Refusals


@pytest.mark.parametrize(
    ("text", "held_out", "parameters", "refusal", "message"),
    [
        (
            TEXT,
            "1234",
            {},
            InvalidData,
            "The held-out text has 4 characters, and none that the training text also has. "
            "Hold out a longer part of the same kind.",
        ),
        (
            "a cat " * 100,
            None,
            {"batch_size": 32, "steps": 20},
            InvalidData,
            "The text has 600 characters to learn from; 32 streams of 20 steps need at least 640. "
            "Give a longer text, or a smaller batch_size or fewer steps.",
        ),
        (
            "a cat " * 90_000,
            None,
            {"batch_size": 1_024, "steps": 512, "units": 1_024},
            InvalidParameters,
            "A batch of 1024 streams of 512 steps would take 16 GiB with 1 x 1024 units and 4 "
            "characters; at most 8 are allowed. Use a smaller batch_size or fewer steps.",
        ),
        (
            TEXT,
            None,
            {"patience": 3},
            InvalidParameters,
            "patience is 3, and there is nothing to validate on: give held-out data or a "
            "validation_split, or set patience to 0.",
        ),
        (
            "a",
            None,
            {"validation_split": 0.5},
            InvalidData,
            "The text to learn from is empty. Give a text of some thousand words.",
        ),
        (
            "aaaa",
            None,
            {},
            InvalidData,
            "The text has 1 distinct characters; from 2 to 10,000 can be learnt. Give a text of "
            "words.",
        ),
        (
            "".join(map(chr, range(0x4E00, 0x4E00 + 10_001))),
            None,
            {},
            InvalidData,
            "The text has 10,001 distinct characters; from 2 to 10,000 can be learnt. Give a text "
            "of words, or a higher min_count.",
        ),
    ],
    ids=["held out", "short", "memory", "patience", "empty", "one", "many"],
)
def test_what_cannot_be_learnt_from_is_refused(
    tmp_path, text, held_out, parameters, refusal, message
):
    with pytest.raises(refusal) as raised:
        trained(a_context(tmp_path, text, held_out), **parameters)

    assert str(raised.value) == message


def test_what_the_mode_does_not_read_is_told(tmp_path):
    context = a_context(tmp_path)

    trained(context, window=20, step=1, epochs=1)

    assert context.logs == [
        "Not used in mode stream: window, step. What they are for is mode window."
    ]


ANY_PARAMETERS = st.fixed_dictionaries(
    {
        "lower_case": st.booleans(),
        "min_count": st.sampled_from([1, 1, 5]),
        "units": st.integers(1, 5),
        "layers": st.integers(1, 3),
        "embedding_dim": st.integers(0, 3),
        "batch_size": st.integers(1, 4),
        "steps": st.integers(1, 6),
        "epochs": st.integers(1, 3),
        "learning_rate": st.floats(1e-4, 1.0),
        "warmup_steps": st.sampled_from([0, 1, 100_000]),
        "clipnorm": st.sampled_from([0.0, 1e-9, 1.0, 1_000.0]),
        "weight_decay": st.floats(0.0, 1.0),
        "dropout": st.floats(0.0, 0.9),
        "recurrent_dropout": st.sampled_from([0.0, 0.3, 0.9]),
        "ema_momentum": st.sampled_from([0.0, 0.5, 0.9999]),
        "validation_split": st.sampled_from([0.0, 0.01, 0.5]),
        "patience": st.sampled_from([0, 0, 1]),
        "mixing": st.booleans(),
        "half_precision": st.booleans(),
        "sample_length": st.integers(0, 3),
    }
)


@settings(max_examples=30)
@given(st.text("ab.é字🙂 \nA", min_size=60, max_size=200) | st.text(min_size=1), ANY_PARAMETERS)
def test_any_text_and_any_parameters_make_a_version_or_a_typed_error(
    tmp_path_factory, text, parameters
):
    context = a_context(tmp_path_factory.mktemp("any"), text)

    try:
        result = trained(context, **parameters)
    except SeqdError:
        assert list(context.folder.iterdir()) == []
        return

    assert all(math.isfinite(figure) for figure in result.metrics.values())
    assert loaded(context).memory_bytes > 0


# Parameters


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"mode": "stream", "learning_rate": 0.001, "final_learning_rate": 0.01},
            "final_learning_rate is 0.01, above learning_rate 0.001; the learning rate falls, so "
            "it must not be greater",
        ),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused(values, message):
    with pytest.raises(ValidationError) as raised:
        TrainParameters.model_validate(values)

    assert raised.value.errors()[0]["msg"] == f"Value error, {message}"


# Files of a version

MIXTURE = STREAM | {"mixes": True}


def load(artifact):
    return CharLstm().load(artifact, CPU)


@pytest.mark.parametrize(
    "config", [WINDOW, STREAM | {"layers": 3}, STREAM | {"embedding_dim": 0}, MIXTURE], ids=str
)
def test_a_version_is_read_from_its_files(tmp_path, config):
    artifact = write_version(tmp_path, config)
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"alphabet": " .abcdé日", "lead_in": "日 cab. d"} | {"added_later": 2})
    )

    with pytest.raises(ArtifactDamaged, match=r"config\.json asks for float32 or float16"):
        load(artifact)
    assert load(write_version(tmp_path, config | {"added_later": 2})).memory_bytes > 0


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (WINDOW, {"format": 4}, r"config\.json has format 4, and this seqd reads format 3"),
        (WINDOW, {"alphabet": "ba .cd"}, "the alphabet is not in order, or has a character twice"),
        (WINDOW, {"lead_in": "a cab"}, "lead_in has 5 characters, not 8"),
        (WINDOW, {"lead_in": "a zebra."}, "lead_in has characters that the alphabet lacks"),
        (WINDOW, {"window": None}, "a version that reads windows says of how many characters"),
        (WINDOW, {"layers": 2}, "has one layer, no embedding and no mixture"),
        (MIXTURE, {"window": 8}, "a version that reads a stream has no window"),
    ],
)
def test_a_config_that_does_not_fit_together_is_damaged(tmp_path, config, changes, message):
    artifact = write_version(tmp_path, config)
    (tmp_path / "config.json").write_text(json.dumps(config | changes))

    with pytest.raises(ArtifactDamaged, match=message):
        load(artifact)


def with_changed_tensors(folder, name, changes):
    artifact = write_version(folder, MIXTURE)
    tensors = load_file(folder / name) | changes
    save_file({key: one for key, one in tensors.items() if one is not None}, folder / name)
    return artifact


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"dense": np.zeros((16, 7), np.float32)},
            r"^weights\.safetensors: 'dense' is float32 of shape \(16, 7\); config\.json asks for "
            r"float32 or float16 of shape \(16, 6\)\. Train the model again or restore the file\.$",
        ),
        ({"more": np.zeros(1, np.float32)}, "has the tensors"),
        ({"layer_0.bias": np.full(64, np.nan, np.float32)}, "'layer_0.bias' has values that are"),
        ({"layer_0.bias": np.full(64, -7e4, np.float32)}, "no numbers, or beyond ±65,504"),
    ],
)
def test_tensors_that_cannot_be_used_are_a_damaged_artifact(tmp_path, changes, message):
    with pytest.raises(ArtifactDamaged, match=message):
        load(with_changed_tensors(tmp_path, "weights.safetensors", changes))


def test_a_mixture_that_cannot_be_used_is_a_damaged_artifact(tmp_path):
    artifact = with_changed_tensors(tmp_path, "mixture.safetensors", {"sizes": None})

    with pytest.raises(ArtifactDamaged, match=r"^mixture\.safetensors cannot be used: arrays"):
        load(artifact)


def test_a_version_that_mixes_needs_numba(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)

    with pytest.raises(LibraryMissing, match=r"Install seqd\[serve\], or train with mixing=false"):
        load(write_version(tmp_path, MIXTURE))


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors", "mixture.safetensors"])
def test_a_file_cut_short_or_missing_is_a_damaged_artifact(tmp_path, name):
    artifact = write_version(tmp_path, MIXTURE)
    content = (tmp_path / name).read_bytes()

    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ArtifactDamaged, match=name):
        load(artifact)
    (tmp_path / name).unlink()
    with pytest.raises(ArtifactDamaged, match=f"{name} cannot be"):
        load(artifact)


# The plugin


def test_the_starter_writes_what_it_has_always_written():
    """Files of an earlier release are read as they were; a new starter writes something else."""
    model = CharLstm()
    parameters = GenerateParameters(length=30, temperature=0.0)

    (outcome,) = load(Artifact(model.starter, None)).generate(
        [WorkItem(0, "The truth is")], parameters, MemoryRunContext()
    )

    assert outcome.samples[0].text == " a problem of the same time an"
