"""What a version holds: how much each feature weighs, as `weights.safetensors`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from seqd.errors import ArtifactDamaged
from seqd.plugin import load_arrays, save_arrays
from seqd_embed.hashing import FEATURES

WEIGHTS_FILE: Final = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Weights:
    """What has been learnt from texts."""

    #: The inverse document frequency of each feature: ln((1 + texts) / (1 + texts with it)) + 1.
    idf: npt.NDArray[np.float32]

    @classmethod
    def learnt(cls, texts: int, texts_with: npt.NDArray[np.int64]) -> "Weights":
        """Return the weights by the number of texts, and of those that have each feature."""
        idf = np.log((1 + texts) / (1 + texts_with)) + 1
        return cls(idf.astype(np.float16).astype(np.float32))


def save(weights: Weights, folder: Path) -> None:
    """Write the version's file; half a float is precise enough for a weight."""
    save_arrays(folder / WEIGHTS_FILE, {"idf": weights.idf.astype(np.float16)})


def load(folder: Path) -> Weights:
    """Read a version's file; raise ArtifactDamaged where it is not as `save` writes it."""
    idf = load_arrays(folder / WEIGHTS_FILE, {"idf": (FEATURES,)})["idf"].astype(np.float32)
    if not np.isfinite(idf).all():
        raise ArtifactDamaged(f"{WEIGHTS_FILE} has a weight that is not finite. Train again.")
    return Weights(idf)
