"""The network, a version's files, and a version in memory."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final, Literal

import keras
import numpy as np
import numpy.typing as npt
from pydantic import Field

from seqd_modelkit.artifacts import ArtifactConfig, check_weights, read_tensors, write_tensors
from seqd_modelkit.text_classifier import TextClassifier
from seqd_modelkit.training import Weights
from seqd_modelkit.words import PAD_ID, WordVocabulary, padded

WEIGHTS_FILE: Final = "weights.safetensors"

#: Bytes of a word of the vocabulary: a str and an entry in a dict.
_BYTES_PER_WORD: Final = 150


class GruConfig(ArtifactConfig):
    """What a version says of itself in `config.json`."""

    FORMAT: ClassVar[int] = 1

    format: Literal[1] = 1
    labels: tuple[str, ...] = Field(min_length=2)
    words: tuple[str, ...]
    max_tokens: int = Field(ge=1)
    embedding_dim: int = Field(ge=1)
    units: int = Field(ge=1)


def build(config: GruConfig, dropout: float = 0.0, seed: int | None = None) -> keras.Model:
    """Return the network: ids (batch, tokens), padded behind, to probabilities (batch, classes).

    Without `seed` its first weights are drawn by the random state that the whole process shares.
    """
    first, layers = keras.initializers, keras.layers
    ids = keras.Input((None,), dtype="int32")
    mask = keras.ops.not_equal(ids, PAD_ID)
    embeddings = first.RandomUniform(seed=seed)
    x = layers.Embedding(len(config.words) + 2, config.embedding_dim, embeddings)(ids)
    gru = layers.GRU(
        config.units,
        kernel_initializer=first.GlorotUniform(seed),
        recurrent_initializer=first.Orthogonal(seed=seed),
        seed=seed,
    )
    x = layers.Dropout(dropout, seed=seed)(gru(x, mask=mask))
    kernel = first.GlorotUniform(seed)
    output = layers.Dense(len(config.labels), activation="softmax", kernel_initializer=kernel)
    return keras.Model(ids, output(x))


def write_version(config: GruConfig, weights: Weights, folder: Path) -> None:
    """Write a version's files; `weights` by their places in `network.weights`."""
    config.write(folder)
    write_tensors(folder / WEIGHTS_FILE, weights)


class LoadedGru(TextClassifier):
    """A version in memory."""

    def __init__(self, config: GruConfig, network: keras.Model) -> None:
        """`network` is `build(config)`, with the version's weights."""
        super().__init__(config.labels)
        self._vocabulary = WordVocabulary(config.words)
        self._max_tokens = config.max_tokens
        self._network = network
        self.memory_bytes = 4 * network.count_params() + _BYTES_PER_WORD * len(config.words)

    @classmethod
    def read(cls, folder: Path) -> "LoadedGru":
        """Return the version of a folder; raise ArtifactDamaged."""
        config = GruConfig.read(folder)
        network = build(config, seed=0)  # nothing is drawn: the weights are those of the version
        shapes = {str(at): tuple(one.shape) for at, one in enumerate(network.weights)}
        tensors = read_tensors(folder / WEIGHTS_FILE)
        network.set_weights(list(check_weights(tensors, shapes, WEIGHTS_FILE, 1e4).values()))
        return cls(config, network)

    def cost_tokens(self, text: str) -> int:
        """Return the tokens of what is read of a text."""
        return min(1 + len(text) // 5, self._max_tokens)

    def is_truncated(self, text: str) -> bool:
        """Return whether a text has more words than are read."""
        return len(self._vocabulary.encode(text, self._max_tokens + 1)) > self._max_tokens

    def probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.floating]:
        """Return (texts, classes)."""
        rows = [self._vocabulary.encode(text, self._max_tokens) for text in texts]
        return np.asarray(self._network.predict_on_batch(padded(rows, self._max_tokens)))
