"""One server to a data folder: a lock that its holder and the server itself keep.

The lock is `flock` on a file, and the server inherits the open file. So it lasts exactly as
long as anybody can still write the append-only file: if `seqd up` is killed, until its
server has ended too. Called by `embedded` only.
"""

import fcntl
import os
import time
from pathlib import Path

from seqd.errors import InvalidSettings

LOCK_NAME = "lock"

_RETRY_S = 0.02


class FolderLock:
    """The right to run a server on a folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK_NAME
        self._descriptor: int | None = None

    @property
    def descriptor(self) -> int:
        """The open file, to be inherited by the server."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        return self._descriptor

    def take(self, patience_s: float) -> None:
        """Take the lock, waiting `patience_s` for the server of a dead holder to end.

        Raises InvalidSettings at once, naming the holder, when that is alive.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + patience_s
        while not _try_lock(descriptor):
            holder = _holder(descriptor)
            if is_alive(holder) or time.monotonic() > deadline:
                os.close(descriptor)
                raise InvalidSettings(self._held_by(holder))
            time.sleep(_RETRY_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def give_back(self) -> None:
        """Let go; does nothing when the lock is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _held_by(self, holder: int) -> str:
        folder = self._path.parent
        if not is_alive(holder):
            return (
                f"A server that outlived its `seqd up` (process {holder}) still uses {folder}. "
                "Its pid is in endpoint.json there: end it, or set SEQD_DATA_DIR to another folder."
            )
        return (
            f"Process {holder} runs a Redis server on {folder} already, and two servers would ruin "
            "each other's file. Use that one (commands find it by themselves), stop it, or set "
            "SEQD_DATA_DIR to another folder."
        )


def is_alive(pid: int) -> bool:
    """True when a process with this pid runs; it may belong to another user."""
    if pid <= 0 or _is_zombie(pid):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_zombie(pid: int) -> bool:
    # Under a container's first process that reaps nobody, the killed keep their pid for ever.
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # No such process, or a system without /proc: the signal will tell.
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> int:
    text = os.pread(descriptor, 32, 0).decode("ascii", errors="replace")
    return int(text) if text.isdigit() else 0
