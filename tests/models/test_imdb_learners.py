"""The two kernels that learn: from the same weights and batch, the same gradients as Keras."""

from types import ModuleType

import numpy as np
import pytest

from seqd_imdb_lstm import TrainParameters
from seqd_imdb_lstm.artifact import VersionConfig
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.learner import CompiledLearner, first_weights

pytestmark = [pytest.mark.network, pytest.mark.slow]

WORDS = 40
TOKENS = 30
TWO, THREE = ("neg", "pos"), ("a", "b", "c")
MASKED = {"padding": "masked"}
POOLED = {"padding": "masked", "pooling": "mean_max"}


def network() -> ModuleType:
    """The one module that imports Keras; not at this file's head, so that collecting is quick."""
    from seqd_imdb_lstm import network

    return network


def a_config(labels: tuple[str, ...] = TWO, **changes: object) -> VersionConfig:
    sizes = {"vocabulary_size": WORDS, "embedding_dim": 6, "units": 10}
    sizes["class_counts"] = (1,) * len(labels)
    return VersionConfig(**sizes, max_tokens=TOKENS, labels=labels, **changes)


def a_batch(reviews: int, classes: int = 2, seed: int = 0) -> Batch:
    random = np.random.default_rng(seed)
    lengths = random.integers(1, TOKENS + 1, reviews)
    return Batch(
        reviews=[random.integers(1, WORDS, length).astype(np.int32) for length in lengths],
        targets=random.integers(0, classes, reviews).astype(np.int32),
        sample_weight=random.uniform(0.5, 2.0, reviews).astype(np.float32),
    )


def gradients_of_keras(config: VersionConfig, batch: Batch) -> dict[str, np.ndarray]:
    """Take one plain step of size 1, which changes each weight by its gradient."""
    import keras

    keras_network = network().build_network(config)
    variables = network().weight_variables(keras_network, config)
    first = first_weights(config, seed=1).arrays()
    for name, variable in variables.items():
        variable.assign(first[name])
    binary = config.outputs == 1
    keras_network.compile(
        keras.optimizers.SGD(1.0),
        "binary_crossentropy" if binary else "sparse_categorical_crossentropy",
    )
    keras_network.train_on_batch(
        network().padded(batch.reviews, config),
        batch.targets[:, None],
        sample_weight=batch.sample_weight,
    )
    return {name: first[name] - variable.numpy() for name, variable in variables.items()}


def a_compiled_learner(config: VersionConfig, threads: int = 1) -> CompiledLearner:
    first = first_weights(config, seed=1)
    return CompiledLearner(config, TrainParameters(), first, threads)


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        pytest.param({}, TWO, id="front"),
        pytest.param(MASKED, THREE, id="masked"),
        pytest.param(POOLED, TWO, id="pooled"),
        pytest.param({**MASKED, "bidirectional": True}, TWO, id="masked-both"),
        pytest.param({**POOLED, "bidirectional": True}, THREE, id="pooled-both"),
    ],
)
def test_every_networks_gradients_are_those_of_keras_on_padded_reviews(shape, labels):
    config, batch = a_config(labels, **shape), a_batch(9, len(labels))
    learners = {
        "in one part": a_compiled_learner(config),
        "in two parts": a_compiled_learner(config, threads=2),
    }

    expected = gradients_of_keras(config, batch)
    found = {parts: learner.gradients(batch).arrays for parts, learner in learners.items()}

    for parts, arrays in found.items():
        assert arrays.keys() == expected.keys()
        for name, gradient in expected.items():
            # What is left of a weight's change is rounded to the weight's own last bit.
            assert arrays[name] == pytest.approx(gradient, abs=2e-7, rel=1e-4), (parts, name)
