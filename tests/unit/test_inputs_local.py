"""What a client reads and workers do not: TSV, Parquet, and pipes that end late."""

import gzip
import os
import re
import threading
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from backports import zstd

from seqd.cli.sources import Feed, feed_of
from seqd.errors import InvalidInput
from seqd.inputs.live import LiveText
from seqd_schemas import Item, RefusedItem
from worker_fixtures import wait_until


def parquet(folder: Path, name: str = "in.parquet", **columns: object) -> Path:
    path = folder / name
    pq.write_table(pa.table(columns), path, row_group_size=2)
    return path


def fed(path: Path, **source: str) -> list[Item | RefusedItem]:
    with feed_of(str(path), [], source, label_field="label") as feed:
        return list(feed)


def texts_of(entries: list[Item | RefusedItem]) -> list[tuple[str, str]]:
    return [
        (one.custom_id, one.text if isinstance(one, Item) else one.refused.message)
        for one in entries
    ]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_tsv_is_a_csv_with_tabs(tmp_path, suffix):
    content = b'id\ttext\na\tone, two\nb\t"quoted\t""x"""\nc\ttoo\tmany\n'
    compress = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}[suffix]
    path = tmp_path / f"in.tsv{suffix}"
    path.write_bytes(compress(content))

    assert texts_of(fed(path)) == [
        ("a", "one, two"),
        ("b", 'quoted\t"x"'),
        (
            "line-4",
            "line 4: it has 3 fields, the header has 2. Quote a field that holds a tab.",
        ),
    ]


def test_rows_of_parquet_are_items_in_order_with_their_labels(tmp_path):
    path = parquet(
        tmp_path, custom_id=["a", "b", None], text=["fine", None, "so"], label=[1, 0, None]
    )

    with feed_of(str(path), [], {}, label_field="label") as feed:
        entries = list(feed)

    assert texts_of(entries) == [
        ("a", "fine"),
        ("b", "row 2: its field 'text' is null; allowed: a string."),
        ("row-3", "so"),
    ]
    assert list(feed.labels) == ["1", "0", None]


def test_labels_are_kept_of_the_field_that_is_named_in_each_form(tmp_path):
    parquet(tmp_path, text=["fine"], mood=["good"])
    (tmp_path / "in.csv").write_text("text,mood\nfine,good\n")
    (tmp_path / "in.jsonl").write_text('{"text": "fine", "mood": "good"}\n')
    (tmp_path / "folder" / "good").mkdir(parents=True)
    (tmp_path / "folder" / "good" / "1.txt").write_text("fine")

    for name in ("in.parquet", "in.csv", "in.jsonl", "folder"):
        with feed_of(str(tmp_path / name), [], {}, label_field="mood") as feed:
            entries = list(feed)

        assert [one.text for one in entries if isinstance(one, Item)] == ["fine"]
        assert (list(feed.labels), feed.unseen) == (["good"], {}), name


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"body": ["x"]}, "in.parquet has no column 'text'; it has: body. Name the column with"),
        ({"text": [1]}, "in.parquet holds int64; allowed: strings. Name the column with the text"),
    ],
)
def test_parquet_without_texts_is_refused_as_a_whole(tmp_path, columns, message):
    with pytest.raises(InvalidInput, match=re.escape(message)):
        fed(parquet(tmp_path, **columns))


def test_what_is_no_parquet_file_is_said(tmp_path):
    path = tmp_path / "in.parquet"
    path.write_text("not at all")

    with pytest.raises(InvalidInput, match=r"in\.parquet is no Parquet file that can be read"):
        fed(path)


def test_a_torn_parquet_file_ends_in_an_error_not_in_silence(tmp_path):
    path = parquet(tmp_path, text=[os.urandom(9_000).hex() for _ in range(64)])
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = b"\xff" * (len(content) // 2 - 4)
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match=r"in\.parquet is damaged behind row"):
        fed(path)


def test_a_string_of_parquet_that_is_no_text_costs_its_row_alone(tmp_path):
    texts = pa.array([b"fine", b"caf\xe9", b"good"]).view(pa.string())

    assert texts_of(fed(parquet(tmp_path, text=texts))) == [
        ("row-1", "fine"),
        (
            "row-2",
            "row 2: byte 0xe9 at byte 3 is not UTF-8. Convert the input, as `iconv -f LATIN1 -t "
            "UTF-8` does.",
        ),
        ("row-3", "good"),
    ]


def test_an_unknown_name_lists_all_that_are_read_here(tmp_path):
    path = tmp_path / "in.xml"
    path.write_text("<x/>")

    message = "known names end in .jsonl, .csv, .tsv, .txt, .parquet, each but .parquet also with"
    with pytest.raises(InvalidInput, match=re.escape(message)):
        fed(path)


def test_a_pipe_gives_its_items_before_it_ends(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    seen: list[str] = []

    def read() -> None:
        with feed_of(str(pipe), [], {}) as feed:
            seen.extend(entry.custom_id for entry in iter_of(feed, seen))

    reader = threading.Thread(target=read)
    reader.start()
    with pipe.open("w") as lines:
        lines.write("one\ntwo\n")
        lines.flush()
        wait_until(lambda: len(seen) == 2, "both items, while the pipe is open")
        lines.write("three\n")
    reader.join(120)

    assert seen == ["line-1", "line-2", "line-3"]


def iter_of(feed: Feed, seen: list[str]) -> list[Item | RefusedItem]:
    """Note each item as it comes."""
    for entry in feed:
        seen.append(entry.custom_id)
    return []


def test_whoever_waits_for_a_pipe_can_be_sent_away():
    reading, writing = os.pipe()
    os.write(writing, b"one\n")
    stream = os.fdopen(reading, "rb")
    live = LiveText(stream, "standard input")
    failures: list[Exception] = []

    def read() -> None:
        try:
            list(live.chunks())
        except InvalidInput as error:
            failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    live.close()
    reader.join(120)
    os.close(writing)
    stream.close()

    assert [str(failure) for failure in failures] == ["standard input was not read to its end"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "standard input is empty; at least one entry is due"),
        (
            gzip.compress(b"one\n" * 9_000, mtime=0)[:-9],
            "the gzip file standard input ends in the middle",
        ),
    ],
)
def test_an_empty_or_torn_pipe_is_an_error(content, message):
    reading, writing = os.pipe()
    os.write(writing, content)
    os.close(writing)

    with os.fdopen(reading, "rb") as stream, pytest.raises(InvalidInput, match=message):
        list(LiveText(stream, "standard input").chunks())
