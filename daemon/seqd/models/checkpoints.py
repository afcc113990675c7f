"""Checkpoints of trainings, as bytes and on disk: whole, checked, and without a pickle.

A checkpoint is `checkpoint.json`, and `arrays.safetensors` where it has arrays, in
`<data>/checkpoints/<job>/<name>/`, which appears by a rename. Which of them count is recorded in
the ledger. With a store at a URL each is copied there, as `checkpoints/<job>/<name>/`, and another
host goes on from it.
"""

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from seqd.errors import CheckpointDamaged, PluginFault, StoreUnreachable, StoreUnwritable
from seqd.hookspecs import Checkpoint
from seqd.models.disk import read_file, sync, writing
from seqd.models.model_records import RUN_ID
from seqd.objects import Objects
from seqd.plugin.arrays import packed
from seqd.validation import fault_sentence
from seqd_schemas import MAX_KEPT_EPOCHS, EpochMetrics, FileDigest, from_stored

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Arrays = Mapping[str, npt.NDArray[np.generic]]

log = logging.getLogger(__name__)

#: Longest progress, in bytes of JSON: it holds an epoch and some means, not what was learnt.
MAX_PROGRESS_BYTES = 2**18

#: Longest `checkpoint.json`: beside the progress, 256 epochs of 16 figures take 400 kB at most.
MAX_STATE_BYTES = 2**20


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
    content = packed(arrays, "a checkpoint has the array") if arrays else None
    digest = None
    if content is not None:
        sha256 = hashlib.sha256(content).hexdigest()
        digest = FileDigest(sha256=sha256, size_bytes=len(content)).model_dump()
    _check_progress(progress)
    state = {
        "format": 1,
        "arrays": digest,
        "data_sha256": data_sha256,
        "epochs": [one.model_dump() for one in epochs],
        "progress": dict(progress),
    }
    # Not pydantic's JSON, which writes NaN as null. Python's gives floats back exactly.
    return Content(json.dumps(state).encode(), content)


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


def decode(content: Content) -> tuple[Checkpoint, State]:
    """Turn bytes back into a checkpoint, with what the daemon keeps beside the plugin's part.

    Raises CheckpointDamaged where they do not fit.
    """
    state, arrays = _read_state(content.state), {}
    if content.arrays is not None:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            arrays = load(content.arrays)
        except SafetensorError as error:
            raise CheckpointDamaged(f"arrays.safetensors cannot be read: {error}") from None
    return Checkpoint(arrays, state.progress), state


def _read_state(state: bytes) -> State:
    try:
        return from_stored(State, state)
    except ValidationError as error:
        fault = fault_sentence(error, whole="the whole", shows_value=False)
        raise CheckpointDamaged(f"checkpoint.json is not one: {fault}") from None


STATE_FILE = "checkpoint.json"
ARRAYS_FILE = "arrays.safetensors"

_WHO = "a training"
_ASIDE = ".aside-"


def checkpoints_dir(data_dir: Path) -> Path:
    """Return the folder that has a folder for each job."""
    return data_dir / "checkpoints"


class CheckpointFolder:
    """The checkpoints of one job. The folder need not exist."""

    def __init__(self, data_dir: Path, job_id: str, objects: Objects | None = None) -> None:
        """`objects` are those of the store at a URL."""
        if RUN_ID.fullmatch(job_id) is None:
            raise ValueError(f"{job_id!r} cannot be a folder's name")
        self._folder = checkpoints_dir(data_dir) / job_id
        self._objects = objects
        self._place = f"checkpoints/{job_id}"

    def write(self, name: str, content: Content) -> None:
        """Bring a checkpoint to the disk, whole or not at all. Raises StoreUnwritable."""
        with self._aside() as aside:
            for file, written in ((STATE_FILE, content.state), (ARRAYS_FILE, content.arrays)):
                if written is not None:
                    (aside / file).write_bytes(written)
                    sync(aside / file)
            sync(aside)
            aside.rename(self._folder / name)
            sync(self._folder)
        if self._objects is not None:
            try:
                for path in sorted((self._folder / name).iterdir()):
                    self._objects.upload(path, f"{self._place}/{name}/{path.name}")
            except StoreUnreachable as error:
                log.warning("a checkpoint is on this host alone: %s", error)

    def _fetch(self, name: str, objects: Objects) -> None:
        """Bring a checkpoint of another host to this one, if it is in the store."""
        with self._aside() as aside:
            place = f"{self._place}/{name}"
            if objects.download(f"{place}/{STATE_FILE}", aside / STATE_FILE):
                objects.download(f"{place}/{ARRAYS_FILE}", aside / ARRAYS_FILE)
                aside.rename(self._folder / name)

    @contextmanager
    def _aside(self) -> Iterator[Path]:
        """Yield a new folder beside the checkpoints, which is gone in the end unless renamed."""
        with writing(self._folder, _WHO):
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self._folder))
            try:
                yield aside
            finally:
                shutil.rmtree(aside, ignore_errors=True)

    def read(self, name: str, sha256: str) -> tuple[Checkpoint, State]:
        """Read the checkpoint with this digest.

        Raises CheckpointDamaged, which names the file and what is wrong with it, and
        StoreUnreachable.
        """
        folder = self._folder / name
        if self._objects is not None and not folder.is_dir():
            self._fetch(name, self._objects)
        try:
            state = read_file(folder / STATE_FILE, MAX_STATE_BYTES + 1)
            _check(folder / STATE_FILE, state, sha256)
            expected, arrays = _read_state(state).arrays, None
            if expected is not None:
                arrays = read_file(folder / ARRAYS_FILE, expected.size_bytes + 1)
                _check(folder / ARRAYS_FILE, arrays, expected.sha256)
            return decode(Content(state, arrays))
        except OSError as error:
            raise CheckpointDamaged(
                f"{error.filename or folder} cannot be read: {error.strerror}"
            ) from error

    def names(self) -> set[str]:
        """Return the names of all checkpoints, half written ones of killed attempts included.

        Raises StoreUnwritable where the folder is gone.
        """
        with writing(self._folder, _WHO):
            return {path.name for path in self._folder.iterdir()}

    def remove(self, names: Collection[str]) -> None:
        """Remove what has these names; nothing happens where it is gone."""
        for name in names:
            shutil.rmtree(self._folder / name, ignore_errors=True)
            self._remove_objects(f"{self._place}/{name}")

    def remove_all(self) -> None:
        """Remove all of the job's checkpoints; nothing happens where there are none."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._remove_objects(self._place)

    def _remove_objects(self, place: str) -> None:
        if self._objects is not None:
            with suppress(StoreUnwritable):  # the bucket's rule for old objects removes them
                for name in self._objects.etags(place):
                    self._objects.remove(name)


def _check(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CheckpointDamaged(
            f"{path} is not the file that was saved: its SHA-256 should be {expected}, and is "
            f"{found}"
        )
