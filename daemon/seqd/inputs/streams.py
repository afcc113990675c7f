"""Reads a file's lines as bytes in bounded memory, whatever is in it.

Refuses what is not text, and a compressed file that ends too early; `inflating` inflates. Knows
no format: `records` makes records of the lines.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from seqd.errors import InvalidInput
from seqd.inputs.faults import BadEntry
from seqd.inputs.inflating import TORN, inflated, torn
from seqd.inputs.paths import Compression, compression_of, open_regular, shown
from seqd_schemas import ItemErrorCode

#: Longest line that is held in memory; eight times the longest text.
MAX_LINE_BYTES = 8 * 2**20

#: How much is looked at to tell text from anything else.
HEAD_BYTES = 65_536

#: Share of the head that may be undecodable or NUL. Latin-1 prose has a few bytes in a
#: hundred and is refused line by line; Cyrillic in cp1251 has most, and so has any image.
MAX_UNREADABLE_SHARE = 0.4

_BUFFER_BYTES = 262_144
_UTF8_BOM = b"\xef\xbb\xbf"

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
            except TORN as error:
                raise explained(path, error, f"after line {number:,}") from error
            if not line:
                return
            number += 1
            yield number, line


@contextmanager
def open_text_bytes(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is text by the look of its head; a byte order mark is taken off.

    Raises InvalidInput. Reading a torn compressed file on raises the errors of
    `inflating.TORN`, which `explained` explains.
    """
    with os.fdopen(open_regular(path), "rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size
        if not size_bytes:
            raise InvalidInput(f"{shown(path)} is empty; at least one entry is due")
        compression = compression_of(path)
        stream = file if compression is None else inflated(path, file, compression)
        try:
            head = stream.peek(HEAD_BYTES)[:HEAD_BYTES]
        except TORN as error:
            raise explained(path, error, "at its start") from error
        _check_head(path, head)
        if head.startswith(_UTF8_BOM):
            stream.read(len(_UTF8_BOM))
        yield stream


def explained(path: Path, error: Exception, where: str) -> InvalidInput:
    """Explain one of `inflating.TORN`, which a compressed file raised."""
    return torn(path, compression_of(path) or Compression.GZIP, error, where)


def _check_head(path: Path, head: bytes) -> None:
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
