"""What a caller may choose, for each task, and the tutorial's own choice as a preset.

Published as JSON Schema, so that clients without this plugin can check a request.
"""

from collections.abc import Mapping
from typing import Final

from pydantic import Field

from seqd.hookspecs import PluginParameters
from seqd_schemas import ParameterValue

#: Name of Keras's built-in set: its training half as data, its test half as held-out data.
KERAS_IMDB: Final = "keras:imdb"


class ClassifyParameters(PluginParameters):
    """A classification has nothing to choose: label and score are the network's own."""


class TrainParameters(PluginParameters):
    """How to train; the defaults are the tutorial's, with some reviews held out."""

    vocabulary_words: int = Field(
        default=5_000,
        ge=5,
        le=200_000,
        description="Word ids, counted as Keras counts them: four are reserved, so 5000 keeps "
        "the 4,996 most frequent words.",
    )
    max_tokens: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Ids that the network reads; of a longer review the last ones, and a "
        "shorter one is padded at the front.",
    )
    embedding_length: int = Field(
        default=32, ge=1, le=1_024, description="Numbers that stand for a word."
    )
    lstm_units: int = Field(default=100, ge=1, le=2_048, description="Units of the LSTM layer.")
    batch_reviews: int = Field(
        default=64, ge=1, le=4_096, description="Reviews that one step of training learns from."
    )
    epochs: int = Field(default=3, ge=1, le=1_000, description="Times that all reviews are read.")
    learning_rate: float = Field(
        default=0.001, gt=0.0, le=1.0, description="Step size of the Adam optimizer."
    )
    validation_fraction: float = Field(
        default=0.05,
        ge=0.0,
        le=0.5,
        description="Share of each class that is held out and validated on after each epoch. "
        "Not used when held-out data is given: then all of the data is trained on.",
    )
    seed: int = Field(
        default=7,
        ge=0,
        le=2**32 - 1,
        description="Seed of the first weights, the order of the reviews and the held-out share.",
    )


PRESETS: Final[Mapping[str, Mapping[str, ParameterValue]]] = {
    # All written out: a preset stays what it is when a default moves.
    "tutorial": {
        "vocabulary_words": 5_000,
        "max_tokens": 500,
        "embedding_length": 32,
        "lstm_units": 100,
        "batch_reviews": 64,
        "epochs": 3,
        "learning_rate": 0.001,
        "validation_fraction": 0.05,
        "seed": 7,
    }
}
