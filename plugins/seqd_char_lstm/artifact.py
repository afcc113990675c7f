"""A `char_lstm` version on disk: its configuration, its weights, and n-grams where it has some.

Knows shapes and names, not what is computed with them. Written by `training`, read by
`generation`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as of_bytes
from safetensors.numpy import save as to_bytes

from seqd.errors import ArtifactDamaged
from seqd_char_lstm.config import MAX_ALPHABET, Config
from seqd_modelkit.ngrams import NgramModel

__all__ = [
    "MAX_ALPHABET",
    "Config",
    "Layer",
    "Version",
    "Weights",
    "load",
    "named",
    "save",
    "shapes",
]

WEIGHTS_FILE = "weights.safetensors"
NGRAMS_FILE = "ngrams.safetensors"
CONFIG_FILE = "config.json"

Floats = npt.NDArray[np.float32]
Tensors = dict[str, npt.NDArray[np.generic]]

#: Of a weight: float16 has no larger. No sum of the largest network then leaves float32, as the
#: compiled code takes for granted.
_LARGEST = 65_504.0

_RESTORE = "Train the model again or restore the file."


@dataclass(frozen=True)
class Layer:
    """One LSTM layer in Keras's layout: gates input, forget, candidate, output."""

    kernel: Floats  # (inputs, 4 units); inputs are ids where layer 0 reads them one-hot
    recurrent: Floats  # (units, 4 units)
    bias: Floats  # (4 units,)


@dataclass(frozen=True)
class Weights:
    """The network's weights, float32."""

    embedding: Floats | None  # (ids, embedding dim); None where layer 0 reads one-hot
    layers: tuple[Layer, ...]
    dense: Floats  # (units, ids)
    dense_bias: Floats  # (ids,)

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        return sum(tensor.nbytes for tensor in named(self).values())


@dataclass(frozen=True)
class Version:
    """All that a version is."""

    config: Config
    weights: Weights
    ngrams: NgramModel | None = None


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """The shape that each tensor must have."""
    ids, units, length = len(config.alphabet), config.units, config.embedding_dim
    expected: dict[str, tuple[int, ...]] = {"embedding": (ids, length)} if length else {}
    for number in range(config.layers):
        inputs = units if number else length or ids
        expected |= {
            f"layer_{number}.kernel": (inputs, 4 * units),
            f"layer_{number}.recurrent": (units, 4 * units),
            f"layer_{number}.bias": (4 * units,),
        }
    return expected | {"dense": (units, ids), "dense_bias": (ids,)}


def save(
    folder: Path,
    config: Config,
    weights: Weights,
    ngrams: NgramModel | None = None,
    half: bool = False,
) -> None:
    """Write the files into `folder`; `half` keeps weights as float16, for half the bytes.

    `ngrams` must be there where the configuration gives it a share, and only there.
    """
    assert (ngrams is not None) == (config.ngram_share > 0.0)
    tensors = named(weights)
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes(config)
    kept = {
        name: np.ascontiguousarray(tensor, np.float16 if half else np.float32)
        for name, tensor in tensors.items()
    }
    # Not `save_file`: it makes files that nobody but their owner may read.
    (folder / WEIGHTS_FILE).write_bytes(to_bytes(kept))
    if ngrams is not None:
        (folder / NGRAMS_FILE).write_bytes(to_bytes(ngrams.arrays()))
    (folder / CONFIG_FILE).write_text(config.as_json(), encoding="ascii")


def load(folder: Path) -> Version:
    """Read the files. Raises ArtifactDamaged, which says what differs."""
    config = _load_config(folder / CONFIG_FILE)
    tensors = _load_tensors(folder / WEIGHTS_FILE)
    weights = _weights(_checked(tensors, shapes(config)), config)
    ngrams = _load_ngrams(folder / NGRAMS_FILE, config) if config.ngram_share > 0.0 else None
    return Version(config, weights, ngrams)


def named(weights: Weights) -> dict[str, Floats]:
    """Give the weights by the names that they have in the file."""
    tensors = {} if weights.embedding is None else {"embedding": weights.embedding}
    for number, layer in enumerate(weights.layers):
        tensors |= {f"layer_{number}.{name}": array for name, array in vars(layer).items()}
    return tensors | {"dense": weights.dense, "dense_bias": weights.dense_bias}


def _weights(tensors: Mapping[str, Floats], config: Config) -> Weights:
    layers = tuple(
        Layer(*(tensors[f"layer_{number}.{name}"] for name in ("kernel", "recurrent", "bias")))
        for number in range(config.layers)
    )
    return Weights(tensors.get("embedding"), layers, tensors["dense"], tensors["dense_bias"])


def _load_config(path: Path) -> Config:
    try:
        return Config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactDamaged(f"{CONFIG_FILE} cannot be used: {error}. {_RESTORE}") from error


def _load_tensors(path: Path) -> Tensors:
    try:
        tensors: Tensors = of_bytes(path.read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactDamaged(f"{path.name} cannot be read: {error}. {_RESTORE}") from error
    return tensors


def _checked(tensors: Tensors, expected: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    if tensors.keys() != expected.keys():
        raise ArtifactDamaged(
            f"{WEIGHTS_FILE} has the tensors {sorted(tensors)}; expected are {sorted(expected)}. "
            f"{_RESTORE}"
        )
    return {name: _checked_tensor(name, tensors[name], expected[name]) for name in expected}


def _checked_tensor(name: str, tensor: npt.NDArray[np.generic], shape: tuple[int, ...]) -> Floats:
    if tensor.shape != shape or tensor.dtype not in (np.float32, np.float16):
        raise ArtifactDamaged(
            f"{WEIGHTS_FILE}: {name!r} is {tensor.dtype} of shape {tensor.shape}; {CONFIG_FILE} "
            f"asks for float32 or float16 of shape {shape}. {_RESTORE}"
        )
    floats = tensor.astype(np.float32)
    if not (np.abs(floats) <= _LARGEST).all():
        raise ArtifactDamaged(
            f"{WEIGHTS_FILE}: {name!r} has values that are no numbers, or beyond ±{_LARGEST:,.0f}. "
            f"{_RESTORE}"
        )
    return floats


def _load_ngrams(path: Path, config: Config) -> NgramModel:
    try:
        model = NgramModel.from_arrays(_load_tensors(path))
    except ValueError as error:
        raise ArtifactDamaged(f"{NGRAMS_FILE} cannot be used: {error} {_RESTORE}") from error
    if model.symbols != len(config.alphabet):
        raise ArtifactDamaged(
            f"{NGRAMS_FILE} is about {model.symbols} characters; the alphabet of {CONFIG_FILE} "
            f"has {len(config.alphabet)}. {_RESTORE}"
        )
    return model
