"""The tutorial's review classifier in Keras: `predict`, and `fit` with Adam, on padded reviews.

Reading, tokenising and building are over before a method is called. Weights are the fresh
network's: they change no speed.
"""

import time

import keras
import numpy as np

from bench.peers.padding import padded, ranks_of, read_reviews


def network_of(sizes: dict[str, int]) -> keras.Sequential:
    layers = [
        keras.Input((sizes["longest"],), dtype="int32"),
        keras.layers.Embedding(sizes["words"], sizes["embedding"]),
        keras.layers.LSTM(sizes["units"]),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
    return keras.Sequential(layers)


class Program:
    def __init__(self, reviews: str, sizes: dict[str, int], batch: int, held_out: str = "") -> None:
        ranks, self.batch = ranks_of(read_reviews(reviews)[0], sizes["words"]), batch
        self.sets = []
        for texts, labels in map(read_reviews, filter(None, (reviews, held_out))):
            targets = np.array([label == max(labels) for label in labels], dtype=np.float32)
            self.sets.append((padded(texts, ranks, sizes["longest"]), targets))
        self.network = network_of(sizes)
        if held_out:
            self.network.compile("adam", "binary_crossentropy", metrics=["accuracy"])
            few = [(ids[:batch], targets[:batch]) for ids, targets in self.sets]
            self.network.fit(*few[0], batch, verbose=0)
            self.network.evaluate(*few[1], batch, verbose=0)

    def predict(self) -> float:
        """Predict all; gives seconds."""
        began = time.perf_counter()
        self.network.predict(self.sets[0][0], batch_size=self.batch, verbose=0)
        return time.perf_counter() - began

    def fit(self, epochs: int) -> dict[str, list[float]]:
        """Train; returns each epoch's seconds, without its validation and with it."""
        epoch_s, with_validation_s = [], []
        for _ in range(epochs):
            began = time.perf_counter()
            self.network.fit(*self.sets[0], self.batch, verbose=0)
            epoch_s.append(time.perf_counter() - began)
            self.network.evaluate(*self.sets[1], self.batch, verbose=0)
            with_validation_s.append(time.perf_counter() - began)
        return {"epoch_s": epoch_s, "with_validation_s": with_validation_s}
