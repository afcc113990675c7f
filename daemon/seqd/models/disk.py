"""Files of the store: read with a bound, written so that they survive a power cut, and locked."""

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from seqd.errors import StoreUnwritable

#: A draft of a file of JSON: a dot, its name, and what `mkstemp` adds.
_DRAFT = re.compile(r"\..+\.json\.[a-z0-9_]{8}")


@contextmanager
def writing(path: Path, who: str = "the model store") -> Iterator[None]:
    """Turn an OSError inside into StoreUnwritable, which names the path and the reason."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error, who) from error


def unwritable(path: Path, error: OSError, who: str) -> StoreUnwritable:
    """Say that `who` could not write, where, and what to do."""
    return StoreUnwritable(
        f"{who} cannot write {path}: {error.strerror or error}. Make room or mend "
        "the folder's permissions, or set SEQD_DATA_DIR to another folder"
    )


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Keep other writers of a folder out, in all processes; a killed one lets go by itself.

    Raises StoreUnwritable, also where the folder is renamed while it is waited for.
    """
    with writing(folder):
        descriptor = _locked(folder / ".lock")
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive_if_free(folder: Path) -> Iterator[bool]:
    """Keep others out as `exclusive` does; give False where one holds the folder now."""
    descriptor = None
    with writing(folder), suppress(BlockingIOError):
        descriptor = _locked(folder / ".lock", fcntl.LOCK_NB)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(path: Path, how: int = 0) -> int:
    """Return the descriptor of a lock that is held, and still there under its name."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | how)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return so many bytes of a file at most; follows no link, waits for no pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most_bytes)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file as a whole: at every moment it has its old content or its new one."""
    with writing(path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(0o644)
            draft.replace(path)
        except BaseException:
            draft.unlink()
            raise
        sync(path.parent)


def empty(folder: Path) -> None:
    """Remove what is in a folder."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def drafts_in(folder: Path) -> list[Path]:
    """Return the drafts of `write_atomically` in a folder; a killed one stays."""
    return [path for path in folder.iterdir() if _DRAFT.fullmatch(path.name)]


def sync(path: Path) -> None:
    """Bring a file's or folder's content to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
