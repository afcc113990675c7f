"""Given what a plugin may give for an item of a task of its own, what a result holds of it.

Whatever it is, either a reader of the result takes it, or the item has an error.
"""

import json
import math
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationInfo, field_validator

from seqd.worker.outcomes import CheckedJson, checked
from seqd_schemas import (
    ITEM_RESULT,
    Dimensions,
    Embedding,
    ItemError,
    ItemErrorCode,
    ItemSuccess,
    Score,
    TaskOutput,
    Text,
    Vector,
)


class Color(Enum):
    RED = "red"


class Inner(TaskOutput):
    share: float = Field(ge=0, le=1, description="A share.")


class Everything(TaskOutput):
    """A field of each form."""

    word: str = Field(max_length=20, description="A word.")
    share: float = Field(ge=0, le=1, description="A share.")
    count: int = Field(ge=0, le=9, description="A count.")
    flag: bool = Field(description="A flag.")
    color: Color = Field(description="A color.")
    inner: Inner = Field(description="A record.")
    parts: tuple[Inner, ...] = Field(max_length=3, description="Records.")
    table: dict[Annotated[str, Field(max_length=5)], float | None] = Field(
        max_length=3, description="Numbers by name."
    )
    vector: Annotated[Vector, Dimensions(2)] | None = Field(default=None, description="A vector.")


@dataclass(slots=True)
class Point:
    x: float | None


class Careless(TaskOutput):
    """Its validator stumbles over what another field has."""

    first: int = Field(ge=0, le=9, description="A number.")
    second: int = Field(ge=0, le=9, description="Another one.")

    @field_validator("second")
    @classmethod
    def _check(cls, second: int, given: ValidationInfo) -> int:
        return second + 0 * given.data["first"]


class Loose(TaskOutput):
    """Fields in which JSON's null would be taken for a number."""

    numbers: frozenset[float | None] = Field(max_length=3, description="Numbers.")
    point: Point = Field(description="A point.")


SOUND: dict[str, Any] = {
    "word": "a", "share": 0.5, "count": 1, "flag": True, "color": Color.RED,
    "inner": Inner(share=1), "parts": (Inner(share=0),), "table": {"x": 1.0},
    "vector": Vector([1, 2]),
}  # fmt: skip


#: What may stand where a field's value should: of another type, not finite, too long, no text.
GARBAGE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.just("\ud800")
    | st.binary(max_size=8)
    | st.sampled_from([Color.RED, Vector([1, 2]), Vector([1]), Inner(share=0.5)])
    | st.builds(lambda share: Inner.model_construct(share=share), st.floats())
    | st.builds(object),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=6,
)


def is_readable(kept: CheckedJson, output: type[TaskOutput]) -> bool:
    """Return True where readers in any language take a result with the output."""
    result = ItemSuccess(custom_id="a", output=kept)
    content = ITEM_RESULT.dump_json(result)
    again = json.loads(content, parse_constant=lambda name: pytest.fail(f"JSON has {name}"))
    output.model_validate_json(json.dumps(again["output"]), strict=True)
    return ITEM_RESULT.validate_json(content) == result


def message_of(outcome: object, output: type[TaskOutput]) -> str:
    kept = checked(outcome, output)
    assert isinstance(kept, ItemError)
    assert kept.code is ItemErrorCode.PLUGIN_ERROR
    return kept.message


@given(st.sampled_from(sorted(SOUND)), GARBAGE)
def test_what_model_construct_made_is_kept_only_where_all_can_read_it(field, value):
    outcome = Everything.model_construct(**{**SOUND, field: value})

    kept = checked(outcome, Everything)

    assert isinstance(kept, ItemError) or is_readable(kept, Everything)


@given(GARBAGE)
def test_what_is_no_output_at_all_is_an_error(outcome):
    kept = checked(outcome, Score)

    assert isinstance(kept, ItemError)


LOOSE: dict[str, Any] = {"numbers": frozenset({1.0}), "point": Point(x=1.0)}


@pytest.mark.parametrize(
    ("output", "sound", "changes", "field"),
    [
        (Score, {}, {"score": math.nan}, "score is nan"),
        (
            Everything,
            SOUND,
            {"inner": Inner.model_construct(share=-math.inf)},
            "inner.share is -inf",
        ),
        (Everything, SOUND, {"table": {"x": 1.0, "y": math.inf}}, "table.y is inf"),
        # Which JSON would have as null.
        (Loose, LOOSE, {"numbers": frozenset({math.nan})}, "numbers.0 is nan"),
        (Loose, LOOSE, {"point": Point(x=math.nan)}, "point.x is nan"),
    ],
)
def test_a_number_that_is_not_finite_is_named_however_deep_it_is(output, sound, changes, field):
    assert is_readable(checked(Loose(**LOOSE), Loose), Loose)
    assert message_of(output.model_construct(**{**sound, **changes}), output) == (
        f"The model plugin gave a {output.__name__} that no result can hold: {field}; allowed: a "
        "finite number."
    )


@pytest.mark.parametrize(
    ("outcome", "output", "message"),
    [
        (
            Embedding.model_construct(vector=[1.0, 2.0], truncated=False),
            Embedding,
            "The model plugin gave a Embedding that no result can hold: Error serializing",
        ),
        (
            Text.model_construct(text="x" * 1_048_577, truncated=False),
            Text,
            "The model plugin gave a Text that no result can hold: text is 'xxx",
        ),
        (
            Score.model_construct(score=1.0, truncated=False, type="text"),
            Score,
            "The model plugin gave a Score that no result can hold: type is 'text': Input should "
            "be 'score'.",
        ),
    ],
)
def test_an_outcome_that_is_not_what_the_task_states_says_what_it_is(outcome, output, message):
    assert message_of(outcome, output).startswith(message)


@given(GARBAGE)
def test_an_item_error_that_model_construct_made_is_checked_too(message):
    kept = checked(ItemError.model_construct(code="invalid_input", message=message), Score)

    assert isinstance(kept, ItemError)
    assert isinstance(kept.message, str)
    kept.model_dump_json()


def test_a_class_whose_validator_raises_is_an_error_of_the_item():
    outcome = Careless.model_construct(first=-1, second=1)

    assert message_of(outcome, Careless) == (
        "The model plugin gave a Careless that no result can hold: its class raised KeyError: "
        "'first'."
    )


def test_a_record_that_holds_itself_is_an_error():
    table: dict[str, Any] = {}
    table["x"] = table

    assert "no result can hold" in message_of(
        Everything.model_construct(**{**SOUND, "table": table}), Everything
    )
