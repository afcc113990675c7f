"""The two kernels that learn: from the same weights and batch, the same gradients as Keras."""

import sys
from types import ModuleType

import numpy as np
import pytest

from seqd.errors import CheckpointDamaged
from seqd.hookspecs import Device
from seqd_imdb_lstm import TrainParameters
from seqd_imdb_lstm.artifact import Version, VersionConfig
from seqd_imdb_lstm.batches import Batch
from seqd_imdb_lstm.learner import CompiledLearner, Learner, first_weights, learner_for
from seqd_imdb_lstm.vocabulary import Vocabulary
from seqd_modelkit.optimizers import AdamW

pytestmark = pytest.mark.network

WORDS = 40
TOKENS = 30
TWO, THREE = ("neg", "pos"), ("a", "b", "c")
MASKED = {"padding": "masked"}
POOLED = {"padding": "masked", "pooling": "mean_max"}
GPU = Device(slot="gpu:0", kind="gpu")


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


@pytest.mark.slow
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


def test_the_pads_gradients_are_among_them():
    config, batch = a_config(), a_batch(9)

    pads = a_compiled_learner(config).gradients(batch).arrays["embedding"][0]

    assert np.abs(pads).min() > 1e-6
    assert pads == pytest.approx(gradients_of_keras(config, batch)["embedding"][0], abs=2e-7)


def test_adam_is_keras_adam():
    import keras

    random = np.random.default_rng(3)
    ours = {"one": random.normal(size=(300, 70)).astype(np.float32)}
    variable = keras.Variable(ours["one"].copy())
    adam, of_keras = AdamW(ours), keras.optimizers.Adam(0.01)

    for step in range(1, 6):
        gradient = random.normal(size=(300, 70)).astype(np.float32)
        adam.step({"one": gradient}, 0.01 / step)
        of_keras.learning_rate = 0.01 / step
        of_keras.apply([keras.ops.convert_to_tensor(gradient)], [variable])

    assert ours["one"] == pytest.approx(variable.numpy(), abs=1e-6)


@pytest.mark.slow
def test_keras_learns_from_batches_of_any_length_and_tells_the_same_loss():
    config, parameters = a_config(**POOLED), TrainParameters(seed=1)
    keras_learner = learner_for(config, parameters, GPU)

    told = [
        learner.step(a_batch(9), 0.01) for learner in (keras_learner, a_compiled_learner(config))
    ]
    losses = [keras_learner.step(a_batch(9), 0.01)[0] for _ in range(20)]

    assert told[0] == pytest.approx(told[1], abs=1e-6)
    assert losses[-1] < 0.7 * told[0][0]


@pytest.mark.parametrize("kind", ["cpu", pytest.param("gpu", marks=pytest.mark.slow)])
def test_a_learner_goes_on_from_its_state_as_if_nothing_had_happened(kind):
    dropouts = {"embedding_dropout": 0.2, "dropout": 0.3}
    config, device = a_config(**POOLED, bidirectional=True), Device(slot=f"{kind}:0", kind=kind)

    def learner(seed: int) -> Learner:
        return learner_for(config, TrainParameters(seed=seed, **dropouts), device)

    undisturbed = learner(seed=4)
    undisturbed.step(a_batch(5, seed=1), 0.02)
    state = undisturbed.state()
    other = learner(seed=4)

    other.restore(state)
    told = [one.step(a_batch(6, seed=2), 0.01) for one in (undisturbed, other)]

    assert told[0] == told[1]
    arrays = [one.weights().arrays() for one in (undisturbed, other)]
    for name, array in arrays[0].items():
        assert (array == arrays[1][name]).all(), name


def test_without_numba_keras_learns(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError

    learner = learner_for(a_config(), TrainParameters(), Device(slot="cpu:0", kind="cpu"))

    assert isinstance(learner, network().KerasLearner)


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_state_of_another_network_is_refused(kind):
    device = Device(slot=f"{kind}:0", kind=kind)
    state = learner_for(a_config(), TrainParameters(), device).state()
    other = learner_for(a_config(THREE), TrainParameters(), device)

    with pytest.raises(CheckpointDamaged, match=r"^The checkpoint has arrays of the shapes \{"):
        other.restore(state)


@pytest.mark.parametrize(
    ("shape", "labels"),
    [
        pytest.param(MASKED, THREE, id="masked", marks=pytest.mark.slow),
        pytest.param(POOLED, TWO, id="pooled", marks=pytest.mark.slow),
    ],
)
def test_masked_reviews_get_the_same_probabilities_however_they_are_padded(shape, labels):
    config = a_config(labels, **shape, bidirectional=True)
    engine = network().KerasEngine(Version(config, Vocabulary([]), first_weights(config, seed=2)))
    reviews = a_batch(20).reviews

    together = engine.probabilities(reviews)

    alone = np.concatenate([engine.probabilities([review]) for review in reviews])
    assert together.shape == (20, len(labels))
    assert together == pytest.approx(alone, abs=1e-6)
    assert together.sum(axis=1) == pytest.approx(np.ones(20), abs=1e-6)
    to_the_end = np.zeros((20, TOKENS), dtype=np.int32)
    for row, ids in enumerate(reviews):
        to_the_end[row, : len(ids)] = ids
    predicted = engine.network.predict(to_the_end, verbose=0)
    assert together[:, -1] == pytest.approx(predicted[:, -1], abs=1e-6)


def test_words_outside_the_embedding_are_unknown_to_keras_too():
    config = a_config(lstm_vocabulary_size=10)
    version = Version(config, Vocabulary([]), first_weights(config, seed=2))

    known, unknown = (
        network()
        .KerasEngine(version)
        .probabilities([np.array([1, 4, 2], dtype=np.int32), np.array([1, 4, 37], dtype=np.int32)])
    )

    assert (known == unknown).all()


def test_masked_batches_have_few_lengths_and_begin_with_a_word():
    config = a_config(**MASKED)

    shapes = {
        network().padded([np.ones(length, dtype=np.int32)], config).shape[1]
        for length in range(TOKENS + 1)
    }
    empty = network().padded([np.zeros(0, dtype=np.int32)], config)

    assert shapes == set(range(3, 31, 3))
    assert empty.tolist() == [[1, 0, 0]]
