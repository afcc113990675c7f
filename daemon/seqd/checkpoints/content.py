"""A checkpoint as bytes: `checkpoint.json`, and `arrays.safetensors` where it has arrays.

The JSON holds the progress, the epochs so far, the digest of the arrays' file and that of the
training data, so that one digest, of the JSON, vouches for all of it. Pure; files are `folder`'s
business.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from seqd.errors import CheckpointDamaged, PluginFault
from seqd.hookspecs import Checkpoint
from seqd_schemas import MAX_KEPT_EPOCHS, EpochMetrics, FileDigest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[np.generic]]

#: Longest progress, in bytes of JSON: it holds an epoch and some means, not what was learnt.
MAX_PROGRESS_BYTES = 2**18

#: Longest `checkpoint.json`: beside the progress, 256 epochs of 16 figures take 400 kB at most.
MAX_STATE_BYTES = 2**20

#: Kinds of NumPy numbers that safetensors keeps: bool, signed, unsigned, float.
_KINDS = "biuf"


class State(BaseModel):
    """What `checkpoint.json` holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = Field(default=1, description="Version of this file's format.")
    progress: dict[str, JsonValue] = Field(description="The plugin's own words.")
    arrays: FileDigest | None = Field(description="Digest of arrays.safetensors; None: no file.")
    data_sha256: str | None = Field(description="Digest of the training data, where known.")
    epochs: tuple[EpochMetrics, ...] = Field(
        max_length=MAX_KEPT_EPOCHS, description="The epochs before it, as told."
    )


@dataclass(frozen=True, slots=True)
class Content:
    """A checkpoint's files."""

    state: bytes
    arrays: bytes | None

    @property
    def sha256(self) -> str:
        """The digest that vouches for the whole."""
        return hashlib.sha256(self.state).hexdigest()


def encode(
    arrays: "Arrays",
    progress: Mapping[str, JsonValue],
    data_sha256: str | None = None,
    epochs: Sequence[EpochMetrics] = (),
) -> Content:
    """Turn a checkpoint into bytes. Raises PluginFault for what cannot be kept exactly."""
    packed = _pack(arrays) if arrays else None
    digest = None
    if packed is not None:
        sha256 = hashlib.sha256(packed).hexdigest()
        digest = FileDigest(sha256=sha256, size_bytes=len(packed)).model_dump()
    _check_progress(progress)
    state = {
        "format": 1,
        "arrays": digest,
        "data_sha256": data_sha256,
        "epochs": [one.model_dump() for one in epochs],
        "progress": dict(progress),
    }
    # Not pydantic's JSON, which writes NaN as null. Python's gives floats back exactly.
    return Content(json.dumps(state).encode(), packed)


def _check_progress(progress: Mapping[str, JsonValue]) -> None:
    try:
        text = json.dumps(dict(progress), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PluginFault(
            f"a checkpoint's progress is not JSON: {error}. Allowed are text, finite numbers, "
            "booleans, None, and lists and dictionaries of them; numbers of NumPy go into arrays"
        ) from None
    if len(text) > MAX_PROGRESS_BYTES:
        raise PluginFault(
            f"a checkpoint's progress takes {len(text):,} bytes as JSON; allowed are "
            f"{MAX_PROGRESS_BYTES:,}. What is large goes into arrays"
        )


def read_state(state: bytes) -> State:
    """Read `checkpoint.json`; raises CheckpointDamaged."""
    try:
        return State.model_validate(json.loads(state))
    except (ValueError, ValidationError) as error:
        raise CheckpointDamaged(f"checkpoint.json is not one: {_first_line(error)}") from None


def decode(content: Content) -> Checkpoint:
    """Turn bytes back into a checkpoint; raises CheckpointDamaged where they do not fit."""
    state = read_state(content.state)
    if content.arrays is None:
        return Checkpoint({}, state.progress)
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return Checkpoint(load(content.arrays), state.progress)
    except SafetensorError as error:
        raise CheckpointDamaged(f"arrays.safetensors cannot be read: {error}") from None


def _pack(arrays: "Arrays") -> bytes:
    import numpy as np
    from safetensors.numpy import save

    for name, array in arrays.items():
        if array.dtype.kind not in _KINDS:
            raise PluginFault(
                f"array {name!r} of a checkpoint is of type {array.dtype}; allowed are booleans, "
                "whole numbers and floats of 16 to 64 bits"
            )
    # In rows, since safetensors stores memory as it lies. `np.array` keeps a shape of ().
    packed: bytes = save({name: np.array(array, order="C") for name, array in arrays.items()})
    return packed


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
