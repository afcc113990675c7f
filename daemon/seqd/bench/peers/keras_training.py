"""The tutorial's training script: `fit` on reviews padded to one length, batches of 64, Adam.

Reading, tokenising, building and one step of warm-up are in `prepare`. `run` trains some epochs
with the validation that the script has, and tells the two apart.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqd.bench.peers.padding import padded, ranks_of, read_reviews
from seqd.bench.peers.protocol import serve


class KerasTraining:
    """The network and its data."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read both files, build the network, take a step."""
        import keras

        texts, labels = read_reviews(asked["reviews"])
        held_out, held_out_labels = read_reviews(asked["held_out"])
        ranks, longest = ranks_of(texts, asked["words"]), asked["longest"]
        positive = sorted(set(labels))[-1]
        self._train = padded(texts, ranks, longest), _targets(labels, positive)
        self._validate = padded(held_out, ranks, longest), _targets(held_out_labels, positive)
        self._batch = asked["batch"]
        self._network = keras.Sequential(
            [
                keras.Input((longest,), dtype="int32"),
                keras.layers.Embedding(asked["words"], asked["embedding"]),
                keras.layers.LSTM(asked["units"]),
                keras.layers.Dense(1, activation="sigmoid"),
            ]
        )
        self._network.compile("adam", "binary_crossentropy", metrics=["accuracy"])
        one = slice(0, self._batch)
        self._network.fit(*(array[one] for array in self._train), self._batch, verbose=0)
        self._network.evaluate(*(array[one] for array in self._validate), verbose=0)
        return {"reviews": len(texts), "held_out": len(held_out)}

    def run(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Train some epochs; gives each one's seconds, and those of its validation."""
        import keras

        validation_s: list[float] = []
        began = [0.0]

        def begin(logs: object = None) -> None:
            began[0] = time.perf_counter()

        def end(logs: object = None) -> None:
            validation_s.append(time.perf_counter() - began[0])

        watch = keras.callbacks.LambdaCallback(on_test_begin=begin, on_test_end=end)
        whole_s = []
        for _ in range(asked["epochs"]):
            epoch_began = time.perf_counter()
            self._network.fit(
                *self._train,
                batch_size=self._batch,
                validation_data=self._validate,
                callbacks=[watch],
                verbose=0,
            )
            whole_s.append(time.perf_counter() - epoch_began)
        trained_s = [whole - part for whole, part in zip(whole_s, validation_s, strict=True)]
        return {"epoch_s": trained_s, "with_validation_s": whole_s}


def _targets(labels: list[str], positive: str) -> "np.typing.NDArray[np.float32]":
    return np.array([label == positive for label in labels], dtype=np.float32)


if __name__ == "__main__":
    peer = KerasTraining()
    serve({"prepare": peer.prepare, "run": peer.run})
