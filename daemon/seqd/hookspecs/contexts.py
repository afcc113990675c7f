"""Contexts: what the daemon hands a plugin to work with, so that it reads nothing global."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, JsonValue

from seqd.errors import CheckpointDamaged
from seqd_schemas import ModelManifest

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Device:
    """The device share that the process is pinned to, fixed before any library was imported."""

    #: Such as `cpu:0` or `gpu:0`.
    slot: str
    kind: Literal["cpu", "gpu"]
    #: Threads that a numeric library may use.
    threads: int = 1
    #: Memory of a GPU that a library may take for itself; None where the slot has no limit.
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model version on disk, its files checked against its manifest."""

    folder: Path
    manifest: ModelManifest


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One item to work on.

    `index` is its place in its whole job, whatever batch it is in; in a retry, that in the job that
    was handed in first.
    """

    index: int
    #: The text; of a task whose input is a record, the record as JSON.
    text: str
    #: The record, checked, of a task whose input is one.
    record: BaseModel | None = None


@dataclass(frozen=True, slots=True)
class LabelledRecord:
    """One record of a data set."""

    text: str
    label: str | None


@dataclass(frozen=True, slots=True)
class TextSegment:
    """A part of a record's text, or all of it."""

    text: str
    label: str | None = None
    #: False where the next segment belongs to the same record.
    ends_record: bool = True


class Dataset(Protocol):
    """Training or validation data, read from a file, a folder or the ledger."""

    @property
    def description(self) -> str:
        """Where it came from, for people; without a full path."""

    @property
    def named(self) -> str | None:
        """The plugin's own name for it, such as `keras:imdb`; then there are no records."""

    def records(self) -> Iterator[LabelledRecord]:
        """Read all records in order, from the start at each call.

        Raises InvalidData at the first line that is not a record, with its line number.
        """

    def text(self) -> str:
        """Return all texts as one running text; of a plain text file, its content unchanged."""

    def segments(self) -> Iterator[TextSegment]:
        """Yield all texts in order, in segments that fit in memory, from the start at each call.

        Joined, with a newline between two records, they are `text()`; of a plain text file there
        is one record, of any length.
        """


class RunContext(Protocol):
    """What `classify`, `generate` and `run` work with."""

    @property
    def device(self) -> Device:
        """The device share that the process is pinned to."""

    def stop_requested(self) -> bool:
        """True when the work should end: the job was cancelled or the worker drains (S1)."""

    def batch(
        self,
        *,
        items: int,
        real_tokens: int,
        computed_tokens: int,
        vectorise_s: float,
        compute_s: float,
    ) -> None:
        """Say what one batch was, so that operators see batch sizes, padding and where time goes.

        `computed_tokens` counts padding too; seconds are of the wall clock, text to arrays and
        arithmetic. Optional, once a batch.
        """

    def stream(self, item: WorkItem, sample: int, delta: str) -> None:
        """Publish a text delta: the next characters of a text that is being generated.

        `item` is the one that the plugin was given: in one batch, items of several jobs may have
        the same index. `sample` is the index of the text among its item's samples. The deltas of
        a sample come in order and add up to its text, which is returned as well: hold back what
        may turn out not to be part of it. Call it as often as you like: it costs next to nothing
        where nobody streams, never waits and raises nothing.
        """


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a training was: all that it needs to go on as if nothing had happened."""

    #: Numbers of any shape: weights, every variable of the optimizer.
    arrays: "Mapping[str, npt.NDArray[np.generic]]"
    #: Small JSON: epoch, step, running means. Floats come back to the last bit.
    progress: Mapping[str, JsonValue]


class Checkpoints(Protocol):
    """A training's checkpoints: its own last ones, or those of the job that it goes on from."""

    def load(self) -> Checkpoint | None:
        """Return the last checkpoint that is sound, None where there is none: begin anew.

        Read the training data first: it is held against the data that the checkpoint has learnt
        from. Raises CheckpointDamaged where there are checkpoints and none is sound, InvalidData
        where the data has changed.
        """

    def due(self) -> bool:
        """True when `SEQD_CHECKPOINT_S` seconds have passed since the last save, or the start."""

    def save(
        self, arrays: "Mapping[str, npt.NDArray[np.generic]]", progress: Mapping[str, JsonValue]
    ) -> None:
        """Keep a checkpoint, whole or not at all; the arrays are copied.

        Raises LeaseLost when the training belongs to another worker or its job has ended,
        StoreUnwritable when the disk is full. While a stop is requested a full disk raises
        nothing: what was saved before still counts.
        """


class TrainContext(Protocol):
    """What `train` works with."""

    @property
    def device(self) -> Device:
        """The device share that the process is pinned to."""

    @property
    def data(self) -> Dataset:
        """What to learn from."""

    @property
    def held_out(self) -> Dataset | None:
        """What to validate on; None when the plugin must hold some of `data` out."""

    @property
    def folder(self) -> Path:
        """Empty folder for the new version's files."""

    @property
    def checkpoints(self) -> Checkpoints:
        """Where the training's state outlives a kill of its worker (C1)."""

    def stop_requested(self) -> bool:
        """True when the training should end: save, and raise Stopped within one step (S1)."""

    def step(self, done: int, total: int, **metrics: float) -> None:
        """Report steps done over all epochs; call it as often as you like, it is throttled."""

    def epoch(self, epoch: int, epochs: int, seconds: float, **metrics: float) -> None:
        """Report a finished epoch, counted from 1.

        An epoch that is gone through again after a kill is told to the caller once.
        """

    def sample(self, epoch: int, temperature: float, prompt: str, text: str) -> None:
        """Show a text that the model writes at this point."""

    def log(self, message: str) -> None:
        """Tell the caller something."""

    def fingerprint(
        self, records: int, sha256: str, classes: Mapping[str, int] | None = None
    ) -> None:
        """State the size and digest of a named data set, for the manifest.

        `classes` has the records of each class, where there are classes. Of all other data the
        daemon takes the fingerprint itself.
        """


def random_stream(seed: int, item_index: int, sample_index: int) -> "np.random.Generator":
    """Return the random stream of one sample of one item.

    The same three numbers give the same stream, whatever else is in the batch and whichever
    attempt it is: Philox is counter-based (Salmon et al. 2011), so streams of different keys
    are independent without being drawn in turn.
    """
    import numpy as np  # 0.1 s, which clients that only read these names need not pay

    # A seed of any size, and below zero: a key has 64 bits.
    key = np.array([int(seed) & (2**64 - 1), (item_index << 20) | sample_index], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


class Variable(Protocol):
    """Numbers that a library holds, such as a `keras.Variable`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape, which stays."""

    def numpy(self) -> "npt.NDArray[np.generic]":
        """Return its numbers."""

    def assign(self, value: "npt.NDArray[np.generic]") -> object:
        """Take other numbers, of the same shape."""


def saved_variables(variables: Mapping[str, Variable]) -> "dict[str, npt.NDArray[np.generic]]":
    """Copy the variables' numbers out, for `Checkpoints.save`."""
    import numpy as np  # 0.1 s, which clients that only read these names need not pay

    return {name: np.array(variable.numpy()) for name, variable in variables.items()}


def restore_variables(
    variables: Mapping[str, Variable], arrays: "Mapping[str, npt.NDArray[np.generic]]", model: str
) -> None:
    """Assign a checkpoint's arrays to the variables of the same names.

    Raises CheckpointDamaged, and changes nothing, where names or shapes differ.
    """
    shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
    check_arrays(arrays, shapes, model)
    for name, variable in variables.items():
        variable.assign(arrays[name])


def check_arrays(
    arrays: "Mapping[str, npt.NDArray[np.generic]]",
    shapes: Mapping[str, tuple[int, ...]],
    model: str,
) -> None:
    """Raise CheckpointDamaged unless a checkpoint's arrays have these names and shapes.

    `model` is the plugin's model, for the message.
    """
    found = {name: array.shape for name, array in arrays.items()}
    if found != dict(shapes):
        raise CheckpointDamaged(
            f"The checkpoint has arrays of the shapes {found}; this network has {dict(shapes)}. It "
            f"was saved by another version of {model} or of its libraries. Train anew."
        )
