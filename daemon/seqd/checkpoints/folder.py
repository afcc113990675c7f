"""One job's checkpoints on disk: `<data>/checkpoints/<job>/<name>/`, each appearing by a rename.

A folder that is there need not count: the ledger names those that do, with their digests, and
nothing is read that it does not name. Called by `seqd.worker.training.checkpoints`.
"""

import hashlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from seqd.checkpoints.content import MAX_STATE_BYTES, Content, decode, read_state
from seqd.errors import CheckpointDamaged
from seqd.hookspecs import Checkpoint
from seqd.store.disk import sync, writing
from seqd_schemas import EpochFigures

STATE_FILE = "checkpoint.json"
ARRAYS_FILE = "arrays.safetensors"

_WHO = "a training"
_ASIDE = ".aside-"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}(?:\.[0-9]{1,9})?")


def checkpoints_dir(data_dir: Path) -> Path:
    """Give the folder that has a folder for each job."""
    return data_dir / "checkpoints"


class Kept(NamedTuple):
    """A checkpoint as it was read, with what the daemon keeps beside the plugin's part."""

    checkpoint: Checkpoint
    #: Digest of the data that it learnt from, where known.
    data_sha256: str | None
    epochs: tuple[EpochFigures, ...]


class CheckpointFolder:
    """The checkpoints of one job. The folder need not exist."""

    def __init__(self, data_dir: Path, job_id: str) -> None:
        if _NAME.fullmatch(job_id) is None:
            raise ValueError(f"{job_id!r} cannot be a folder's name")
        self._folder = checkpoints_dir(data_dir) / job_id

    def write(self, name: str, content: Content) -> None:
        """Bring a checkpoint to the disk, whole or not at all. Raises StoreUnwritable."""
        with writing(self._folder, _WHO):
            self._folder.mkdir(parents=True, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=self._folder))
            try:
                _write(aside / STATE_FILE, content.state)
                if content.arrays is not None:
                    _write(aside / ARRAYS_FILE, content.arrays)
                sync(aside)
                aside.rename(self._folder / name)
                sync(self._folder)
            except BaseException:
                shutil.rmtree(aside, ignore_errors=True)
                raise

    def read(self, name: str, sha256: str) -> Kept:
        """Read the checkpoint with this digest.

        Raises CheckpointDamaged, which names the file and what is wrong with it.
        """
        folder = self._folder / name
        try:
            state = _read(folder / STATE_FILE, MAX_STATE_BYTES)
            _check(folder / STATE_FILE, state, sha256)
            described = read_state(state)
            arrays = None
            if described.arrays is not None:
                arrays = _read(folder / ARRAYS_FILE, described.arrays.size_bytes)
                _check(folder / ARRAYS_FILE, arrays, described.arrays.sha256)
            checkpoint = decode(Content(state, arrays))
            return Kept(checkpoint, described.data_sha256, described.epochs)
        except OSError as error:
            raise CheckpointDamaged(
                f"{error.filename or folder} cannot be read: {error.strerror}"
            ) from error

    def names(self) -> set[str]:
        """Give the names of all that is there, half written checkpoints of killed attempts too."""
        return {path.name for path in self._folder.iterdir()}

    def remove(self, names: Collection[str]) -> None:
        """Remove what has these names; nothing happens where it is gone."""
        for name in names:
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def remove_all(self) -> None:
        """Remove all of the job's checkpoints; nothing happens where there are none."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, most: int) -> bytes:
    """Read a regular file, one byte beyond `most` at the most; follows no link."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise CheckpointDamaged(f"{path} is no regular file")
        return file.read(most + 1)


def _check(path: Path, content: bytes, expected: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise CheckpointDamaged(
            f"{path} is not the file that was saved: its SHA-256 should be {expected}, and is "
            f"{found}"
        )
