"""Chunks of input and results: how they are cut into units, and stored as compressed JSON.

Cutting is deterministic: one input makes the same units whoever cuts it, so cutting again after a
crash gives the same numbers.

Input, which seqd alone writes and reads, is compressed by zstd at level 1: a review takes 3.5 us
and 600 bytes where zlib took 11.8 us and 640, and 1.1 us to inflate where zlib took 4.4. Small
input, and results, which other languages read, by zlib at level 1: a result takes 0.3 us both ways.
A reader tells the two apart by the first bytes. Inflating is capped, since any producer can write a
blob.
"""

import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from pydantic import ConfigDict, TypeAdapter

from seqd.errors import InvalidInput
from seqd_schemas import (
    ITEM_RESULT,
    Item,
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    LabelledText,
    RefusedItem,
    TextChunk,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Characters of text after which a unit is closed, whatever its number of items. Fixed: who sends
#: an input again compares it unit by unit with what an older client may have sent.
UNIT_CHARS = 4 * 1024 * 1024

#: Records of a training set in one chunk.
TEXTS_IN_CHUNK = 2_048

#: No chunk that seqd writes inflates to more, since one is closed at `UNIT_CHARS`.
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

_ITEMS: TypeAdapter[tuple[Item | RefusedItem, ...]] = TypeAdapter(
    tuple[Item | RefusedItem, ...], config=ConfigDict(defer_build=True)
)
_TEXTS: TypeAdapter[tuple[LabelledText, ...]] = TypeAdapter(
    tuple[LabelledText, ...], config=ConfigDict(defer_build=True)
)


class PackedChunk:
    """A chunk of input as JSON, compressed when that is first asked for."""

    __slots__ = ("_blob", "_head", "entries", "size")

    def __init__(self, chunk: ItemChunk | TextChunk) -> None:
        if isinstance(chunk, ItemChunk):
            #: Number of its items or records.
            self.size = len(chunk.items)
            #: All of them as a JSON array; fields that are at their defaults are left out.
            self.entries = _ITEMS.serializer.to_json(chunk.items, exclude_defaults=True)
            self._head = b'{"first_index":%d,"items":' % chunk.first_index
        else:
            self.size = len(chunk.texts)
            self.entries = _TEXTS.serializer.to_json(chunk.texts, exclude_defaults=True)
            self._head = b'{"texts":'
        self._blob = b""

    @property
    def json(self) -> bytes:
        """The chunk as JSON."""
        return self._head + self.entries + b"}"

    @property
    def blob(self) -> bytes:
        """The chunk as it is stored."""
        self._blob = self._blob or pack_json(self.json)
        return self._blob


class ResultLine(NamedTuple):
    """A result, and its line of a results file without the line's end."""

    result: ItemSuccess | ItemFailure
    json: bytes


def chunks_of(entries: Iterable[Item | RefusedItem], unit_items: int) -> Iterator[ItemChunk]:
    """Cut entries into chunks of at most `unit_items`, lazily and in order."""
    first_index, held, chars = 0, list[Item | RefusedItem](), 0
    for entry in entries:
        held.append(entry)
        chars += len(entry.text) if isinstance(entry, Item) else 0
        if len(held) >= unit_items or chars >= UNIT_CHARS:
            yield _item_chunk(first_index, held)
            first_index, held, chars = first_index + len(held), [], 0
    if held:
        yield _item_chunk(first_index, held)


def text_chunks_of(texts: Iterable[LabelledText]) -> Iterator[TextChunk]:
    """Cut a training set into chunks, lazily and in order."""
    held, chars = list[LabelledText](), 0
    for text in texts:
        held.append(text)
        chars += len(text.text)
        if len(held) >= TEXTS_IN_CHUNK or chars >= UNIT_CHARS:
            yield TextChunk(texts=tuple(held))
            held, chars = [], 0
    if held:
        yield TextChunk(texts=tuple(held))


def split_chunk(chunk: ItemChunk) -> tuple[ItemChunk, ItemChunk] | None:
    """Return a chunk cut in two in the middle; None for a single entry."""
    middle = len(chunk.items) // 2
    if middle == 0:
        return None
    first = chunk.first_index
    return (
        _item_chunk(first, list(chunk.items[:middle])),
        _item_chunk(first + middle, list(chunk.items[middle:])),
    )


def errored_items(
    chunk: ItemChunk, results: Sequence[ItemSuccess | ItemFailure]
) -> ItemChunk | None:
    """Return the items of a unit whose results are errors; None when there are none.

    Entries that were refused before they were read hold no text, so they are not among them.
    """
    errored: list[Item | RefusedItem] = [
        entry
        for entry, result in zip(chunk.items, results, strict=True)
        if isinstance(entry, Item) and isinstance(result, ItemFailure)
    ]
    return _item_chunk(chunk.first_index, errored) if errored else None


def pack(chunk: ItemChunk | TextChunk) -> bytes:
    """Compress a chunk of input."""
    return PackedChunk(chunk).blob


def json_of(chunk: ItemChunk | TextChunk) -> bytes:
    """Return a chunk of input as JSON."""
    return PackedChunk(chunk).json


def pack_json(content: bytes) -> bytes:
    """Compress a chunk of input that is JSON already."""
    if len(content) <= _SMALL_BYTES:
        return _deflate(content)
    return zstd.compress(content, _ZSTD_LEVEL)


def unpack_items(blob: bytes) -> ItemChunk:
    """Return a chunk of items. Raises InvalidInput for no blob, ValidationError for other JSON."""
    return ItemChunk.model_validate_json(_inflate(blob))


def unpack_texts(blob: bytes) -> TextChunk:
    """Return a chunk of a training set; raises what `unpack_items` does."""
    return TextChunk.model_validate_json(_inflate(blob))


def pack_results(results: Iterable[ItemSuccess | ItemFailure]) -> bytes:
    """Compress results to JSON Lines."""
    to_json = ITEM_RESULT.serializer.to_json
    return _deflate(b"".join([to_json(result) + b"\n" for result in results]))


def unpack_results(blob: bytes) -> Iterator[ItemSuccess | ItemFailure]:
    """Yield results in their order."""
    for line in unpack_lines(blob):
        yield line.result


def unpack_lines(blob: bytes) -> Iterator[ResultLine]:
    """Yield results in their order, each with its JSON, which need not be written again."""
    validate = ITEM_RESULT.validator.validate_json
    for json in _inflate(blob, max_streams=MAX_PARTS).splitlines():
        yield ResultLine(validate(json), json)


def _item_chunk(first_index: int, entries: list[Item | RefusedItem]) -> ItemChunk:
    # Every entry was validated when it was made; doing it again would cost as much as packing.
    return ItemChunk.model_construct(type="items", first_index=first_index, items=tuple(entries))


def _deflate(content: bytes) -> bytes:
    if len(content) > _SMALL_BYTES:
        return zlib.compress(content, 1)
    deflater = zlib.compressobj(1, zlib.DEFLATED, *_SMALL_WINDOW)
    return deflater.compress(content) + deflater.flush()


def _inflate(blob: bytes, max_streams: int = 1) -> bytes:
    """Inflate concatenated compressed streams. Raises InvalidInput."""
    data, rest = b"", blob
    for _ in range(max_streams):
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
    raise _unusable(blob, f"goes on after {max_streams} compressed streams")


def _inflater(stream: bytes) -> "zlib._Decompress | zstd.ZstdDecompressor":
    if stream.startswith(_ZSTD_MAGIC):
        return zstd.ZstdDecompressor(options=_ZSTD_WINDOW)
    return zlib.decompressobj()


def _unusable(blob: bytes, reason: str) -> InvalidInput:
    return InvalidInput(
        f"a chunk of {len(blob)} bytes {reason}. Upload through seqd.client, or hand the items in "
        "inline."
    )
