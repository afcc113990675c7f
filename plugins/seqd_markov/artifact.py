"""A `markov` version on disk: `chain.safetensors` and `config.json`, written and checked.

Knows names and shapes, not what is computed with them. Written by `training`, read by the
model's description.
"""

import json
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as to_bytes

from seqd.errors import ArtifactDamaged
from seqd_markov.chain import Chain

COUNTS_FILE = "chain.safetensors"
CONFIG_FILE = "config.json"

Tensors = dict[str, npt.NDArray[np.unsignedinteger]]


class Config(BaseModel):
    """All that a version is, except for its counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    alphabet: str = Field(min_length=1)
    lower_case: bool


def save(folder: Path, chain: Chain, *, lower_case: bool) -> None:
    """Write both files into `folder`, each array in the smallest type that holds it."""
    arrays = {
        "character_counts": chain.character_counts,
        "row_starts": chain.row_starts,
        "successors": chain.successors,
        "counts": chain.counts,
    }
    compact = {
        name: array.astype(np.min_scalar_type(array.max())) for name, array in arrays.items()
    }
    # Not `save_file`: it makes files that nobody but their owner may read.
    (folder / COUNTS_FILE).write_bytes(to_bytes(compact))
    config = Config(alphabet=chain.alphabet, lower_case=lower_case)
    content = json.dumps(config.model_dump(), indent=2)
    (folder / CONFIG_FILE).write_text(content + "\n", encoding="ascii")


def load(folder: Path) -> tuple[Config, Chain]:
    """Read both files. Raises ArtifactDamaged, which says what differs."""
    config = _load_config(folder / CONFIG_FILE)
    tensors = _load_tensors(folder / COUNTS_FILE)
    expected = {"character_counts", "row_starts", "successors", "counts"}
    if tensors.keys() != expected:
        raise ArtifactDamaged(
            f"{COUNTS_FILE} has the tensors {sorted(tensors)}; expected are {sorted(expected)}."
        )
    for name, tensor in tensors.items():
        if tensor.dtype.kind != "u" or tensor.ndim != 1:
            raise ArtifactDamaged(
                f"{COUNTS_FILE}: {name!r} is {tensor.dtype} of shape {tensor.shape}; expected is "
                "a row of unsigned integers."
            )
    arrays = {name: tensor.astype(np.int64) for name, tensor in tensors.items()}
    chain = Chain(alphabet=config.alphabet, **arrays)
    _check(chain)
    return config, chain


def _load_config(path: Path) -> Config:
    try:
        return Config.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactDamaged(
            f"{CONFIG_FILE} cannot be used: {error}. Train the model again or restore the file."
        ) from error


def _load_tensors(path: Path) -> Tensors:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactDamaged(
            f"{COUNTS_FILE} cannot be read: {error}. Train the model again or restore the file."
        ) from error


def _check(chain: Chain) -> None:
    """Make sure that no look-up in the chain can go astray."""
    states, starts = len(chain.alphabet), chain.row_starts
    rules = {
        "the alphabet is not in order": list(chain.alphabet) == sorted(set(chain.alphabet)),
        f"'character_counts' has {len(chain.character_counts)} entries for {states} characters": (
            len(chain.character_counts) == states
        ),
        f"'row_starts' has {len(starts)} entries, not {states + 1}": len(starts) == states + 1,
        f"'counts' has {len(chain.counts)} entries for {len(chain.successors)} successors": (
            len(chain.counts) == len(chain.successors)
        ),
        "'row_starts' does not rise from 0 to the number of successors": (
            len(starts) > 0
            and starts[0] == 0
            and starts[-1] == len(chain.successors)
            and bool((np.diff(starts) >= 0).all())
        ),
        "'successors' names states that there are not": bool((chain.successors < states).all()),
        "'counts' has a zero": bool((chain.counts > 0).all()),
        "'character_counts' has a zero": bool((chain.character_counts > 0).all()),
    }
    broken = [rule for rule, holds in rules.items() if not holds]
    if broken:
        raise ArtifactDamaged(f"{COUNTS_FILE}: {'; '.join(broken)}. Train the model again.")
