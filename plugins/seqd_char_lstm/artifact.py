"""A `char_lstm` version on disk: `weights.safetensors` and `config.json`, written and checked.

Knows shapes and names, not what is computed with them. Written by `training`, read by
`generation`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from seqd.errors import ArtifactDamaged

WEIGHTS_FILE = "weights.safetensors"
CONFIG_FILE = "config.json"

#: Characters that an alphabet may have: a batch of one-hot windows then still fits in 200 MB.
MAX_ALPHABET = 10_000


class Config(BaseModel):
    """All that a version is, except for its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    alphabet: str = Field(min_length=2, max_length=MAX_ALPHABET)
    lower_case: bool
    window: int = Field(ge=2, le=256)
    units: int = Field(ge=1, le=1_024)
    #: Characters of the corpus that stand before a prompt shorter than the window.
    lead_in: str

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if list(self.alphabet) != sorted(set(self.alphabet)):
            raise ValueError("the alphabet is not in order, or has a character twice")
        if len(self.lead_in) != self.window:
            raise ValueError(f"lead_in has {len(self.lead_in)} characters, not {self.window}")
        if not set(self.lead_in) <= set(self.alphabet):
            raise ValueError("lead_in has characters that the alphabet lacks")
        return self


@dataclass(frozen=True)
class Weights:
    """The network's weights in Keras's layout: gates input, forget, candidate, output."""

    kernel: npt.NDArray[np.float32]  # (ids, 4 units)
    recurrent: npt.NDArray[np.float32]  # (units, 4 units)
    bias: npt.NDArray[np.float32]  # (4 units,)
    dense: npt.NDArray[np.float32]  # (units, ids)
    dense_bias: npt.NDArray[np.float32]  # (ids,)


def shapes(ids: int, units: int) -> dict[str, tuple[int, ...]]:
    """The shape that each tensor must have."""
    return {
        "kernel": (ids, 4 * units),
        "recurrent": (units, 4 * units),
        "bias": (4 * units,),
        "dense": (units, ids),
        "dense_bias": (ids,),
    }


def save(folder: Path, config: Config, weights: Weights) -> None:
    """Write both files into `folder`."""
    # Not `save_file`: it makes files that nobody but their owner may read.
    (folder / WEIGHTS_FILE).write_bytes(to_bytes(vars(weights)))
    content = json.dumps(config.model_dump(), indent=2)
    (folder / CONFIG_FILE).write_text(content + "\n", encoding="ascii")


def load(folder: Path) -> tuple[Config, Weights]:
    """Read both files. Raises ArtifactDamaged, which says what differs."""
    config = _load_config(folder / CONFIG_FILE)
    tensors = _load_tensors(folder / WEIGHTS_FILE)
    _check(tensors, shapes(len(config.alphabet), config.units))
    return config, Weights(**tensors)


def _load_config(path: Path) -> Config:
    try:
        return Config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactDamaged(
            f"{CONFIG_FILE} cannot be used: {error}. Train the model again or restore the file."
        ) from error


def _load_tensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactDamaged(
            f"{WEIGHTS_FILE} cannot be read: {error}. Train the model again or restore the file."
        ) from error


def _check(
    tensors: dict[str, npt.NDArray[np.float32]], expected: dict[str, tuple[int, ...]]
) -> None:
    if tensors.keys() != expected.keys():
        raise ArtifactDamaged(
            f"{WEIGHTS_FILE} has the tensors {sorted(tensors)}; expected are {sorted(expected)}."
        )
    for name, shape in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype != np.float32:
            raise ArtifactDamaged(
                f"{WEIGHTS_FILE}: {name!r} is {tensor.dtype} of shape {tensor.shape}; "
                f"{CONFIG_FILE} asks for float32 of shape {shape}."
            )
        if not np.isfinite(tensor).all():
            raise ArtifactDamaged(f"{WEIGHTS_FILE}: {name!r} has values that are not finite.")
