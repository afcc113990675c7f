"""Text that comes through a pipe and may end late: read as it comes, and inflated.

A regular file at standard input (`< FILE`) comes the same way, and is read in one state as any.
"""

import io
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from seqd.errors import InvalidInput
from seqd.inputs.file_state import FileState
from seqd.inputs.paths import Compression, shown
from seqd.inputs.streams import (
    HEAD_BYTES,
    TORN,
    UTF8_BOM,
    Inflating,
    Opener,
    check_head,
    torn,
)

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER_BYTES = 262_144

#: Bytes by which a compressed stream is known.
_MAGIC_BYTES = 4


class LiveText:
    """A pipe's text, to be read once.

    Waits for its first bytes when it is made. Raises InvalidInput where there are none.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        """`name` is how messages call what is no file."""
        descriptor = _descriptor_of(stream)
        file = _file_behind(descriptor)
        self.path = file or Path(name)
        #: That in which a file is read; None of what is no file.
        self.state = None if file is None else FileState.of(file)
        pipe = self._pipe = _Pipe(stream, descriptor, self.path, self.state)
        head = pipe.wait_for(_MAGIC_BYTES)
        #: How it is compressed; None if it is not.
        self.compression = next((one for one in Compression if head.startswith(one.magic)), None)
        raw = pipe if self.compression is None else Inflating(self.path, pipe, self.compression)
        self._stream = io.BufferedReader(raw, buffer_size=_BUFFER_BYTES)
        if not head:
            raise InvalidInput(f"{shown(self.path)} is empty; at least one entry is due")

    def head(self) -> bytes:
        """Return what has come by now, and stays to be read: one byte at least.

        Raises InvalidInput where it is no text.
        """
        try:
            head = self._stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        except TORN as error:
            raise self._torn(error, "at its start") from error
        return head.removeprefix(UTF8_BOM)

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes as they come, once inflated."""
        try:
            while chunk := self._stream.read1(_BUFFER_BYTES):
                yield chunk
        except TORN as error:
            raise self._torn(error, "after its first lines") from error

    def opener(self) -> Opener:
        """Return what a reader of records opens it with."""
        return self._open

    def close(self) -> None:
        """Have whoever waits for more, in another thread, raise InvalidInput at once."""
        self._pipe.stop()

    @contextmanager
    def _open(self, path: Path) -> Iterator[BinaryIO]:
        check_head(self.path, self.head())
        if self._stream.peek(len(UTF8_BOM)).startswith(UTF8_BOM):
            self._stream.read(len(UTF8_BOM))
        yield cast(BinaryIO, self._stream)

    def _torn(self, error: Exception, where: str) -> InvalidInput:
        return torn(self.path, self.compression or Compression.GZIP, error, where)


class _Pipe(io.RawIOBase):
    """A stream that gives what has come, and waits only where nothing has."""

    def __init__(
        self, stream: BinaryIO, descriptor: int | None, path: Path, state: FileState | None
    ) -> None:
        self._stream = cast(io.BufferedReader, stream)
        self._path = path
        self._state = state
        self._head = b""
        self._bytes = 0
        self._stopped = False
        self._descriptor = descriptor
        #: Written to by `stop`: no other thread can end a read that waits.
        self._wake = os.pipe() if self._descriptor is not None else None

    def wait_for(self, size: int) -> bytes:
        """Return the first bytes, which stay to be read; fewer where the stream ends before."""
        while len(self._head) < size and (more := self._more(_BUFFER_BYTES)):
            self._head += more
        return self._head[:size]

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._bytes

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer with what has come."""
        view = memoryview(buffer).cast("B")
        chunk, self._head = self._head[: len(view)], self._head[len(view) :]
        chunk = chunk or self._more(len(view))
        view[: len(chunk)] = chunk
        self._bytes += len(chunk)
        return len(chunk)

    def stop(self) -> None:
        """End the read that waits, and all later ones, by InvalidInput."""
        self._stopped = True
        if self._wake is not None:
            os.write(self._wake[1], b".")

    def _more(self, size: int) -> bytes:
        if self._descriptor is None or self._wake is None:
            return self._stream.read1(size)
        select.select([self._descriptor, self._wake[0]], [], [])
        if self._stopped:
            raise InvalidInput(f"{shown(self._path)} was not read to its end")
        chunk = os.read(self._descriptor, size)
        if not chunk and self._state is not None:
            self._state.check(self._path, FileState.of_open(self._descriptor))
        return chunk

    def __del__(self) -> None:
        for descriptor in self._wake or ():
            os.close(descriptor)


def _descriptor_of(stream: BinaryIO) -> int | None:
    """Return the number of an open file; None of what is in memory."""
    try:
        return stream.fileno()
    except (OSError, AttributeError):
        return None


def _file_behind(descriptor: int | None) -> Path | None:
    """Return the path of the regular file that is open; None of a pipe, and of a removed file."""
    if descriptor is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return None
    path = Path(f"/dev/fd/{descriptor}").resolve()
    is_there = not FileState.of_open(descriptor).is_of_another(FileState.of(path))
    return path if is_there else None
