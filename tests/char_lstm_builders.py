"""Builders for tests of `char_lstm`: random weights and small versions, no Keras."""

from dataclasses import replace

import numpy as np

from seqd_char_lstm.artifact import Config, Layer, Version, Weights, shapes
from seqd_char_lstm.compiled_chains import CompiledEngine
from seqd_char_lstm.engine import SteppedEngine
from seqd_char_lstm.generation import Generator
from seqd_ngrams import NgramModel, count, fit


def some_weights(config: Config, *, seed: int = 0) -> Weights:
    """Random weights that make neither all scores equal nor one certain."""
    random = np.random.default_rng(seed)
    tensors = {
        name: random.normal(0.0, 0.4, shape).astype(np.float32)
        for name, shape in shapes(config).items()
    }
    layers = tuple(
        Layer(*(tensors[f"layer_{number}.{name}"] for name in ("kernel", "recurrent", "bias")))
        for number in range(config.layers)
    )
    return Weights(tensors.get("embedding"), layers, tensors["dense"], tensors["dense_bias"])


def a_config(**changes: object) -> Config:
    """A version over six characters that reads windows of eight."""
    values = {
        "reads": "window",
        "alphabet": " .abcd",
        "lower_case": True,
        "window": 8,
        "units": 16,
        "lead_in": "a cab. d",
    }
    return Config.model_validate(values | changes)


def a_stream_config(**changes: object) -> Config:
    """A version over six characters that carries its state, in two layers."""
    values = {"reads": "stream", "window": None, "layers": 2, "embedding_dim": 5}
    return a_config(**(values | changes))


def some_ngrams(symbols: int = 6) -> NgramModel:
    """An n-gram model of a random text, in which a half is like the character before it."""
    random = np.random.default_rng(0)
    ids = np.repeat(random.integers(0, symbols, 1_000), random.integers(1, 4, 1_000))
    return fit(count([ids.astype(np.int32)], order=3, symbols=symbols))


def a_version(config: Config | None = None, *, seed: int = 0) -> Version:
    """A version in memory with random weights, and n-grams where these have a share."""
    config = config or a_config()
    ngrams = some_ngrams(len(config.alphabet)) if config.ngram_share else None
    return Version(config, some_weights(config, seed=seed), ngrams)


def a_stepped_engine(version: Version) -> SteppedEngine:
    """The compiled network of a version, with its n-grams and drawing in NumPy."""
    return SteppedEngine(version, CompiledEngine(replace(version, ngrams=None)))


def a_generator(**changes: object) -> Generator:
    """A loaded version that reads windows."""
    return Generator(a_version(a_config(**changes)))


def a_stream_generator(**changes: object) -> Generator:
    """A loaded version that carries its state."""
    return Generator(a_version(a_stream_config(**changes)))
