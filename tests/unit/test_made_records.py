"""Given the class of a record, what the conformance tests hand to a task that takes it."""

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from seqd.hookspecs import WorkItem
from seqd.models.made_records import with_record

ITEM = WorkItem(3, "a fine film")


class Tone(Enum):
    KIND = "kind"


class Inner(BaseModel):
    word: str = Field(max_length=4, description="A word.")


class Everything(BaseModel):
    text: str = Field(max_length=100, description="A text.")
    inner: Inner = Field(description="A record.")
    inners: tuple[Inner, ...] = Field(min_length=1, max_length=2, description="Records.")
    whole: int = Field(ge=1, le=4, description="A number.")
    share: float = Field(gt=0, lt=1, description="A share.")
    either: Annotated[int, Field(ge=1, le=1)] | None = Field(description="A number or nothing.")
    tone: Tone = Field(description="A tone.")
    fixed: tuple[Literal["x"], bool] = Field(description="Two values.")


class Ordered(BaseModel):
    """A rule that no schema says."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"low": 1, "high": 2}, {"low": 3, "high": 9}]}
    )

    low: int = Field(ge=0, le=9, description="The lower one.")
    high: int = Field(ge=0, le=9, description="The higher one.")

    @model_validator(mode="after")
    def _check(self) -> "Ordered":
        if self.low >= self.high:
            raise ValueError("low is not below high")
        return self


def test_a_record_is_made_by_the_bounds_of_its_fields_and_has_the_items_text():
    made = with_record(ITEM, Everything)

    assert made == WorkItem(3, made.record.model_dump_json(), made.record)
    assert made.record == Everything(
        text="a fine film",
        inner=Inner(word="a fi"),
        inners=(Inner(word="a fi"), Inner(word=" fin")),
        whole=2,
        share=0.5,
        either=1,
        tone=Tone.KIND,
        fixed=("x", False),
    )


def test_a_record_with_rules_of_its_own_is_one_of_its_authors_examples():
    assert with_record(ITEM, Ordered).record == Ordered(low=3, high=9)


def test_there_is_no_record_of_a_text_that_a_worker_would_refuse():
    assert with_record(WorkItem(0, "a \ud83d"), Inner) is None
