"""Several workers read one file side by side, and add what one reads alone."""

import gzip
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_builders import UNIT_ITEMS, Reader, chunks_in, jsonl, submitted
from ledger_fixtures import CLASSIFY, Environment
from seqd.inputs import duplicates
from seqd.inputs.reading import InputFile
from seqd.ledger import blobs, ranges
from seqd.ledger.blobs import chunks_of
from seqd.worker import ingest, ingest_ranges
from seqd_schemas import FileSource, ItemChunk, JobState


@pytest.fixture
def readers(environment: Environment, tmp_path: Path) -> list[Reader]:
    return [Reader(environment, f"worker-{name}", tmp_path, 1) for name in "abc"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of many lines."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl(400))
    return path


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch):
    # Units are not computed here, so that all of a file waits, and none is too small to be shared.
    monkeypatch.setattr(ranges, "ENOUGH_UNITS", 2**31)
    monkeypatch.setattr(ingest, "FEW_UNITS", 2**31)
    monkeypatch.setattr(ingest, "ASK_S", 0)
    monkeypatch.setattr(ingest, "SLICE_UNITS", 3)
    monkeypatch.setattr(ingest_ranges, "RANGE_UNITS", 2)
    monkeypatch.setattr(ingest, "RANGES_AHEAD", 4)


def shared(environment: Environment, readers: list[Reader], path: Path) -> str:
    """Hand a job in and ingest it until its ranges are offered, by the first reader."""
    job_id = submitted(environment, path)
    for _ in range(2):
        assert readers[0].ingest_slice(job_id)
    assert environment.redis.exists(environment.keys.ranges(job_id))
    return job_id


def ingested(environment: Environment, readers: Iterator[Reader], job_id: str) -> None:
    """Let the readers, in this order, ingest where they can, and read ranges where they cannot."""
    for reader in itertools.islice(readers, 20_000):
        reader.ingest_slice(job_id) or reader.ranges.read_one()
        record = environment.record(job_id)
        if record.sealed or record.state.is_terminal:
            return
    raise AssertionError("the file comes to no end")


def chunks_by_one(path: Path) -> list[ItemChunk]:
    return list(chunks_of(InputFile(FileSource(path=str(path))).items(), UNIT_ITEMS))


def test_others_read_ranges_of_a_file_and_one_adds_them_in_order(environment, readers, path):
    job_id = shared(environment, readers, path)
    before = environment.record(job_id).units

    read = [reader.ranges.read_one() for reader in readers[1:]]
    ahead = environment.redis.hlen(environment.keys.ahead(job_id))
    ingested(environment, itertools.cycle(readers), job_id)

    assert read == [True, True]
    assert ahead == 3 * 2 * 3 + 1  # who ingests reads, too
    assert environment.record(job_id).units > before
    assert chunks_in(environment, job_id) == chunks_by_one(path)


LINE = st.one_of(
    st.just(b""),
    st.just(b"  \r"),
    st.just(b"not JSON"),
    st.just(b"\xff"),
    st.just(b'{"text": ""}'),
    st.integers(1, 300).map(lambda n: json.dumps({"text": "x" * n}).encode()),
    st.integers(1, 20).map(lambda n: json.dumps("text " * n).encode()),
    st.integers(0, 10**9).map(lambda n: b'{"id": %d, "text": "a"}' % n),
)


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lines=st.lists(LINE, min_size=20, max_size=120),
    ending=st.sampled_from([b"", b"\n", b"\n\n \n"]),
    suffix=st.sampled_from(["jsonl", "txt"]),
    turns=st.lists(st.integers(0, 2), min_size=1, max_size=12),
    unit_chars=st.sampled_from([40, 200, 2**22]),
)
def test_ranges_make_the_units_that_one_reader_makes(
    environment, tmp_path, lines, ending, suffix, turns, unit_chars
):
    readers = [Reader(environment, f"worker-{name}", tmp_path, 1) for name in "abc"]
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b'{"text": "first"}\n' + b"\n".join(lines) + ending)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blobs, "UNIT_CHARS", unit_chars)
        patch.setattr(ingest_ranges, "UNIT_CHARS", unit_chars)
        job_id = submitted(environment, path)

        # Whoever has no turn in the list comes last, or nobody would go on.
        ingested(environment, itertools.cycle([readers[n] for n in [*turns, 0, 1, 2]]), job_id)

        record = environment.record(job_id)
        if record.state is JobState.FAILED:
            identifiers = [e.custom_id for e in InputFile(FileSource(path=str(path))).items()]
            assert record.failure.code == "duplicate_custom_id"
            assert len(set(identifiers)) < len(identifiers)
        else:
            assert chunks_in(environment, job_id) == chunks_by_one(path)
            environment.ledger.control.cancel(job_id)  # nobody claims its units next time


def test_a_line_that_is_longer_than_a_range_is_read_by_one(
    environment, readers, tmp_path, monkeypatch
):
    monkeypatch.setattr(ingest_ranges, "RANGE_BYTES", 200)
    monkeypatch.setattr(ingest_ranges, "UNIT_CHARS", 1_000)
    monkeypatch.setattr(blobs, "UNIT_CHARS", 1_000)
    path = tmp_path / "a.jsonl"
    long = json.dumps({"text": "long " * 1_000}).encode() + b"\n"
    path.write_bytes(jsonl(100) + long + jsonl(100, first=100) + long + long)
    job_id = shared(environment, readers, path)

    ingested(environment, itertools.cycle(readers), job_id)

    assert chunks_in(environment, job_id) == chunks_by_one(path)


@pytest.mark.parametrize(("first", "batch"), [(0, 16), (40, 65_536), (150, 16)])
def test_an_identifier_that_comes_twice_is_found_whoever_read_it(
    environment, readers, tmp_path, monkeypatch, first, batch
):
    monkeypatch.setattr(duplicates, "BATCH_IDS", batch)
    path = tmp_path / "a.jsonl"
    again = b'{"custom_id": "c%d", "text": "again"}\n' % first
    path.write_bytes(jsonl(200) + again + jsonl(100, first=200))
    job_id = shared(environment, readers, path)

    ingested(environment, itertools.cycle(readers), job_id)

    record = environment.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure.message == (
        f"the identifier 'c{first}' is used twice: by entry {first + 1} and by entry 201. Each "
        "item of a job needs one of its own. Leave the field out to number them by position"
    )
    assert_no_range_is_left(environment, job_id)


def test_what_does_not_fit_together_is_read_alone(environment, readers, path):
    job_id = shared(environment, readers, path)
    readers[1].ranges.read_one()
    key = environment.keys.ahead(job_id)
    for field in environment.redis.hkeys(key):
        if field.endswith(b" place"):
            places = json.loads(environment.redis.hget(key, field))
            places[0]["offset"] += 1
            environment.redis.hset(key, field, json.dumps(places))

    ingested(environment, itertools.cycle(readers), job_id)

    assert chunks_in(environment, job_id) == chunks_by_one(path)


def test_what_was_offered_and_is_lost_is_offered_anew(environment, readers, path, monkeypatch):
    monkeypatch.setattr(ingest, "LONGEST_WAIT_S", 0)
    job_id = shared(environment, readers, path)
    keys = environment.keys
    environment.redis.delete(keys.ranges(job_id), keys.ahead(job_id))

    ingested(environment, itertools.cycle(readers), job_id)

    assert chunks_in(environment, job_id) == chunks_by_one(path)


def test_a_file_that_changes_while_it_is_shared_fails_its_job(environment, readers, path):
    job_id = shared(environment, readers, path)
    readers[1].ranges.read_one()
    path.write_bytes(jsonl(400).replace(b"text 0", b"text X"))
    os.utime(path, ns=(0, 0))

    ingested(environment, itertools.cycle(readers), job_id)

    record = environment.record(job_id)
    assert record.state is JobState.FAILED
    assert record.failure.message.startswith(f"{path} was changed while it was read: ")
    assert_no_range_is_left(environment, job_id)


def test_a_worker_that_cannot_read_the_file_releases_its_range(
    environment, readers, tmp_path, path
):
    job_id = shared(environment, readers, path)
    elsewhere = Reader(environment, "worker-z", tmp_path / "elsewhere", 1)

    read = [elsewhere.ranges.read_one() for _ in range(2)]

    assert read == [True, False]
    rows = environment.redis.hvals(environment.keys.ranges(job_id))
    assert not any(b"worker-z" in row for row in rows)
    ingested(environment, itertools.cycle([*readers, elsewhere]), job_id)
    assert chunks_in(environment, job_id) == chunks_by_one(path)


def test_nothing_is_read_ahead_by_who_drains_nor_of_a_job_that_is_full_paused_or_over(
    environment, readers, path
):
    job_id = shared(environment, readers, path)
    keys, control = environment.keys, environment.ledger.control
    before = environment.redis.hlen(keys.ahead(job_id))  # who ingests reads, too

    readers[1].is_stopped = True
    readers[1].ranges.read_one()
    readers[1].is_stopped = False
    environment.redis.hset(keys.job(job_id), "pending_bytes", 64 * 2**20)
    readers[1].ranges.read_one()
    environment.redis.hset(keys.job(job_id), "pending_bytes", 0)
    control.pause(job_id)
    while_paused = readers[1].ranges.read_one()
    rows = environment.redis.hvals(keys.ranges(job_id))
    ahead = environment.redis.hlen(keys.ahead(job_id))
    control.resume(job_id)
    resumed = readers[1].ranges.read_one()
    control.cancel(job_id)

    assert not any(b"worker-b" in row for row in rows)
    assert (while_paused, ahead, resumed) == (False, before, True)
    assert_no_range_is_left(environment, job_id)
    assert not readers[1].ranges.read_one()


@pytest.mark.parametrize("what", ["dies", "has another file there", "has no file there"])
def test_another_goes_on_where_the_holder_dies_and_the_holder_where_its_file_is_replaced(
    environment, readers, path, what
):
    by_one = chunks_by_one(path)
    job_id = shared(environment, readers, path)
    readers[1].ranges.read_one()
    goes_on = [readers[0]]
    if what == "dies":
        environment.ledger.work.release_worker(readers[0].name, crashed=True)
        goes_on = readers[1:]
    elif what == "has no file there":
        readers[0].ingest_slice(job_id)
        path.unlink()
    else:
        readers[0].ingest_slice(job_id)
        other = path.with_name("b.jsonl")
        other.write_bytes(jsonl(500, first=7))
        other.rename(path)

    ingested(environment, itertools.cycle(goes_on), job_id)

    assert chunks_in(environment, job_id) == by_one


@pytest.mark.parametrize(
    ("name", "shared_bytes"), [("a.jsonl", 0), ("a.jsonl", 2**20), ("a.csv", 1), ("a.jsonl.gz", 1)]
)
def test_small_and_other_files_are_read_by_one(environment, tmp_path, name, shared_bytes):
    path = tmp_path / name
    content = jsonl(400) if "jsonl" in name else b"text\n" + b"a b\n" * 400
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    reader = Reader(environment, "worker-a", tmp_path, shared_bytes)
    job_id = submitted(environment, path)

    for _ in range(3):
        reader.ingest_slice(job_id)

    assert not environment.redis.exists(environment.keys.ranges(job_id))


def test_whoever_has_nothing_to_do_is_woken_for_a_range(environment, readers, path):
    job_id = submitted(environment, path)
    readers[0].ingest_slice(job_id)
    environment.notified.clear()

    readers[0].ingest_slice(job_id)
    by_the_holder = list(environment.notified)
    environment.notified.clear()
    readers[1].ranges.read_one()

    assert CLASSIFY in by_the_holder
    assert environment.notified == [CLASSIFY]  # the next one, since there is more


def assert_no_range_is_left(environment: Environment, job_id: str) -> None:
    keys = environment.keys
    names = (keys.ranges(job_id), keys.ahead(job_id))
    assert environment.redis.exists(*names) == 0
    assert environment.redis.zscore(keys.offered_ranges(), job_id) is None
