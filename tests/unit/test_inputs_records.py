"""Files whose records are the input of a task: JSON Lines, CSV, TSV and Parquet, field by field."""

import json

import pyarrow
import pytest
from pyarrow import parquet as parquet_files

from seqd.errors import InvalidInput
from seqd.inputs.items import ItemRules
from seqd.inputs.parquet_rows import ParquetReader
from seqd.inputs.reading import InputFile
from seqd.inputs.records import TsvReader, reader_of
from seqd_schemas import FileFormat, FileSource, Item

FIELDS = {"left": True, "right": True, "text": False, "weight": False}
RULES = ItemRules(fields=FIELDS)
ROW = {"left": "a", "right": "b", "weight": 2}


def read(path, **fields):
    """Return identifiers with records, or with the messages of those that are refused."""
    entries = InputFile(FileSource(path=str(path), **fields), rules=RULES).items()
    return [
        (e.custom_id, json.loads(e.text) if isinstance(e, Item) else e.refused.message)
        for e in entries
    ]


def test_a_csv_of_records_has_no_text_column_and_an_empty_text_is_a_missing_field(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('custom_id,left,text,right,label\nx,"a, b",,c,pos\n,d,e,f,\n')

    assert read(path) == [
        ("x", {"left": "a, b", "right": "c"}),
        ("line-3", {"left": "d", "text": "e", "right": "f"}),
    ]


def test_reading_a_csv_of_records_can_go_on_at_any_row(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("left,right\n1,2\n3,4\n")
    source = FileSource(path=str(path))
    first = reader_of(path, FileFormat.CSV, source, fields=FIELDS)
    next(first.entries())

    rest = reader_of(path, FileFormat.CSV, source, first.position, fields=FIELDS)

    assert [entry.value for entry in rest.entries()] == [{"left": "3", "right": "4"}]


def test_a_field_of_a_record_may_be_called_label_or_input(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"id": "x", "input": "one", "label": "two"}\n')
    rules = ItemRules(fields={"input": True, "label": True})

    (entry,) = InputFile(FileSource(path=str(path)), rules=rules).items()

    assert (entry.custom_id, json.loads(entry.text)) == ("x", {"input": "one", "label": "two"})


def test_a_tsv_of_records_is_read_by_its_header(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("left\tright\na\tb\n")
    reader = TsvReader(path, FileSource(path=str(path)), fields=FIELDS)

    assert [entry.value for entry in reader.entries()] == [{"left": "a", "right": "b"}]


def parquet(folder, columns):
    """Write a table; return what reads it."""
    path = folder / "a.parquet"
    parquet_files.write_table(pyarrow.table(columns), path)
    return ParquetReader(path, FileSource(path=str(path)), fields=FIELDS)


def test_a_parquet_file_of_records_gives_its_columns_with_their_types(tmp_path):
    columns = {"id": ["x"], "left": ["a"], "right": ["b"], "weight": [2]}

    reader = parquet(tmp_path, columns)

    assert [entry.value for entry in reader.entries()] == [{"id": "x", **ROW}]


def test_a_parquet_file_whose_columns_are_no_records_is_refused(tmp_path):
    fault = r"has no column 'right'; its columns: left\. The task takes records"

    with pytest.raises(InvalidInput, match=fault):
        list(parquet(tmp_path, {"left": ["a"]}).entries())
