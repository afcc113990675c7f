"""The files of one model version: what they are called, and that they fit together.

    weights.safetensors   the six arrays of `Weights`, by these names
    vocabulary.json       the known words, the most frequent first
    config.json           `VersionConfig`: sizes, labels, and the tokenizer's rule

Digests are the daemon's business and have been checked before. What is checked here is
that the shapes are those that the configuration promises. No Keras.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from seqd.errors import ArtifactDamaged
from seqd_imdb_lstm.reviews import INDEX_FROM, Vocabulary

WEIGHTS_FILE: Final = "weights.safetensors"
VOCABULARY_FILE: Final = "vocabulary.json"
CONFIG_FILE: Final = "config.json"

Floats = npt.NDArray[np.float32]
#: One a review: the probability of the second label.
Probabilities = npt.NDArray[np.float32]
_WORDS: TypeAdapter[list[str]] = TypeAdapter(list[str])


class VersionConfig(BaseModel):
    """What a version's arrays and words mean."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = Field(default=1, description="Version of this file's format.")
    tokenizer: Literal["keras-legacy-1"] = Field(
        default="keras-legacy-1", description="The rule that splits a text into words."
    )
    vocabulary_words: int = Field(ge=5, description="Word ids, the four reserved ones included.")
    max_tokens: int = Field(ge=1, description="Ids that the network reads of a review's end.")
    embedding_length: int = Field(ge=1, description="Numbers that stand for a word.")
    lstm_units: int = Field(ge=1, description="Units of the LSTM layer.")
    labels: Annotated[tuple[str, str], Field(description="The classes; the second is 1.")]


@dataclass(frozen=True, slots=True)
class Weights:
    """The network's arrays, float32, in Keras's own layout (gates in the order i, f, c, o)."""

    embedding: Floats  # (vocabulary, embedding)
    kernel: Floats  # (embedding, 4 units)
    recurrent_kernel: Floats  # (units, 4 units)
    bias: Floats  # (4 units,)
    output_kernel: Floats  # (units, 1)
    output_bias: Floats  # (1,)


@dataclass(frozen=True, slots=True)
class Version:
    """A model version in memory."""

    config: VersionConfig
    vocabulary: Vocabulary
    weights: Weights


def shapes_of(config: VersionConfig) -> dict[str, tuple[int, ...]]:
    """Give the shape that each array must have."""
    units = config.lstm_units
    return {
        "embedding": (config.vocabulary_words, config.embedding_length),
        "kernel": (config.embedding_length, 4 * units),
        "recurrent_kernel": (units, 4 * units),
        "bias": (4 * units,),
        "output_kernel": (units, 1),
        "output_bias": (1,),
    }


def write_version(version: Version, folder: Path) -> None:
    """Write a version's files into an existing folder."""
    # Not save_file: it leaves a file that nobody but its owner can read.
    (folder / WEIGHTS_FILE).write_bytes(save(asdict(version.weights)))
    words = json.dumps(version.vocabulary.words, indent=0)
    (folder / VOCABULARY_FILE).write_text(words + "\n", encoding="utf-8")
    config = version.config.model_dump_json(indent=2)
    (folder / CONFIG_FILE).write_text(config + "\n", encoding="utf-8")


def read_version(folder: Path) -> Version:
    """Read a version's files. Raises ArtifactDamaged, saying which file and what differs."""
    config = read_config(folder)
    words = read_words(folder, config)
    return Version(config, Vocabulary(words), _read_weights(folder, config))


def read_config(folder: Path) -> VersionConfig:
    """Read the configuration alone. Raises ArtifactDamaged."""
    try:
        return VersionConfig.model_validate_json((folder / CONFIG_FILE).read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(CONFIG_FILE, str(error)) from None


def read_words(folder: Path, config: VersionConfig) -> list[str]:
    """Read the vocabulary alone. Raises ArtifactDamaged."""
    try:
        # Not pydantic's own JSON reader: it refuses lone surrogates, which a word may hold.
        words = _WORDS.validate_python(json.loads((folder / VOCABULARY_FILE).read_bytes()))
    except (OSError, ValueError) as error:
        raise _damaged(VOCABULARY_FILE, str(error)) from None
    highest = len(words) + INDEX_FROM
    if highest >= config.vocabulary_words:
        raise _damaged(
            VOCABULARY_FILE,
            f"its last word has the id {highest}, and config.json allows ids below "
            f"{config.vocabulary_words}",
        )
    if len(set(words)) < len(words):
        raise _damaged(VOCABULARY_FILE, "a word stands in it twice")
    return words


def _read_weights(folder: Path, config: VersionConfig) -> Weights:
    try:
        arrays: Mapping[str, Floats] = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise _damaged(WEIGHTS_FILE, str(error)) from None
    _check_arrays(arrays, shapes_of(config))
    return Weights(**{part.name: arrays[part.name] for part in fields(Weights)})


def _check_arrays(arrays: Mapping[str, Floats], shapes: Mapping[str, tuple[int, ...]]) -> None:
    if arrays.keys() != shapes.keys():
        found, needed = ", ".join(sorted(arrays)), ", ".join(sorted(shapes))
        raise _damaged(WEIGHTS_FILE, f"it holds the arrays {found}; needed are {needed}")
    for name, shape in shapes.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != np.float32:
            raise _damaged(
                WEIGHTS_FILE,
                f"{name} is {array.dtype} of shape {array.shape}, and config.json asks for "
                f"float32 of shape {shape}",
            )
        if not np.isfinite(array).all():
            raise _damaged(WEIGHTS_FILE, f"{name} holds numbers that are not finite")


def _damaged(file: str, reason: str) -> ArtifactDamaged:
    return ArtifactDamaged(
        f"{file} of this imdb_lstm version cannot be used: {reason}. "
        "Train the version again, or copy it again from where it came from."
    )
