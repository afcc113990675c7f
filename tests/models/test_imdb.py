"""`imdb_lstm` beside Keras: what both predict and learn, and the set that comes with it."""

import hashlib
import sys

import numpy as np
import pytest

from imdb_builders import (
    CONFIG,
    GPU,
    NETWORKS,
    POOLED,
    a_classifier,
    a_context,
    classified,
    files_of,
    good_and_bad,
    json_of,
    probabilities_of,
    some_reviews,
    some_weights,
    trained,
)
from seqd.errors import CheckpointDamaged, InvalidData, Stopped
from seqd.inputs.datasets import NamedDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_modelkit.optimizers import AdamW

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

#: The least and the most of a network.
SMOKE = {"tutorial", "pooled, read from both ends"}
MANY_WORDS = [f"w{number}" for number in range(496)]


def some_records() -> list[tuple[str, str]]:
    random = np.random.default_rng(0)
    return [
        (" ".join(random.choice(MANY_WORDS[:40], random.integers(1, 16))), ("neg", "pos")[n % 2])
        for n in range(48)
    ]


# Predicting


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param(
            changes, id=name, marks=getattr(pytest.mark, "smoke" if name in SMOKE else "long")
        )
        for name, changes in NETWORKS.items()
    ],
)
def test_without_numba_keras_serves_the_same_and_so_it_does_on_a_gpu(changes, monkeypatch):
    config = CONFIG | changes
    weights, texts = some_weights(config), some_reviews(40, config)

    expected = probabilities_of(a_classifier(config, weights), texts)
    on_gpu = a_classifier(config, weights, device=GPU)
    monkeypatch.setitem(sys.modules, "numba", None)  # importing it raises ImportError
    without = a_classifier(config, weights)

    for keras in (on_gpu, without):
        # Both are rounded to five digits.
        assert np.abs(probabilities_of(keras, texts) - expected).max() <= 1.1e-5
    alone = [classified(on_gpu, text)[0].score for text in texts[:5]]
    assert alone == pytest.approx(
        [outcome.score for outcome in classified(on_gpu, *texts)[:5]], abs=1.1e-5
    )


def test_the_tutorials_network_says_what_kerass_own_predict_says_of_padded_reviews():
    import keras

    weights, texts = some_weights(CONFIG), [text for text in some_reviews(100) if "zzz" not in text]
    units, words = CONFIG["units"], {"the": 4, "film": 5, "good": 6, "bad": 7, "was": 8}
    network = keras.Sequential(
        [keras.layers.Embedding(9, 3), keras.layers.LSTM(units), keras.layers.Dense(1, "sigmoid")]
    )
    network.build((None, 12))
    order = ("embedding", "kernel", "recurrent_kernel", "bias", "output_kernel", "output_bias")
    network.set_weights([weights[name] for name in order])
    ids = [[1, *(words[word] for word in text.split())][-12:] for text in texts]

    predicted = network.predict(np.array([[0] * (12 - len(one)) + one for one in ids]), verbose=0)

    got = probabilities_of(a_classifier(CONFIG, weights), texts)[:, 1]
    assert np.abs(got - predicted[:, 0]).max() <= 1.6e-5


# Learning


def test_keras_begins_with_the_loss_of_the_compiled_learner_and_learns(tmp_path):
    compiled = a_context(tmp_path / "compiled", good_and_bad())
    keras = a_context(tmp_path / "keras", good_and_bad(), device=GPU)

    found = [
        trained(context, epochs=8, class_weight="balanced", **POOLED)
        for context in (compiled, keras)
    ]

    assert ["keras" in result.libraries for result in found] == [False, True]
    first, of_keras = (context.steps[0].metrics["loss"] for context in (compiled, keras))
    assert of_keras == pytest.approx(first, abs=1e-6)
    assert keras.steps[-1].metrics["loss"] < 0.7 * of_keras


def test_a_stopped_training_goes_on_with_keras_and_another_networks_state_is_refused(tmp_path):
    # All reviews are padded to one length, for which Keras compiles its step once.
    parameters = {"embedding_dropout": 0.2, "dropout": 0.3}
    saved = MemoryCheckpoints()
    whole = a_context(tmp_path / "1", some_records(), device=GPU)
    expected = trained(whole, **parameters)
    given = {"device": GPU, "checkpoints": saved}

    with pytest.raises(Stopped):
        trained(a_context(tmp_path / "2", some_records(), stop_after=5, **given), **parameters)
    with pytest.raises(CheckpointDamaged, match=r"^The checkpoint has arrays of the shapes \{"):
        trained(a_context(tmp_path / "3", some_records(), **given), **parameters, units=9)
    resumed = a_context(tmp_path / "4", some_records(), **given)
    found = trained(resumed, **parameters)

    assert found.metrics == expected.metrics
    assert files_of(resumed) == files_of(whole)


def test_without_numba_keras_learns(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)

    result = trained(a_context(tmp_path, some_records()), epochs=1)

    assert "keras" in result.libraries


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


# The set that comes with Keras


def handed_over(*, index_from: int):
    """A built-in set as Keras hands it over, without the download."""
    one = index_from + 1
    return ([[1, one, one + 1], [1, one + 1]], [1, 0]), ([[1, one]], [0])


def no_internet(*, index_from: int):
    raise Exception("URL fetch failure on https://example.org/imdb.npz: None -- timed out")


def test_the_built_in_set_is_learnt_from_and_validated_on_its_test_half(tmp_path, monkeypatch):
    import keras

    monkeypatch.setattr(keras.datasets.imdb, "load_data", handed_over)
    monkeypatch.setattr(keras.datasets.imdb, "get_word_index", lambda: {"good": 1, "bad": 2})
    builtin = NamedDataset("keras:imdb")
    context = MemoryTrainContext(tmp_path, builtin, builtin)

    trained(context)

    digest = hashlib.sha256(b"good bad\npositive\nbad\nnegative\n").hexdigest()
    assert context.stated_fingerprint == (2, digest)
    assert context.logs[-1].startswith("Training on 2 reviews, 1 'negative', 1 'positive', with")
    assert context.logs[-1].endswith("validating on 1.")
    assert json_of(context, "vocabulary.json") == ["bad", "good"]


def test_a_built_in_set_that_cannot_be_downloaded_says_what_to_do(tmp_path, monkeypatch):
    import keras

    monkeypatch.setattr(keras.datasets.imdb, "load_data", no_internet)

    with pytest.raises(InvalidData) as refused:
        trained(MemoryTrainContext(tmp_path, NamedDataset("keras:imdb")))

    assert str(refused.value) == (
        "Keras could not download its IMDB set (URL fetch failure on "
        "https://example.org/imdb.npz: None -- timed out). It needs internet access once, and "
        "keeps the files under ~/.keras/datasets. Without it, train from a file: JSONL or CSV "
        "with a text and a label, or an aclImdb folder."
    )
