"""Outcomes of plugins' own tasks: what is kept of them is what their class allows, or an error."""

from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    create_model,
    field_serializer,
    field_validator,
    model_serializer,
)

from seqd.ledger.blobs import pack_results, unpack_results
from seqd.worker.outcomes import results_of
from seqd_schemas import Embedding, Item, ItemFailure, Labels, ScoredLabel, TaskOutput, Vector

Share = Annotated[float, Field(ge=0, le=1)]


class Number(BaseModel):
    a: int = Field(ge=0, le=3)


class Nested(BaseModel):
    inner: Number
    share: float | None = Field(default=None, ge=0, le=1)


class Written(Number):
    @field_serializer("a")
    def _write(self, a: int) -> int:
        return 99


class Replaced(Number):
    @model_serializer
    def _write(self) -> dict[str, int]:
        return {f"k{number}": number for number in range(300)}


class Surrogate(BaseModel):
    a: str = Field(max_length=10)

    @field_serializer("a")
    def _write(self, a: str) -> str:
        return "\ud800"


class Raising(BaseModel):
    a: int = Field(ge=0, le=3)

    @field_validator("a")
    @classmethod
    def _check(cls, a: int) -> int:
        return {1: 1}[a]


class Stripped(BaseModel):
    a: Annotated[str, StringConstraints(strip_whitespace=True, max_length=3)]


class Masked(BaseModel):
    type: Literal["classification"]
    label: str = Field(max_length=10)


class Strict(TaskOutput):
    model_config = ConfigDict(strict=True)
    shares: tuple[Share, ...] = Field(max_length=4)


def kept(outcome: BaseModel, output: type[BaseModel]) -> object:
    """Return what a reader gets of an outcome: the JSON, or the message of its error."""
    results = results_of([Item(custom_id="a", text="a")], iter([outcome]), output, 1)
    (row,) = pack_results(results)
    (read,) = unpack_results(row)
    return read.error.message if isinstance(read, ItemFailure) else read.output


def test_a_sound_outcome_is_kept_as_it_was_declared():
    labels = Labels(labels=(ScoredLabel(label="a", score=0.5),))

    assert kept(Number(a=1), Number) == {"a": 1}
    assert kept(labels, Labels) == labels.model_dump(mode="json")
    assert kept(Strict(shares=(0.5, 1.0)), Strict) == {"shares": [0.5, 1.0]}


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Number.model_construct(a=7), "a is 7: Input should be less than or equal to 3"),
        (lambda: Number.model_construct(a=True), "a is True: Input should be a valid integer"),
        (lambda: Number.model_construct(), "a: Field required"),
        (
            lambda: Nested.model_construct(inner=Number.model_construct(a=9), share=None),
            "inner.a is 9: Input should be less than or equal to 3",
        ),
        (
            lambda: Nested.model_construct(inner=Number(a=1), share=float("nan")),
            "share is nan; allowed: a finite number",
        ),
        (lambda: Written(a=1), "a is 99: Input should be less than or equal to 3"),
        (lambda: Replaced(a=1), "a: Field required"),
        (
            lambda: Surrogate(a="a"),
            "Error serializing to JSON: UnicodeEncodeError: 'utf-8' codec can't encode character "
            "'\\ud800' in position 0: surrogates not allowed",
        ),
        (lambda: Raising.model_construct(a=2), "its class raised KeyError: 2"),
        (
            lambda: Masked(type="classification", label="a"),
            "its type is 'classification', which is that of another output",
        ),
        (
            lambda: Labels.model_construct(labels=[ScoredLabel(label="a", score=0.5)] * 2),
            "labels is [{'label': 'a', 'score': 0.5}, {'label': 'a', 'score': 0.5}]: a label is "
            "given twice; allowed: each label once",
        ),
    ],
)
def test_an_outcome_that_breaks_its_declaration_is_an_error(
    make: Callable[[], BaseModel], fault: str
):
    outcome = make()
    name = type(outcome).__name__

    assert kept(outcome, type(outcome)) == (
        f"The model plugin gave a {name} that no result can hold: {fault}."
    )


def test_a_text_that_is_trimmed_is_kept_trimmed():
    assert kept(Stripped.model_construct(a="x   "), Stripped) == {"a": "x"}


def test_vectors_that_are_too_many_bytes_are_an_error():
    class Wide(TaskOutput):
        first: Vector
        second: Vector
        third: Vector

    numbers = Vector([0.5] * 65_536)
    made = Wide(first=numbers, second=numbers, third=numbers)
    assert isinstance(kept(made, Wide), dict)

    fields = {f"v{number}": (Vector, Field()) for number in range(32)}
    many = create_model("Many", **fields)  # type: ignore[call-overload]
    made = many(**dict.fromkeys(fields, numbers))

    assert kept(made, many) == (
        "The Many that the model gave is 11,185,175 bytes as JSON; allowed: 8,388,608. Ask for "
        "less, or give the items in parts."
    )


def test_the_numbers_of_a_vector_cannot_be_changed():
    vector = Embedding(vector=Vector([1.0, 2.0])).vector

    with pytest.raises(AttributeError):
        vector.data = b"abc"  # type: ignore[misc]
