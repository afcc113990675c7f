"""Files that were made to harm: bombs, torn and double compression, swapped links, URLs."""

import gzip
import os
from pathlib import Path

import pytest
from backports import zstd

from seqd.errors import InvalidInput
from seqd.inputs import streams
from seqd.inputs.datasets import FileDataset
from seqd.inputs.paths import check_path, open_regular
from seqd.inputs.reading import read_items
from seqd_schemas import FileFormat, FileSource, RefusedItem

MIB = 2**20


def refusal(path: Path, **fields: object) -> str:
    with pytest.raises(InvalidInput) as raised:
        list(read_items(FileSource(path=str(path), **fields)))
    return str(raised.value)


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["a.jsonl.zst", "A.JSONL.ZST"])
def test_a_zstd_file_is_read_as_what_it_holds(tmp_path, name):
    path = written(tmp_path / name, zstd.compress(b'{"text": "one"}\n"two"\n'))

    assert [entry.text for entry in read_items(FileSource(path=str(path)))] == ["one", "two"]


def test_a_zstd_file_of_several_frames_is_read_to_its_end(tmp_path):
    path = written(tmp_path / "a.txt.zst", zstd.compress(b"one\ntw") + zstd.compress(b"o\n"))

    assert [entry.text for entry in read_items(FileSource(path=str(path)))] == ["one", "two"]


def test_a_zstd_file_can_be_learnt_from(tmp_path):
    path = written(tmp_path / "a.txt.zst", zstd.compress(b"one\r\ntwo"))

    assert FileDataset(FileSource(path=str(path))).text() == "one\r\ntwo"


@pytest.mark.parametrize(
    ("suffix", "compress", "program"),
    [(".gz", gzip.compress, "gzip"), (".zst", zstd.compress, "zstd")],
)
def test_a_bomb_is_refused_while_it_inflates(tmp_path, monkeypatch, suffix, compress, program):
    monkeypatch.setattr(streams, "FREE_INFLATION_BYTES", MIB)
    path = written(tmp_path / f"a.txt{suffix}", compress(b"0" * (64 * MIB)))

    message = refusal(path)

    assert f"{path} inflates " in message
    assert "times; allowed: 500 times, or 1 MiB. Decompress it first" in message


@pytest.mark.parametrize(
    ("suffix", "compress", "program"),
    [(".gz", gzip.compress, "gzip"), (".zst", zstd.compress, "zstd")],
)
def test_a_torn_file_names_the_program_that_checks_it(tmp_path, suffix, compress, program):
    content = b"".join(b"line %d\n" % (number * 7919) for number in range(20_000))
    whole = compress(content)
    path = written(tmp_path / f"a.txt{suffix}", whole[: len(whole) // 2])

    message = refusal(path)

    assert message.startswith(f"the {program} file {path} ends in the middle, a")
    assert message.endswith(f"Copy it again and check it with `{program} -t`")


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".zst", zstd.compress)])
def test_what_stands_behind_the_end_of_a_file_is_damage(tmp_path, suffix, compress):
    path = written(tmp_path / f"a.txt{suffix}", compress(b"one\n") + b"garbage behind it")

    assert " is damaged (" in refusal(path)


@pytest.mark.parametrize(
    ("outer", "inner", "suffix", "what"),
    [
        (gzip.compress, gzip.compress, ".gz", "gzip"),
        (zstd.compress, gzip.compress, ".zst", "gzip"),
        (gzip.compress, zstd.compress, ".gz", "zstd"),
    ],
)
def test_a_file_that_is_compressed_twice_is_refused(tmp_path, outer, inner, suffix, what):
    path = written(tmp_path / f"a.txt{suffix}", outer(inner(b"one\n")))

    assert (
        refusal(path) == f"{path} is compressed twice: it holds a {what} file. Decompress it once"
    )


def test_a_zstd_file_that_wants_much_memory_is_refused(tmp_path):
    # A stream states its window whatever its length, which is not known when it begins.
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    path = written(tmp_path / "a.txt.zst", stream.compress(b"one\n") + stream.flush())

    assert refusal(path) == (
        f"{path} was compressed with a window of more than 32 MiB, which every reader of it would "
        "need. Compress it again without `--long` and `--ultra`"
    )


def test_a_line_of_any_length_is_one_refusal(tmp_path):
    line = b'"' + b"x" * (32 * MIB) + b'"\n'
    path = written(tmp_path / "a.jsonl", b'"one"\n' + line + b'"two"\n')

    one, long, two = read_items(FileSource(path=str(path)))

    assert (one.text, two.text) == ("one", "two")
    assert isinstance(long, RefusedItem)
    assert long.refused.message == (
        f"line 2: the line has {32 * MIB + 3:,} bytes; allowed: 8,388,608. Split it."
    )


@pytest.mark.parametrize(
    "url", ["http://host/a.jsonl", "s3://bucket/a.jsonl", "file:///etc/passwd", "HTTPS://a"]
)
def test_a_url_is_refused_with_or_without_roots(tmp_path, url):
    expected = f"{url} is a URL; allowed: the path of a file or folder. Download it first"

    with pytest.raises(InvalidInput) as raised:
        check_path(url, (tmp_path,))
    with pytest.raises(InvalidInput) as local:
        list(read_items(FileSource(path=url)))

    assert str(raised.value) == str(local.value) == expected


@pytest.mark.parametrize("swapped", ["a.txt", "inner", "in"])
def test_a_link_that_takes_a_checked_paths_place_is_not_followed(tmp_path, swapped):
    secret = tmp_path / "secret" / "inner"
    secret.mkdir(parents=True)
    (secret / "a.txt").write_text("secret")
    inner = tmp_path / "in" / "inner"
    inner.mkdir(parents=True)
    (inner / "a.txt").write_text("public")
    real = check_path(inner / "a.txt", (tmp_path / "in",))
    places = {"a.txt": real, "inner": real.parent, "in": real.parent.parent}
    targets = {"a.txt": secret / "a.txt", "inner": secret, "in": secret.parent}

    places[swapped].rename(tmp_path / "moved away")
    places[swapped].symlink_to(targets[swapped])

    with pytest.raises(InvalidInput, match=r"a\.txt cannot be read: |is no regular file"):
        open_regular(real)


def test_files_of_a_folder_whose_names_are_not_utf8_are_refused_one_by_one(tmp_path):
    folder = tmp_path / "data" / "pos"
    folder.mkdir(parents=True)
    (folder / "b.txt").write_text("fine")
    with open(os.fsencode(folder) + b"/\xff.txt", "w") as file:
        file.write("fine too")

    good, bad = read_items(FileSource(path=str(tmp_path / "data"), format=FileFormat.FOLDER))

    assert good.custom_id == "pos/b"
    assert bad.custom_id == "row-2"
    assert bad.refused.message.startswith("pos/\\udcff.txt: its identifier 'pos/\\udcff'")
