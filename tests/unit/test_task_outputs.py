"""Given any numbers, texts and arrays, what `Vector`, `Labels` and `Spans` take, and refuse."""

import base64
import binascii
import json
import math
import pickle
from copy import deepcopy
from typing import Annotated

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from seqd_schemas import Dimensions, Embedding, Labels, ScoredLabel, Span, Spans, Vector
from seqd_schemas.outputs import MAX_DIMENSIONS

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(FLOATS, min_size=1, max_size=40)

#: Types of arrays that a plugin may have, in both byte orders.
DTYPES = ["<f4", ">f4", "<f8", ">f8", "<f2", ">f2", "<i4", ">i4", "<i8", "<u1", "<u2", "?"]


class Four(BaseModel):
    vector: Annotated[Vector, Dimensions(4)]


def refusal_of(values: object) -> str:
    with pytest.raises(ValueError) as refused:
        Vector(values)
    return str(refused.value)


@given(VECTORS)
def test_a_vector_comes_back_from_json_to_the_last_bit(numbers):
    made = Embedding(vector=numbers)

    read = Embedding.model_validate_json(made.model_dump_json(), strict=True)

    assert read == made
    assert hash(read.vector) == hash(made.vector)
    assert np.asarray(read.vector).tobytes() == np.array(numbers, "<f4").tobytes()
    assert list(read.vector) == list(made.vector) == np.array(numbers, np.float32).tolist()


@given(VECTORS)
def test_a_vector_is_the_same_by_bytes_numbers_text_copy_and_pickle(numbers):
    made = Vector(numbers)

    others = [Vector(made.data), Vector(tuple(numbers)), Vector(made), Vector(list(made))]
    others += [
        Vector.from_base64(made.to_base64()),
        deepcopy(made),
        pickle.loads(pickle.dumps(made)),
    ]

    assert all(other == made for other in others)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=20), st.sampled_from(DTYPES))
def test_an_array_of_any_type_and_byte_order_is_its_numbers(numbers, dtype):
    array = np.array(numbers, dtype=dtype)

    assert list(Vector(array)) == [float(number) for number in array.tolist()]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones((2, 2), np.float32), "it has the shape (2, 2); allowed: one axis"),
        (np.array(1.0), "it has the shape (); allowed: one axis"),
        ([], "it has 0 numbers; allowed: 1 to 65,536"),
        ([0.0] * (MAX_DIMENSIONS + 1), "it has 65,537 numbers; allowed: 1 to 65,536"),
        (b"12345", "it has 5 bytes; allowed: four of each number"),
        ([1.0, math.nan], "a number of it is not finite; allowed: finite numbers"),
        (np.array([1, np.nan]), "a number of it is not finite; allowed: finite numbers"),
        ([1.0, "2"], "it is no vector of 32-bit floats: must be real number, not str"),
        ([[1.0]], "it is no vector of 32-bit floats: must be real number, not list"),
    ],
)
def test_what_is_no_vector_of_finite_numbers_is_refused(values, message):
    assert refusal_of(values) == message


@pytest.mark.parametrize("values", [[1e39], np.array([1e39]), [10**400], np.array([1e300, 1.0])])
def test_a_number_that_is_too_large_for_32_bits_is_refused(values):
    assert refusal_of(values) in (
        "a number of it is not finite; allowed: finite numbers",
        "it is no vector of 32-bit floats: int too large to convert to float",
    )


@given(st.text(max_size=40))
def test_a_text_is_a_vector_only_where_it_is_the_base64_of_one(text):
    content = json.dumps({"vector": text})
    try:
        made = Embedding.model_validate_json(content, strict=True)
    except ValidationError:
        with pytest.raises((binascii.Error, ValueError)):
            Vector(base64.b64decode(text, validate=True))
    else:
        assert made.vector.to_base64() == text


@given(VECTORS)
def test_a_vector_of_another_length_than_is_declared_is_refused(numbers):
    try:
        made = Four(vector=numbers)
    except ValidationError as error:
        (fault,) = error.errors()
        assert len(numbers) != 4
        assert fault["msg"] == f"Value error, it has {len(numbers)} numbers; allowed: 4"
    else:
        assert len(made.vector) == 4


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 1)), max_size=6))
def test_labels_are_taken_where_each_is_there_once_and_the_highest_is_first(pairs):
    labels = tuple(ScoredLabel(label=name, score=score) for name, score in pairs)
    scores = [score for _, score in pairs]
    is_sound = len(dict(pairs)) == len(pairs) and scores == sorted(scores, reverse=True)

    try:
        made = Labels(labels=labels)
    except ValidationError:
        assert not is_sound
    else:
        assert is_sound
        assert Labels.model_validate_json(made.model_dump_json(), strict=True) == made


@given(st.integers(-2, 10), st.integers(-2, 10))
def test_a_span_ends_behind_its_start(start, end):
    try:
        made = Spans(spans=(Span(start=start, end=end, label="NAME"),))
    except ValidationError:
        assert start < 0 or end <= start
    else:
        assert 0 <= start < end
        assert Spans.model_validate_json(made.model_dump_json(), strict=True) == made
