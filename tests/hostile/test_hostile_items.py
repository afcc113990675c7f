"""Items and files with anything in them: one entry out for each one in, each with its reason."""

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import strategies as st

from builders import a_chunk, a_text_chunk, some_results
from hostile_cases import hostile, texts, wild, wild_python
from plugin_builders import place
from seqd.errors import InvalidData, InvalidInput
from seqd.hookspecs import LoadedModel, PluginParameters, WorkItem
from seqd.inputs.datasets import FileDataset
from seqd.inputs.items import items_of
from seqd.inputs.paths import check_path
from seqd.inputs.reading import InputFile
from seqd.inputs.training import texts_of
from seqd.kinds import kind_of_task
from seqd.ledger.blobs import pack, pack_results, unpack_items, unpack_results, unpack_texts
from seqd.ledger.units import Unit
from seqd.models.registry import Registry
from seqd.models.version_files import open_folder
from seqd.settings import Settings
from seqd.testing import CPU, MemoryRunContext
from seqd.worker.computing import TaskCall, call_of, compute, unpack
from seqd.worker.faults import ItemFaults
from seqd_schemas import (
    Classification,
    FileFormat,
    FileSource,
    Generation,
    Item,
    ItemChunk,
    ItemError,
    ItemErrorCode,
    RefusedItem,
)

_records = st.dictionaries(
    st.one_of(st.sampled_from(["text", "custom_id", "id", "label"]), texts), wild_python, max_size=4
)


def written(suffix: str, content: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(content)
        yield path


def entries_of(path: Path, **fields: object) -> list[Item | RefusedItem] | None:
    """Read a file; None where it is refused as a whole."""
    try:
        entries = list(InputFile(FileSource(path=str(path), **fields)).items())
    except InvalidInput:
        return None
    assert all(isinstance(entry, Item | RefusedItem) for entry in entries)
    assert ItemChunk.model_validate_json(
        ItemChunk(first_index=0, items=tuple(entries)).model_dump_json()
    )
    return entries


@hostile(st.lists(st.one_of(texts, wild_python, _records), max_size=5), st.booleans())
def test_each_value_is_an_item_or_is_refused_in_its_place(values, allow_empty):
    entries = list(items_of(values, allow_empty=allow_empty))

    assert len(entries) == len(values)
    for entry in entries:
        assert type(entry).model_validate_json(entry.model_dump_json()) == entry


@hostile(st.lists(st.one_of(texts, wild_python, _records), max_size=4))
def test_training_values_are_records_or_are_refused_with_their_row(values):
    try:
        records = list(texts_of(values, text_field="text", label_field="label"))
    except InvalidData as error:
        assert str(error).startswith("row ")
    else:
        assert len(records) == len(values)


@hostile(st.lists(st.one_of(wild.map(json.dumps).map(str.encode), st.binary(max_size=40))))
def test_each_line_of_json_is_an_entry(lines: list[bytes]):
    lines = [line.replace(b"\n", b" ").replace(b"\r", b" ") for line in lines]
    for path in written(".jsonl", b"\n".join(lines)):
        entries = entries_of(path)

        if entries is not None:
            assert len(entries) == sum(bool(line) and not line.isspace() for line in lines)


@hostile(
    st.lists(st.lists(st.text(max_size=10), min_size=2, max_size=3), max_size=5),
    st.binary(max_size=20),
)
def test_rows_of_csv_are_entries_whatever_follows_them(rows, rest: bytes):
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["id", "text"], *rows])
    for path in written(".csv", buffer.getvalue().encode("utf-8", "surrogatepass") + rest):
        entries = entries_of(path)
        if entries is not None and not rest:
            assert len(entries) == len(rows)


@hostile(st.sampled_from(list(FileFormat)), st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_in_any_format(file_format, content: bytes):
    for path in written(".txt", content):
        entries_of(path, format=file_format)
        try:
            list(FileDataset(FileSource(path=str(path), format=file_format)).records())
        except (InvalidInput, InvalidData) as error:
            assert len(str(error)) > 10


@hostile(
    st.sampled_from([(".txt.gz", gzip.compress), (".txt.zst", zstd.compress)]),
    st.integers(0, 10_000),
    st.binary(max_size=4),
    st.booleans(),
)
def test_a_compressed_file_that_is_damaged_is_refused_or_read(kind, at, damage, cut):
    suffix, compress = kind
    whole = compress(b"".join(b"line %d\n" % number for number in range(300)))
    at = at % len(whole)
    rest = b"" if cut else whole[at + len(damage) :]
    content = whole[:at] + damage + rest
    for path in written(suffix, content):
        entries = entries_of(path)
        if content == whole:
            assert entries is not None and len(entries) == 300


@hostile(st.one_of(texts, st.sampled_from(["/dev/zero", "/dev/stdin", "file:///etc/passwd"])))
def test_a_path_is_under_a_root_or_is_refused(text: str):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for path in (text, f"{root}/{text}", f"{root}/../{text}"):
            try:
                found = check_path(path, (root,))
            except InvalidInput as error:
                assert str(error).isprintable()
            else:
                assert found.is_relative_to(root)


_blobs = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([pack(a_chunk()), pack(a_text_chunk()), *pack_results(some_results())]),
)


@hostile(_blobs, st.integers(0, 200), st.integers(0, 255), st.booleans())
def test_a_blob_is_a_chunk_or_is_refused(blob: bytes, at: int, byte: int, cut: bool):
    if blob:
        at %= len(blob)
        blob = blob[:at] + bytes([byte]) + (b"" if cut else blob[at + 1 :])
    unit = Unit("job", "0", attempt=1, crashes=0, blob=blob, started_job=False)

    for read in (unpack_items, unpack_texts, lambda blob: list(unpack_results(blob))):
        try:
            read(blob)
        except (InvalidInput, ValueError) as error:
            assert str(error)
    try:
        unpack(unit)
    except InvalidInput as error:
        assert "Upload through seqd.client" in str(error)


@cache
def starter(name: str, task: str) -> tuple[LoadedModel, type[PluginParameters]]:
    model = Registry.load(Settings()).models[name]
    assert model.starter is not None
    loaded = model.load(open_folder(model.starter, name, 0), CPU)
    return loaded, model.tasks[task].parameters


@pytest.mark.parametrize(
    ("name", "task", "parameters"),
    [
        ("imdb_lstm", "classify", {}),
        ("markov", "generate", {"length": 3}),
        ("markov_words", "generate", {"length": 3}),
        ("char_lstm", "generate", {"length": 2}),
    ],
)
@hostile(batch=st.lists(texts, min_size=1, max_size=4), share=0.2)
def test_a_starter_gives_one_outcome_a_text_whatever_is_in_it(name, task, parameters, batch):
    model, schema = starter(name, task)
    asked = TaskCall(task, kind_of_task(task).output)
    call = call_of(model, asked, schema.model_validate(parameters), MemoryRunContext())
    work = [WorkItem(index=at, text=text) for at, text in enumerate(batch)]

    outcomes = list(call(work))

    assert len(outcomes) == len(batch)
    assert all(isinstance(outcome, Classification | Generation | ItemError) for outcome in outcomes)
    assert all(outcome.model_dump_json() for outcome in outcomes)


def test_an_error_that_utf8_cannot_hold_fails_its_item_alone():
    def call(items: list[WorkItem]) -> list[Classification]:
        if any(item.text == "review 1" for item in items):
            raise ValueError("\ud800")
        return [Classification(label="a", score=1.0, truncated=False) for _ in items]

    unit = unpack(Unit("j", "0", attempt=1, crashes=0, blob=pack(a_chunk(3)), started_job=False))
    faults = ItemFaults(lambda: None, lambda: False)
    ((first, second, third),) = compute(call, [unit], Classification, faults, len, lambda: False)

    assert first.status == third.status == "succeeded"
    assert second.error.code is ItemErrorCode.PLUGIN_ERROR
    where = place(Path(__file__), 'raise ValueError("', "call")
    assert second.error.message == f"The model plugin raised ValueError: \\ud800 {where}"
