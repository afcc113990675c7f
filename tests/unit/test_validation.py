"""What error messages say of a wrong value: where it is, what arrived, and what is allowed."""

from typing import Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from seqd.validation import did_you_mean, fault_sentence, faults_of, listed, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "'a'"),
        ("\x1b[2J", r"'\x1b[2J'"),
        (10**5000, "of type int and too long to show"),
        ("x" * 500, "'" + "x" * 199 + "…"),
    ],
    ids=["text", "control characters", "digits", "long"],
)
def test_a_value_is_shown_in_few_characters_that_any_terminal_takes(value, text):
    assert shown(value) == text


def test_a_wrong_name_is_answered_with_those_that_there_are():
    assert listed(["markov", "char_lstm"]) == "char_lstm, markov"
    assert listed([]) == "none"
    assert did_you_mean("marcov", ["markov", "char_lstm"]) == " Did you mean 'markov'?"
    assert did_you_mean("SEQD_X", ["SEQD_LEASE_S"], prefix="SEQD_") == ""


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str
    units: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.units > len(self.text):
            raise ValueError("so many units need a longer text")
        return self


def test_all_faults_are_told_with_their_rules_and_an_unknown_field_before_the_one_that_is_missing():
    with pytest.raises(ValidationError) as caught:
        Closed.model_validate({"units": 0, "txt": "a", **{f"junk{n}": n for n in range(300)}})

    sentence = fault_sentence(caught.value, shows_value=False)
    assert sentence == "txt: there is no such field; text is missing"
    assert [(fault.field, fault.value, fault.rule) for fault in faults_of(caught.value)[-2:]] == [
        ("text", None, "missing"),
        ("units", "0", "greater_than_equal"),
    ]


def test_a_fault_of_the_whole_is_called_what_the_caller_calls_that():
    with pytest.raises(ValidationError) as caught:
        Closed.model_validate({"text": "short", "units": 6})

    said = "so many units need a longer text"
    assert fault_sentence(caught.value) == said
    assert fault_sentence(caught.value, whole="the request") == f"the request: {said}"
