"""Chunks as they are stored: read whichever way they were compressed, refused where they burst."""

import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_chunk, a_text_chunk, some_results
from seqd.errors import InvalidInput
from seqd.ledger import blobs
from seqd.ledger.blobs import (
    MAX_INFLATED_BYTES,
    MAX_RESULT_BYTES,
    RESULT_ROW_BYTES,
    PackedChunk,
    chunks_of,
    pack,
    pack_results,
    unpack_items,
    unpack_lines,
    unpack_results,
    unpack_texts,
)
from seqd_schemas import (
    ITEM_RESULT,
    MAX_TEXT_CHARS,
    GeneratedSample,
    Generation,
    Item,
    ItemError,
    ItemErrorCode,
    ItemSuccess,
    RefusedItem,
    to_stored,
)

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MIB = 2**20

EITHER: dict[str, Callable[[bytes], bytes]] = {"zlib": zlib.compress, "zstd": zstd.compress}
either = pytest.mark.parametrize("compress", EITHER.values(), ids=EITHER)


def test_a_chunk_is_stored_as_json_by_zstd_and_by_zlib_where_that_is_quicker():
    small, large = a_chunk(3), a_chunk(500)

    for chunk in (small, large, a_text_chunk()):
        assert PackedChunk(chunk).json == chunk.model_dump_json(exclude_defaults=True).encode()
    assert zlib.decompress(pack(small)) == PackedChunk(small).json
    assert zstd.decompress(pack(large)) == PackedChunk(large).json


@either
def test_chunks_are_read_whichever_way_they_are_compressed_unless_they_are_torn_or_doubled(
    compress,
):
    blob = compress(PackedChunk(a_chunk(3)).json)

    assert unpack_items(blob) == a_chunk(3)
    assert unpack_texts(compress(PackedChunk(a_text_chunk()).json)) == a_text_chunk()
    assert "ends in the middle" in reason_against(blob[:-5])
    assert "goes on after its end" in reason_against(blob + blob)


def reason_against(blob: bytes) -> str:
    with pytest.raises(InvalidInput) as refusal:
        unpack_items(blob)
    return str(refusal.value)


@either
def test_a_bomb_is_not_inflated_beyond_what_a_chunk_may_have(compress):
    bomb = compress(bytes(MAX_INFLATED_BYTES + 1))

    assert reason_against(bomb) == (
        f"a chunk of {len(bomb)} bytes inflates to more than 67108864 bytes. Upload through "
        "seqd.client, or hand the items in inline."
    )


def test_a_chunk_that_inflates_to_more_than_it_states_is_refused_in_bounded_memory():
    small = zlib.compressobj(1, wbits=12)
    blob = small.compress(bytes(16 * MIB)) + small.flush()
    lying = bytearray(zstd.compress(bytes(16 * MIB)))
    assert zstd.get_frame_info(bytes(lying)).decompressed_size == 16 * MIB
    lying[6:10] = (100).to_bytes(4, "little")  # behind the descriptor and the window

    tracemalloc.start()
    reasons = [reason_against(blob), reason_against(bytes(lying))]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert reasons[0] == (
        f"a chunk of {len(blob)} bytes inflates to more than 4096 bytes, which it states. Upload "
        "through seqd.client, or hand the items in inline."
    )
    assert "is not compressed by zstd or zlib: Unable to decompress" in reasons[1]
    assert peak < MIB


WIDE = {
    zstd.CompressionParameter.window_log: 24,
    zstd.CompressionParameter.enable_long_distance_matching: 1,
}


def test_a_blob_that_seqd_has_not_packed_is_refused():
    a_wide_window = zstd.compress(bytes(16 * MIB), options=WIDE)

    for blob, reason in (
        (PackedChunk(a_chunk()).json, "is not compressed by zstd or zlib"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 20, "is not compressed by zstd or zlib"),
        (b"", "ends in the middle"),
        (a_wide_window, "Frame requires too much memory for decoding"),
    ):
        assert reason in reason_against(blob)


def a_refused_item(number: int) -> RefusedItem:
    refused = ItemError(code=ItemErrorCode.INVALID_INPUT, message="\0" * 4_096)
    return RefusedItem(custom_id=f"row-{number}", refused=refused)


@pytest.mark.parametrize(
    ("entry", "count"),
    [
        (lambda n: Item(custom_id=str(n), text="\0" * MAX_TEXT_CHARS), 6),
        pytest.param(
            lambda n: Item(custom_id="\U0001f600" * 122 + f"{n:06}", text='"'),
            65_536,
            marks=pytest.mark.slow,
        ),
        pytest.param(a_refused_item, 3_000, marks=pytest.mark.slow),
    ],
    ids=["texts", "names", "refusals"],
)
def test_no_chunk_that_is_cut_is_larger_than_what_is_read(entry, count):
    entries = [entry(number) for number in range(count)]

    chunks = list(chunks_of(entries, unit_items=65_536))

    assert all(len(PackedChunk(chunk).json) <= MAX_INFLATED_BYTES for chunk in chunks)
    assert [entry for chunk in chunks for entry in unpack_items(pack(chunk)).items] == entries


def a_generation(custom_id: str, *texts: str) -> ItemSuccess:
    samples = tuple(GeneratedSample(text=text, temperature=1.0, seed=0) for text in texts)
    return ItemSuccess(custom_id=custom_id, output=Generation(prompt="", samples=samples))


def test_results_are_stored_as_zlib_which_every_language_has_and_come_with_their_json():
    results = some_results(3, errored=1)

    (row,) = pack_results(results)

    lines = list(unpack_lines(row))
    stored = [to_stored(one) for one in results]
    assert zlib.decompress(row).decode().splitlines() == stored
    assert [ITEM_RESULT.validate_json(line) for line in stored] == results
    assert [(line.result, line.json.decode()) for line in lines] == list(
        zip(results, stored, strict=True)
    )


def test_results_are_split_into_rows_by_their_size_and_not_in_the_middle_of_one():
    results = [a_generation(f"item-{n}", "x" * 1_000_000) for n in range(20)]
    small, large = a_generation("small", "a"), a_generation("large", *["\0" * 1_000_000] * 4)

    rows, around = pack_results(results), pack_results([small, large, small])

    assert [len(list(unpack_lines(row))) for row in rows] == [8, 8, 4]
    assert all(len(zlib.decompress(row)) <= RESULT_ROW_BYTES for row in rows)
    assert [result for row in rows for result in unpack_results(row)] == results
    # One that is larger than a row has a row alone.
    assert [list(unpack_results(row)) for row in around] == [[small], [large], [small]]
    assert len(zlib.decompress(around[1])) > 24_000_000


def test_a_row_is_read_with_the_memory_of_a_line_and_not_of_the_row():
    line = some_results(1)[0].model_dump_json().encode() + b"\n"
    row = zlib.compress(line * 100_000, 1)

    tracemalloc.start()
    count = sum(1 for _ in unpack_lines(row))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 100_000
    assert most < 8 * MIB < len(line) * 100_000


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=40),
    st.integers(1, 64),
    st.integers(1, 300),
)
def test_wherever_rows_and_blocks_end_every_result_is_read(texts, block_bytes, row_bytes):
    texts = [text.encode(errors="replace").decode() for text in texts]
    results = [a_generation(f"item-{n}", text) for n, text in enumerate(texts)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "_BLOCK_BYTES", block_bytes)
        patch.setattr(blobs, "RESULT_ROW_BYTES", row_bytes)
        rows = pack_results(results)
        read = [result for row in rows for result in unpack_results(row)]

    assert read == results


def test_a_row_of_results_that_seqd_did_not_write_is_refused():
    bomb = zlib.compress(b" " * (MAX_RESULT_BYTES + 1), 1)
    rows = [
        (zlib.compress(b"{}")[:-5], "ends in the middle"),
        (zlib.compress(b"{}"), "ends in the middle of a line"),
        (b"", "ends in the middle"),
        (b"no stream", "is not compressed by zlib: Error -3 while decompressing data"),
        (zlib.compress(b"\n") * 2, "goes on after its end"),
        (bomb, "has a result of more than 67108864 bytes"),
    ]

    for row, reason in rows:
        with pytest.raises(InvalidInput) as refusal:
            list(unpack_lines(row))

        assert str(refusal.value).startswith(f"a row of {len(row)} bytes of results {reason}")
