"""Every kernel against Keras's own `model.predict` on padded reviews, 5,000 of them."""

from types import ModuleType

import numpy as np
import pytest

from imdb_builders import a_config, a_version_with_a_long_memory, reviews_like_real_ones
from seqd.hookspecs import Device
from seqd_imdb_lstm.artifact import Version
from seqd_imdb_lstm.engine import engine_for
from seqd_imdb_lstm.packed_compiled import CompiledKernel
from seqd_imdb_lstm.packed_engine import PackedEngine
from seqd_imdb_lstm.packed_numpy import NumpyKernel

pytestmark = [pytest.mark.network, pytest.mark.timeout(300)]

TUTORIAL = {
    "vocabulary_size": 5_000,
    "max_tokens": 500,
    "embedding_dim": 32,
    "units": 100,
}
KERNELS = pytest.mark.parametrize("kernel", [CompiledKernel, NumpyKernel])


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
@KERNELS
def test_each_of_5000_reviews_gets_kerass_probability_within_1e_5(tutorial, kernel):
    version, reviews, expected = tutorial

    got = PackedEngine(version, kernel).probabilities(reviews)

    assert np.ptp(expected[:, 1]) > 0.5  # the network says something
    assert np.abs(got - expected).max() <= 1e-5


@pytest.mark.slow
def test_the_engine_for_a_gpu_gives_what_predict_gives(tutorial):
    version, reviews, expected = tutorial
    engine = engine_for(version, Device(slot="gpu:0", kind="gpu"))

    got = engine.probabilities(reviews[:300])

    assert np.abs(got - expected[:300]).max() <= 1e-6


@KERNELS
@pytest.mark.parametrize("pooling", ["last", "mean_max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_masked_networks_get_kerass_probabilities_within_1e_5(kernel, pooling, bidirectional):
    config = a_config(
        **{**TUTORIAL, "max_tokens": 60, "units": 24, "lstm_vocabulary_size": 3_000},
        padding="masked",
        pooling=pooling,
        bidirectional=bidirectional,
        labels=("neg", "none", "pos"),
    )
    version = a_version_with_a_long_memory(config)
    reviews = [*reviews_like_real_ones(200, config), np.empty(0, dtype=np.int32)]

    got = PackedEngine(version, kernel).probabilities(reviews)

    assert np.abs(got - predicted(version, reviews)).max() <= 1e-5


def test_the_engine_for_a_gpu_counts_what_it_fills_up():
    version = a_version_with_a_long_memory(a_config(**{**TUTORIAL, "units": 2}))
    engine = engine_for(version, Device(slot="gpu:0", kind="gpu"))
    reviews = reviews_like_real_ones(300, version.config)

    # two batches of 256 reviews, each padded to 500 ids
    assert engine.computed_tokens(reviews) == 2 * 256 * 500
