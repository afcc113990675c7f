"""How chunks of input and results are stored: JSON, compressed by zlib at its fastest level.

Level 1 takes a results chunk to about a tenth of its size; higher levels cost more time than
the network saves on a local Redis. Inflating is capped, since any producer can write a blob.
"""

import zlib
from collections.abc import Iterable, Iterator

from seqd.errors import InvalidInput
from seqd_schemas import ITEM_RESULT, ItemChunk, ItemFailure, ItemSuccess, TextChunk

#: No chunk that seqd writes inflates to more, since `chunking` closes one at 4 M characters.
MAX_INFLATED_BYTES = 64 * 1024 * 1024

#: Parts that a unit can have been split into: one for each item of the largest unit.
MAX_PARTS = 65_536


def pack(chunk: ItemChunk | TextChunk) -> bytes:
    """Compress a chunk of input."""
    return pack_json(chunk.model_dump_json().encode())


def pack_json(content: bytes) -> bytes:
    """Compress a chunk of input that is JSON already."""
    return zlib.compress(content, 1)


def unpack_items(blob: bytes) -> ItemChunk:
    """Read a chunk of items; raises InvalidInput when it is none, ValidationError inside."""
    return ItemChunk.model_validate_json(_inflate(blob))


def unpack_texts(blob: bytes) -> TextChunk:
    """Read a chunk of a training set; raises InvalidInput when it is none."""
    return TextChunk.model_validate_json(_inflate(blob))


def pack_results(results: Iterable[ItemSuccess | ItemFailure]) -> bytes:
    """Compress results to JSON Lines."""
    lines = b"".join(ITEM_RESULT.dump_json(result) + b"\n" for result in results)
    return zlib.compress(lines, 1)


def unpack_results(blob: bytes) -> Iterator[ItemSuccess | ItemFailure]:
    """Read results in their order."""
    for line in _inflate(blob, most_streams=MAX_PARTS).splitlines():
        yield ITEM_RESULT.validate_json(line)


def _inflate(blob: bytes, most_streams: int = 1) -> bytes:
    """Inflate a row of zlib streams, one behind the other."""
    data, rest = b"", blob
    for _ in range(most_streams):
        inflater = zlib.decompressobj()
        try:
            data += inflater.decompress(rest, MAX_INFLATED_BYTES + 1 - len(data))
        except zlib.error as error:
            raise _unusable(blob, f"is not zlib-compressed: {error}") from None
        if len(data) > MAX_INFLATED_BYTES:
            raise _unusable(blob, f"inflates to more than {MAX_INFLATED_BYTES} bytes")
        if not inflater.eof:
            raise _unusable(blob, "ends in the middle")
        rest = inflater.unused_data
        if not rest:
            return data
    raise _unusable(blob, f"goes on after {most_streams} compressed streams")


def _unusable(blob: bytes, reason: str) -> InvalidInput:
    return InvalidInput(
        f"a chunk of {len(blob)} bytes {reason}. Upload through seqd.client, or hand the items in "
        "inline."
    )
