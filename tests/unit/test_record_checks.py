"""Given the classes of a task of a plugin's own, what is published, and what is refused and why."""

from datetime import date
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, Optional

import pytest
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    computed_field,
    create_model,
    field_serializer,
)

from seqd.errors import PluginFault
from seqd.hookspecs import Model, PluginParameters, TaskSpec
from seqd.models.descriptions import check_model
from seqd.models.task_schemas import task_schema
from seqd_schemas import (
    Dimensions,
    Embedding,
    Labels,
    Score,
    Spans,
    TaskOutput,
    Text,
    Vector,
)

Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(max_length=20)]


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Point(TaskOutput):
    x: Share = Field(description="Across.")


class OpenPoint(TaskOutput):
    x: float = Field(description="Across.")


class AnyFields(TaskOutput):
    model_config = ConfigDict(extra="allow")

    x: Share = Field(description="Across.")


class First(TaskOutput):
    kind: Literal["first"] = Field(description="Which.")
    share: Share = Field(description="A share.")


class Second(TaskOutput):
    kind: Literal["second"] = Field(description="Which.")
    word: Word = Field(description="A word.")


class Tree(TaskOutput):
    children: "tuple[Tree, ...]" = Field(max_length=3, description="Those below.")


class Computed(TaskOutput):
    x: Share = Field(description="Across.")

    @computed_field(description="Twice that.")
    @property
    def twice(self) -> Annotated[float, Field(ge=0, le=2)]:
        return self.x * 2


class Holder(TaskOutput):
    computed: Computed = Field(description="What has a computed field.")


class Serialized(TaskOutput):
    x: Share = Field(description="Across.")

    @field_serializer("x")
    def _as_flag(self, x: float) -> bool:
        return x > 0.5


class Renamed(TaskOutput):
    x: Share = Field(description="Across.", serialization_alias="y")


class Numbers(RootModel[Share]):
    """One number, which is no record."""


class Undefined(TaskOutput):
    x: "Nowhere" = Field(description="Of a class that there is not.")  # noqa: F821


class Label(TaskOutput):
    type: Literal["classification", "label"] = Field(default="label", description="What it is.")


def with_field(kind: object) -> type[BaseModel]:
    """Return an output with one field of this type."""
    return create_model("Made", __base__=TaskOutput, value=(kind, Field(description="It.")))


def a_model(**specs: TaskSpec) -> Model:
    class OneModel(Model):
        name = "m"
        summary = "A model of a test."
        tasks: ClassVar = specs

        def load(self, artifact, device):
            raise NotImplementedError

    return OneModel()


def refusal_of(**specs: TaskSpec) -> str:
    with pytest.raises(PluginFault) as refused:
        check_model(a_model(**specs))
    return str(refused.value)


def refusal_of_task(output: object, record: object = None) -> str:
    said = refusal_of(t=TaskSpec(PluginParameters, output=output, input=record))
    assert said.startswith("model 'm', task t: ")
    return said.removeprefix("model 'm', task t: ")


@pytest.mark.parametrize(
    "kind",
    [
        *(Share, Share | Word, Optional[Share], Color, date, bool, Literal["a", "b"]),  # noqa: UP045
        *(Point, tuple[bool, Share], Vector, Annotated[Vector, Dimensions(4)]),
        Annotated[tuple[Point, ...], Field(max_length=3)],
        Annotated[dict[Word, Share], Field(max_length=3)],
        dict[Literal["red", "blue"], Share],
        Annotated[First | Second, Field(discriminator="kind")],
        Tree,
    ],
)
def test_a_bounded_field_of_any_form_is_taken(kind):
    check_model(a_model(t=TaskSpec(PluginParameters, output=with_field(kind))))


@pytest.mark.parametrize("output", [Embedding, Labels, Score, Spans, Text])
def test_the_outputs_that_tasks_share_are_taken(output):
    check_model(a_model(t=TaskSpec(PluginParameters, output=output)))


NUMBER = "is a number without bounds. Give it ge= and le=."


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (int | Word, NUMBER),
        (tuple[bool, int], NUMBER),
        (Annotated[dict[Word, int], Field(max_length=3)], NUMBER),
        (list[Share], "is a list without max_length. Give it one."),
        (
            dict[Word, Share],
            "is a mapping without max_length. Give it one, or use a record of declared fields.",
        ),
        (
            Annotated[dict[str, Share], Field(max_length=3)],
            "is a mapping whose keys have no max_length. Give them one, such as "
            "Annotated[str, Field(max_length=64)].",
        ),
        (
            Any,
            "is neither a number, a text, a truth value nor a list of these, as the wire needs.",
        ),
        *(
            (
                Annotated[str, Field(max_length=9, pattern=pattern)],
                f"has the pattern {pattern!r}, which other languages and Python's `re` read "
                "otherwise than pydantic. Use a plainer one.",
            )
            for pattern in (r"^\p{Lu}+$", r"^[a-z&&[^a]]+$")
        ),
    ],
)
def test_a_field_that_clients_cannot_check_is_refused(kind, message):
    assert refusal_of_task(with_field(kind)) == f"output Made: field 'value' {message}"


class Twice(TaskOutput):
    version: Share = Field(description="One.")
    output_version: Share = Field(description="Another.")


ONE_WAY = "is written and not read, or read and not written. Leave out computed fields and aliases."
OPEN = 'Give it model_config = ConfigDict(extra="forbid"), so that a typing mistake is refused.'


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            Twice,
            "output Twice has the fields 'version' and 'output_version', which are one column of a "
            "table. Rename one of them.",
        ),
        (with_field(OpenPoint), f"output Made: field 'OpenPoint.x' {NUMBER}"),
        (Numbers, "output Numbers has 0 fields; allowed: 1 to 64."),
        (
            create_model(
                "Wide",
                __base__=TaskOutput,
                **{f"f{number}": (bool, Field(description="It.")) for number in range(65)},
            ),
            "output Wide has 65 fields; allowed: 1 to 64.",
        ),
        (
            with_field(Literal[tuple(f"{'x' * 60}{number}" for number in range(1_100))]),
            "output Made has a JSON Schema of 73,874 characters; allowed: 65,536.",
        ),
        (
            Tree,
            "output Tree refers to itself. Put what repeats into a class of its own, which is the "
            "type of a field of it.",
        ),
        (
            Undefined,
            "output Undefined has no JSON Schema: `Undefined` is not fully defined. Use numbers, "
            "texts, truth values, lists, mappings and records of these.",
        ),
        (
            with_field(AnyFields),
            "output Made takes unknown fields. Declare all of them, and leave its model_config at "
            'extra="forbid".',
        ),
        (Computed, f"output Computed: the field 'twice' {ONE_WAY}"),
        (Holder, f"output Holder: the field 'Computed.twice' {ONE_WAY}"),
        (Renamed, f"output Renamed: the field 'x' {ONE_WAY}"),
        (
            Serialized,
            "output Serialized: the field 'x' is written in another form than it is read. Leave "
            "out serializers, and use types that JSON has.",
        ),
        (
            Label,
            "output Label: its type is 'classification', which is that of another output. Choose "
            "another one.",
        ),
        (
            Score(score=1),
            "its output is Score(type='score', score=1.0, truncated=False), which is no pydantic "
            "model. Use one of seqd_schemas, such as Embedding, or a class that derives from "
            "TaskOutput.",
        ),
        # All that is wrong with the fields of a class is told at once.
        (
            create_model("Made", __base__=TaskOutput, value=(int, ...), word=(str, ...)),
            "output Made: field 'value' has no description. Say in a sentence what it is. Field "
            f"'value' {NUMBER} Field 'word' has no description. Say in a sentence what it is. "
            "Field 'word' is a text without max_length. Give it one.",
        ),
    ],
)
def test_an_output_that_cannot_be_published_is_refused(output, message):
    assert refusal_of_task(output) == message


class Loose(BaseModel):
    x: Share = Field(description="Across.")


class Named(TaskOutput):
    custom_id: Word = Field(description="A name.")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            str,
            "its input is <class 'str'>, which is no pydantic model. Leave it out for texts, or "
            "use a class that derives from pydantic.BaseModel.",
        ),
        (with_field(Loose), f"input Made takes unknown fields. {OPEN}"),
        (
            with_field(str),
            "input Made: field 'value' is a text without max_length. Give it one.",
        ),
        (Named, "input Named has a field 'custom_id', which names an item. Rename it."),
    ],
)
def test_an_input_that_cannot_be_checked_by_clients_is_refused(record, message):
    assert refusal_of_task(Score, record) == message


class Open(PluginParameters, extra="allow"):
    count: int
    word: str = Field(description="A word.")


SCORE = TaskSpec(PluginParameters, output=Score)


@pytest.mark.parametrize(
    ("specs", "message"),
    [
        (
            {f"score{number}": SCORE for number in range(33)},
            "model 'm' has 33 tasks of its own; allowed: 32.",
        ),
        (
            {"score": TaskSpec(PluginParameters, output=Score, summary="x" * 4_097)},
            f"model 'm', task score: its summary is '{'x' * 79}. Say in a sentence what it does.",
        ),
        (
            {"clasify": TaskSpec(PluginParameters)},
            "model 'm' has the task 'clasify', which states no output. Did you mean 'classify'? "
            "Tasks with an output of their own: classify, generate, train. Any other states one: "
            "TaskSpec(output=...).",
        ),
        (
            {"sweep": SCORE},
            "model 'm' has a task with the name 'sweep'. A name is 1 to 40 lower case letters, "
            "digits and underscores, begins with a letter, and is none of ingest, run, sweep.",
        ),
        # All that is wrong with the parameters of a task is told at once.
        (
            {"classify": TaskSpec(Open)},
            "model 'm', task classify: Open takes unknown parameters. Leave its model_config at "
            "extra=\"forbid\", so that a typing mistake is refused. Parameter 'count' has no "
            f"description. Say in a sentence what it does. Parameter 'count' {NUMBER} Parameter "
            "'word' is a text without max_length. Give it one.",
        ),
    ],
)
def test_a_description_of_tasks_that_no_client_could_name_is_refused(specs, message):
    assert refusal_of(**specs) == message


def test_the_digest_of_a_task_changes_with_its_fields_and_not_with_their_texts():
    def digest(description: str, most: float) -> str | None:
        field = (float, Field(ge=0, le=most, description=description))
        output = create_model("Made", __base__=TaskOutput, title=field)
        return task_schema(TaskSpec(PluginParameters, output=output)).digest

    assert digest("A share.", 1) == digest("A part of one.", 1) != digest("A share.", 2)
