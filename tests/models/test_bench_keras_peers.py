"""The peers of a bench that compute with Keras or ONNX Runtime, on tiny sizes."""

import json

import numpy as np
import pytest

from seqd.bench.peers.keras_predict import KerasPredict
from seqd.bench.peers.keras_text_training import KerasTextTraining
from seqd.bench.peers.keras_training import KerasTraining
from seqd.bench.peers.keras_writing import KerasWriting
from seqd.bench.peers.onnx_padded import OnnxPadded

pytestmark = pytest.mark.network

SIZES = {"words": 20, "longest": 6, "embedding": 3, "units": 4}


@pytest.fixture
def reviews(tmp_path) -> str:
    """Twelve reviews of two labels."""
    path = tmp_path / "reviews.jsonl"
    rows = [
        {"text": f"a film of {number} words", "label": "ab"[number % 2]} for number in range(12)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_the_keras_peer_predicts_all_reviews(reviews):
    peer = KerasPredict()

    prepared = peer.prepare({"reviews": reviews, "batch": 4, **SIZES})

    assert prepared == {"reviews": 12}
    assert peer.run({})["seconds"] > 0


def test_the_training_peer_tells_an_epoch_and_its_validation_apart(reviews):
    peer = KerasTraining()
    asked = {"reviews": reviews, "held_out": reviews, "batch": 4, **SIZES}

    prepared = peer.prepare(asked)
    answer = peer.run({"epochs": 2})

    assert prepared == {"reviews": 12, "held_out": 12}
    assert len(answer["epoch_s"]) == len(answer["with_validation_s"]) == 2
    for alone, whole in zip(answer["epoch_s"], answer["with_validation_s"], strict=True):
        assert 0 < alone < whole


def test_the_writing_peer_writes_a_character_at_a_time(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Abc abc abc abc")
    peer = KerasWriting()

    prepared = peer.prepare({"text": str(text), "window": 5, "units": 4})

    assert prepared == {"alphabet": 4}
    assert peer.run({"characters": 3})["seconds"] > 0
    assert len(peer.write(3)) == 3


def test_the_text_training_peer_trains_an_epoch_of_windows(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("Abc " * 20)
    peer = KerasTextTraining()

    prepared = peer.prepare({"text": str(text), "window": 8, "units": 4})
    answer = peer.run({})

    assert prepared == {"windows": 24}  # every third of 72
    assert answer["seconds"] > 0
    assert 0 < answer["loss"] < 2


def test_the_onnx_peer_computes_what_keras_does(reviews):
    pytest.importorskip("onnxruntime", reason="comes with the extra `bench`")
    pytest.importorskip("onnx", reason="comes with the extra `bench`")
    import keras

    peer = OnnxPadded()
    peer.prepare({"reviews": reviews, "batch": 4, "threads": 1, **SIZES})
    weights = peer.weights
    network = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(20, 3),
            keras.layers.LSTM(4),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    # ONNX has the gates as input, output, forget, cell; Keras as input, forget, cell, output.
    places = np.concatenate([np.arange(4) + 4 * gate for gate in (0, 2, 3, 1)])
    bias = weights["B"][0, :16] + weights["B"][0, 16:]
    network.set_weights(
        [
            weights["table"],
            weights["W"][0][places].T,
            weights["R"][0][places].T,
            bias[places],
            weights["kernel"],
            weights["bias"],
        ]
    )

    ours = peer.predict(peer.padded)

    np.testing.assert_allclose(ours, network.predict(peer.padded, verbose=0), atol=1e-6)
    assert peer.run({})["seconds"] > 0
