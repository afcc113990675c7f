"""`fit` of the model kit, with a network of Keras: early stopping, and stops in each epoch."""

import numpy as np
import pytest

from seqd.errors import Stopped
from seqd.inputs.datasets import TextDataset
from seqd.testing import MemoryCheckpoints, MemoryTrainContext
from seqd_modelkit.keras_training import fit, seeded

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(600)]

X = np.random.default_rng(5).normal(size=(60, 4)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(np.int32)


def fitted(folder, *, patience=0, learning_rate=0.05, **options):
    import keras

    context = MemoryTrainContext(folder, TextDataset("text", "a test"), **options)
    with seeded(3):
        network = keras.Sequential(
            [
                keras.layers.Input((4,)),
                keras.layers.Dense(8, activation="relu"),
                keras.layers.Dropout(0.5),
                keras.layers.Dense(2, activation="softmax"),
            ]
        )
    network.compile(
        keras.optimizers.Adam(learning_rate),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    metrics = fit(
        network, X[:50], Y[:50], context, epochs=4, batch_size=8, held_out=(X[50:], Y[50:]),
        patience=patience, seed=1,
    )  # fmt: skip
    return network, metrics, context


def bits_of(network):
    return [one.tobytes() for one in network.get_weights()]


def test_each_epoch_is_reported_and_what_was_learnt_is_measured(tmp_path):
    network, metrics, context = fitted(tmp_path)

    loss, accuracy = network.evaluate(X[50:], Y[50:], verbose=0)
    assert metrics == context.epochs[-1].metrics
    assert metrics["validation_loss"] == pytest.approx(loss, abs=1e-6)
    assert metrics["validation_accuracy"] == pytest.approx(accuracy)
    assert metrics["loss"] < context.epochs[0].metrics["loss"]


@pytest.mark.parametrize("stop_after", [3, 12])
def test_a_training_that_was_stopped_goes_on_to_the_same_bits(tmp_path, stop_after):
    undisturbed, saved = fitted(tmp_path / "undisturbed"), MemoryCheckpoints()

    with pytest.raises(Stopped):
        fitted(tmp_path / "stopped", checkpoints=saved, stop_after=stop_after)
    resumed = fitted(tmp_path / "resumed", checkpoints=saved)

    assert saved.resumes == 1
    assert bits_of(resumed[0]) == bits_of(undisturbed[0])
    assert resumed[1] == undisturbed[1]


def test_with_patience_the_network_has_the_weights_of_the_best_epoch(tmp_path):
    network, metrics, context = fitted(tmp_path, patience=1, learning_rate=1.0)

    losses = [epoch.metrics["validation_loss"] for epoch in context.epochs]
    assert metrics["validation_loss"] == min(losses) < losses[-1]
    assert network.evaluate(X[50:], Y[50:], verbose=0)[0] == pytest.approx(min(losses), abs=1e-6)
