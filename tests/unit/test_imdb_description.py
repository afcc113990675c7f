"""The description of `imdb_lstm`: light, bounded, and with the tutorial's numbers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from seqd_imdb_lstm import ClassifyParameters, ImdbLstm, TrainParameters, seqd_register_models
from seqd_imdb_lstm.artifact import Version, VersionConfig, Weights, shapes_of, write_version
from seqd_imdb_lstm.vocabulary import Vocabulary

HEAVY = ("keras", "tensorflow", "safetensors", "jax", "torch", "onnxruntime")


def test_the_plugin_hands_over_one_model():
    (model,) = seqd_register_models()

    assert (model.name, model.api_major, model.datasets) == ("imdb_lstm", 1, ("keras:imdb",))
    assert list(model.tasks) == ["classify", "train"]


def test_registering_imports_nothing_heavy():
    code = (
        "import sys, seqd_imdb_lstm; seqd_imdb_lstm.seqd_register_models()[0].starter; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert printed.stdout.strip() == "[]"


def test_loading_and_classifying_on_a_cpu_import_no_keras(tmp_path: Path):
    config = VersionConfig(
        vocabulary_size=5,
        max_tokens=4,
        embedding_dim=2,
        units=3,
        labels=("neg", "pos"),
        class_counts=(1, 1),
    )
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes_of(config).items()}
    write_version(Version(config, Vocabulary(["film"]), Weights(**zeros)), tmp_path)
    code = (
        "import sys, pathlib, types\n"
        "from seqd.hookspecs import Device\n"
        "from seqd_imdb_lstm import ImdbLstm\n"
        f"version = types.SimpleNamespace(folder=pathlib.Path({str(tmp_path)!r}))\n"
        "ImdbLstm().load(version, Device(slot='cpu:0', kind='cpu')).warm_up()\n"
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert printed.stdout.strip() == "[]"


def test_the_preset_tutorial_is_the_tutorials_recipe():
    chosen = TrainParameters(**ImdbLstm.presets["tutorial"])

    assert chosen.model_dump() == {
        "tokenizer": "keras-legacy-1",
        "vocabulary_size": 5_000,
        "lstm_vocabulary_size": 0,
        "max_tokens": 500,
        "padding": "front",
        "embedding_dim": 32,
        "units": 100,
        "bidirectional": False,
        "pooling": "last",
        "word_dropout": 0.0,
        "window_tokens": 0,
        "embedding_dropout": 0.0,
        "dropout": 0.0,
        "ngram_order": 0,
        "ngram_buckets": 2**19,
        "ngram_l2": 3.0,
        "lstm_share": 0.25,
        "batching": "by_length",
        "batch_size": 64,
        "epochs": 3,
        "learning_rate": 0.001,
        "schedule": "constant",
        "clipnorm": 0.0,
        "ema_momentum": 0.0,
        "class_weight": "none",
        "patience": 0,
        "validation_split": 0.05,
        "seed": 7,
    }


@pytest.mark.parametrize("parameters", [ClassifyParameters, TrainParameters])
def test_every_parameter_is_described_and_every_number_bounded_at_both_ends(parameters):
    for name, described in parameters.model_json_schema()["properties"].items():
        assert described["description"].endswith("."), name
        if described["type"] in ("integer", "number"):
            assert {"minimum", "exclusiveMinimum"} & described.keys(), name
            assert {"maximum", "exclusiveMaximum"} & described.keys(), name
        else:
            assert described["type"] == "boolean" or "enum" in described, name


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"max_tokens": 10_001}, {"epoch": 3}])
def test_parameters_out_of_range_or_unknown_are_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        TrainParameters(**wrong)


@pytest.mark.parametrize(
    ("together", "reason"),
    [
        ({"pooling": "mean_max"}, "with it padding must be 'masked'"),
        (
            {"lstm_vocabulary_size": 6, "vocabulary_size": 5},
            "lstm_vocabulary_size is 6, of vocabulary_size 5; it must not be greater",
        ),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(together, reason: str):
    with pytest.raises(ValidationError, match=reason):
        TrainParameters(**together)


def test_a_starter_is_offered_only_when_its_manifest_is_there():
    starter = ImdbLstm().starter

    assert starter is None or (starter / "manifest.json").is_file()
