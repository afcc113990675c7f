"""The fields of an output: their types by its schema, their cells, and matrices of vectors."""

from base64 import b64encode
from enum import StrEnum
from typing import Annotated, Literal

import numpy as np
import pyarrow
import pytest
from pydantic import Field

from seqd.client.tables import (
    Matrix,
    OutputField,
    Vectors,
    arrow_array,
    arrow_type,
    fields_of,
    vector_field,
)
from seqd.errors import InvalidRequest, OutputMismatch
from seqd.models.task_schemas import output_schema
from seqd_schemas import Dimensions, Embedding, Score, ScoredLabel, TaskOutput, Vector


class Language(StrEnum):
    ENGLISH = "en"
    GERMAN = "de"


class Everything(TaskOutput):
    type: Literal["everything"] = "everything"
    text: str = Field(max_length=10)
    maybe: str | None = Field(default=None, max_length=10)
    language: Language
    share: float = Field(ge=0, le=1)
    count: int = Field(ge=0, le=10)
    large: int = Field(ge=0, le=2**70)
    is_it: bool
    either: Annotated[str, Field(max_length=3)] | Annotated[int, Field(ge=0, le=9)]
    best: ScoredLabel
    labels: tuple[ScoredLabel, ...] = Field(max_length=3)
    any_length: Vector
    four: Annotated[Vector, Dimensions(4)]
    custom_id: str = Field(max_length=10)


def test_each_field_has_its_type_by_the_schema():
    found = fields_of(output_schema(Everything))

    assert [(one.name, one.type) for one in found] == [
        ("text", "text"),
        ("maybe", "text"),
        ("language", "text"),
        ("share", "number"),
        ("count", "integer"),
        ("large", "json"),
        ("is_it", "truth"),
        ("either", "json"),
        ("best", "json"),
        ("labels", "json"),
        ("any_length", "vector"),
        ("four", "vector"),
        ("custom_id", "text"),
    ]
    assert [one.dimensions for one in found if one.type == "vector"] == [None, 4]
    assert [one.name for one in found if one.is_word] == ["language"]
    assert found[-1].column == "output_custom_id"


def test_without_a_schema_the_whole_output_is_one_field():
    (field,) = fields_of(None)

    assert (field.column, field.cell({"score": 1.5})) == ("output", '{"score":1.5}')


def base64_of(*numbers: float) -> str:
    return b64encode(np.array(numbers, "<f4").tobytes()).decode()


def test_cells_are_what_columns_hold():
    four = OutputField("four", "vector", 4)

    assert OutputField("score", "number").cell({"score": 1}) == 1.0
    assert OutputField("score", "number").cell({}) is None
    assert OutputField("best", "json").cell({"best": {"a": 1}}) == '{"a":1}'
    cell = four.cell({"four": base64_of(1, 2, 3, 4)})
    assert isinstance(cell, np.ndarray) and cell.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("output", "field", "message"),
    [
        (
            Everything,
            "labels",
            "the field 'labels' is no vector, it is nested; vectors of its output: any_length, "
            "four.",
        ),
        (
            Embedding,
            "vectr",
            "there is no field 'vectr'; vectors of its output: vector. Did you mean 'vector'?",
        ),
        (
            Score,
            "vector",
            "there is no field 'vector'; its output has no vector; it has: score, truncated.",
        ),
    ],
)
def test_a_field_that_is_no_vector_is_refused_with_those_that_are(output, field, message):
    with pytest.raises(InvalidRequest) as refused:
        vector_field(fields_of(output_schema(output)), field, "Job j1")

    assert str(refused.value) == f"Job j1: {message}"


def filled(matrix: Matrix, *rows: list[float] | None) -> list[list[float]]:
    for number, row in enumerate(rows, start=1):
        matrix.add(None if row is None else np.array(row, np.float32), f"row-{number}")
    return matrix.whole().tolist()


@pytest.mark.parametrize(("dimensions", "shape"), [(None, (2, 0)), (3, (2, 3))])
def test_a_matrix_of_errors_alone_has_a_row_each(dimensions, shape):
    assert np.array(filled(Matrix(2, dimensions), None, None)).shape == shape


def test_vectors_of_two_lengths_are_refused_with_the_item():
    with pytest.raises(OutputMismatch) as mismatch:
        filled(Matrix(None, None), [1.0], [1.0, 2.0])

    assert str(mismatch.value) == (
        "The vector of item 'row-2' has 2 numbers, and those of the items in front of it 1: one "
        "matrix cannot hold both. Read `results()`, or `to_arrow()`."
    )


@pytest.mark.parametrize("dimensions", [None, 2])
def test_vectors_are_lists_of_arrow_and_null_where_there_is_none(dimensions):
    one, other = np.array([1, 2], np.float32), np.array([3, 4], np.float32)

    array = arrow_array([None, one, other, None], Vectors(dimensions))

    assert array.type == arrow_type(Vectors(dimensions))
    assert array.to_pylist() == [None, [1, 2], [3, 4], None]
    assert arrow_array([], Vectors(dimensions)).type == array.type
    assert arrow_array([None], Vectors(dimensions)).to_pylist() == [None]
    assert array.type.value_type == pyarrow.float32()
