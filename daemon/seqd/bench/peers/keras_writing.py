"""The tutorial's loop that writes text: one `predict` of a one-hot window for each character.

The network is the tutorial's, LSTM over 40 one-hot characters and a softmax, with fresh
weights: they change no speed.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from seqd.bench.peers.protocol import serve


class KerasWriting:
    """The network and the text that it starts from."""

    def prepare(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Read the text, build the network, write a character."""
        import keras

        text = Path(asked["text"]).read_text(encoding="utf-8").lower()
        self._alphabet = sorted(set(text))
        self._window, self._start = asked["window"], text[: asked["window"]]
        self._network = keras.Sequential(
            [
                keras.Input((self._window, len(self._alphabet))),
                keras.layers.LSTM(asked["units"]),
                keras.layers.Dense(len(self._alphabet), activation="softmax"),
            ]
        )
        self.write(1)
        return {"alphabet": len(self._alphabet)}

    def run(self, asked: Mapping[str, Any]) -> dict[str, object]:
        """Write so many characters."""
        began = time.perf_counter()
        self.write(asked["characters"])
        return {"seconds": time.perf_counter() - began}

    def write(self, characters: int) -> str:
        """Give so many characters that follow the text's beginning."""
        draw = np.random.default_rng(0)
        place = {letter: index for index, letter in enumerate(self._alphabet)}
        written = self._start
        for _ in range(characters):
            one_hot = np.zeros((1, self._window, len(self._alphabet)))
            for position, letter in enumerate(written[-self._window :]):
                one_hot[0, position, place[letter]] = 1.0
            chances = self._network.predict(one_hot, verbose=0)[0].astype("float64")
            written += self._alphabet[draw.choice(len(chances), p=chances / chances.sum())]
        return written[len(self._start) :]


if __name__ == "__main__":
    peer = KerasWriting()
    serve({"prepare": peer.prepare, "run": peer.run})
