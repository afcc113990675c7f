"""The tutorial's script that trains on text: one-hot windows, an LSTM, one character predicted.

Windows of 40 characters, 3 apart, in batches of 128, RMSprop with 0.01. One epoch of it is what is
timed; ten of them are reckoned by whoever asks.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqd.bench.peers.protocol import serve

#: Characters between the beginnings of two windows.
_APART = 3
_BATCH = 128
_RATE = 0.01


class KerasTextTraining:
    """The network and its windows."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read the text, lay the windows out, build the network, take a step."""
        import keras

        text = Path(asked["text"]).read_text(encoding="utf-8").lower()
        alphabet = sorted(set(text))
        place = {letter: number for number, letter in enumerate(alphabet)}
        ids = np.array([place[letter] for letter in text])
        window = asked["window"]
        starts = np.arange(0, len(ids) - window, _APART)
        rows = np.eye(len(alphabet), dtype=np.bool_)
        self._inputs = rows[ids[starts[:, None] + np.arange(window)]]  # (windows, window, letters)
        self._targets = rows[ids[starts + window]]  # (windows, letters)
        self._network = keras.Sequential(
            [
                keras.Input((window, len(alphabet))),
                keras.layers.LSTM(asked["units"]),
                keras.layers.Dense(len(alphabet), activation="softmax"),
            ]
        )
        self._network.compile(keras.optimizers.RMSprop(_RATE), "categorical_crossentropy")
        few = slice(0, _BATCH)
        self._network.fit(self._inputs[few], self._targets[few], _BATCH, verbose=0)
        return {"windows": len(starts)}

    def run(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Train one epoch; gives its seconds and its loss."""
        began = time.perf_counter()
        told = self._network.fit(self._inputs, self._targets, _BATCH, verbose=0)
        return {"seconds": time.perf_counter() - began, "loss": told.history["loss"][-1]}


if __name__ == "__main__":
    peer = KerasTextTraining()
    serve({"prepare": peer.prepare, "run": peer.run})
