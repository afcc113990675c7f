"""Keras's `model.predict` on the tutorial's network, over arrays that are padded already.

Reading, tokenising, building and a warm-up call are in `prepare`; `run` times `predict` alone.
Weights are the fresh network's: they change no speed.
"""

import time
from collections.abc import Mapping
from typing import Any

from seqd.bench.peers.padding import Ids, padded, ranks_of, read_reviews
from seqd.bench.peers.protocol import serve


class KerasPredict:
    """The network and its input."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read the reviews, build the network, run it once."""
        import keras

        texts, _ = read_reviews(asked["reviews"])
        self._padded: Ids = padded(texts, ranks_of(texts, asked["words"]), asked["longest"])
        self._batch = asked["batch"]
        self._network = keras.Sequential(
            [
                keras.Input((asked["longest"],), dtype="int32"),
                keras.layers.Embedding(asked["words"], asked["embedding"]),
                keras.layers.LSTM(asked["units"]),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        self._network.predict(self._padded[: 2 * self._batch], batch_size=self._batch, verbose=0)
        return {"reviews": len(texts)}

    def run(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Predict all."""
        began = time.perf_counter()
        self._network.predict(self._padded, batch_size=self._batch, verbose=0)
        return {"seconds": time.perf_counter() - began}


if __name__ == "__main__":
    peer = KerasPredict()
    serve({"prepare": peer.prepare, "run": peer.run})
