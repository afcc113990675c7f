"""What a training of `char_lstm` on streams refuses, and that anything else makes a version."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from seqd.errors import InvalidData, InvalidParameters, SeqdError
from seqd_char_lstm.artifact import load
from seqd_char_lstm.learner import CompiledLearner
from stream_training_builders import a_context, trained


def test_a_held_out_text_of_unknown_characters_alone_is_refused(tmp_path):
    with pytest.raises(InvalidData) as raised:
        trained(a_context(tmp_path, held_out="1234"))

    assert str(raised.value) == (
        "The held-out text has 4 characters, and none that the training text also has. "
        "Hold out a longer part of the same kind."
    )


def test_a_text_shorter_than_a_batch_is_refused_with_both_lengths(tmp_path):
    with pytest.raises(InvalidData) as raised:
        trained(a_context(tmp_path, "a cat " * 100), batch_size=32, steps=20)

    assert str(raised.value) == (
        "The text has 600 characters to learn from; 32 streams of 20 steps need at least 640. "
        "Give a longer text, or a smaller batch_size or fewer steps."
    )


def test_a_batch_larger_than_memory_is_refused(tmp_path):
    with pytest.raises(InvalidParameters) as raised:
        trained(a_context(tmp_path, "a cat " * 90_000), batch_size=1_024, steps=512, units=1_024)

    assert str(raised.value) == (
        "A batch of 1024 streams of 512 steps would take 16 GiB with 1 x 1024 units and 4 "
        "characters; at most 8 are allowed. Use a smaller batch_size or fewer steps."
    )


def test_patience_without_anything_to_measure_on_is_refused(tmp_path):
    with pytest.raises(InvalidParameters) as raised:
        trained(a_context(tmp_path), patience=3)

    assert str(raised.value) == (
        "patience is 3, and there is nothing to validate on: give held-out data or a "
        "validation_split, or set patience to 0."
    )


def test_a_loss_that_is_lost_is_named_with_the_learning_rate(tmp_path, monkeypatch):
    monkeypatch.setattr(CompiledLearner, "step", lambda *_: math.nan)

    with pytest.raises(InvalidParameters) as raised:
        trained(a_context(tmp_path), learning_rate=1.0)

    assert str(raised.value) == (
        "The loss became nan in epoch 1 with learning_rate 1.0. Train with a lower one."
    )


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
        "streams": st.integers(1, 4),
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
        "ngram_order": st.integers(0, 8),
        "ngram_share": st.sampled_from([0.0, 0.01, 0.99]),
        "half_precision": st.booleans(),
        "sample_length": st.integers(0, 3),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.text("ab.é字🙂 \nA", min_size=60, max_size=200) | st.text(min_size=1), ANY_PARAMETERS)
def test_any_text_and_any_parameters_make_a_version_or_a_typed_error(
    tmp_path_factory, text, parameters
):
    context = a_context(tmp_path_factory.mktemp("any"), text)
    fitting = not (parameters["ngram_share"] and not parameters["ngram_order"])

    try:
        result = trained(context, **parameters)
    except (SeqdError, ValidationError) as error:
        assert fitting or isinstance(error, ValidationError)
        assert list(context.folder.iterdir()) == []
        return

    assert all(math.isfinite(figure) for figure in result.metrics.values())
    assert load(context.folder).config.alphabet
