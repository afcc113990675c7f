"""Files that cannot be an input, or were made to harm, are refused as a whole, with what to do."""

import gzip
import os
import random
import socket
from pathlib import Path

import pytest
from backports import zstd

from seqd.errors import InvalidInput
from seqd.inputs import streams
from seqd.inputs.paths import check_path, open_regular
from seqd.inputs.reading import InputFile
from seqd_schemas import FileFormat, FileSource, RefusedItem


def refusal(path, **fields) -> str:
    with pytest.raises(InvalidInput) as raised:
        list(InputFile(FileSource(path=str(path), **fields)).items())
    return str(raised.value)


def test_a_folder_where_a_file_is_due_is_refused_and_the_other_way_round(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a")

    assert refusal(tmp_path, format=FileFormat.JSONL) == (
        f"{tmp_path} is a folder; a jsonl input is one file"
    )
    assert refusal(path, format=FileFormat.FOLDER) == (
        f"{path} is a file; a folder input holds LABEL/*.txt"
    )


def test_a_folder_of_halves_is_told_to_name_one(tmp_path):
    (tmp_path / "train" / "pos").mkdir(parents=True)
    (tmp_path / "test" / "pos").mkdir(parents=True)

    assert refusal(tmp_path) == (
        f"{tmp_path} holds no LABEL/*.txt; it has test and train. Name the one to read"
    )


@pytest.mark.timeout(10)
def test_pipes_devices_and_sockets_are_never_opened(tmp_path):
    os.mkfifo(tmp_path / "a.jsonl")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.jsonl"))

        pipe, device = refusal(tmp_path / "a.jsonl"), refusal("/dev/zero")
        bound = refusal(tmp_path / "s.jsonl")

    allowed = "allowed: a regular file or a folder"
    assert pipe == f"{tmp_path}/a.jsonl is a named pipe; {allowed}"
    assert device == f"/dev/zero is a character device; {allowed}"
    assert bound == f"{tmp_path}/s.jsonl is a socket; {allowed}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"", "is empty; at least one entry is due"),
        (
            "a.txt.gz",
            gzip.compress(b"", mtime=0),
            "is empty once inflated; at least one entry is due",
        ),
        ("a.txt", b"\n \n", "holds no entry; at least one is due"),
        ("a.csv", b"id,text\n", "holds no entry; at least one is due"),
        ("a.jsonl", gzip.compress(b"a", mtime=0), "is a gzip file; its name must end in .gz"),
        (
            "a.txt",
            "\ufeffab".encode("utf-16-le"),
            "is UTF-16; allowed: UTF-8. Convert it: `iconv -f UTF-16 -t UTF-8`",
        ),
        (
            "a.jsonl.gz",
            b'{"text": "a"}',
            "is named .gz but is not a gzip file: it begins with 7b 22, not with 1f 8b. Rename "
            "it, or compress it with `gzip`",
        ),
        (
            "a.parquet",
            b"PAR1",
            "is unknown; known names end in .jsonl, .csv, .txt, each also with .gz or .zst. Rename "
            "it, or name its format: jsonl, csv or lines",
        ),
    ],
)
def test_a_file_that_is_no_input_is_refused_with_what_to_do(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)

    assert refusal(path) in (f"{path} {message}", f"the format of {path} {message}")


@pytest.mark.parametrize(
    "content",
    [
        random.Random(1).randbytes(100_000),
        "Это совсем не UTF-8, а старая кодировка.".encode("cp1251"),
        "utf-16 without a mark".encode("utf-16-le"),
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe",
    ],
)
def test_what_is_mostly_not_utf8_is_binary(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_bytes(content)

    assert refusal(path).startswith(f"{path} is not UTF-8 text: of its first ")


def test_a_torn_gzip_file_gives_its_whole_lines_and_then_fails(tmp_path):
    numbers = random.Random(1)
    whole = gzip.compress(b"".join(b"%d\n" % numbers.getrandbits(64) for _ in range(50_000)))
    path = tmp_path / "a.txt.gz"
    path.write_bytes(whole[: len(whole) // 2])
    entries = []

    with pytest.raises(InvalidInput) as raised:
        entries.extend(InputFile(FileSource(path=str(path))).items())

    assert 20_000 < len(entries) < 29_500
    assert entries[-1].custom_id == f"line-{len(entries)}"
    assert str(raised.value) == (
        f"the gzip file {path} ends in the middle, after line {len(entries):,}: it was not copied "
        "whole. Copy it again and check it with `gzip -t`"
    )


def test_a_damaged_gzip_file_fails(tmp_path):
    content = bytearray(gzip.compress(b"a line\n" * 1_000))
    content[-6] ^= 0xFF  # the checksum
    path = tmp_path / "a.txt.gz"
    path.write_bytes(content)

    assert " is damaged (CRC check failed " in refusal(path)


def test_an_unreadable_file_is_named_with_the_reason(tmp_path):
    path = tmp_path / ("a" * 300 + ".txt")

    assert refusal(path) == f"{path} cannot be read: File name too long"


def test_a_path_under_a_root_is_given_as_its_real_path(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("a")
    (tmp_path / "in" / "link.txt").symlink_to("a.txt")

    real = check_path(tmp_path / "in" / "link.txt", (tmp_path / "other", tmp_path / "in"))

    assert real == (tmp_path / "in" / "a.txt").resolve()


@pytest.mark.parametrize("name", ["../secret.txt", "link.txt", "../missing.txt", "../in2/a.txt"])
def test_a_path_that_leads_outside_all_roots_is_refused_whether_it_exists_or_not(tmp_path, name):
    for folder in ("in", "in2"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.txt").write_text("a")
    (tmp_path / "secret.txt").write_text("s")
    (tmp_path / "in" / "link.txt").symlink_to("../secret.txt")
    path = tmp_path / "in" / name

    with pytest.raises(InvalidInput) as raised:
        check_path(path, (tmp_path / "in",))

    assert str(raised.value) == (
        f"{path} is outside the folders that jobs may read: {tmp_path}/in. Move it there, or add "
        "its folder to SEQD_INPUT_ROOTS on the workers"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("a.txt", "a.txt is a relative path; allowed: an absolute one"),
        ("/a\0b", r"'/a\x00b' is not a usable path: "),
    ],
)
def test_a_path_that_is_none_is_refused(tmp_path, path, message):
    with pytest.raises(InvalidInput) as raised:
        check_path(path, (tmp_path,))

    assert str(raised.value).startswith(message)


def test_without_roots_nothing_may_be_read(tmp_path):
    with pytest.raises(InvalidInput, match=r"no folder is open to jobs here.*SEQD_INPUT_ROOTS"):
        check_path(tmp_path, ())


# Bombs, torn and double compression, swapped links, URLs


MIB = 2**20


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_zstd_file_of_several_frames_is_read_to_its_end(tmp_path):
    path = written(tmp_path / "a.txt.zst", zstd.compress(b"one\ntw") + zstd.compress(b"o\n"))

    assert [entry.text for entry in InputFile(FileSource(path=str(path))).items()] == ["one", "two"]


@pytest.mark.parametrize(("suffix", "compress"), [(".gz", gzip.compress), (".zst", zstd.compress)])
def test_a_bomb_is_refused_while_it_inflates(tmp_path, monkeypatch, suffix, compress):
    monkeypatch.setattr(streams, "FREE_INFLATION_BYTES", MIB)
    path = written(tmp_path / f"a.txt{suffix}", compress(b"0" * (64 * MIB)))

    message = refusal(path)

    assert f"{path} inflates " in message
    assert "times; allowed: 500 times, or 1 MiB. Decompress it first" in message


def test_a_torn_zstd_file_names_the_program_that_checks_it(tmp_path):
    whole = zstd.compress(b"".join(b"line %d\n" % (number * 7919) for number in range(20_000)))
    path = written(tmp_path / "a.txt.zst", whole[: len(whole) // 2])

    message = refusal(path)

    assert message.startswith(f"the zstd file {path} ends in the middle, a")
    assert message.endswith("Copy it again and check it with `zstd -t`")


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

    one, long, two = InputFile(FileSource(path=str(path))).items()

    assert (one.text, two.text) == ("one", "two")
    assert isinstance(long, RefusedItem)
    assert long.refused.message == (
        f"line 2: the line has {32 * MIB + 3:,} bytes; allowed: 8,388,608. Split it."
    )


@pytest.mark.parametrize(
    ("url", "told"),
    [
        *(
            (url, url)
            for url in ("http://host/a.jsonl", "s3://bucket/a@b", "file:///etc", "HTTPS://a")
        ),
        ("https://ana:secret@host/a.jsonl", "https://***@host/a.jsonl"),
    ],
)
def test_a_url_is_refused_with_or_without_roots_and_shown_without_credentials(tmp_path, url, told):
    expected = (
        f"{told} is a URL; allowed: the path of a file or folder. Download it first, or have "
        "workers read it (s3://): as a job's FileSource, or with --output-folder"
    )

    with pytest.raises(InvalidInput) as raised:
        check_path(url, (tmp_path,))
    with pytest.raises(InvalidInput) as local:
        list(InputFile(FileSource(path=url)).items())

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
