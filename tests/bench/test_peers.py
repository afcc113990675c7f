"""The peers that compute: what is measured beside seqd gives the answers that Keras gives."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.peers.padding import padded, ranks_of
from bench.peers.python_counting import Program as PythonCounting


def test_peers_pad_and_cut_at_the_front_as_the_tutorial_does() -> None:
    texts = ["the cat, the dog", "the the the the the rare"]

    ids = padded(texts, ranks_of(texts, 6), longest=5)

    # 0 pads, 1 starts, 2 is unknown; of 6 ids two are words: `the`, then `cat`.
    assert ids.tolist() == [[1, 4, 5, 4, 2], [4, 4, 4, 4, 2]]


def test_the_loop_counts_what_follows_each_character(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Abab b")

    counts = PythonCounting(str(tmp_path / "text.txt")).counts()

    assert counts == {"a": {"b": 2}, "b": {"a": 1, " ": 1}, " ": {"b": 1}}


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.long
def test_the_onnx_peer_computes_what_keras_does(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="comes with the extra `bench`")
    from bench.peers.keras_reviews import Program as KerasReviews
    from bench.peers.onnx_padded import Program as OnnxPadded

    path = tmp_path / "reviews.jsonl"
    rows = [{"text": f"a film of {number} words", "label": "a"} for number in range(12)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = {"words": 20, "longest": 6, "embedding": 3, "units": 4}
    onnx = OnnxPadded(str(path), sizes, batch=5, threads=1)
    keras = KerasReviews(str(path), sizes, batch=5)
    weights = onnx.weights
    # ONNX has the gates as input, output, forget, cell; Keras as input, forget, cell, output.
    places = np.concatenate([np.arange(4) + 4 * gate for gate in (0, 2, 3, 1)])
    keras.network.set_weights(
        [
            weights["table"],
            weights["W"][0][places].T,
            weights["R"][0][places].T,
            (weights["B"][0, :16] + weights["B"][0, 16:])[places],
            weights["kernel"],
            weights["bias"],
        ]
    )

    theirs = keras.network.predict(keras.sets[0][0], verbose=0)

    np.testing.assert_allclose(onnx.probabilities(), theirs, atol=1e-6)
