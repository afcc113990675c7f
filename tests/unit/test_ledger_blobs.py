"""Chunks as they are stored: read whichever way they were compressed, refused where they burst."""

import sys
import zlib
from collections.abc import Callable

import pytest

from builders import a_chunk, a_text_chunk, some_results
from seqd.errors import InvalidInput
from seqd.ledger.blobs import (
    MAX_INFLATED_BYTES,
    json_of,
    pack,
    pack_results,
    unpack_items,
    unpack_lines,
    unpack_results,
    unpack_texts,
)
from seqd_schemas import ITEM_RESULT, ItemChunk, TextChunk

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

EITHER: dict[str, Callable[[bytes], bytes]] = {"zlib": zlib.compress, "zstd": zstd.compress}
either = pytest.mark.parametrize("compress", EITHER.values(), ids=EITHER)


def zstd_of(content: bytes, **options: int) -> bytes:
    named = {zstd.CompressionParameter[name]: value for name, value in options.items()}
    return zstd.compress(content, options=named)


def without_defaults(chunk: ItemChunk | TextChunk) -> bytes:
    return chunk.model_dump_json(exclude_defaults=True).encode()


def reason_against(blob: bytes) -> str:
    with pytest.raises(InvalidInput) as refusal:
        unpack_items(blob)
    return str(refusal.value)


def test_a_chunk_is_stored_as_json_by_zstd_and_by_zlib_where_that_is_quicker() -> None:
    small, large = a_chunk(3), a_chunk(500)

    assert zlib.decompress(pack(small)) == json_of(small) == without_defaults(small)
    assert zstd.decompress(pack(large)) == json_of(large) == without_defaults(large)
    assert json_of(a_text_chunk()) == without_defaults(a_text_chunk())


@either
def test_chunks_are_read_whichever_way_they_are_compressed(
    compress: Callable[[bytes], bytes],
) -> None:
    assert unpack_items(compress(json_of(a_chunk(3)))) == a_chunk(3)
    assert unpack_texts(compress(json_of(a_text_chunk()))) == a_text_chunk()


def test_results_are_stored_as_zlib_which_every_language_has() -> None:
    results = some_results(3, errored=1)

    lines = zlib.decompress(pack_results(results)).splitlines()

    assert [ITEM_RESULT.validate_json(line) for line in lines] == results


def test_a_row_of_streams_of_both_kinds_reads_as_one() -> None:
    first, second, third = some_results(2), some_results(1, first=2), some_results(3, first=3)
    modern = zstd.compress(zlib.decompress(pack_results(second)))

    row = pack_results(first) + modern + pack_results(third)

    assert list(unpack_results(row)) == first + second + third


def test_a_result_comes_with_the_json_that_it_was_stored_as() -> None:
    results = some_results(3, errored=1)

    lines = list(unpack_lines(pack_results(results)))

    assert [line.result for line in lines] == results
    assert [line.json.decode() for line in lines] == [one.model_dump_json() for one in results]


@either
def test_a_bomb_is_not_inflated_beyond_what_a_chunk_may_have(
    compress: Callable[[bytes], bytes],
) -> None:
    bomb = compress(bytes(MAX_INFLATED_BYTES + 1))

    assert reason_against(bomb) == (
        f"a chunk of {len(bomb)} bytes inflates to more than 67108864 bytes. Upload through "
        "seqd.client, or hand the items in inline."
    )


@either
def test_a_row_of_streams_is_a_bomb_when_all_of_it_is(compress: Callable[[bytes], bytes]) -> None:
    row = compress(bytes(MAX_INFLATED_BYTES // 2 + 1)) * 2

    with pytest.raises(InvalidInput, match="inflates to more than 67108864 bytes"):
        list(unpack_lines(row))


@either
def test_a_torn_blob_and_a_second_stream_behind_a_chunk_are_refused(
    compress: Callable[[bytes], bytes],
) -> None:
    blob = compress(json_of(a_chunk()))

    assert "ends in the middle" in reason_against(blob[:-5])
    assert "goes on after 1 compressed streams" in reason_against(blob + blob)


def test_a_blob_that_is_not_compressed_is_refused() -> None:
    assert "is not compressed by zstd or zlib" in reason_against(json_of(a_chunk()))
    assert "is not compressed by zstd or zlib" in reason_against(b"\x28\xb5\x2f\xfd" + b"\xff" * 20)
    assert "ends in the middle" in reason_against(b"")


def test_a_zstd_frame_that_asks_its_reader_for_much_memory_is_refused() -> None:
    greedy = zstd_of(bytes(2**24), window_log=24, enable_long_distance_matching=1)

    assert "Frame requires too much memory for decoding" in reason_against(greedy)
