"""Inflates `.gz` and `.zst` files piece by piece, and refuses what multiplies like a bomb.

One reader over both formats, so that both have the same limits. Knows nothing of lines or
text: `streams` reads those from what comes out here, and `paths` tells by a file's name which
format it is in. Needs `backports.zstd` before Python 3.14, which has it built in.
"""

import gzip
import io
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from seqd.errors import InvalidInput
from seqd.inputs.paths import Compression, shown

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
    """Give the content of a compressed file, from its start.

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
    return io.BufferedReader(_Inflating(path, file, compression), buffer_size=_BUFFER_BYTES)


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


class _Inflating(io.RawIOBase):
    """The content of a compressed file, with an eye on how fast it multiplies."""

    def __init__(self, path: Path, file: BinaryIO, compression: Compression) -> None:
        self._path = path
        self._file = file
        self._inflater = _inflater(file, compression)
        self._bytes_out = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill the buffer with the next inflated bytes; raise InvalidInput at a bomb."""
        view = memoryview(buffer).cast("B")
        # One piece at a time: `read` would throw away what it has when the file ends early.
        piece = self._inflater.read1(len(view))
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


def _inflater(file: BinaryIO, compression: Compression) -> gzip.GzipFile | zstd.ZstdFile:
    if compression is Compression.GZIP:
        return gzip.GzipFile(fileobj=file, mode="rb")
    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: MAX_ZSTD_WINDOW_LOG}
    return zstd.ZstdFile(file, "rb", options=options)
