"""Parameters and choices as they are typed on the command line."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqd.cli.options import choice, read_expires_in, read_parameters
from seqd.errors import InvalidParameters, InvalidRequest

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.none(),
    st.text(max_size=20),
)


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("epochs=3", 3),
        ("rate=0.01", 0.01),
        ("lower_case=true", True),
        ("temperatures=[0.2,0.5]", [0.2, 0.5]),
        ("mode=fast", "fast"),
        ("start=a=b", "a=b"),
        ('digits="5"', "5"),
        ("nothing=", ""),
    ],
)
def test_a_value_is_json_or_else_a_text(typed: str, value: object) -> None:
    name = typed.partition("=")[0]

    assert read_parameters([typed]) == {name: value}


@given(st.one_of(SCALARS, st.lists(SCALARS, max_size=5)))
def test_whatever_is_written_as_json_is_read_back(value: object) -> None:
    assert read_parameters([f"p={json.dumps(value)}"]) == {"p": value}


@pytest.mark.parametrize("typed", ["epochs", "=3", ""])
def test_a_pair_without_a_name_or_value_is_refused(typed: str) -> None:
    message = f"{typed!r} is no parameter; allowed: NAME=VALUE, such as length=200"

    with pytest.raises(InvalidParameters, match=re.escape(message)):
        read_parameters([typed])


def test_a_parameter_given_twice_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="parameter 'a' is given twice; give it once"):
        read_parameters(["a=1", "a=2"])


def test_an_object_is_refused() -> None:
    with pytest.raises(InvalidParameters, match="parameter 'a' is an object; allowed: a number"):
        read_parameters(['a={"b": 1}'])


def test_a_wrong_choice_lists_the_right_ones() -> None:
    with pytest.raises(InvalidRequest, match="--priority is 'high'; allowed: normal, bulk"):
        choice("--priority", "high", ["normal", "bulk"])


@pytest.mark.parametrize(("typed", "seconds"), [(None, None), ("1", 1), ("31622400", 31_622_400)])
def test_a_time_to_end_is_whole_seconds(typed: str | None, seconds: int | None) -> None:
    assert read_expires_in(typed) == seconds


@pytest.mark.parametrize(
    "typed", ["soon", "1h", "", "0", "-5", "1.5", "31622401", "1_000", "9" * 5_000]
)
def test_any_other_time_to_end_is_refused_with_what_is_allowed(typed: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_expires_in(typed)

    assert str(refused.value) == (
        f"--expires-in is {typed!r}; allowed: whole seconds, 1 to 31,622,400 (366 days)"
    )
