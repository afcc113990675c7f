"""Named sets of training parameters, as `seqd train char_lstm --preset NAME` takes them.

All written out, but for what the mode does not read: a preset stays what it is when a default
moves. What each is good for stands in the plugin's README.
"""

from collections.abc import Mapping
from typing import Final

from seqd_schemas import ParameterValue

_TEMPERATURES: Final[list[bool | int | float | str | None]] = [0.2, 0.5, 1.0, 1.2]

_BEST: Final[Mapping[str, ParameterValue]] = {
    "mode": "stream",
    "epochs": 30,
    # What is compared with it, the tutorial and published figures, is lower-cased too.
    "lower_case": True,
    "min_count": 1,
    "units": 512,
    "layers": 1,
    "embedding_dim": 64,
    "input_dropout": 0.1,
    "dropout": 0.45,
    "recurrent_dropout": 0.15,
    "streams": 64,
    "steps": 32,
    "learning_rate": 0.004,
    "final_learning_rate": 1e-5,
    "warmup_steps": 50,
    "weight_decay": 0.01,
    "clipnorm": 1.0,
    "averaging": 0.99,
    "validation_split": 0.1,
    "patience": 0,
    "ngram_order": 5,
    "ngram_share": 0.25,
    "half_precision": True,
    "sample_length": 400,
    "sample_temperatures": _TEMPERATURES,
    "seed": 0,
}

PRESETS: Final[Mapping[str, Mapping[str, ParameterValue]]] = {
    "tutorial": {
        "mode": "window",
        "epochs": 10,
        "lower_case": True,
        "min_count": 1,
        "window": 40,
        "step": 3,
        "units": 128,
        "batch_windows": 128,
        "learning_rate": 0.01,
        "validation_split": 0.0,
        "ngram_order": 5,
        "half_precision": False,
        "sample_length": 400,
        "sample_temperatures": _TEMPERATURES,
        "seed": 0,
    },
    "fast": {
        **_BEST,
        "epochs": 12,
        "units": 256,
        "input_dropout": 0.0,
        "dropout": 0.2,
        "recurrent_dropout": 0.0,
        # As many characters a step, but shorter stretches of more streams: a product of 32 rows a
        # core takes little longer than one of 16.
        "steps": 16,
        "learning_rate": 0.008,
        "ngram_share": 0.0,
    },
    "best": _BEST,
    # For a GPU, where its learner is Keras; it was not run on one.
    "large": {
        **_BEST,
        "epochs": 60,
        "units": 1_024,
        "layers": 3,
        "embedding_dim": 128,
        "input_dropout": 0.2,
        "dropout": 0.5,
        "recurrent_dropout": 0.0,
        "streams": 64,
        "steps": 128,
        "learning_rate": 0.002,
        "warmup_steps": 400,
        "averaging": 0.999,
        "patience": 8,
        "ngram_share": 0.2,
    },
}
