"""What is read of a file is one state of it, from the first byte to the last, at every door."""

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seqd.cli.sources import feed_of, local_input
from seqd.errors import InvalidInput
from seqd.inputs.datasets import FileDataset
from seqd.inputs.live import LiveText
from seqd.inputs.reading import InputFile
from seqd_schemas import FileFormat, FileSource, RefusedItem
from worker_fixtures import wait_until

#: Rows of a file, and what makes them so long that no reader has all of them at once.
ROWS, LONG = 1_000, " and more" * 12


def csv_of(word: str) -> bytes:
    rows = "".join(f"{word} {n}{LONG},x\n" for n in range(ROWS))
    return f"text,label\n{rows}".encode()


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def rewritten_in_place(path: Path) -> None:
    content = path.read_bytes()
    with path.open("r+b") as file:  # not truncated: the same size, never another
        file.seek(len(content) // 2)
        file.write(content[len(content) // 2 :].replace(b"text", b"TEXT"))


def rewritten_as_of_then(path: Path) -> None:
    """Write in place the same size, and set the time back, as `cp -p` and `touch -r` do."""
    status = path.stat()
    rewritten_in_place(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def rewritten_longer(path: Path) -> None:
    path.write_bytes(csv_of("another text"))


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"one more,x\n")


def broken_in_place(path: Path) -> None:
    """Write in place, behind what a reader has buffered, what no format takes."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\n\xff,x,y,\n" * 50)


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(csv_of("TEXT"))
    other.rename(path)


def moved(path: Path) -> None:
    path.rename(path.with_name("moved.csv"))


IN_PLACE = [shortened, rewritten_in_place, rewritten_as_of_then, rewritten_longer, appended]
GONE = [replaced, moved, Path.unlink]


def written(path: Path, content: bytes) -> Path:
    """Write a file, and let it be older than the tick of any file system's clock."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (0, 0))
    ticked_ns = path.stat().st_ctime_ns + 20_000_000  # no program can set the change time back
    wait_until(lambda: time.time_ns() > ticked_ns, "a tick")
    return path


def a_folder(folder: Path) -> Path:
    for name in ("neg/0.txt", "neg/1.txt", "pos/0.txt", "pos/1.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        written(folder / name, b"a text of " + name.encode())
    return folder


@pytest.fixture
def path(tmp_path):
    return written(tmp_path / "a.csv", csv_of("text"))


def begun(reading: Iterator[object]) -> Iterator[object]:
    """Return a reading that has the file open."""
    next(reading)
    return reading


def items(path: Path) -> Iterator[object]:
    return InputFile(FileSource(path=str(path))).items()


def local_items(path: Path) -> Iterator[object]:
    return local_input(path).items(lambda value: None)


def records(path: Path) -> Iterator[object]:
    return FileDataset(FileSource(path=str(path))).records()


def running_text(path: Path) -> Iterator[object]:
    written(path, csv_of("text") * 8)  # more than a segment
    return FileDataset(FileSource(path=str(path), format=FileFormat.LINES)).segments()


def at_stdin(path: Path) -> Iterator[object]:
    """Give the file to standard input, as `< FILE` does."""
    with path.open() as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", stream)
        with feed_of("-", [], {"format": "csv"}) as feed:
            yield from feed


def copied(path: Path) -> Iterator[object]:
    with path.open("rb") as stream:
        yield from LiveText(stream, "standard input").chunks()


@pytest.mark.parametrize(
    ("read", "change"),
    [
        *product([items], IN_PLACE),
        *product([local_items, records, running_text, at_stdin, copied], [rewritten_as_of_then]),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_refused_with_the_reason(path, read, change):
    reading = begun(read(path))
    change(path)

    with pytest.raises(InvalidInput, match="was changed while it was read: it "):
        list(reading)


def test_the_reason_says_what_is_different(path):
    reading, size_bytes = begun(items(path)), path.stat().st_size
    appended(path)

    with pytest.raises(InvalidInput) as raised:
        list(reading)

    assert str(raised.value) == (
        f"{path} was changed while it was read: it had {size_bytes:,} bytes and has "
        f"{size_bytes + 11:,}. What follows would not fit what was read before. Hand it in again "
        "once nobody writes to it any more"
    )


def test_a_change_that_only_the_change_time_tells_may_be_one_of_its_owner_or_mode(path):
    reading = begun(items(path))
    path.chmod(0o600)

    with pytest.raises(InvalidInput, match="it was written to, or its owner or mode was changed"):
        list(reading)


@pytest.mark.parametrize(
    ("read", "change"), [*product([items], GONE), (at_stdin, replaced), (at_stdin, Path.unlink)]
)
def test_an_open_file_that_is_no_more_at_its_path_is_read_to_its_end_as_it_was(path, read, change):
    written(path, csv_of("text") + b"one,two,three\n")
    reading = begun(read(path))
    change(path)

    *_, last = rest = list(reading)

    assert len(rest) == ROWS
    assert isinstance(last, RefusedItem)
    assert "it has 3 fields, the header has 2" in last.refused.message


def local_entries(path: Path) -> Callable[[], Iterator[object]]:
    return local_input(path).entries


def records_of(path: Path) -> Callable[[], Iterator[object]]:
    return FileDataset(FileSource(path=str(path))).records


@pytest.mark.parametrize(
    ("read", "change"),
    [
        *product([local_entries], [*IN_PLACE, replaced, Path.unlink]),
        *product([records_of], [rewritten_as_of_then, replaced]),
    ],
)
def test_a_second_reading_is_of_the_same_state(path, read, change):
    again = read(path)
    assert len(list(again())) == ROWS
    change(path)

    with pytest.raises(InvalidInput):
        next(iter(again()))


@pytest.mark.parametrize(
    ("read", "change"),
    [
        *product([items], [shortened, rewritten_as_of_then, appended, replaced, Path.unlink]),
        *product([local_items, records], [rewritten_as_of_then, Path.unlink]),
    ],
)
def test_a_folder_in_which_a_file_changes_is_refused(tmp_path, read, change):
    reading = begun(read(a_folder(tmp_path)))
    change(tmp_path / "neg" / "0.txt")  # which was read before

    with pytest.raises(InvalidInput, match="was changed while it was read"):
        list(reading)


def more_labels(folder: Path) -> None:
    more = written(folder.parent / "more" / "0.txt", b"a text").parent
    more.rename(folder / "more")


def fewer_labels(folder: Path) -> None:
    (folder / "neg").rename(folder.parent / "neg")


def other_labels(folder: Path) -> None:
    (folder / "neg").rename(folder / "bad")


def broken_later(folder: Path) -> None:
    (folder / "pos" / "1.txt").write_bytes(b"\xff\xfe\xff")


@pytest.mark.parametrize("change", [more_labels, fewer_labels, other_labels, broken_later])
def test_a_folder_that_changes_is_refused_and_one_with_another_file_beside_its_labels_is_not(
    tmp_path, change
):
    folder = a_folder(tmp_path / "data")

    reading = begun(records(folder))
    (folder / ".r.jsonl.part").write_text("{}")
    assert len(list(reading)) == 3  # behind the first

    reading = begun(records(folder))
    change(folder)
    with pytest.raises(InvalidInput, match="was changed while it was read"):
        list(reading)


def file_of(kind: str, folder: Path) -> Path:
    path = folder / f"a.{kind}"
    if kind == "parquet":
        rows = pa.table({"text": [f"text {n * 7919 % 10_000}" for n in range(10_000)]})
        pq.write_table(rows, path)
        return written(path, path.read_bytes())
    numbers = range(ROWS * 4)  # more than a reader has buffered
    lines = {
        "csv": [f"text {n}{LONG},x" for n in numbers],
        "jsonl": [json.dumps({"text": f"text {n}{LONG}", "label": "x"}) for n in numbers],
    }
    content = "\n".join(["text,label", *lines["csv"]] if "csv" in kind else lines["jsonl"])
    whole = content.encode()
    return written(path, gzip.compress(whole) if kind.endswith(".gz") else whole)


@pytest.mark.parametrize(
    ("kind", "read"),
    [
        *product(["csv", "jsonl.gz", "parquet"], [local_items]),
        ("csv", records),
        ("csv", at_stdin),
    ],
)
def test_what_is_broken_since_a_change_is_told_as_the_change_and_by_no_entry(tmp_path, kind, read):
    path = file_of(kind, tmp_path)
    reading = begun(read(path))
    broken_in_place(path)

    seen: list[object] = []
    with pytest.raises(InvalidInput, match="was changed while it was read: it was written to"):
        for entry in reading:
            seen.append(entry)

    assert not [entry for entry in seen if isinstance(entry, RefusedItem)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "csv.gz", "parquet"])
def test_a_file_that_is_removed_before_it_is_read_again_is_not_there_any_more(tmp_path, kind):
    path = file_of(kind, tmp_path)
    source = local_input(path)
    path.unlink()

    with pytest.raises(InvalidInput, match=r"changed while .* it is not there any more"):
        list(source.entries())
    if kind != "jsonl":  # whose columns are those of each record
        with pytest.raises(InvalidInput, match=r"changed while .* it is not there any more"):
            source.columns()
