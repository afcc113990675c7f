"""Builders for tests of `char_lstm`: random weights and small versions, no Keras."""

import numpy as np

from seqd_char_lstm.artifact import Config, Weights, shapes
from seqd_char_lstm.generation import Generator


def some_weights(ids: int, units: int, *, seed: int = 0) -> Weights:
    """Random weights that make neither all scores equal nor one certain."""
    random = np.random.default_rng(seed)
    return Weights(
        **{
            name: random.normal(0.0, 0.4, shape).astype(np.float32)
            for name, shape in shapes(ids, units).items()
        }
    )


def a_config(**changes: object) -> Config:
    """A version over six characters that reads windows of eight."""
    values = {
        "alphabet": " .abcd",
        "lower_case": True,
        "window": 8,
        "units": 16,
        "lead_in": "a cab. d",
    }
    return Config.model_validate(values | changes)


def a_generator(**changes: object) -> Generator:
    """A loaded version with random weights."""
    config = a_config(**changes)
    return Generator(config, some_weights(len(config.alphabet), config.units))
