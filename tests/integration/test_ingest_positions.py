"""An ingest goes on where it stood, whoever goes on with it, and a line is read twice at most."""

import gzip
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backports import zstd

from ingest_builders import Reader, chunks_in, jsonl, submitted
from ledger_fixtures import Environment
from seqd.inputs import duplicates
from seqd.ledger import ranges
from seqd.worker.ingest import MAX_OPEN, SLICE_UNITS
from seqd_schemas import JobState

LINES = 600


@pytest.fixture
def readers(environment: Environment, tmp_path: Path) -> list[Reader]:
    return [Reader(environment, name, tmp_path) for name in ("worker-a", "worker-b")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of many lines."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(LINES))
    return path


@pytest.fixture(autouse=True)
def no_unit_is_enough(monkeypatch):
    # Units are not computed here, so that all of a file waits.
    monkeypatch.setattr(ranges, "ENOUGH_UNITS", 2**31)


def ingested_by_turns(
    environment: Environment,
    job_id: str,
    readers: Iterator[Reader],
    between: Callable[[int], None] = lambda slices: None,
) -> int:
    """Have each of the readers do one slice, until the job has all input; return the slices."""
    for slices in itertools.count(1):
        reader = next(readers)
        assert reader.ingest_slice(job_id), "nothing is claimable"
        record = environment.record(job_id)
        if record.sealed or record.state.is_terminal:
            return slices
        between(slices)
        # The next one may take it at once, as if this worker had died.
        environment.ledger.work.release_worker(reader.name, crashed=False)
    raise AssertionError


def bytes_read() -> int:
    """Bytes that this process has read from files; those of sockets are not among them."""
    text = Path("/proc/self/io").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("rchar")))


@pytest.mark.parametrize(
    ("name", "written"),
    [
        pytest.param("a.jsonl", jsonl(LINES), marks=pytest.mark.slow),
        ("a.jsonl.gz", gzip.compress(jsonl(LINES))),
        pytest.param("a.jsonl.zst", zstd.compress(jsonl(LINES)), marks=pytest.mark.slow),
        ("a.txt", b"\xef\xbb\xbf" + b"".join(b"text %d\n\n" % n for n in range(LINES))),
        ("a.csv", b"text,id\n" + b"".join(b'"a\n""b"" %d",%d\r\n' % (n, n) for n in range(LINES))),
        ("b.csv", b"text,id\n" + b'x","\n' * 200 + b"".join(b"a,%d\n" % n for n in range(400))),
    ],
)
def test_two_workers_in_turns_add_what_one_does(environment, readers, tmp_path, name, written):
    path = tmp_path / name
    path.write_bytes(written)
    by_one, by_two = submitted(environment, path), submitted(environment, path)
    environment.ledger.control.pause(by_two)

    ingested_by_turns(environment, by_one, itertools.repeat(readers[0]))
    environment.ledger.control.pause(by_one)
    environment.ledger.control.resume(by_two)
    slices = ingested_by_turns(environment, by_two, itertools.cycle(readers))

    assert slices > LINES // (SLICE_UNITS * 4)
    chunks = chunks_in(environment, by_two)
    assert sum(len(chunk.items) for chunk in chunks) == LINES
    assert chunks == chunks_in(environment, by_one)


def test_one_worker_reads_more_files_in_turns_than_it_keeps_open(environment, readers, tmp_path):
    ledger, (reader, _) = environment.ledger, readers
    paths = [tmp_path / f"{number}.jsonl" for number in range(MAX_OPEN + 1)]
    jobs = []
    for path in paths:
        path.write_bytes(jsonl(LINES))
        jobs.append(submitted(environment, path))
        assert reader.ingest_slice(jobs[-1])
        ledger.work.release_worker(reader.name, crashed=False)
        ledger.control.pause(jobs[-1])
    assert [open_files(path) for path in paths] == [0] + [1] * MAX_OPEN  # the last ones

    for job_id in jobs:
        ledger.control.resume(job_id)
        ingested_by_turns(environment, job_id, itertools.repeat(reader))
        ledger.control.pause(job_id)

    assert [environment.record(job_id).counts.total for job_id in jobs] == [LINES] * len(jobs)


def test_workers_in_turns_read_a_file_twice_at_most(environment, readers, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(6_000, text="a longer text " * 30))
    job_id = submitted(environment, path, unit_items=16)
    before = bytes_read()

    slices = ingested_by_turns(environment, job_id, itertools.cycle(readers))

    # Each slice begins with a look at the head of the file. From its start at each: 6.5 times.
    assert slices == 12
    assert bytes_read() - before <= 2 * path.stat().st_size + slices * 32_768
    assert environment.record(job_id).counts.total == 6_000


def test_a_file_is_closed_once_nobody_here_goes_on_with_it(environment, readers, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(4_000))
    job_id = submitted(environment, path)
    reader = readers[0]
    assert reader.ingest_slice(job_id)
    reader.ingest.close()
    assert open_files(path) == 1

    environment.ledger.control.cancel(job_id)
    assert reader.ingest.resume() is None
    reader.ingest.close()

    assert open_files(path) == 0


def open_files(path: Path) -> int:
    return sum(
        link.is_symlink() and link.readlink() == path for link in Path("/proc/self/fd").iterdir()
    )


@pytest.mark.parametrize(("second", "batch"), [(0, 65_536), (599, 64)])
def test_an_identifier_that_comes_twice_is_found_whoever_read_it_first(
    environment, readers, tmp_path, monkeypatch, second, batch
):
    monkeypatch.setattr(duplicates, "BATCH_IDS", batch)
    path = tmp_path / "a.jsonl"
    lines = jsonl(LINES).splitlines()
    path.write_bytes(b"\n".join([*lines, b'{"custom_id": "c%d", "text": "again"}' % second]))
    job_id = submitted(environment, path)

    ingested_by_turns(environment, job_id, itertools.cycle(readers))

    record = environment.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure.code == "duplicate_custom_id"
    assert f"the identifier 'c{second}' is used twice" in record.failure.message


def rewritten(path: Path) -> None:
    with path.open("r+b") as file:  # never of another size
        file.write(path.read_bytes().replace(b"text 59", b"TEXT 59"))


def appended(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'{"text": "one more"}\n')


@pytest.mark.parametrize(
    ("change", "unit"),
    [(rewritten, 70), (appended, 1), (appended, 149)],
)
def test_a_file_that_changes_within_a_slice_fails_its_job(environment, readers, path, change, unit):
    os.utime(path, (0, 0))
    job_id = submitted(environment, path)
    reader, units = readers[0], itertools.count()
    reader.at_unit = lambda: change(path) if next(units) == unit else None

    ingested_by_turns(environment, job_id, itertools.repeat(reader))

    record = environment.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure.code == "invalid_input"
    assert record.failure.message.startswith(f"{path} was changed while it was read: it")


def test_a_change_in_the_middle_of_a_unit_is_seen_by_who_goes_on(environment, readers, tmp_path):
    path = tmp_path / "a.jsonl"
    content = jsonl(4_000, text="a longer text " * 30)
    path.write_bytes(content)
    job_id = submitted(environment, path, unit_items=64)

    def change(slices: int) -> None:
        path.write_bytes(content.replace(b'text  32"', b'TEXT  32"'))

    ingested_by_turns(environment, job_id, itertools.cycle(readers), change)

    record = environment.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure.message.startswith(f"{path} was changed while it was read: ")
