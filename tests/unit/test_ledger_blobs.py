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
    chunks_of,
    json_of,
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
    ItemChunk,
    ItemError,
    ItemErrorCode,
    ItemSuccess,
    RefusedItem,
    TextChunk,
    to_stored,
)

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


def a_generation(custom_id: str, text: str) -> ItemSuccess:
    sample = GeneratedSample(text=text, temperature=1.0, seed=0)
    return ItemSuccess(custom_id=custom_id, output=Generation(prompt="", samples=(sample,)))


def test_results_are_stored_as_zlib_which_every_language_has() -> None:
    results = some_results(3, errored=1)

    (row,) = pack_results(results)

    lines = zlib.decompress(row).splitlines()
    assert [ITEM_RESULT.validate_json(line) for line in lines] == results


def test_a_result_comes_with_the_json_that_it_was_stored_as() -> None:
    results = some_results(3, errored=1)

    lines = list(unpack_lines(pack_results(results)[0]))

    assert [line.result for line in lines] == results
    assert [line.json.decode() for line in lines] == [to_stored(one) for one in results]


def test_results_are_split_into_rows_by_their_size_and_not_in_the_middle_of_one() -> None:
    results = [a_generation(f"item-{n}", "x" * 1_000_000) for n in range(20)]

    rows = pack_results(results)

    assert [len(list(unpack_lines(row))) for row in rows] == [8, 8, 4]
    assert all(len(zlib.decompress(row)) <= RESULT_ROW_BYTES for row in rows)
    assert [result for row in rows for result in unpack_results(row)] == results


def test_a_result_that_is_larger_than_a_row_has_a_row_alone() -> None:
    small = a_generation("small", "a")
    sample = GeneratedSample(text="\0" * 1_000_000, temperature=1.0, seed=0)
    large = ItemSuccess(custom_id="large", output=Generation(prompt="", samples=(sample,) * 4))

    rows = pack_results([small, large, small])

    assert [list(unpack_results(row)) for row in rows] == [[small], [large], [small]]
    assert len(zlib.decompress(rows[1])) > 24_000_000


def test_a_row_is_read_with_the_memory_of_a_line_and_not_of_the_row() -> None:
    line = some_results(1)[0].model_dump_json().encode() + b"\n"
    row = zlib.compress(line * 100_000, 1)

    tracemalloc.start()
    count = sum(1 for _ in unpack_lines(row))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 100_000
    assert most < 8 * 1024 * 1024 < len(line) * 100_000


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=40),
    st.integers(1, 64),
    st.integers(1, 300),
)
def test_wherever_rows_and_blocks_end_every_result_is_read(
    texts: list[str], block_bytes: int, row_bytes: int
) -> None:
    texts = [text.encode(errors="replace").decode() for text in texts]
    results = [a_generation(f"item-{n}", text) for n, text in enumerate(texts)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "_BLOCK_BYTES", block_bytes)
        patch.setattr(blobs, "RESULT_ROW_BYTES", row_bytes)
        rows = pack_results(results)
        read = [result for row in rows for result in unpack_results(row)]

    assert read == results


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (zlib.compress(b"{}")[:-5], "ends in the middle"),
        (zlib.compress(b"{}"), "ends in the middle of a line"),
        (b"", "ends in the middle"),
        (b"no stream", "is not compressed by zlib: Error -3 while decompressing data"),
        (zlib.compress(b"\n") * 2, "goes on after its end"),
        (zlib.compress(b" " * (MAX_RESULT_BYTES + 1)), "has a result of more than 67108864 bytes"),
    ],
    ids=["torn", "torn line", "empty", "other", "two streams", "bomb"],
)
def test_a_row_of_results_that_seqd_did_not_write_is_refused(row: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        list(unpack_lines(row))

    assert str(refusal.value).startswith(f"a row of {len(row)} bytes of results {reason}")


TEXT_OF_MOST_BYTES = "\0" * MAX_TEXT_CHARS


@pytest.mark.parametrize(
    "entries",
    [
        [Item(custom_id=str(n), text=TEXT_OF_MOST_BYTES) for n in range(6)],
        pytest.param(
            [Item(custom_id="\U0001f600" * 122 + f"{n:06}", text='"') for n in range(65_536)],
            marks=pytest.mark.slow,
        ),
        pytest.param(
            [
                RefusedItem(
                    custom_id=f"row-{n}",
                    refused=ItemError(code=ItemErrorCode.INVALID_INPUT, message="\0" * 4_096),
                )
                for n in range(3_000)
            ],
            marks=pytest.mark.slow,
        ),
    ],
    ids=["texts", "names", "refusals"],
)
def test_no_chunk_that_is_cut_is_larger_than_what_is_read(
    entries: list[Item | RefusedItem],
) -> None:
    chunks = list(chunks_of(entries, unit_items=65_536))

    assert all(len(json_of(chunk)) <= MAX_INFLATED_BYTES for chunk in chunks)
    assert [entry for chunk in chunks for entry in unpack_items(pack(chunk)).items] == entries


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
def test_a_torn_blob_and_a_second_stream_behind_a_chunk_are_refused(
    compress: Callable[[bytes], bytes],
) -> None:
    blob = compress(json_of(a_chunk()))

    assert "ends in the middle" in reason_against(blob[:-5])
    assert "goes on after its end" in reason_against(blob + blob)


def test_a_chunk_that_inflates_to_more_than_it_states_is_refused_in_bounded_memory() -> None:
    small = zlib.compressobj(1, wbits=12)
    blob = small.compress(bytes(2**24)) + small.flush()
    lying = bytearray(zstd.compress(bytes(2**24)))
    assert zstd.get_frame_info(bytes(lying)).decompressed_size == 2**24
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
    assert peak < 2**20


def test_a_blob_that_is_not_compressed_is_refused() -> None:
    assert "is not compressed by zstd or zlib" in reason_against(json_of(a_chunk()))
    assert "is not compressed by zstd or zlib" in reason_against(b"\x28\xb5\x2f\xfd" + b"\xff" * 20)
    assert "ends in the middle" in reason_against(b"")


def test_a_zstd_frame_that_asks_its_reader_for_much_memory_is_refused() -> None:
    greedy = zstd_of(bytes(2**24), window_log=24, enable_long_distance_matching=1)

    assert "Frame requires too much memory for decoding" in reason_against(greedy)
