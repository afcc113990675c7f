"""Files that get their name when they are whole: written beside it, synced, then renamed.

A draft of `results.jsonl` is `.results.jsonl.part`. It is locked, so that two commands never write
one file; what a killed one has left is written over.
"""

import fcntl
import gzip
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from seqd.cli.output_forms import Form, Target
from seqd.cli.ui.stdout import stdout
from seqd.errors import InvalidRequest, OutputExists, OutputUnwritable
from seqd.escaping import printable, printable_json
from seqd.inputs.paths import Compression

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Outlet(Protocol):
    """Where an output is written."""

    #: What is written goes here.
    file: BinaryIO

    def seal(self) -> None:
        """Write what is held, so that a full disk is known. Raises OSError."""

    def place(self, *, replaces: bool) -> None:
        """Give a file its name. Raises OSError, and OutputExists unless it `replaces`."""

    def discard(self) -> None:
        """Close it, and remove what was not placed."""


def open_outlet(target: Target, option: str) -> Outlet:
    """Open an output. Raises OutputUnwritable, InvalidRequest for bytes on a terminal."""
    try:
        return _Stream(target, option) if target.is_stream else _Draft(target, option)
    except OSError as error:
        raise unwritable(target.path, error, option) from None


@contextmanager
def placed(target: Target, option: str, *, replaces: bool) -> Iterator[BinaryIO]:
    """Yield a file that gets its name once the `with` block has ended well, and else is gone.

    Raises OutputExists unless it `replaces`, and OutputUnwritable, also from the file's `write`;
    what else is raised in the block is of other files, and stays as it is.
    """
    if not target.is_stream and not replaces:
        refuse_to_replace(target.path, option)
    outlet = open_outlet(target, option)
    try:
        yield cast(BinaryIO, _Named(outlet.file, target.path, option))
        with _named(target.path, option):
            outlet.seal()
            outlet.place(replaces=replaces)
    finally:
        outlet.discard()


@contextmanager
def _named(path: Path, option: str) -> Iterator[None]:
    """Raise OutputUnwritable, which names the output, where it cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(path, error, option) from None


class _Named(io.RawIOBase):
    """Writes to an output, whose errors name it."""

    def __init__(self, file: BinaryIO, path: Path, option: str) -> None:
        self._file, self._path, self._option = file, path, option

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def tell(self) -> int:
        """Return how much was written."""
        return self._file.tell()

    def write(self, data: object, /) -> int:
        """Write bytes. Raises OutputUnwritable."""
        with _named(self._path, self._option):
            return self._file.write(cast(bytes, data))


def refuse_to_replace(path: Path, option: str) -> None:
    """Raise OutputExists where there is something under a name."""
    if os.path.lexists(path):
        raise _exists(path, option)


def unwritable(path: Path, error: OSError, option: str = "--out") -> OutputUnwritable:
    """Return the error for an output that the system refuses."""
    return OutputUnwritable(
        f"{option} is {str(path)!r}, which cannot be written ({error.strerror or error}). Name a "
        "file in a folder that exists, is yours, and has room"
    )


def sync_folder(folder: Path) -> None:
    """Have the names in a folder outlive a power failure, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Draft:
    """A file that is not whole yet."""

    def __init__(self, target: Target, option: str) -> None:
        self._path = target.path
        self._option = option
        self._draft = target.path.with_name(f".{target.path.name}.part")
        self._raw = os.fdopen(_locked(self._draft, target.path, option), "wb")
        self.file = _compressing(self._raw, target.compression)

    def seal(self) -> None:
        """Write what is held, onto the disk."""
        if self.file is not self._raw:
            self.file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())

    def place(self, *, replaces: bool) -> None:
        """Give the file its name, while it is still locked."""
        if replaces:
            self._draft.replace(self._path)
        else:
            self._link()
        sync_folder(self._path.parent)
        self._raw.close()

    def discard(self) -> None:
        """Remove what was not placed."""
        if self._raw.closed:
            return
        self._draft.unlink(missing_ok=True)
        for file in (self.file, self._raw):
            with suppress(OSError):  # what it holds has no room; it is not wanted any more
                file.close()

    def _link(self) -> None:
        """Rename, but never over another file, where the file system can."""
        try:
            os.link(self._draft, self._path)
        except FileExistsError:
            raise _exists(self._path, self._option) from None
        except OSError:  # no hard links there
            refuse_to_replace(self._path, self._option)
            self._draft.replace(self._path)
            return
        self._draft.unlink()


class _Stream:
    """Standard output, a pipe or a device: what was written stays, and there is no other name."""

    def __init__(self, target: Target, option: str) -> None:
        self._is_stdout = target.is_stdout
        if not target.is_stdout:
            self._raw = cast(BinaryIO, target.path.open("wb"))
        else:
            text = stdout()
            text.flush()
            self._raw = text.buffer
        is_terminal = self._raw.isatty()
        if is_terminal and (target.form is Form.PARQUET or target.compression is not None):
            raise InvalidRequest(
                f"{option} is a terminal, which shows no compressed data. Name a file"
            )
        self.file = _compressing(self._raw, target.compression)
        if target.compression is None and (target.form is Form.JSONL or is_terminal):
            self.file = cast(BinaryIO, _Printable(self._raw, is_json=target.form is Form.JSONL))

    def seal(self) -> None:
        """Write what is held."""
        if isinstance(self.file, gzip.GzipFile | zstd.ZstdFile):
            self.file.close()
        self._raw.flush()

    def place(self, *, replaces: bool) -> None:
        """Close it, but for standard output."""
        if not self._is_stdout:
            self._raw.close()

    def discard(self) -> None:
        """Close it, but for standard output."""
        with suppress(OSError):
            self.place(replaces=False)


class _Printable(io.RawIOBase):
    """Writes text with all that a terminal would obey escaped."""

    def __init__(self, raw: BinaryIO, *, is_json: bool) -> None:
        self._raw = raw
        self._escaped = printable_json if is_json else printable

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def write(self, data: object, /) -> int:
        """Write whole lines."""
        content = bytes(cast(bytes, data))
        self._raw.write(self._escaped(content.decode("utf-8", "replace")).encode())
        return len(content)


def _locked(draft: Path, path: Path, option: str) -> int:
    """Open a draft that no other command writes, empty. Raises OSError, OutputUnwritable."""
    while True:
        descriptor = os.open(draft, _FLAGS, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another command may have given it its name since it was opened.
            if _is_at(descriptor, draft):
                os.ftruncate(descriptor, 0)
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise OutputUnwritable(
                f"{option} is {str(path)!r}, which another command is about to write. Wait for its "
                "end, or name another file"
            ) from None
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


def _compressing(raw: BinaryIO, compression: Compression | None) -> BinaryIO:
    if compression is Compression.GZIP:
        # The level of the gzip program; the module's own default is slower and no smaller.
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6))
    if compression is Compression.ZSTD:
        return cast(BinaryIO, zstd.ZstdFile(raw, "wb"))
    return raw


def _exists(path: Path, option: str) -> OutputExists:
    return OutputExists(
        f"{option} is {str(path)!r}, which exists. Name another file, or replace it with --force"
    )


class JobNote:
    """The file beside an output that names the job whose results go into it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._path = out.with_name(f".{out.name}.job")

    def read(self) -> str | None:
        """Return the job's id; None without a file. Raises InvalidRequest for another file."""
        try:
            return str(json.loads(self._path.read_bytes())["job_id"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InvalidRequest(
                f"{str(self._path)!r} should name the job of an interrupted command, and cannot be "
                f"read ({error}). Remove it, and look for the job: seqd jobs list"
            ) from None

    def write(self, job_id: str) -> None:
        """Note a job, so that it outlives a power failure. Raises OutputUnwritable."""
        draft = self._path.with_name(f"{self._path.name}.part")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"job_id": job_id}, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise unwritable(self.out, error) from None
        sync_folder(self._path.parent)

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)
