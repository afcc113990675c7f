"""Both engines against Keras's own `model.predict` on padded reviews, 5,000 of them."""

import sys
from types import ModuleType

import numpy as np
import pytest

from imdb_builders import a_config, a_version_with_a_long_memory, reviews_like_real_ones
from seqd.hookspecs import Device
from seqd_imdb_lstm.artifact import Version
from seqd_imdb_lstm.engine import CompiledEngine, engine_for, lstm_engine_for

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]

CPU = Device(slot="cpu:0", kind="cpu")

TUTORIAL = {"vocabulary_size": 5_000, "max_tokens": 500, "embedding_dim": 32, "units": 100}


def network() -> ModuleType:
    """The one module that imports Keras; not at this file's head, so that collecting is quick."""
    from seqd_imdb_lstm import network

    return network


def predicted(version: Version, reviews: list[np.ndarray]) -> np.ndarray:
    """What `model.predict` says of the padded reviews: (reviews, classes)."""
    keras_network = network().KerasEngine(version).network
    padded = network().padded(reviews, version.config)
    answers = keras_network.predict(padded, batch_size=256, verbose=0)
    return answers if answers.shape[1] > 1 else np.concatenate([1.0 - answers, answers], axis=1)


@pytest.fixture(scope="module")
def tutorial() -> tuple[Version, list[np.ndarray], np.ndarray]:
    """The tutorial's network, 5,000 reviews, and what Keras says of them."""
    version = a_version_with_a_long_memory(a_config(**TUTORIAL))
    reviews = reviews_like_real_ones(5_000, version.config)
    return version, reviews, predicted(version, reviews)


@pytest.mark.slow
def test_each_of_5000_reviews_gets_kerass_probability_within_1e_5(tutorial):
    version, reviews, expected = tutorial

    got = CompiledEngine(version).probabilities(reviews)

    assert np.ptp(expected[:, 1]) > 0.5  # the network says something
    assert np.abs(got - expected).max() <= 1e-5


@pytest.mark.slow
def test_the_engine_for_a_gpu_gives_what_predict_gives(tutorial):
    version, reviews, expected = tutorial
    engine = engine_for(version, Device(slot="gpu:0", kind="gpu"))

    got = engine.probabilities(reviews[:300])

    assert np.abs(got - expected[:300]).max() <= 1e-6


@pytest.mark.parametrize(
    ("bidirectional", "pooling"),
    [
        (False, "last"),
        (True, "mean_max"),
        pytest.param(False, "mean_max", marks=pytest.mark.slow),
        pytest.param(True, "last", marks=pytest.mark.slow),
    ],
)
def test_masked_networks_get_kerass_probabilities_within_1e_5(bidirectional, pooling):
    config = a_config(
        **{**TUTORIAL, "max_tokens": 60, "units": 24, "lstm_vocabulary_size": 3_000},
        padding="masked",
        pooling=pooling,
        bidirectional=bidirectional,
        labels=("neg", "none", "pos"),
    )
    version = a_version_with_a_long_memory(config)
    reviews = [*reviews_like_real_ones(200, config), np.empty(0, dtype=np.int32)]

    got = CompiledEngine(version).probabilities(reviews)

    assert np.abs(got - predicted(version, reviews)).max() <= 1e-5


@pytest.mark.parametrize("padding", ["front", "masked"])
def test_without_numba_keras_serves(padding, monkeypatch):
    version = a_version_with_a_long_memory(a_config(padding=padding))
    reviews = reviews_like_real_ones(20, version.config)
    compiled = lstm_engine_for(version, CPU)
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError

    keras = lstm_engine_for(version, CPU)

    assert isinstance(compiled, CompiledEngine)
    assert isinstance(keras, network().KerasEngine)
    expected = compiled.probabilities(reviews)
    assert np.abs(keras.probabilities(reviews) - expected).max() <= 1e-5


def test_the_engine_for_a_gpu_counts_what_it_fills_up():
    version = a_version_with_a_long_memory(a_config(**{**TUTORIAL, "units": 2}))
    engine = engine_for(version, Device(slot="gpu:0", kind="gpu"))
    reviews = reviews_like_real_ones(300, version.config)

    # two batches of 256 reviews, each padded to 500 ids
    assert engine.computed_tokens(reviews) == 2 * 256 * 500
