"""Training `char_lstm` on streams of a tiny text: figures, events, samples, versions."""

import math
import sys

import numpy as np
import pytest

from seqd.testing import MemoryRunContext
from seqd_char_lstm.artifact import load, named
from seqd_char_lstm.generation import Generator
from seqd_char_lstm.learner import CompiledLearner
from stream_training_builders import TEXT, a_context, files_of, trained


def bits_of(context, text) -> float:
    """What the version that was written says of a text."""
    return Generator(load(context.folder)).measure(text, MemoryRunContext())["bits_per_char"]


def test_a_training_learns_what_follows_what(tmp_path):
    result = trained(a_context(tmp_path), epochs=40, units=24, learning_rate=0.02)

    assert result.metrics["loss"] < 0.3  # by chance alone ln 12 = 2.5
    assert result.metrics["bits_per_char"] == result.metrics["loss"] / math.log(2)
    assert (result.metrics["characters"], result.metrics["alphabet"]) == (920, 12)
    assert result.metrics["epochs"] == 40
    assert "numpy" in result.libraries


def test_a_training_on_a_cpu_needs_no_keras(tmp_path, monkeypatch):
    for name in ("keras", "tensorflow", "seqd_char_lstm.network"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it would raise ImportError

    trained(a_context(tmp_path), epochs=1)

    assert (tmp_path / "weights.safetensors").is_file()


def test_each_step_and_each_epoch_is_reported_with_its_figures(tmp_path):
    context = a_context(tmp_path, held_out="The cat sat.")

    result = trained(context)

    # 920 characters are 14 batches of 4 x 16, in each of 3 epochs
    assert [(step.done, step.total) for step in context.steps] == [(n, 42) for n in range(1, 43)]
    assert set(context.steps[0].metrics) == {
        "loss",
        "bits_per_char",
        "learning_rate",
        "characters_per_s",
    }
    assert [(report.epoch, report.epochs) for report in context.epochs] == [(1, 3), (2, 3), (3, 3)]
    first, _, last = (report.metrics for report in context.epochs)
    assert set(first) == {
        "loss",
        "bits_per_char",
        "learning_rate",
        "validation_loss",
        "validation_bits_per_char",
    }
    assert first["loss"] == context.steps[13].metrics["loss"]
    assert last["learning_rate"] == pytest.approx(1e-5)
    assert last["loss"] == result.metrics["loss"] < first["loss"]
    assert all(report.seconds > 0 for report in context.epochs)


def test_each_epoch_begins_anew_at_a_place_of_its_own(tmp_path, monkeypatch):
    told = []
    step, begin = CompiledLearner.step, CompiledLearner.begin_epoch

    def watched_step(learner, inputs, targets, rate):
        told.append(inputs[0].tobytes())
        return step(learner, inputs, targets, rate)

    def watched_begin(learner):
        told.append("begins")
        begin(learner)

    monkeypatch.setattr(CompiledLearner, "step", watched_step)
    monkeypatch.setattr(CompiledLearner, "begin_epoch", watched_begin)

    trained(a_context(tmp_path), epochs=3)

    assert [place for place, what in enumerate(told) if what == "begins"] == [0, 15, 30]
    assert len({told[1], told[16], told[31]}) == 3


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
    context = a_context(tmp_path, held_out="tttt eeee nnnn aaaa " * 4)

    result = trained(context, epochs=30, patience=2, learning_rate=0.03, ngram_order=0)

    figures = [epoch.metrics["validation_loss"] for epoch in context.epochs]
    best = int(np.argmin(figures))
    assert len(figures) == best + 3 < 30
    assert result.metrics["epochs"] == best + 1
    assert result.metrics["validation_loss"] == pytest.approx(figures[best], rel=1e-6)


def test_a_version_is_compared_with_n_grams_of_the_same_text(tmp_path):
    context = a_context(tmp_path)

    result = trained(context, validation_split=0.1)

    metrics = result.metrics
    assert metrics["validation_bits_per_char"] == metrics["network_validation_bits_per_char"]
    assert metrics["ngram_validation_bits_per_char"] < 0.5  # the text repeats itself
    assert "mixture_validation_bits_per_char" not in metrics
    assert metrics["unknown_share"] == 0.0
    assert sorted(files_of(context)) == ["config.json", "weights.safetensors"]


def test_a_mixture_is_what_the_version_serves_and_is_measured_by(tmp_path):
    context = a_context(tmp_path)

    result = trained(context, validation_split=0.1, ngram_share=0.5, ngram_order=3)

    metrics = result.metrics
    mixture = metrics["mixture_validation_bits_per_char"]
    assert metrics["validation_bits_per_char"] == mixture
    assert metrics["validation_loss"] == pytest.approx(mixture * math.log(2))
    assert mixture < metrics["network_validation_bits_per_char"]
    # At worst each character has half the probability that the n-grams give it.
    assert mixture < metrics["ngram_validation_bits_per_char"] + 1.0
    held_out = TEXT[int(len(TEXT) * 0.9) :]
    assert bits_of(context, held_out) == pytest.approx(mixture, rel=1e-9)


def test_half_precision_halves_the_file_and_is_measured_as_it_is_stored(tmp_path):
    whole, half = a_context(tmp_path / "whole"), a_context(tmp_path / "half")
    texts = {"units": 64, "validation_split": 0.1, "epochs": 1, "ngram_order": 0}

    exact = trained(whole, **texts).metrics
    rounded = trained(half, half_precision=True, **texts).metrics

    sizes = [len(files_of(context)["weights.safetensors"]) for context in (whole, half)]
    assert sizes[1] < 0.55 * sizes[0]
    assert exact["validation_loss"] != rounded["validation_loss"]
    assert rounded["validation_loss"] == pytest.approx(exact["validation_loss"], rel=1e-2)
    stored, learnt = (named(load(context.folder).weights) for context in (half, whole))
    for name, array in stored.items():
        assert np.array_equal(array, learnt[name].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize(
    ("text", "alphabet"),
    [
        ("我们学习写字。我们学习读书。" * 8, "。习书们写字学我读"),
        ("Мама мыла раму. " * 8, " .алмруы"),
        ("🙂🙃🙂🙂 👩‍🚀. " * 12, " .\u200d👩🙂🙃🚀"),
    ],
)
def test_text_of_any_script_is_learnt(tmp_path, text, alphabet):
    context = a_context(tmp_path, text)

    trained(context, batch_size=2, steps=8, epochs=1)

    version = load(context.folder)
    assert version.config.alphabet == "".join(sorted(alphabet))
    assert version.config.lead_in in text.lower()
    assert all(set(sample.text) <= set(alphabet) for sample in context.samples)


def test_a_version_keeps_the_case_of_its_text_and_the_end_of_a_sentence(tmp_path):
    context = a_context(tmp_path)

    trained(context, lower_case=False, epochs=1)

    config = load(context.folder).config
    assert (config.reads, config.window, config.layers, config.units) == ("stream", None, 1, 8)
    assert config.alphabet == "".join(sorted(set(TEXT)))
    assert config.lead_in.endswith(" The cat sat on the mat. ")
    assert len(config.lead_in) == 64
    assert not config.lower_case


def test_unknown_characters_of_the_held_out_text_are_counted_and_not_measured(tmp_path):
    known = a_context(tmp_path / "known", held_out="The cat sat. ")
    spoilt = a_context(tmp_path / "spoilt", held_out="The c§at s§at. §")

    figures = [trained(context).metrics for context in (known, spoilt)]

    assert figures[1]["unknown_share"] == 3 / 16
    assert figures[1]["validation_loss"] == figures[0]["validation_loss"]
