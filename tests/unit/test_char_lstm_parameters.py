"""Training parameters of `char_lstm`: presets, what does not fit together, step sizes."""

import pytest
from pydantic import ValidationError

from seqd_char_lstm import CharLstm, TrainParameters
from seqd_char_lstm.learner import learning_rate
from seqd_char_lstm.parameters import STREAM_ONLY, WINDOW_ONLY

PRESETS = sorted(CharLstm.presets)


def test_the_defaults_are_the_tutorials_numbers():
    tutorial = TrainParameters.model_validate(CharLstm.presets["tutorial"])

    assert tutorial == TrainParameters()
    assert (tutorial.window, tutorial.step, tutorial.units) == (40, 3, 128)
    assert (tutorial.batch_size, tutorial.learning_rate, tutorial.epochs) == (128, 0.01, 10)
    assert tutorial.sample_temperatures == (0.2, 0.5, 1.0, 1.2)
    assert (tutorial.mode, tutorial.lower_case, tutorial.validation_split) == ("window", True, 0.0)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_writes_out_all_that_its_mode_reads_and_nothing_else(preset):
    values = CharLstm.presets[preset]

    checked = TrainParameters.model_validate(values)

    others = WINDOW_ONLY if checked.mode == "stream" else STREAM_ONLY
    assert set(values) == set(TrainParameters.model_fields) - set(others)
    assert checked.unused() == ()


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"tutorial"}))
def test_the_presets_besides_the_tutorials_hold_the_end_of_the_text_out(preset):
    values = TrainParameters.model_validate(CharLstm.presets[preset])

    assert (values.mode, values.validation_split) == ("stream", 0.1)


def test_what_the_other_mode_reads_is_named():
    windows = TrainParameters(layers=2, steps=TrainParameters().steps)
    streams = TrainParameters(mode="stream", window=20)

    assert windows.unused() == ("layers",)
    assert streams.unused() == ("window",)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"ngram_share": 0.2, "ngram_order": 0},
            "ngram_share is 0.2 of a model that ngram_order 0 does not fit; set ngram_order to 1 "
            "to 8, or ngram_share to 0",
        ),
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


@pytest.mark.parametrize("name", ["learning_rate", "clipnorm", "weight_decay", "ngram_share"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1])
def test_numbers_that_are_none_are_refused(name, value):
    with pytest.raises(ValidationError):
        TrainParameters.model_validate({"mode": "stream", name: value})


def test_the_step_size_rises_evenly_and_falls_as_a_cosine():
    parameters = TrainParameters(
        mode="stream", learning_rate=0.1, final_learning_rate=0.02, warmup_steps=4
    )

    rates = [learning_rate(parameters, done, 13) for done in range(13)]

    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4] == 0.1
    assert rates[8] == pytest.approx(0.06)  # half-way down from 0.1 to 0.02
    assert rates[12] == pytest.approx(0.02)
    assert rates[4:] == sorted(rates[4:], reverse=True)


@pytest.mark.parametrize(("warmup", "total"), [(0, 1), (50, 1), (50, 2), (50, 10), (0, 3)])
def test_a_training_shorter_than_its_rise_still_learns_at_each_step(warmup, total):
    parameters = TrainParameters(mode="stream", learning_rate=0.1, warmup_steps=warmup)

    rates = [learning_rate(parameters, done, total) for done in range(total)]

    assert max(rates) == 0.1
    assert min(rates) >= parameters.final_learning_rate
