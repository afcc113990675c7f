"""The tutorial's text network, an LSTM over one-hot windows, and its loop and training on a text.

`write` calls `predict` for each character. `fit` trains one epoch on windows 3 characters apart, in
batches of 128, RMSprop with 0.01.
"""

import time
from pathlib import Path

import keras
import numpy as np


class Program:
    def __init__(self, text: str, window: int, units: int) -> None:
        self.text, self.window = Path(text).read_text(encoding="utf-8").lower(), window
        self.alphabet = sorted(set(self.text))
        self.place = {letter: number for number, letter in enumerate(self.alphabet)}
        layers = [
            keras.Input((window, len(self.alphabet))),
            keras.layers.LSTM(units),
            keras.layers.Dense(len(self.alphabet), activation="softmax"),
        ]
        self.network = keras.Sequential(layers)

    def write(self, characters: int) -> float:
        """Continue the text's beginning; gives seconds."""
        draw, written = np.random.default_rng(0), self.text[: self.window]
        began = time.perf_counter()
        for _ in range(characters):
            one_hot = np.zeros((1, self.window, len(self.alphabet)))
            for position, letter in enumerate(written[-self.window :]):
                one_hot[0, position, self.place[letter]] = 1.0
            chances = self.network.predict(one_hot, verbose=0)[0].astype("float64")
            written += self.alphabet[draw.choice(len(chances), p=chances / chances.sum())]
        return time.perf_counter() - began

    def fit(self) -> float:
        """Train an epoch; returns its seconds. The windows and a first step are not counted."""
        ids = np.array([self.place[letter] for letter in self.text])
        starts = np.arange(0, len(ids) - self.window, 3)
        rows = np.eye(len(self.alphabet), dtype=np.bool_)
        inputs = rows[ids[starts[:, None] + np.arange(self.window)]]  # (windows, window, letters)
        targets = rows[ids[starts + self.window]]  # (windows, letters)
        self.network.compile(keras.optimizers.RMSprop(0.01), "categorical_crossentropy")
        self.network.fit(inputs[:128], targets[:128], 128, verbose=0)
        began = time.perf_counter()
        self.network.fit(inputs, targets, 128, verbose=0)
        return time.perf_counter() - began
