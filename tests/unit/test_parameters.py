"""Parameters are checked against the published schema, in words that name what is allowed."""

import math
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from seqd.errors import InvalidParameters
from seqd.hookspecs import PluginParameters
from seqd.parameters import check_parameters


class Parameters(PluginParameters):
    """One field of each kind."""

    epochs: int = Field(default=3, ge=1, le=100, description="Passes over the data.")
    rate: float = Field(default=0.01, gt=0, lt=1, description="Learning rate.")
    decay: float | None = Field(default=None, ge=0, le=1, description="Decay.")
    width: int = Field(default=8, ge=8, le=64, multiple_of=8, description="Width.")
    mode: Literal["fast", "exact"] = Field(default="exact", description="How.")
    prompt: str | None = Field(default=None, max_length=4, description="Beginning.")
    shuffle: bool = Field(default=True, description="Whether to shuffle.")
    temperatures: tuple[float, ...] = Field(default=(), max_length=2, description="Temperatures.")


class Demanding(PluginParameters):
    """Fields that must be given."""

    order: int = Field(ge=1, le=9, description="Order of the chain.")
    smoothing: float = Field(ge=0, le=1, description="Smoothing.")


SCHEMA = Parameters.model_json_schema()


def refusal_of(schema=SCHEMA, **values: object) -> str:
    with pytest.raises(InvalidParameters) as refusal:
        check_parameters(schema, values, model="imdb_lstm", task="train")
    return str(refusal.value)


KNOWN = "Known parameters: decay, epochs, mode, prompt, rate, shuffle, temperatures, width."
WHOLE = "allowed: a whole number, 1 to 100."


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epochs": 0}, "'epochs' is 0; allowed: 1 to 100."),
        ({"epochs": 1.5}, f"'epochs' is 1.5; {WHOLE}"),
        ({"epochs": True}, f"'epochs' is true; {WHOLE}"),
        ({"epochs": "3"}, f"'epochs' is \"3\"; {WHOLE}"),
        ({"epochs": None}, f"'epochs' is null; {WHOLE}"),
        ({"width": 7}, "'width' is 7; allowed: 8 to 64, a multiple of 8."),
        ({"rate": 0}, "'rate' is 0; allowed: more than 0, less than 1."),
        ({"rate": "f"}, "'rate' is \"f\"; allowed: a number, more than 0, less than 1."),
        ({"decay": "s"}, "'decay' is \"s\"; allowed: a number, 0 to 1 or null."),
        ({"decay": 2}, "'decay' is 2; allowed: 0 to 1 or null."),
        ({"rate": math.nan}, "'rate' is NaN; allowed: more than 0, less than 1."),
        ({"mode": "quick"}, '\'mode\' is "quick"; allowed: "fast", "exact".'),
        (
            {"prompt": "Wagner"},
            "'prompt' is \"Wagner\"; allowed: a text of 0 to 4 characters or null.",
        ),
        ({"shuffle": 1}, "'shuffle' is 1; allowed: true or false."),
        (
            {"temperatures": [1, 2, 3]},
            "'temperatures' is [1, 2, 3]; allowed: a list of 0 to 2, each a number.",
        ),
        ({"temperatures": [0.2, "hot"]}, "'temperatures[1]' is \"hot\"; allowed: a number."),
        ({"epoch": 3}, f"'epoch' is unknown. Did you mean 'epochs'? {KNOWN}"),
        (
            {"epochs": 0, "rate": 2},
            "'epochs' is 0; allowed: 1 to 100. "
            "Parameter 'rate' is 2; allowed: more than 0, less than 1.",
        ),
        (
            {f"x{number}": number for number in range(7)},
            "'x0' is unknown. Parameter 'x1' is unknown. Parameter 'x2' is unknown. "
            "Parameter 'x3' is unknown. Parameter 'x4' is unknown. 2 more are wrong. " + KNOWN,
        ),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_value_and_what_is_allowed(values, said):
    assert refusal_of(**values) == f"imdb_lstm train: parameter {said}"


def test_each_missing_parameter_is_named_once():
    assert refusal_of(Demanding.model_json_schema()) == (
        "imdb_lstm train: parameter 'order' is missing; allowed: 1 to 9. "
        "Parameter 'smoothing' is missing; allowed: 0 to 1."
    )


def test_a_long_value_is_cut_and_a_lone_surrogate_can_be_printed():
    said = refusal_of(mode="\ud800" + "a" * 500)

    assert "a" * 40 in said
    assert len(said) < 200
    assert said.encode("utf-8")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "epochs": st.integers(-5, 200),
            "rate": st.floats(-1, 2),
            "mode": st.sampled_from(["fast", "exact", "other"]),
            "prompt": st.none() | st.text("aé😀", max_size=6),
            "shuffle": st.booleans(),
            "temperatures": st.lists(st.floats(0, 2), max_size=3),
        },
    )
)
def test_the_check_on_the_schema_and_the_plugins_own_class_agree(values):
    try:
        Parameters.model_validate(values)
        valid = True
    except ValidationError:
        valid = False

    if valid:
        check_parameters(SCHEMA, values, model="imdb_lstm", task="train")
    else:
        assert "allowed: " in refusal_of(**values)
