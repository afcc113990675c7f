"""Reads a file's lines as bytes in bounded memory, whatever is in it.

Inflates `.gz`, and refuses what is not text, a bomb, and a file that ends too early. Knows
no format: `records` makes records of the lines.
"""

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seqd.errors import InvalidInput
from seqd.inputs.faults import BadEntry
from seqd.inputs.paths import is_gzip, open_regular, shown
from seqd_schemas import ItemErrorCode

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

#: Longest line that is held in memory; eight times the longest text.
MAX_LINE_BYTES = 8 * 2**20

#: How much is looked at to tell text from anything else.
HEAD_BYTES = 65_536

#: Share of the head that may be undecodable or NUL. Latin-1 prose has a few bytes in a
#: hundred and is refused line by line; Cyrillic in cp1251 has most, and so has any image.
MAX_UNREADABLE_SHARE = 0.4

#: Deflate reaches 1,030:1 on zeros, reviews reach 3:1, one line over and over about 300:1.
MAX_INFLATION = 500
#: Output below which any ratio is allowed, in bytes.
FREE_INFLATION_BYTES = 100 * 2**20

_BUFFER_BYTES = 262_144
_UTF8_BOM = b"\xef\xbb\xbf"
_GZIP_MAGIC = b"\x1f\x8b"
#: What inflating raises when a gzip file is torn or damaged; `torn` explains it.
TORN_GZIP = (EOFError, gzip.BadGzipFile, zlib.error)

#: A line's number, counted from 1, and its bytes, or what is wrong with it.
Line = tuple[int, bytes | BadEntry]


def read_lines(path: Path) -> Iterator[Line]:
    """Give all lines, their ends included. A line over MAX_LINE_BYTES comes as a BadEntry.

    Raises InvalidInput for a file that cannot be read as text; for one that is torn, only
    after the lines in front of the tear.
    """
    with open_text_bytes(path) as stream:
        number = 0
        while True:
            try:
                line = _next_line(stream)
            except TORN_GZIP as error:
                raise torn(path, error, f"after line {number:,}") from error
            if not line:
                return
            number += 1
            yield number, line


@contextmanager
def open_text_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is text by the look of its head; a byte order mark is taken off.

    Raises InvalidInput. Reading a torn gzip file on raises the errors that `torn` explains.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if not size_bytes:
            raise InvalidInput(f"{shown(path)} is empty; at least one entry is due")
        stream = _inflated(path, file) if is_gzip(path) else file
        try:
            head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        except TORN_GZIP as error:
            raise torn(path, error, "at its start") from error
        _check_head(path, head)
        if head.startswith(_UTF8_BOM):
            stream.read(len(_UTF8_BOM))
        yield stream


def torn(path: Path, error: Exception, where: str) -> InvalidInput:
    """Explain why the inflating of a gzip file ended early."""
    what = "ends in the middle" if isinstance(error, EOFError) else f"is damaged ({error})"
    return InvalidInput(
        f"the gzip file {shown(path)} {what}, {where}: it was not copied whole. Copy it again "
        "and check it with `gzip -t`"
    )


class _Inflating(io.RawIOBase):
    """The inflated bytes of a gzip file, with an eye on how fast they multiply."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._gzip = gzip.GzipFile(fileobj=file, mode="rb")
        self._bytes_out = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer with the next inflated bytes; raise InvalidInput at a bomb."""
        view = memoryview(buffer).cast("B")
        # One piece at a time: `read` would throw away what it has when the file ends early.
        piece = self._gzip.read1(len(view))
        view[: len(piece)] = piece
        self._bytes_out += len(piece)
        bytes_in = max(1, self._file.tell())
        if self._bytes_out > max(FREE_INFLATION_BYTES, MAX_INFLATION * bytes_in):
            raise InvalidInput(
                f"{shown(self._path)} inflates {self._bytes_out // bytes_in:,} times; allowed: "
                f"{MAX_INFLATION} times, or {FREE_INFLATION_BYTES // 2**20} MiB. Decompress it "
                "first if it is meant to"
            )
        return len(piece)


def _inflated(path: Path, file: BinaryIO) -> io.BufferedReader:
    magic = file.read(len(_GZIP_MAGIC))
    file.seek(0)
    if magic != _GZIP_MAGIC:
        raise InvalidInput(
            f"{shown(path)} is named .gz but is not a gzip file: it begins with "
            f"{magic.hex(' ')}, not with 1f 8b. Rename it, or compress it with `gzip`"
        )
    return io.BufferedReader(_Inflating(path, file), buffer_size=_BUFFER_BYTES)


def _check_head(path: Path, head: bytes) -> None:
    if not head:
        raise InvalidInput(f"{shown(path)} is empty once inflated; at least one entry is due")
    if head.startswith(_GZIP_MAGIC):
        raise InvalidInput(f"{shown(path)} is a gzip file; its name must end in .gz")
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


def _next_line(stream: BinaryIO) -> bytes | BadEntry:
    line = stream.readline(MAX_LINE_BYTES + 1)
    if len(line) <= MAX_LINE_BYTES or line.endswith(b"\n"):
        return line
    size_bytes = len(line)
    while line and not line.endswith(b"\n"):
        line = stream.readline(_BUFFER_BYTES)
        size_bytes += len(line)
    return BadEntry(
        ItemErrorCode.TOO_LONG,
        f"the line has {size_bytes:,} bytes; allowed: {MAX_LINE_BYTES:,}. Split it",
    )
