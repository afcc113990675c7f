"""Read and write the files of one model version, and check that they fit together.

    weights.safetensors   the arrays of `Weights` and of `NgramTable`, by name
    vocabulary.json       the words of the vocabulary, the most frequent first
    config.json           `VersionConfig`: sizes, labels, and the tokenizer's rule

The daemon has checked the files against the manifest's digests before. Checked here are the words,
and that each array has the shape and dtype that the configuration asks for, and is finite.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter, model_validator

from seqd.errors import ArtifactDamaged
from seqd_imdb_lstm.ngrams import NgramTable
from seqd_imdb_lstm.parameters import Padding, Pooling, Tokenizer
from seqd_imdb_lstm.vocabulary import INDEX_FROM, Vocabulary
from seqd_modelkit.artifacts import ArtifactConfig, Tensors, read_tensors, write_tensors
from seqd_schemas import MAX_CLASSES

WEIGHTS_FILE: Final = "weights.safetensors"
VOCABULARY_FILE: Final = "vocabulary.json"

Floats = npt.NDArray[np.float32]
#: (reviews,) the class of each, as its index in `VersionConfig.labels`.
Targets = npt.NDArray[np.int32]
#: (reviews, classes), in the order of `VersionConfig.labels`; each row sums to 1.
Probabilities = npt.NDArray[np.float32]
_WORDS: TypeAdapter[list[str]] = TypeAdapter(list[str])


class VersionConfig(ArtifactConfig):
    """config.json: the sizes of the network, its classes, and how its texts become ids."""

    #: The format that is written, and the only one that is read.
    FORMAT: ClassVar[int] = 2

    format: Literal[2] = Field(default=2, description="Version of this file's format.")
    tokenizer: Tokenizer = Field(
        default="keras-legacy-1", description="The rule that splits a text into words."
    )
    vocabulary_size: int = Field(ge=5, description="Token ids, the four reserved ones included.")
    lstm_vocabulary_size: int = Field(
        default=0, ge=0, description="Those that the LSTM knows, the lowest; 0: all of them."
    )
    max_tokens: int = Field(ge=1, description="Ids that the network reads, the last of a text.")
    padding: Padding = Field(
        default="front", description="front: pads are read like words; masked: they are not read."
    )
    embedding_dim: int = Field(ge=1, description="Size of the embedding of a token.")
    units: int = Field(ge=1, description="Hidden units of the LSTM layer, in each direction.")
    bidirectional: bool = Field(default=False, description="True: a second LSTM reads backwards.")
    pooling: Pooling = Field(
        default="last",
        description="What the output layer reads: the last hidden state, or the maximum and the "
        "mean of all.",
    )
    ngram_order: int = Field(
        default=0, ge=0, le=3, description="Words of the longest n-gram; 0: no n-gram branch."
    )
    ngram_buckets: int = Field(
        default=0, ge=0, le=2**24, description="Buckets of the branch's table, a power of two."
    )
    lstm_share: float = Field(
        default=1.0,
        ge=0.0,
        le=1.0,
        description="The LSTM's weight in the mean of both branches' log-probabilities.",
    )
    labels: Annotated[
        tuple[str, ...],
        Field(min_length=2, max_length=MAX_CLASSES, description="The classes, in their order."),
    ]
    class_counts: tuple[int, ...] = Field(description="Training reviews of each class.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a class stands in labels twice")
        if len(self.class_counts) != len(self.labels):
            raise ValueError("class_counts has not one number for each of labels")
        if self.lstm_vocabulary_size > self.vocabulary_size:
            raise ValueError("lstm_vocabulary_size is greater than vocabulary_size")
        if self.padding == "front" and (self.bidirectional or self.pools):
            raise ValueError("bidirectional and mean_max need masked padding")
        if self.ngram_order and (self.ngram_buckets < 2 or self.ngram_buckets.bit_count() != 1):
            raise ValueError("ngram_buckets is no power of two")
        return self

    @property
    def embedded_words(self) -> int:
        """Rows of the embedding; the LSTM reads ids from there on as out of the vocabulary."""
        return self.lstm_vocabulary_size or self.vocabulary_size

    @property
    def pools(self) -> bool:
        """True when the output layer reads all hidden states, not only the last one."""
        return self.pooling != "last"

    @property
    def features(self) -> int:
        """Inputs of the output layer."""
        directions = 2 if self.bidirectional else 1
        return self.units * directions * (2 if self.pools else 1)

    @property
    def outputs(self) -> int:
        """Outputs of the output layer: 1 of two classes (a sigmoid), else one a class (softmax)."""
        return 1 if len(self.labels) == 2 else len(self.labels)


@dataclass(frozen=True, slots=True)
class Weights:
    """The network's arrays, float32, in Keras's layout: gates in the order i, f, c, o."""

    embedding: Floats  # (embedded_words, embedding_dim)
    kernel: Floats  # (embedding_dim, 4 * units)
    recurrent_kernel: Floats  # (units, 4 * units)
    bias: Floats  # (4 * units,)
    output_kernel: Floats  # (features, outputs)
    output_bias: Floats  # (outputs,)
    #: Those of the LSTM that reads backwards, where the network is bidirectional.
    backward_kernel: Floats | None = None
    backward_recurrent_kernel: Floats | None = None
    backward_bias: Floats | None = None

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays by name, without those that are None."""
        named = {part.name: getattr(self, part.name) for part in fields(self)}
        return {name: array for name, array in named.items() if array is not None}


@dataclass(frozen=True, slots=True)
class Version:
    """A model version in memory."""

    config: VersionConfig
    vocabulary: Vocabulary
    weights: Weights
    #: The n-gram branch; None where the version is the LSTM alone.
    ngrams: NgramTable | None = None

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all arrays by their names in the file."""
        return {**self.weights.arrays(), **_ngram_arrays(self.ngrams)}


def shapes_of(config: VersionConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of `Weights`."""
    units = config.units
    direction = {
        "kernel": (config.embedding_dim, 4 * units),
        "recurrent_kernel": (units, 4 * units),
        "bias": (4 * units,),
    }
    backward = {f"backward_{name}": shape for name, shape in direction.items()}
    return {
        "embedding": (config.embedded_words, config.embedding_dim),
        **direction,
        "output_kernel": (config.features, config.outputs),
        "output_bias": (config.outputs,),
        **(backward if config.bidirectional else {}),
    }


def _ngram_shapes(config: VersionConfig) -> dict[str, tuple[type[np.generic], tuple[int, ...]]]:
    """Return the dtype and shape of each array of the n-gram branch, nothing without one."""
    if not config.ngram_order:
        return {}
    buckets, outputs = config.ngram_buckets, config.outputs
    return {
        "ngram_owners": (np.uint8, (buckets,)),
        "ngram_weights": (np.int8, (buckets, outputs)),
        "ngram_scale": (np.float32, (outputs,)),
        "ngram_bias": (np.float32, (outputs,)),
    }


def _ngram_arrays(table: NgramTable | None) -> dict[str, npt.NDArray[np.generic]]:
    if table is None:
        return {}
    return {
        "ngram_owners": table.owners,
        "ngram_weights": table.weights,
        "ngram_scale": table.scale,
        "ngram_bias": table.bias,
    }


def write_version(version: Version, folder: Path) -> None:
    """Write a version's three files into an existing folder."""
    write_tensors(folder / WEIGHTS_FILE, version.arrays())
    words = json.dumps(version.vocabulary.words, indent=0)
    (folder / VOCABULARY_FILE).write_text(words + "\n", encoding="utf-8")
    version.config.write(folder)


def read_version(folder: Path) -> Version:
    """Return the version in a folder; raise ArtifactDamaged, naming the file and the reason."""
    config = VersionConfig.read(folder)
    words = _read_words(folder, config)
    vocabulary = Vocabulary(words, config.tokenizer)
    arrays = _read_arrays(folder, config)
    lstm = Weights(**{name: arrays[name] for name in shapes_of(config)})
    if not config.ngram_order:
        return Version(config, vocabulary, lstm)
    ngrams = NgramTable(config.ngram_order, *(arrays[name] for name in _ngram_shapes(config)))
    return Version(config, vocabulary, lstm, ngrams)


def _read_words(folder: Path, config: VersionConfig) -> list[str]:
    """Return the vocabulary's words, in order; raise ArtifactDamaged."""
    try:
        # Not pydantic's own JSON reader: it refuses lone surrogates, which a word may hold.
        words = _WORDS.validate_python(json.loads((folder / VOCABULARY_FILE).read_bytes()))
    except (OSError, ValueError) as error:
        raise _damaged(VOCABULARY_FILE, str(error)) from None
    highest = len(words) + INDEX_FROM
    if highest >= config.vocabulary_size:
        raise _damaged(
            VOCABULARY_FILE,
            f"its last word has the id {highest}, and config.json allows ids below "
            f"{config.vocabulary_size}",
        )
    if len(set(words)) < len(words):
        raise _damaged(VOCABULARY_FILE, "a word stands in it twice")
    return words


def _read_arrays(folder: Path, config: VersionConfig) -> Mapping[str, npt.NDArray[Any]]:
    arrays = read_tensors(folder / WEIGHTS_FILE)
    lstm = {name: (np.float32, shape) for name, shape in shapes_of(config).items()}
    _check_arrays(arrays, {**lstm, **_ngram_shapes(config)})
    return arrays


def _check_arrays(
    arrays: Tensors,
    needed: Mapping[str, tuple[type[np.generic], tuple[int, ...]]],
) -> None:
    if arrays.keys() != needed.keys():
        found, names = ", ".join(sorted(arrays)), ", ".join(sorted(needed))
        raise _damaged(WEIGHTS_FILE, f"it holds the arrays {found}; needed are {names}")
    for name, (kind, shape) in needed.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != kind:
            raise _damaged(
                WEIGHTS_FILE,
                f"{name} is {array.dtype} of shape {array.shape}, and config.json asks for "
                f"{np.dtype(kind)} of shape {shape}",
            )
        if not np.isfinite(array).all():
            raise _damaged(WEIGHTS_FILE, f"{name} holds numbers that are not finite")


def _damaged(file: str, reason: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"{file} of this imdb_lstm version cannot be used: {reason}. "
        "Train the version again, or copy it again from where it came from."
    )
