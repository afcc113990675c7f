"""Arrays of a version as a `.safetensors` file, which holds numbers and cannot run code."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seqd.errors import ArtifactDamaged, PluginFault

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def save_arrays(path: Path, arrays: "Mapping[str, npt.NDArray[np.generic]]") -> None:
    """Write arrays by name, of booleans, whole numbers or floats, in whatever order they lie.

    Raises PluginFault for what is no such array.
    """
    # Not `save_file`: it makes files that nobody but their owner may read.
    path.write_bytes(packed(arrays, "save_arrays is given"))


def packed(arrays: "Mapping[str, npt.NDArray[np.generic]]", given: str) -> bytes:
    """Return arrays as the content of such a file; `given` begins what is said of another type."""
    import numpy as np  # 0.1 s, which a plugin that is only described need not pay
    from safetensors.numpy import save

    # safetensors writes memory as it lies and says nothing of its order: that of a transposed
    # array, such as a `coef_` of scikit-learn, would be read as another array.
    rows = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    for name, array in rows.items():
        if array.dtype.kind not in "biuf":
            raise PluginFault(
                f"{given} {name!r} as {array.dtype}; allowed: booleans, whole numbers and floats, "
                "such as np.asarray(values, np.float32)."
            )
    content: bytes = save(rows)
    return content


def load_arrays(
    path: Path, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> "dict[str, npt.NDArray[np.generic]]":
    """Return the arrays of a file by name, each of the type and shape that was saved.

    Raises ArtifactDamaged for a file that cannot be read, and where `shapes` is given and the file
    has other names or shapes.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, npt.NDArray[np.generic]] = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ArtifactDamaged(f"{path.name} cannot be read: {error}. {_RESTORE}") from error
    found = {name: array.shape for name, array in arrays.items()}
    if shapes is not None and found != dict(shapes):
        raise ArtifactDamaged(
            f"{path.name} has arrays of the shapes {found}; due are {dict(shapes)}. {_RESTORE}"
        )
    return arrays


_RESTORE = "Train the model again or restore the file."
