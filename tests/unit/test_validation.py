"""What error messages say of a wrong value: where it is, what arrived, and what is allowed."""

from typing import Self

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from seqd.validation import did_you_mean, fault_sentence, faults_of, listed, shown


class Source(BaseModel):
    path: str


class Training(BaseModel):
    units: int = Field(default=8, ge=1)
    rate: float = 0.1
    source: Source = Source(path="a")

    @field_validator("rate")
    @classmethod
    def _is_positive(cls, rate: float) -> float:
        if rate <= 0:
            raise ValueError("allowed: more than 0")
        return rate

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.units > 100 and self.rate > 1:
            raise ValueError("so many units need a rate up to 1")
        return self


def error_of(**values: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Training.model_validate(values)
    return caught.value


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"units": 0}, "units is 0: Input should be greater than or equal to 1"),
        ({"rate": -1}, "rate is -1: allowed: more than 0"),
        ({"source": {"path": 3}}, "source.path is 3: Input should be a valid string"),
        ({"source": {}}, "source.path: Field required"),
        ({"units": 101, "rate": 2}, "so many units need a rate up to 1"),
    ],
)
def test_a_sentence_says_what_arrived_and_what_is_allowed(values, sentence):
    assert fault_sentence(error_of(**values)) == sentence


def test_all_faults_are_there_with_the_rule_that_each_breaks():
    faults = faults_of(error_of(units=0, source={}))

    assert [(fault.field, fault.value, fault.rule) for fault in faults] == [
        ("units", "0", "greater_than_equal"),
        ("source.path", None, "missing"),
    ]


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


def test_an_unknown_field_is_named_before_the_one_that_is_missing_for_it():
    with pytest.raises(ValidationError) as caught:
        Closed.model_validate({"units": 0, "txt": "a", **{f"junk{n}": n for n in range(300)}})

    sentence = fault_sentence(caught.value, shows_value=False)
    assert sentence == "txt: there is no such field; text is missing"


def test_a_sentence_calls_things_what_the_caller_calls_them_and_leaves_values_out_of_a_log():
    called = fault_sentence(error_of(units=0), noun="parameter")
    whole = fault_sentence(error_of(units=101, rate=2), whole="the request")
    logged = fault_sentence(error_of(rate="secret"), shows_value=False)

    assert called.startswith("parameter 'units' is 0:")
    assert whole == "the request: so many units need a rate up to 1"
    assert logged == "rate: Input should be a valid number, unable to parse string as a number"
