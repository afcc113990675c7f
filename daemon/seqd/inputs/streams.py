"""Lines of a file as bytes, in bounded memory, whatever is in it; `.gz` and `.zst` are inflated.

A compressed file that expands like a decompression bomb is refused.
"""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from seqd.errors import InvalidInput
from seqd.inputs.file_state import FileState
from seqd.inputs.items import BadEntry
from seqd.inputs.paths import Compression, compression_of, open_regular, shown
from seqd_schemas import ItemErrorCode

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Deflate reaches 1,030:1 on zeros and zstd 32,000:1; reviews reach 3:1, and one line over and
#: over about 300:1 with deflate.
MAX_INFLATION = 500
#: Output below which any ratio is allowed, in bytes.
FREE_INFLATION_BYTES = 100 * 2**20

#: A zstd file says how much memory its reader needs, up to 2 GiB. This takes every file but those
#: of `--long` and `--ultra -21` upwards.
MAX_ZSTD_WINDOW_LOG = 25

#: What inflating raises when a file is torn or damaged; `torn` explains it.
TORN = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError)

_BUFFER_BYTES = 262_144


def inflated(path: Path, file: BinaryIO, compression: Compression) -> io.BufferedReader:
    """Return the content of a compressed file, from its start.

    Raises InvalidInput if it does not begin as its name says. Reading on raises one of `TORN`
    at a damaged place, and InvalidInput at a bomb.
    """
    magic = file.read(len(compression.magic))
    file.seek(0)
    if magic != compression.magic:
        raise InvalidInput(
            f"{shown(path)} is named {compression.suffix} but is not a {compression} file: it "
            f"begins with {magic.hex(' ')}, not with {compression.magic.hex(' ')}. Rename it, or "
            f"compress it with `{compression}`"
        )
    return io.BufferedReader(Inflating(path, file, compression), buffer_size=_BUFFER_BYTES)


def torn(path: Path, compression: Compression, error: Exception, where: str) -> InvalidInput:
    """Explain why the inflating of a file ended early."""
    if "too much memory" in str(error):
        return InvalidInput(
            f"{shown(path)} was compressed with a window of more than "
            f"{2**MAX_ZSTD_WINDOW_LOG // 2**20} MiB, which every reader of it would need. Compress "
            "it again without `--long` and `--ultra`"
        )
    what = "ends in the middle" if isinstance(error, EOFError) else f"is damaged ({error})"
    return InvalidInput(
        f"the {compression} file {shown(path)} {what}, {where}: it was not copied whole. Copy it "
        f"again and check it with `{compression} -t`"
    )


class Inflating(io.RawIOBase):
    """The content of what is compressed, with an eye on how fast it multiplies.

    Reading raises as that of `inflated` does.
    """

    def __init__(self, path: Path, file: BinaryIO | io.RawIOBase, compression: Compression) -> None:
        self.compression = compression
        self._path = path
        self._file = file
        self._inflater = _inflater(file, compression)
        self._bytes_out = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def tell(self) -> int:
        """Return how many bytes were inflated."""
        return self._bytes_out

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer with the next inflated bytes; raise InvalidInput at a bomb."""
        view = memoryview(buffer).cast("B")
        # One chunk at a time: `read` would throw away what it has when the file ends early.
        chunk = self._inflater.read1(len(view))
        view[: len(chunk)] = chunk
        self._bytes_out += len(chunk)
        bytes_in = max(1, self._file.tell())
        if self._bytes_out > max(FREE_INFLATION_BYTES, MAX_INFLATION * bytes_in):
            raise InvalidInput(
                f"{shown(self._path)} inflates {self._bytes_out // bytes_in:,} times; allowed: "
                f"{MAX_INFLATION} times, or {FREE_INFLATION_BYTES // 2**20} MiB. Decompress it "
                "first if it is meant to"
            )
        return len(chunk)


def _inflater(
    file: BinaryIO | io.RawIOBase, compression: Compression
) -> gzip.GzipFile | zstd.ZstdFile:
    if compression is Compression.GZIP:
        return gzip.GzipFile(fileobj=file, mode="rb")
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW_LOG}
    return zstd.ZstdFile(file, "rb", options=options)


#: Longest line that is held in memory; eight times the longest text.
MAX_LINE_BYTES = 8 * 2**20

#: How much is looked at to tell text from anything else.
HEAD_BYTES = 65_536

#: Share of the head that may be undecodable or NUL. Latin-1 prose has a few bytes in a
#: hundred and is refused line by line; Cyrillic in cp1251 has most, and so has any image.
MAX_UNREADABLE_SHARE = 0.4

UTF8_BOM = b"\xef\xbb\xbf"


class FilePosition(NamedTuple):
    """A place between two records of a file, from which reading can go on."""

    #: Bytes of the content in front of it, once inflated; 0 at the start, also behind a mark there.
    offset: int = 0
    #: Lines in front of it; of a folder, files.
    line: int = 0


#: Where a file begins.
START = FilePosition()


class Line(NamedTuple):
    """A line of a file, its end included."""

    #: Counted from 1.
    number: int
    #: Its bytes, or what is wrong with it.
    content: bytes | BadEntry
    #: Bytes of the file's content up to its end, once inflated.
    end: int

    @property
    def start(self) -> int:
        """Bytes in front of it; of a line that is too long, its end."""
        return self.end - (0 if isinstance(self.content, BadEntry) else len(self.content))

    @property
    def position(self) -> FilePosition:
        """Where the next line begins."""
        return FilePosition(self.end, self.number)


#: `Line(…)` takes twice the time, a tenth of a microsecond more for each line.
_new_line = tuple.__new__


#: Opens what a path names as text, its byte order mark taken off.
Opener = Callable[[Path], AbstractContextManager[BinaryIO]]


def read_lines(
    path: Path,
    start: FilePosition = START,
    opener: Opener | None = None,
    state: FileState | None = None,
) -> Iterator[Line]:
    """Yield all lines behind `start`. A line over MAX_LINE_BYTES comes as a BadEntry.

    A plain file is read from there; of a compressed one, all in front of it is inflated again.
    `opener` opens what is no file, such as a pipe; a file is read in its `state`.

    Raises InvalidInput for a file that cannot be read as text, or that is shorter than `start`; for
    one that is torn or that changes meanwhile, only after lines of it.
    """
    with opener(path) if opener else open_text_bytes(path, state) as stream:
        content: bytes | BadEntry
        number, end = start.line, start.offset
        try:
            if start.offset:
                _skip_to(path, stream, start.offset)
            else:
                end = stream.tell()  # behind a byte order mark
            while line := stream.readline(MAX_LINE_BYTES + 1):
                content, size_bytes = line, len(line)
                if size_bytes > MAX_LINE_BYTES and not line.endswith(b"\n"):
                    content, size_bytes = _too_long(stream, size_bytes)
                number, end = number + 1, end + size_bytes
                yield _new_line(Line, (number, content, end))
        except TORN as error:
            raise explained(path, error, f"after line {number:,}", stream) from error


class Content(Protocol):
    """An input that is open, and may be read at any place."""

    def state(self) -> FileState:
        """Return the state in which it is, whatever has taken its place where it is named."""

    def read_into(self, buffer: "WriteableBuffer", offset: int) -> int:
        """Fill a buffer with what stands behind an offset; return how many bytes there were."""

    def close(self) -> None:
        """Close it; nothing more is read."""


class FileContent:
    """A file of a disk."""

    def __init__(self, descriptor: int) -> None:
        """`descriptor` is closed with it."""
        self._descriptor = descriptor

    def state(self) -> FileState:
        """Return the state of the open file."""
        return FileState.of_open(self._descriptor)

    def read_into(self, buffer: "WriteableBuffer", offset: int) -> int:
        """Read at a place, as `Content.read_into` does."""
        return os.preadv(self._descriptor, [buffer], offset)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class _FromStart(io.RawIOBase):
    """An open input, read from its start, wherever others read it."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._offset = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that reading can go on anywhere."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go on at an offset, from the start, from here, or from the end."""
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._offset}.get(whence)
        self._offset = offset + (self._content.state().size_bytes if begin is None else begin)
        return self._offset

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer with what stands there."""
        size = self._content.read_into(buffer, self._offset)
        self._offset += size
        return size


def stream_of(content: Content) -> io.BufferedReader:
    """Return an open input as a stream, which may be read at any place."""
    return io.BufferedReader(_FromStart(content))


@contextmanager
def open_text_bytes(
    path: Path, state: FileState | None = None, content: Content | None = None
) -> Iterator[BinaryIO]:
    """Open a file that is text by the look of its head; a byte order mark is taken off.

    With its `content`, it is open already, and stays so. Raises InvalidInput, also where the
    file is not in its `state` when it is opened, or when the block is left; without one, it has to
    stay in that in which it was opened. Reading a torn compressed file on raises the errors of
    `TORN`, which `explained` explains.
    """
    raw = io.FileIO(open_regular(path)) if content is None else _FromStart(content)
    with io.BufferedReader(raw) as file:

        def now() -> FileState:
            return FileState.of_open(file.fileno()) if content is None else content.state()

        opened = now()
        if state is not None:
            state.check(path, opened)
        if not opened.size_bytes:
            raise InvalidInput(f"{shown(path)} is empty; at least one entry is due")
        compression = compression_of(path)
        stream = file if compression is None else inflated(path, file, compression)
        try:
            head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        except TORN as error:
            raise explained(path, error, "at its start") from error
        check_head(path, head)
        if head.startswith(UTF8_BOM):
            stream.read(len(UTF8_BOM))
        yield stream
        opened.check(path, now())


def explained(
    path: Path, error: Exception, where: str, stream: BinaryIO | None = None
) -> InvalidInput:
    """Explain one of `TORN`, which a compressed file raised, or a `stream` of a pipe."""
    raw = getattr(stream, "raw", None)  # a pipe's name has no end that tells
    compression = raw.compression if isinstance(raw, Inflating) else compression_of(path)
    return torn(path, compression or Compression.GZIP, error, where)


def check_head(path: Path, head: bytes) -> None:
    """Raise InvalidInput where the first bytes of an input, once inflated, are no UTF-8 text."""
    if not head:
        raise InvalidInput(f"{shown(path)} is empty once inflated; at least one entry is due")
    _check_not_compressed(path, head)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidInput(
            f"{shown(path)} is UTF-16; allowed: UTF-8. Convert it: `iconv -f UTF-16 -t UTF-8`"
        )
    undecodable = head.decode("utf-8", "replace").count("\ufffd") - head.count(b"\xef\xbf\xbd")
    # The end of the head may cut a character in two, which counts as one.
    broken = undecodable > 1
    nul_count = head.count(0)
    share = max(undecodable, nul_count) / len(head)
    if share > MAX_UNREADABLE_SHARE or (broken and nul_count):
        raise InvalidInput(
            f"{shown(path)} is not UTF-8 text: of its first {len(head):,} bytes, {undecodable:,} "
            f"cannot be decoded and {nul_count:,} are NUL. It is binary, or text in another "
            "encoding; convert that with `iconv -f ENCODING -t UTF-8`"
        )


def _check_not_compressed(path: Path, head: bytes) -> None:
    found = next((kind for kind in Compression if head.startswith(kind.magic)), None)
    if found is None:
        return
    if compression_of(path) is None:
        raise InvalidInput(f"{shown(path)} is a {found} file; its name must end in {found.suffix}")
    raise InvalidInput(
        f"{shown(path)} is compressed twice: it holds a {found} file. Decompress it once"
    )


def _skip_to(path: Path, stream: BinaryIO, offset: int) -> None:
    """Go on at an offset of the content; raise InvalidInput where it has no such byte any more."""
    if compression_of(path) is None:
        stream.seek(offset)
        return
    while (ahead := offset - stream.tell()) > 0:
        if not stream.read(min(ahead, _BUFFER_BYTES)):
            raise InvalidInput(
                f"{shown(path)} became shorter while it was read. Hand the job in again once "
                "the file is complete"
            )


def _too_long(stream: BinaryIO, size_bytes: int) -> tuple[BadEntry, int]:
    """Read a line on to its end; return what is wrong with it, and its number of bytes."""
    line = b"any"
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BUFFER_BYTES)
        size_bytes += len(line)
    error = BadEntry(
        ItemErrorCode.TOO_LONG,
        f"the line has {size_bytes:,} bytes; allowed: {MAX_LINE_BYTES:,}. Split it",
    )
    return error, size_bytes
