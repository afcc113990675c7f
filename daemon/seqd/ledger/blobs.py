"""How chunks of input and results are stored: JSON, compressed.

Input, which seqd alone writes and reads, by zstd at level 1: a review takes 3.5 us and 600 bytes
where zlib took 11.8 us and 640, and 1.1 us to inflate where zlib took 4.4. Small input, and
results, which other languages read, by zlib at level 1: it takes a result in 0.3 us both ways.
Which of the two it is, a reader tells by the first bytes.

Inflating is capped, since any producer can write a blob.
"""

import sys
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydantic import ConfigDict, TypeAdapter

from seqd.errors import InvalidInput
from seqd_schemas import ITEM_RESULT, ItemChunk, ItemFailure, ItemSuccess, TextChunk

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: No chunk that seqd writes inflates to more, since `chunking` closes one at 4 M characters.
MAX_INFLATED_BYTES = 64 * 1024 * 1024

#: Parts that a unit can have been split into: one for each item of the largest unit.
MAX_PARTS = 65_536

#: Of a job of one item, setting a compressor up costs more than compressing: zstd's takes 28 us and
#: its decompressor 25, zlib's 9 and 0.1, and 2 with a window (of bits) and tables that fit.
_SMALL_BYTES = 4_096
_SMALL_WINDOW = (12, 5)

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_LEVEL = 1
#: Memory that a zstd blob may ask its reader to set aside: 8 MiB. Level 1 asks for 512 KiB.
_ZSTD_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}


_CHUNK: TypeAdapter[ItemChunk | TextChunk] = TypeAdapter(
    ItemChunk | TextChunk, config=ConfigDict(defer_build=True)
)


class ResultLine(NamedTuple):
    """A result, and the line of a results file that it is, without its end."""

    result: ItemSuccess | ItemFailure
    json: bytes


def pack(chunk: ItemChunk | TextChunk) -> bytes:
    """Compress a chunk of input."""
    return pack_json(json_of(chunk))


def json_of(chunk: ItemChunk | TextChunk) -> bytes:
    """Write a chunk of input as JSON."""
    return _CHUNK.dump_json(chunk)


def pack_json(content: bytes) -> bytes:
    """Compress a chunk of input that is JSON already."""
    if len(content) <= _SMALL_BYTES:
        return _deflate(content)
    return zstd.compress(content, _ZSTD_LEVEL)


def unpack_items(blob: bytes) -> ItemChunk:
    """Read a chunk of items; raises InvalidInput when it is none, ValidationError inside."""
    return ItemChunk.model_validate_json(_inflate(blob))


def unpack_texts(blob: bytes) -> TextChunk:
    """Read a chunk of a training set; raises InvalidInput when it is none."""
    return TextChunk.model_validate_json(_inflate(blob))


def pack_results(results: Iterable[ItemSuccess | ItemFailure]) -> bytes:
    """Compress results to JSON Lines."""
    to_json = ITEM_RESULT.serializer.to_json
    return _deflate(b"".join([to_json(result) + b"\n" for result in results]))


def unpack_results(blob: bytes) -> Iterator[ItemSuccess | ItemFailure]:
    """Read results in their order."""
    for line in unpack_lines(blob):
        yield line.result


def unpack_lines(blob: bytes) -> Iterator[ResultLine]:
    """Read results in their order, each with its JSON, which need not be written again."""
    validate = ITEM_RESULT.validator.validate_json
    for json in _inflate(blob, most_streams=MAX_PARTS).splitlines():
        yield ResultLine(validate(json), json)


def _deflate(content: bytes) -> bytes:
    if len(content) > _SMALL_BYTES:
        return zlib.compress(content, 1)
    deflater = zlib.compressobj(1, zlib.DEFLATED, *_SMALL_WINDOW)
    return deflater.compress(content) + deflater.flush()


def _inflate(blob: bytes, most_streams: int = 1) -> bytes:
    """Inflate a row of compressed streams, one behind the other."""
    data, rest = b"", blob
    for _ in range(most_streams):
        try:
            inflater = _inflater(rest)
            data += inflater.decompress(rest, MAX_INFLATED_BYTES + 1 - len(data))
        except (zlib.error, zstd.ZstdError) as error:
            raise _unusable(blob, f"is not compressed by zstd or zlib: {error}") from None
        if len(data) > MAX_INFLATED_BYTES:
            raise _unusable(blob, f"inflates to more than {MAX_INFLATED_BYTES} bytes")
        if not inflater.eof:
            raise _unusable(blob, "ends in the middle")
        rest = inflater.unused_data
        if not rest:
            return data
    raise _unusable(blob, f"goes on after {most_streams} compressed streams")


def _inflater(stream: bytes) -> "zlib._Decompress | zstd.ZstdDecompressor":
    if stream.startswith(_ZSTD_MAGIC):
        return zstd.ZstdDecompressor(options=_ZSTD_WINDOW)
    return zlib.decompressobj()


def _unusable(blob: bytes, reason: str) -> InvalidInput:
    return InvalidInput(
        f"a chunk of {len(blob)} bytes {reason}. Upload through seqd.client, or hand the items in "
        "inline."
    )
