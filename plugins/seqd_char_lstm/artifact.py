"""A `char_lstm` version: its config, its weights, its mixture, and the files that hold them.

config.json           `Config`
weights.safetensors   `Weights`, float32 or float16
mixture.safetensors   the model that mixes contexts, where there is one beside the network
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from seqd.errors import ArtifactDamaged, LibraryMissing
from seqd_modelkit.artifacts import (
    RESTORE,
    ArtifactConfig,
    check_weights,
    read_tensors,
    write_tensors,
)
from seqd_modelkit.numba_probe import can_compile

if TYPE_CHECKING:  # it imports Numba
    from seqd_modelkit.mixing.model import Mixture

WEIGHTS_FILE: Final = "weights.safetensors"
MIXTURE_FILE: Final = "mixture.safetensors"

#: Characters that an alphabet may have: a batch of one-hot windows then still fits in 200 MB.
MAX_ALPHABET: Final = 10_000

#: Characters that a version's lead-in may have.
MAX_LEAD_IN: Final = 256

#: Largest magnitude of a weight, which is float16's. No sum of the largest network then leaves
#: float32, as the compiled code takes for granted.
_LARGEST: Final = 65_504.0

Floats = npt.NDArray[np.float32]


class Config(ArtifactConfig):
    """All that a version is, except for its weights and mixture."""

    FORMAT: ClassVar[int] = 3

    format: Literal[3] = 3
    #: `window`: a character is predicted from exactly the `window` before it, from zero states.
    #: `stream`: from all before it, the LSTM's states being carried along.
    reads: Literal["window", "stream"]
    alphabet: str = Field(min_length=2, max_length=MAX_ALPHABET)
    lower_case: bool
    units: int = Field(ge=1, le=1_024)
    layers: int = Field(default=1, ge=1, le=4)
    #: Size of the embedding; 0 where the first layer reads one-hot.
    embedding_dim: int = Field(default=0, ge=0, le=1_024)
    window: int | None = Field(default=None, ge=2, le=MAX_LEAD_IN)
    #: Text of the corpus up to the end of a sentence. `window`: as many characters, which stand
    #: before a prompt shorter than that. `stream`: what is read before any text, at least one.
    lead_in: str = Field(min_length=1, max_length=MAX_LEAD_IN)
    #: A model that mixes contexts predicts together with the network.
    mixes: bool = False

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if list(self.alphabet) != sorted(set(self.alphabet)):
            raise ValueError("the alphabet is not in order, or has a character twice")
        if not set(self.lead_in) <= set(self.alphabet):
            raise ValueError("lead_in has characters that the alphabet lacks")
        if self.reads == "window":
            self._fits_a_window()
        elif self.window is not None:
            raise ValueError("a version that reads a stream has no window")
        return self

    def _fits_a_window(self) -> None:
        if self.window is None:
            raise ValueError("a version that reads windows says of how many characters")
        if len(self.lead_in) != self.window:
            raise ValueError(f"lead_in has {len(self.lead_in)} characters, not {self.window}")
        if (self.layers, self.embedding_dim, self.mixes) != (1, 0, False):
            raise ValueError(
                "a version that reads windows has one layer, no embedding and no mixture"
            )


@dataclass(frozen=True)
class Layer:
    """One LSTM layer in Keras's layout: gates input, forget, candidate, output."""

    kernel: Floats  # (inputs, 4 units); inputs are ids where layer 0 reads one-hot
    recurrent: Floats  # (units, 4 units)
    bias: Floats  # (4 units,)


@dataclass(frozen=True)
class Weights:
    """The network's weights, float32."""

    embedding: Floats | None  # (ids, embedding_dim); None where layer 0 reads one-hot
    layers: tuple[Layer, ...]
    dense: Floats  # (units, ids)
    dense_bias: Floats  # (ids,)

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        return sum(tensor.nbytes for tensor in named(self).values())


@dataclass(frozen=True)
class Version:
    """A model version in memory."""

    config: Config
    weights: Weights
    mixture: "Mixture | None" = None

    def network_alone(self) -> "Version":
        """Return the version without its mixture."""
        return Version(self.config.model_copy(update={"mixes": False}), self.weights)


def named(weights: Weights) -> dict[str, Floats]:
    """Return the weights by their names in the file, such as `layer_0.kernel`."""
    tensors = {} if weights.embedding is None else {"embedding": weights.embedding}
    for number, layer in enumerate(weights.layers):
        tensors |= {f"layer_{number}.{name}": array for name, array in vars(layer).items()}
    return tensors | {"dense": weights.dense, "dense_bias": weights.dense_bias}


def as_weights(tensors: Mapping[str, Floats]) -> Weights:
    """Return arrays by the names that `named` gives as `Weights`."""
    layers: list[Layer] = []
    while f"layer_{len(layers)}.kernel" in tensors:
        name = f"layer_{len(layers)}"
        layers.append(Layer(*(tensors[f"{name}.{part}"] for part in Layer.__dataclass_fields__)))
    embedding = tensors.get("embedding")
    return Weights(embedding, tuple(layers), tensors["dense"], tensors["dense_bias"])


def shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the shape that each tensor must have, by its name."""
    ids, units = len(config.alphabet), config.units
    embedding = {"embedding": (ids, config.embedding_dim)} if config.embedding_dim else {}
    expected: dict[str, tuple[int, ...]] = {**embedding}
    for number in range(config.layers):
        inputs = units if number else config.embedding_dim or ids
        expected |= {
            f"layer_{number}.kernel": (inputs, 4 * units),
            f"layer_{number}.recurrent": (units, 4 * units),
            f"layer_{number}.bias": (4 * units,),
        }
    return expected | {"dense": (units, ids), "dense_bias": (ids,)}


def save(folder: Path, version: Version, *, half: bool = False) -> None:
    """Write the files into `folder`; `half` keeps weights as float16, for half the bytes."""
    config, mixture = version.config, version.mixture
    assert (mixture is not None) == config.mixes
    tensors = named(version.weights)
    assert {name: tensor.shape for name, tensor in tensors.items()} == shapes(config)
    dtype = np.float16 if half else np.float32
    contiguous = {name: np.ascontiguousarray(array, dtype) for name, array in tensors.items()}
    write_tensors(folder / WEIGHTS_FILE, contiguous)
    if mixture is not None:
        write_tensors(folder / MIXTURE_FILE, mixture.arrays())
    config.write(folder)


def load(folder: Path) -> Version:
    """Return the version in a folder; raise ArtifactDamaged, naming the file and the reason."""
    config = Config.read(folder)
    tensors = read_tensors(folder / WEIGHTS_FILE)
    weights = as_weights(check_weights(tensors, shapes(config), WEIGHTS_FILE, _LARGEST))
    return Version(config, weights, _load_mixture(folder, config) if config.mixes else None)


def check_numba() -> None:
    """Raise LibraryMissing where Numba cannot be imported; a network alone does without it."""
    if not can_compile():
        raise LibraryMissing(
            "char_lstm mixes contexts in compiled loops, and Numba cannot be imported here. "
            "Install seqd[serve], or train with mixing=false."
        )


def _load_mixture(folder: Path, config: Config) -> "Mixture":
    check_numba()
    from seqd_modelkit.mixing.model import Mixture

    try:
        return Mixture.from_arrays(read_tensors(folder / MIXTURE_FILE), config.alphabet)
    except ValueError as error:
        raise ArtifactDamaged(f"{MIXTURE_FILE} cannot be used: {error}. {RESTORE}") from error
