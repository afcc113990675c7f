"""Files of a model version: tensors in safetensors, and a config in JSON with a format version.

Everything that is wrong with a file raises ArtifactDamaged, which names the file and the reason.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from seqd.errors import ArtifactDamaged
from seqd.plugin import load_arrays, save_arrays

CONFIG_FILE: Final = "config.json"

Floats = npt.NDArray[np.float32]
Tensors = dict[str, npt.NDArray[np.generic]]

#: The end of each error message.
RESTORE: Final = "Train the model again or restore the file."


class _FormatOnly(BaseModel):
    """The one field that is read before the format is known."""

    format: int


class ArtifactConfig(BaseModel):
    """What a version says of itself, but for its tensors; derive it, with the format first.

    A derived class declares `format: Literal[N] = N`, and `FORMAT` as the same number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    FORMAT: ClassVar[int]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the config of a folder; raise ArtifactDamaged, for a later format too."""
        try:
            content = (folder / CONFIG_FILE).read_bytes()
            found = _FormatOnly.model_validate_json(content).format
            if found > cls.FORMAT:
                raise ArtifactDamaged(
                    f"{CONFIG_FILE} has format {found}, and this seqd reads format {cls.FORMAT}. A "
                    "later seqd trained the version: install that one here, or serve another "
                    "version."
                )
            return cls.model_validate_json(content, extra="ignore")
        except (OSError, ValidationError) as error:
            raise ArtifactDamaged(f"{CONFIG_FILE} cannot be used: {error}. {RESTORE}") from error

    def write(self, folder: Path) -> None:
        """Write the config into a version's folder, in ASCII."""
        content = json.dumps(self.model_dump(), indent=2) + "\n"
        (folder / CONFIG_FILE).write_text(content, encoding="ascii")


def write_tensors(path: Path, tensors: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write arrays by name, with the permissions that new files have."""
    save_arrays(path, tensors)


def read_tensors(path: Path) -> Tensors:
    """Return the arrays of a file by name; raise ArtifactDamaged."""
    return load_arrays(path)


def check_weights(
    tensors: Tensors, shapes: Mapping[str, tuple[int, ...]], file: str, largest: float
) -> dict[str, Floats]:
    """Return weights as float32, in the order of `shapes`; raise ArtifactDamaged.

    They must have exactly these names and shapes, float32 or float16, and no value beyond
    ±`largest` or none at all. `file` is named in errors.
    """
    if tensors.keys() != shapes.keys():
        raise ArtifactDamaged(
            f"{file} has the tensors {sorted(tensors)}; expected are {sorted(shapes)}. {RESTORE}"
        )
    return {
        name: _checked_weight(f"{file}: {name!r}", tensors[name], shape, largest)
        for name, shape in shapes.items()
    }


def _checked_weight(
    what: str, tensor: npt.NDArray[np.generic], shape: tuple[int, ...], largest: float
) -> Floats:
    if tensor.shape != shape or tensor.dtype not in (np.float32, np.float16):
        raise ArtifactDamaged(
            f"{what} is {tensor.dtype} of shape {tensor.shape}; {CONFIG_FILE} asks for float32 or "
            f"float16 of shape {shape}. {RESTORE}"
        )
    floats = tensor.astype(np.float32)
    if not (np.abs(floats) <= largest).all():
        raise ArtifactDamaged(
            f"{what} has values that are no numbers, or beyond ±{largest:,.0f}. {RESTORE}"
        )
    return floats
