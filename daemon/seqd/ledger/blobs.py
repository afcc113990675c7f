"""Chunks of input and results: how they are cut into units, and stored as compressed JSON.

Cutting is deterministic: one input makes the same units whoever cuts it, so cutting again after a
crash gives the same numbers.

Input, which seqd alone writes and reads, is compressed by zstd at level 1: a review takes 3.5 us
and 600 bytes where zlib took 11.8 us and 640, and 1.1 us to inflate where zlib took 4.4. Small
input, and results, which other languages read, by zlib at level 1: a result takes 0.3 us both ways.
A reader tells the two apart by the first bytes.

A chunk of input states what it inflates to: a frame of zstd in its header, small input by its
window, which none of it exceeds. A claim is bounded by that (`lua/shared/blobs.lua`), so no more
is inflated than was stated: any producer can write a blob. Nor is more than `MAX_INFLATED_BYTES`,
which no chunk that is cut here can reach.

Of a job by reference, what stands for a unit's entries, and for its results, is a reference: `@`,
the bytes in a file that it stands for, a space, and JSON.

Results are rows: each is one zlib stream, so that the usual call of every language reads all of it,
and has a bounded share of a unit's results. A row is inflated block by block, and never whole.
"""

import re
import sys
import zlib
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Annotated, NamedTuple, TypeVar

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from seqd.errors import InvalidInput
from seqd_schemas import (
    ITEM_RESULT,
    Count,
    Item,
    ItemChunk,
    ItemFailure,
    ItemSuccess,
    LabelledText,
    RefusedItem,
    Sha256,
    TextChunk,
    WireModel,
    from_stored,
    to_stored,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Characters after which a unit is closed, whatever its number of items: those of its texts and of
#: the callers' names for them. Fixed: who sends an input again compares it unit by unit with what
#: an older client may have sent.
UNIT_CHARS = 4 * 1024 * 1024

#: Records of a training set in one chunk.
TEXTS_IN_CHUNK = 2_048

#: No chunk that seqd writes inflates to more. One is closed at `UNIT_CHARS`, so it has 5 million
#: characters at most, of up to six bytes each (U+0000 in JSON), and 100 bytes around each of 65,536
#: entries.
MAX_INFLATED_BYTES = 64 * 1024 * 1024

#: Bytes of JSON after which a row of results is closed; a larger result has a row of its own.
RESULT_ROW_BYTES = 8 * 1024 * 1024

#: Bytes of JSON that one result may have. What is committed can be read, so both sides keep to it.
MAX_RESULT_BYTES = 64 * 1024 * 1024

#: Bytes that a reader of results inflates at a time.
_BLOCK_BYTES = 1024 * 1024

#: For a job of one item, making a compressor costs more than compressing. To make one takes 28 us
#: with zstd, 9 with zlib, and 2 with zlib and a window (in bits) and tables that fit this size. To
#: make a decompressor takes 25 us with zstd, and 0.1 with zlib.
_SMALL_BYTES = 4_096
_SMALL_WINDOW = (12, 5)

#: Bytes of results that are compressed to see whether looking for repetitions is worth it. Base64
#: of numbers shrinks to 0.75 by its alphabet alone: a vector of 256 takes 13 us and 1,104 bytes so,
#: where looking takes 35 us and 1,051 bytes. Text shrinks to a half and less.
_PROBED_BYTES = 16 * 1024
_LEAST_GAIN = 0.65

#: First byte of a zlib stream with that window, which so states `_SMALL_BYTES`. With a larger one a
#: stream states nothing.
_SMALL_MAGIC = b"\x48"

#: First byte of a reference, and how one states the bytes that it stands for.
_REFERENCE_MAGIC = b"@"
_REFERRED_BYTES = re.compile(rb"@([0-9]{1,15}) ")

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

    __slots__ = ("_blob", "_head", "entries", "is_held_out", "size")

    def __init__(self, chunk: ItemChunk | TextChunk) -> None:
        if isinstance(chunk, ItemChunk):
            #: Number of its items or records.
            self.size = len(chunk.items)
            #: All of them as a JSON array; fields that are at their defaults are left out.
            self.entries = _ITEMS.serializer.to_json(chunk.items, exclude_defaults=True)
            #: True of records to validate on.
            self.is_held_out = False
            self._head = b'{"type":"items","first_index":%d,"items":' % chunk.first_index
        else:
            self.size = len(chunk.texts)
            self.entries = _TEXTS.serializer.to_json(chunk.texts, exclude_defaults=True)
            self.is_held_out = chunk.held_out
            marked = b'"held_out":true,' if chunk.held_out else b""
            self._head = b'{"type":"texts",%b"texts":' % marked
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


class UnitReference(WireModel):
    """Entries of a file, in the place of a chunk of them: whoever computes them reads them."""

    first_index: Count
    size: Count
    #: Where they stand in the file: the bytes and lines in front of them, and their own bytes.
    offset: Count
    line: Count
    size_bytes: Count
    #: CRC-32 of those bytes, and of a CSV file's header before them.
    checksum: Count

    @property
    def blob(self) -> bytes:
        """It as the input of a unit."""
        return _referring(self.size_bytes, self)


class PartReference(WireModel):
    """A file of results as JSON Lines, in the place of rows of them."""

    name: Annotated[str, StringConstraints(pattern=r"^part-[0-9]{6,16}(-[A-Za-z0-9_-]+)?\.jsonl$")]
    size_bytes: Count
    sha256: Sha256
    #: The entries that they are of.
    first_index: Count
    items: Count
    #: CRC-32 of the bytes of these.
    checksum: Count
    #: How many have an error instead, by its code.
    errors: dict[str, Count] = Field(default_factory=dict)

    @property
    def row(self) -> bytes:
        """It as the one row of results of a unit."""
        return _referring(self.size_bytes, self)


_Reference = TypeVar("_Reference", UnitReference, PartReference)


def reference_in(blob: bytes, kind: type[_Reference]) -> _Reference | None:
    """Return the reference that a blob is; None where it holds the data itself.

    Raises InvalidInput for one that is damaged.
    """
    if not blob.startswith(_REFERENCE_MAGIC):
        return None
    try:
        return from_stored(kind, blob.partition(b" ")[2])
    except ValidationError:
        raise _unusable(blob, "is a damaged reference") from None


def _referring(bytes_meant: int, reference: WireModel) -> bytes:
    return b"%b%d %b" % (_REFERENCE_MAGIC, bytes_meant, to_stored(reference).encode())


class ResultLine(NamedTuple):
    """A result, and its line of a results file without the line's end."""

    result: ItemSuccess | ItemFailure
    json: bytes


class ItemCutter:
    """Cuts entries into chunks of at most `unit_items`, in order; takes one entry at a time."""

    def __init__(self, unit_items: int, first_index: int = 0) -> None:
        """`first_index` is the number of entries in front, which end with a chunk."""
        self._unit_items = unit_items
        self._first_index = first_index
        self._held = list[Item | RefusedItem]()
        self._chars = 0

    def add(self, entry: Item | RefusedItem) -> ItemChunk | None:
        """Take one more entry; return the chunk that is full with it, if one is."""
        self._held.append(entry)
        said = entry.text if isinstance(entry, Item) else entry.refused.message
        self._chars += len(said) + len(entry.custom_id)
        is_full = len(self._held) >= self._unit_items or self._chars >= UNIT_CHARS
        return self.rest() if is_full else None

    def rest(self) -> ItemChunk | None:
        """Return a chunk of the entries that are in none; None where there are none."""
        if not self._held:
            return None
        chunk = _item_chunk(self._first_index, self._held)
        self._first_index += len(self._held)
        self._held, self._chars = [], 0
        return chunk


def chunks_of(
    entries: Iterable[Item | RefusedItem], unit_items: int, first_index: int = 0
) -> Generator[ItemChunk]:
    """Cut entries into chunks as an `ItemCutter` does, lazily.

    No entry behind a full chunk is asked for before the next chunk is.
    """
    cutter = ItemCutter(unit_items, first_index)
    for entry in entries:
        if (chunk := cutter.add(entry)) is not None:
            yield chunk
    if (chunk := cutter.rest()) is not None:
        yield chunk


def text_chunks_of(texts: Iterable[LabelledText], *, held_out: bool = False) -> Iterator[TextChunk]:
    """Cut a training set, or what is `held_out` of it, into chunks, lazily and in order."""
    held, chars = list[LabelledText](), 0
    for text in texts:
        held.append(text)
        chars += len(text.text) + len(text.label or "")
        if len(held) >= TEXTS_IN_CHUNK or chars >= UNIT_CHARS:
            yield TextChunk(texts=tuple(held), held_out=held_out)
            held, chars = [], 0
    if held:
        yield TextChunk(texts=tuple(held), held_out=held_out)


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

    They keep their `index`. Entries that were refused before they were read hold no text, so they
    are not among them.
    """
    errored: list[Item | RefusedItem] = [
        _indexed(entry, index)
        for index, (entry, result) in enumerate(
            zip(chunk.items, results, strict=True), chunk.first_index
        )
        if isinstance(entry, Item) and isinstance(result, ItemFailure)
    ]
    return _item_chunk(chunk.first_index, errored) if errored else None


def indexed_items(chunk: ItemChunk) -> list[Item]:
    """Return the items of a chunk, each with the `index` that it keeps in a retry."""
    return [
        _indexed(entry, index)
        for index, entry in enumerate(chunk.items, chunk.first_index)
        if isinstance(entry, Item)
    ]


def _indexed(item: Item, index: int) -> Item:
    return item if item.index is not None else item.model_copy(update={"index": index})


def pack(chunk: ItemChunk | TextChunk) -> bytes:
    """Compress a chunk of input."""
    return PackedChunk(chunk).blob


def pack_json(content: bytes) -> bytes:
    """Compress a chunk of input that is JSON already."""
    if len(content) <= _SMALL_BYTES:
        return _deflate(content)
    return zstd.compress(content, _ZSTD_LEVEL)


def stated_bytes(blob: bytes) -> int | None:
    """Return the most bytes of JSON that a chunk of input says that it has; None where it does not.

    Raises InvalidInput for a frame whose header cannot be read.
    """
    if blob.startswith(_SMALL_MAGIC):
        return _SMALL_BYTES
    if found := _REFERRED_BYTES.match(blob):
        return int(found[1])
    if not blob.startswith(_ZSTD_MAGIC):
        return None
    try:
        return zstd.get_frame_info(blob).decompressed_size
    except zstd.ZstdError as error:
        raise _not_compressed(blob, error) from None


def unpack_items(blob: bytes) -> ItemChunk:
    """Return a chunk of items. Raises InvalidInput for no blob, ValidationError for other JSON."""
    return from_stored(ItemChunk, _inflate(blob))


def may_hold(blob: bytes, custom_id: str) -> bool:
    """Return False for a chunk of items that surely has none of a name; costs no validation.

    Raises InvalidInput for what is no chunk.
    """
    needle = _needle(custom_id)
    return needle is None or needle in _inflate(blob)


def unpack_texts(blob: bytes) -> TextChunk:
    """Return a chunk of a training set; raises what `unpack_items` does."""
    return from_stored(TextChunk, _inflate(blob))


def pack_results(results: Iterable[ItemSuccess | ItemFailure]) -> list[bytes]:
    """Return results as rows of JSON Lines, each compressed; one row, where they fit into it."""
    results = list(results)
    lines = json_lines(results)
    deflate = _deflate
    if any(isinstance(one, ItemSuccess) and isinstance(one.output, dict) for one in results[:8]):
        deflate = _deflate_numbers
    if sum(map(len, lines)) <= RESULT_ROW_BYTES:
        return [deflate(b"".join(lines))]
    rows, held, size = list[bytes](), list[bytes](), 0
    for line in lines:
        if held and size + len(line) > RESULT_ROW_BYTES:
            rows.append(deflate(b"".join(held)))
            held, size = [], 0
        held.append(line)
        size += len(line)
    return [*rows, deflate(b"".join(held))]


def json_lines(results: Iterable[ItemSuccess | ItemFailure]) -> list[bytes]:
    """Return results as lines of JSON, each with its end."""
    to_json = ITEM_RESULT.serializer.to_json
    return [to_json(result, exclude_defaults=True) + b"\n" for result in results]


def pack_line(json: str) -> bytes:
    """Return one record as a row of JSON Lines, compressed."""
    return _deflate(f"{json}\n".encode())


def unpack_results(row: bytes) -> Iterator[ItemSuccess | ItemFailure]:
    """Yield the results of a row in their order; raises what `unpack_lines` does."""
    for line in unpack_lines(row):
        yield line.result


def unpack_lines(row: bytes) -> Iterator[ResultLine]:
    """Yield the results of a row in their order, each with its JSON.

    Raises InvalidInput for what is no row, ValidationError for other JSON.
    """
    yield from lines_in(_inflated_lines(row))


def lines_in(lines: Iterable[bytes]) -> Iterator[ResultLine]:
    """Yield results that are lines of JSON, without their ends; raises ValidationError."""
    validate = ITEM_RESULT.validator.validate_json
    for json in lines:
        yield ResultLine(validate(json, extra="ignore"), json)


def results_named(row: bytes, custom_id: str) -> Iterator[ItemSuccess | ItemFailure]:
    """Yield the results in a row of an item; validates only what may be one.

    Raises what `unpack_lines` does.
    """
    needle, validate = _needle(custom_id), ITEM_RESULT.validator.validate_json
    for json in _inflated_lines(row):
        if needle is None or needle in json:
            result = validate(json, extra="ignore")
            if result.custom_id == custom_id:
                yield result


def _needle(custom_id: str) -> bytes | None:
    """Return what JSON with this name holds; None where it may be written in several ways."""
    is_plain = custom_id.isascii() and custom_id.isprintable() and not {'"', "\\"} & {*custom_id}
    return custom_id.encode() if is_plain else None


def _item_chunk(first_index: int, entries: list[Item | RefusedItem]) -> ItemChunk:
    # Every entry was validated when it was made; doing it again would cost as much as packing.
    return ItemChunk.model_construct(type="items", first_index=first_index, items=tuple(entries))


def _deflate_numbers(content: bytes) -> bytes:
    """Compress results that may be vectors, in which nothing is found again."""
    probe = content[:_PROBED_BYTES]
    is_long = len(content) > _PROBED_BYTES
    if is_long and len(zlib.compress(probe, 1)) > _PROBED_BYTES * _LEAST_GAIN:
        deflater = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 8, zlib.Z_HUFFMAN_ONLY)
        return deflater.compress(content) + deflater.flush()
    return _deflate(content)


def _deflate(content: bytes) -> bytes:
    if len(content) > _SMALL_BYTES:
        return zlib.compress(content, 1)
    deflater = zlib.compressobj(1, zlib.DEFLATED, *_SMALL_WINDOW)
    return deflater.compress(content) + deflater.flush()


def _inflate(blob: bytes) -> bytes:
    """Inflate one compressed stream, which is all of the blob. Raises InvalidInput.

    Takes no more memory than the blob states, or `MAX_INFLATED_BYTES` where it states nothing.
    """
    stated = stated_bytes(blob)
    most = MAX_INFLATED_BYTES if stated is None else stated
    if most > MAX_INFLATED_BYTES:
        raise _unusable(blob, f"inflates to more than {MAX_INFLATED_BYTES} bytes")
    try:
        inflater: zlib._Decompress | zstd.ZstdDecompressor = zlib.decompressobj()
        if blob.startswith(_ZSTD_MAGIC):
            inflater = zstd.ZstdDecompressor(options=_ZSTD_WINDOW)
        data = inflater.decompress(blob, most + 1)
    except (zlib.error, zstd.ZstdError) as error:
        raise _not_compressed(blob, error) from None
    if len(data) > most:
        says = "" if stated is None else ", which it states"
        raise _unusable(blob, f"inflates to more than {most} bytes{says}")
    if not inflater.eof:
        raise _unusable(blob, "ends in the middle")
    if inflater.unused_data:
        raise _unusable(blob, "goes on after its end")
    return data


def _inflated_lines(row: bytes) -> Iterator[bytes]:
    """Inflate a row of results and yield its lines; of both, no more is held than one line."""
    begun, size = list[bytes](), 0
    for block in _inflated_blocks(row):
        first, *lines = block.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > MAX_RESULT_BYTES:
            raise _unreadable(row, f"has a result of more than {MAX_RESULT_BYTES} bytes")
        if lines:
            yield b"".join(begun)
            begun = [lines.pop()]
            size = len(begun[0])
            yield from lines
    if size:
        raise _unreadable(row, "ends in the middle of a line")


def _inflated_blocks(row: bytes) -> Iterator[bytes]:
    inflater, rest = zlib.decompressobj(), row
    while not inflater.eof:
        try:
            block = inflater.decompress(rest, _BLOCK_BYTES)
        except zlib.error as error:
            raise _unreadable(row, f"is not compressed by zlib: {error}") from None
        rest = inflater.unconsumed_tail
        if inflater.unused_data:
            raise _unreadable(row, "goes on after its end")
        if not block and not inflater.eof:
            raise _unreadable(row, "ends in the middle")
        yield block


def _unusable(blob: bytes, reason: str) -> InvalidInput:
    return InvalidInput(
        f"a chunk of {len(blob)} bytes {reason}. Upload through seqd.client, or hand the items in "
        "inline."
    )


def _not_compressed(blob: bytes, error: Exception) -> InvalidInput:
    return _unusable(blob, f"is not compressed by zstd or zlib: {error}")


def _unreadable(row: bytes, reason: str) -> InvalidInput:
    return InvalidInput(
        f"a row of {len(row)} bytes of results {reason}: somebody has changed it. Hand the job in "
        "again."
    )
