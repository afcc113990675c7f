"""Outputs of plugins' own tasks as files: their columns, arrays of vectors, bad asks."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import seqd_tasks
from pydantic import BaseModel, Field

from cli_builders import a_failure
from seqd.cli.output_options import OutputOptions, opened_output
from seqd.client.output_fields import fields_of
from seqd.errors import InvalidRequest, OutputMismatch
from seqd.models.task_schemas import output_schema
from seqd_schemas import Embedding, ItemFailure, ItemSuccess, Labels, Score, TaskOutput, Vector


class Two(TaskOutput):
    """Two vectors, and a name that the table of a job has, too."""

    first: Vector = Field(description="One.")
    second: Vector = Field(description="The other.")
    version: int = Field(ge=0, le=9, description="A number.")


def success(output: BaseModel, custom_id: str = "row-1") -> ItemSuccess:
    wire = json.loads(output.model_dump_json())
    return ItemSuccess.model_construct(custom_id=custom_id, output=wire)


def written(
    out: Path, kind: type[BaseModel], results: Sequence[ItemSuccess | ItemFailure], **wanted: str
) -> Path:
    """Write results of a job whose outputs are of a class."""
    options = OutputOptions(out=out, **wanted)  # type: ignore[arg-type]
    with opened_output(options, "run", fields=fields_of(output_schema(kind))) as files:
        assert files is not None
        for result in results:
            files.write(result)
        files.commit()
    return out


EMBEDDED = [success(seqd_tasks.embed("a")), a_failure("row-2"), success(seqd_tasks.embed("b"))]


def test_an_array_has_a_row_for_each_item_and_nan_for_an_error(tmp_path: Path) -> None:
    out = written(tmp_path / "vectors.npy", seqd_tasks.Embedding256, EMBEDDED)

    array = np.load(out, mmap_mode="r")

    assert (array.shape, array.dtype) == ((3, 256), np.dtype("<f4"))
    assert array[0].tolist() == list(seqd_tasks.embed("a").vector)
    assert np.isnan(array[1]).all()
    assert array[2].tolist() == list(seqd_tasks.embed("b").vector)
    (error,) = (tmp_path / "vectors.errors.jsonl").read_text().splitlines()
    assert json.loads(error)["custom_id"] == "row-2"


def test_an_array_of_vectors_of_one_unstated_length_begins_with_its_errors(tmp_path: Path) -> None:
    vector = Embedding(vector=Vector([1.0, 2.0]))

    array = np.load(
        written(tmp_path / "v.npy", Embedding, [a_failure(), a_failure(), success(vector)])
    )

    assert np.isnan(array[:2]).all() and array[2].tolist() == [1.0, 2.0]


def test_an_array_without_any_vector_has_its_rows(tmp_path: Path) -> None:
    assert np.load(written(tmp_path / "v.npy", Embedding, [a_failure()])).shape == (1, 0)


def test_vectors_of_two_lengths_make_no_array(tmp_path: Path) -> None:
    outputs = [success(Embedding(vector=Vector([1.0] * count))) for count in (2, 3)]

    with pytest.raises(OutputMismatch) as mismatch:
        written(tmp_path / "v.npy", Embedding, outputs)

    assert str(mismatch.value) == (
        "row 2 of the output is a vector of 3 numbers, and those in front of it have 2: one array "
        "cannot hold both. Write .parquet or .jsonl"
    )
    assert list(tmp_path.iterdir()) == []


def test_one_of_several_vectors_is_chosen_by_its_name(tmp_path: Path) -> None:
    two = success(Two(first=Vector([1.0]), second=Vector([2.0]), version=3))

    assert np.load(written(tmp_path / "v.npy", Two, [two], columns="second")).tolist() == [[2.0]]


def test_parquet_has_vectors_as_lists_of_their_length(tmp_path: Path) -> None:
    out = written(tmp_path / "v.parquet", seqd_tasks.Embedding256, EMBEDDED)

    table = pq.read_table(out)

    assert table.schema.names == ["custom_id", "vector", "truncated"]
    assert table.schema.field("vector").type == pa.list_(pa.float32(), 256)
    assert table["vector"][1].as_py() == list(seqd_tasks.embed("b").vector)


def test_a_csv_has_flat_fields_and_json_of_what_is_nested(tmp_path: Path) -> None:
    out = written(tmp_path / "v.csv", Labels, [success(seqd_tasks.label("big bang"))])

    assert list(csv.reader(out.read_text().splitlines())) == [
        ["custom_id", "labels", "truncated"],
        ["row-1", '[{"label":"bang","score":0.2},{"label":"big","score":0.15}]', "false"],
    ]


def test_columns_of_the_output_are_chosen_and_one_with_a_taken_name_has_a_prefix(
    tmp_path: Path,
) -> None:
    two = success(Two(first=Vector([1.0]), second=Vector([2.0]), version=3))

    out = written(tmp_path / "v.csv", Two, [two], columns="output_version,custom_id")
    lines = written(tmp_path / "v.jsonl", Two, [two], columns="custom_id,first")

    assert out.read_text() == "output_version,custom_id\n3,row-1\n"
    assert json.loads(lines.read_text()) == {"custom_id": "row-1", "first": "AACAPw=="}


def test_plain_lines_are_the_first_flat_field(tmp_path: Path) -> None:
    out = written(tmp_path / "v.txt", Score, [success(Score(score=0.5)), a_failure("row-2")])

    assert out.read_text() == "0.5\n\n"


@pytest.mark.parametrize(
    ("name", "kind", "wanted", "message"),
    [
        (
            "v.csv",
            seqd_tasks.Embedding256,
            {},
            "the column 'vector' is a vector of 256 numbers, for which .csv has no place. Write "
            ".npy or .parquet, or .jsonl, which has it as base64; or leave it out: --columns "
            "custom_id,truncated",
        ),
        (
            "v.npy",
            Score,
            {},
            "an array (.npy) holds vectors, and the output has no vector; it has: score, "
            "truncated. Write .jsonl or .csv",
        ),
        (
            "v.npy",
            Two,
            {},
            "an array (.npy) holds one vector a row; allowed: --columns with one of first, second. "
            "Or write .parquet or .jsonl",
        ),
        (
            "v.npy",
            Two,
            {"keep": "stars"},
            "an array (.npy) holds one vector a row, and no columns of the input; leave --keep "
            "out, or write .parquet or .jsonl",
        ),
        (
            "v.npy.gz",
            Two,
            {},
            "--out is 'v.npy.gz', and an array needs a plain file: its size stands at its "
            "beginning and is known at its end. Name one that ends in .npy",
        ),
        (
            "v.txt",
            Labels,
            {"columns": "labels"},
            "a file of plain lines has one column without line breaks; allowed: --columns with one "
            "of custom_id, truncated. Or write .csv, .tsv, .jsonl or .parquet",
        ),
        (
            "v.csv",
            Score,
            {"columns": "scor"},
            "--columns names 'scor'; allowed: custom_id, score, truncated, version, and columns of "
            "the input: none",
        ),
    ],
)
def test_what_a_form_cannot_hold_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind, wanted, message: str
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidRequest) as refused:
        written(Path(name), kind, [], **wanted)

    assert str(refused.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_classification_makes_no_array(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidRequest) as refused,
        opened_output(OutputOptions(out=tmp_path / "v.npy"), "classify"),
    ):
        pass

    assert str(refused.value) == (
        "an array (.npy) holds vectors, and the results of a job of kind classify have no vectors. "
        "Write .jsonl or .csv"
    )
