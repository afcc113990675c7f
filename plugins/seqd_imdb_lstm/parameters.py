"""Parameters of each task, with their bounds and defaults, and the presets of a training.

Published as JSON Schema, so that clients without this plugin can check a request.
"""

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import Field, model_validator

from seqd.hookspecs import PluginParameters
from seqd_modelkit.training_parameters import (
    BatchSize,
    ClipNorm,
    Dropout,
    EmaMomentum,
    Epochs,
    LearningRate,
    Patience,
    Seed,
    ValidationSplit,
)
from seqd_schemas import ParameterValue

Tokenizer = Literal["keras-legacy-1", "unicode-1"]
Padding = Literal["front", "masked"]
Pooling = Literal["last", "mean_max"]
Batching = Literal["by_length", "shuffled"]
Schedule = Literal["constant", "cosine"]
ClassWeight = Literal["none", "balanced"]

#: Name of Keras's built-in set: its training half as data, its test half as held-out data.
KERAS_IMDB: Final = "keras:imdb"


class ClassifyParameters(PluginParameters):
    """What a classification reports beside label and score."""

    probabilities: bool = Field(
        default=False, description="True: the output has the probability of each class."
    )


class TrainParameters(PluginParameters):
    """How to train; the defaults are the Keras tutorial's, with a validation split."""

    tokenizer: Tokenizer = Field(
        default="keras-legacy-1",
        description="Rule that splits a text into words: keras-legacy-1 as Keras's IMDB set was, "
        "at spaces and ASCII punctuation; unicode-1 for any script, punctuation being words too "
        "and each Chinese or Japanese character a word.",
    )
    vocabulary_size: int = Field(
        default=5_000,
        ge=5,
        le=200_000,
        description="Most token ids, counted as Keras counts them: four are reserved, so 5000 "
        "keeps the 4,996 most frequent words; others are out of the vocabulary.",
    )
    lstm_vocabulary_size: int = Field(
        default=0,
        ge=0,
        le=200_000,
        description="Token ids that the LSTM knows, the most frequent; 0: all of vocabulary_size.",
    )
    max_tokens: int = Field(
        default=500,
        ge=1,
        le=10_000,
        description="Most tokens of a text that the network reads; of a longer one the last ones, "
        "and a shorter one is padded at the front.",
    )
    padding: Padding = Field(
        default="front",
        description="front: pads stand in front and are read like words, as in the tutorial; "
        "masked: only real words are read.",
    )
    embedding_dim: int = Field(
        default=32, ge=1, le=1_024, description="Size of the embedding of a word."
    )
    units: int = Field(
        default=100, ge=1, le=2_048, description="Hidden units of the LSTM layer, each direction."
    )
    bidirectional: bool = Field(
        default=False, description="True: a second LSTM reads backwards (masked only)."
    )
    pooling: Pooling = Field(
        default="last",
        description="What the output layer reads: last, the last hidden state; mean_max, the mean "
        "and the maximum of the hidden states after each word (masked only).",
    )
    word_dropout: Dropout = Field(
        default=0.0,
        description="Share of the words that training replaces by the out-of-vocabulary token.",
    )
    window_tokens: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Training reads a random window of so many tokens of a longer text, another "
        "one in each epoch; 0: all that the network reads (masked only).",
    )
    embedding_dropout: Dropout = Field(
        default=0.0,
        description="Dropout of embedding dimensions, the same ones at each token of a text.",
    )
    dropout: Dropout = Field(default=0.0, description="Dropout of the output layer's inputs.")
    ngram_order: int = Field(
        default=0,
        ge=0,
        le=3,
        description="Words of the longest n-gram of a second, linear branch, whose "
        "log-probabilities are averaged with the LSTM's; 0: no such branch.",
    )
    ngram_buckets: int = Field(
        default=2**19,
        ge=2**8,
        le=2**24,
        description="Buckets of its hash table, a power of two; each keeps one n-gram, the most "
        "informative.",
    )
    ngram_l2: float = Field(
        default=3.0, ge=0.0, le=1_000_000.0, description="Strength of its L2 regularization."
    )
    lstm_share: float = Field(
        default=0.25, ge=0.0, le=1.0, description="The LSTM's weight in the mean of both branches."
    )
    batching: Batching = Field(
        default="by_length",
        description="by_length: a batch has texts of similar length (bucketing), which is several "
        "times as fast; shuffled: any texts, as in the tutorial.",
    )
    batch_size: BatchSize = 64
    epochs: Epochs = 3
    learning_rate: LearningRate = 0.001
    schedule: Schedule = Field(
        default="constant",
        description="Learning-rate schedule: constant; or cosine, with a linear warm-up over the "
        "first twentieth of the steps and a cosine decay to 0.",
    )
    clipnorm: ClipNorm = 0.0
    ema_momentum: EmaMomentum = 0.0
    class_weight: ClassWeight = Field(
        default="none",
        description="balanced: the loss of a class is weighted by the inverse of its frequency.",
    )
    patience: Patience = 0
    validation_split: ValidationSplit = Field(
        default=0.05,
        description="Share of each class that is held out and validated on after each epoch. "
        "Not used when held-out data is given: then all of the data is trained on.",
    )
    seed: Seed = 7

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if self.pooling == "mean_max" and self.padding == "front":
            raise ValueError(
                "pooling 'mean_max' would take in the states after each pad; with it padding must "
                "be 'masked'"
            )
        if self.bidirectional and self.padding == "front":
            raise ValueError(
                "bidirectional would read a review's pads after its words; with it padding must be "
                "'masked'"
            )
        if self.ngram_buckets.bit_count() != 1:
            raise ValueError(
                f"ngram_buckets is {self.ngram_buckets:,}; it must be a power of two, such as "
                f"{2 ** (self.ngram_buckets.bit_length() - 1):,}"
            )
        if self.window_tokens and self.padding == "front":
            raise ValueError(
                "window_tokens would put pads in front of the middle of a review; with it padding "
                "must be 'masked'"
            )
        if self.lstm_vocabulary_size > self.vocabulary_size:
            raise ValueError(
                f"lstm_vocabulary_size is {self.lstm_vocabulary_size:,}, of vocabulary_size "
                f"{self.vocabulary_size:,}; it must not be greater"
            )
        return self


#: All parameters, so that a preset stays what it is when a default moves.
_TUTORIAL: Final[Mapping[str, ParameterValue]] = {
    "tokenizer": "keras-legacy-1",
    "vocabulary_size": 5_000,
    "lstm_vocabulary_size": 0,
    "max_tokens": 500,
    "padding": "front",
    "embedding_dim": 32,
    "units": 100,
    "bidirectional": False,
    "pooling": "last",
    "word_dropout": 0.0,
    "window_tokens": 0,
    "embedding_dropout": 0.0,
    "dropout": 0.0,
    "ngram_order": 0,
    "ngram_buckets": 2**19,
    "ngram_l2": 3.0,
    "lstm_share": 0.25,
    "batching": "by_length",
    "batch_size": 64,
    "epochs": 3,
    "learning_rate": 0.001,
    "schedule": "constant",
    "clipnorm": 0.0,
    "ema_momentum": 0.0,
    "class_weight": "none",
    "patience": 0,
    "validation_split": 0.05,
    "seed": 7,
}

_FAST: Final[Mapping[str, ParameterValue]] = {
    **_TUTORIAL,
    "tokenizer": "unicode-1",
    "vocabulary_size": 6_000,
    "lstm_vocabulary_size": 6_000,
    "max_tokens": 1_000,
    "padding": "masked",
    "embedding_dim": 64,
    "units": 64,
    "pooling": "mean_max",
    "word_dropout": 0.3,
    "window_tokens": 300,
    "embedding_dropout": 0.5,
    "dropout": 0.5,
    "batch_size": 32,
    "epochs": 4,
    "learning_rate": 0.006,
    "schedule": "cosine",
    "clipnorm": 1.0,
    "ema_momentum": 0.995,
    "validation_split": 0.02,
}

PRESETS: Final[Mapping[str, Mapping[str, ParameterValue]]] = {
    "tutorial": _TUTORIAL,
    "fast": _FAST,
    # The n-grams read many more words than the LSTM.
    "best": {**_FAST, "vocabulary_size": 50_000, "ngram_order": 3},
}
