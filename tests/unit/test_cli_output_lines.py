"""Outputs of plugins' own tasks as a person reads them, and their schemas as tables."""

from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from seqd.cli.run import LiveOutputs
from seqd.cli.ui.outputs import OutputPrinter, has_spans, is_text_alone, output_line
from seqd.cli.ui.params import fields_of
from seqd.cli.ui.screen import Screen
from seqd.client import StreamedText
from seqd_schemas import (
    Dimensions,
    Embedding,
    ItemError,
    ItemErrorCode,
    ItemSuccess,
    Labels,
    Score,
    ScoredLabel,
    Span,
    Spans,
    TaskOutput,
    TaskSchema,
    Text,
    Vector,
)


class Place(TaskOutput):
    """Where something is."""

    name: str = Field(max_length=10, description="Its name.")
    scores: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(
        max_length=3, description="Scores."
    )


class Report(TaskOutput):
    """An output of several fields."""

    language: str = Field(max_length=2, description="The language.")
    is_toxic: bool = Field(description="True where it is.")
    place: Place | None = Field(default=None, description="The place.")
    vectors: tuple[Annotated[Vector, Dimensions(2)], ...] = Field(
        max_length=2, description="Two vectors."
    )


def a_task(output: type[BaseModel]) -> TaskSchema:
    schema = output.model_json_schema(mode="serialization")
    return TaskSchema(parameters={}, unit_items=1, result=schema)


def line_of(output: BaseModel, text: str = "") -> str:
    schema = a_task(type(output)).result
    assert schema is not None
    return output_line(output.model_dump(mode="json"), schema, text)


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (Score(score=2 / 3), "0.6667"),
        (Score(score=2 / 3, truncated=True), "0.6667  truncated"),
        (Text(text="two\nlines"), "two\nlines"),
        (Labels(labels=()), "none"),
        (Labels(labels=(ScoredLabel(label="a", score=0.93),)), "a 0.93"),
        (
            Labels(labels=tuple(ScoredLabel(label=f"l{n}", score=0.5) for n in range(12))),
            "l0 0.5, l1 0.5, l2 0.5, l3 0.5, l4 0.5, l5 0.5, l6 0.5, l7 0.5, l8 0.5, l9 0.5 and "
            "2 more",
        ),
        (Spans(spans=(Span(start=0, end=4, label="NAME", score=0.5),)), "Anna NAME 0.5"),
        (Embedding(vector=Vector([0.125, -0.25, 3, 4])), "4 numbers: 0.12, -0.25, 3, …"),
        (Embedding(vector=Vector([0, 0, 0, 3, -4])), "5 numbers: 0, 0, 0, … (norm 5)"),
        (Embedding(vector=Vector([0, 0, 0])), "3 numbers: 0, 0, 0"),
        (Embedding(vector=Vector([1])), "1 number: 1"),
        (
            Report(
                language="en",
                is_toxic=False,
                place=Place(name="Oslo", scores=(1.0,)),
                vectors=(Vector([1, 2]),),
            ),
            'language en  is_toxic false  place {"name": "Oslo", "scores": [1.0]}  '
            "vectors 2 numbers: 1, 2",
        ),
        (
            Report(language="en", is_toxic=True, vectors=()),
            "language en  is_toxic true  place none  vectors none",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseModel) else "",
)
def test_an_output_is_a_line(output: BaseModel, line: str) -> None:
    assert line_of(output, "Anna is here") == line


def test_a_span_of_a_text_that_is_not_at_hand_says_where_it_is() -> None:
    assert line_of(Spans(spans=(Span(start=3, end=5, label="NAME"),))) == "3-5 NAME"


def test_texts_in_front_of_outputs_are_cut_and_stand_in_a_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    texts = ["short", "one that is longer than what is repeated"]
    printer = OutputPrinter(Screen(), a_task(Score), texts)

    for name in ("row-1", "row-2"):
        output = Score(score=0.5).model_dump(mode="json")
        printer.show(ItemSuccess(custom_id=name, output=output))

    assert capsys.readouterr().out == (
        "short                           0.5\none that is longer than what …  0.5\n"
    )


def test_what_an_output_holds_is_told_by_its_schema() -> None:
    assert is_text_alone(a_task(Text)) and not is_text_alone(a_task(Score))
    assert has_spans(a_task(Spans)) and not has_spans(a_task(Labels))


def test_fields_of_records_within_records_have_rows_of_their_own() -> None:
    schema = a_task(Report).result
    assert schema is not None

    rows = [(one.name, one.type, one.allowed) for one in fields_of(schema)]

    assert rows == [
        ("language", "text", "a text of 0 to 2 characters"),
        ("is_toxic", "true or false", "true or false"),
        ("place", "record or null", ""),
        ("place.name", "text", "a text of 0 to 10 characters"),
        ("place.scores", "list of numbers", "a list of 0 to 3, each 0 to 1"),
        ("vectors", "list of vectors", "0 to 2, each 2 numbers"),
    ]


def test_texts_that_come_at_once_are_printed_one_after_the_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = ItemError(code=ItemErrorCode.PLUGIN_ERROR, message="no")
    live, stood = LiveOutputs(Screen(), ["row-1", "row-2", "row-3"]), []
    for delta in (
        StreamedText("row-3", 0, "three", output={"text": "three"}),
        StreamedText("row-1", 0, "on"),
        StreamedText("row-2", 0, "", error=error),
        StreamedText("row-1", 0, "e", output={"text": "one"}),
    ):
        live.show(delta)
        stood.append(capsys.readouterr().out)

    assert stood == ["", "on", "", "e\nthree\n"]
