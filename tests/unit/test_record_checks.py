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
from seqd.models.parameter_checks import check_parameters_class
from seqd.models.record_checks import check_run_task
from seqd.models.task_schemas import task_schema
from seqd_schemas import (
    Classification,
    Dimensions,
    Embedding,
    Labels,
    OutputBound,
    Score,
    Spans,
    TaskOutput,
    Text,
    Vector,
)

Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(max_length=20)]

#: How the refusal of a field begins.
AT = "m t: output Made: field 'value' "


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


def refusal_of(output: object, record: object = None) -> str:
    with pytest.raises(PluginFault) as refused:
        check_run_task("m t", TaskSpec(PluginParameters, output=output, input=record))
    return str(refused.value)


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
    check_run_task("m t", TaskSpec(PluginParameters, output=with_field(kind)))


@pytest.mark.parametrize("output", [Embedding, Labels, Score, Spans, Text])
def test_the_outputs_that_tasks_share_are_taken(output):
    check_run_task("m t", TaskSpec(PluginParameters, output=output))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (int, "is a number without bounds. Give it ge= and le=."),
        (str, "is a text without max_length. Give it one."),
        (int | Word, "is a number without bounds. Give it ge= and le=."),
        (list[Share], "is a list without max_length. Give it one."),
        (tuple[bool, int], "is a number without bounds. Give it ge= and le=."),
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
            Annotated[dict[Word, int], Field(max_length=3)],
            "is a number without bounds. Give it ge= and le=.",
        ),
        (
            Any,
            "is neither a number, a text, a truth value nor a list of these, as the wire needs.",
        ),
    ],
)
def test_a_field_without_a_bound_is_refused(kind, message):
    assert refusal_of(with_field(kind)) == AT + message


@pytest.mark.parametrize("pattern", [r"^\p{Lu}+$", r"^a\z", r"^[[:alpha:]]+$", r"^[a-z&&[^a]]+$"])
def test_a_pattern_that_clients_cannot_check_is_refused(pattern):
    kind = Annotated[str, Field(max_length=9, pattern=pattern)]

    assert refusal_of(with_field(kind)) == (
        f"m t: output Made: field 'value' has the pattern {pattern!r}, which other languages and "
        "Python's `re` read otherwise than pydantic. Use a plainer one."
    )


def test_two_fields_that_would_be_one_column_are_refused():
    class Twice(TaskOutput):
        version: Share = Field(description="One.")
        output_version: Share = Field(description="Another.")

    assert refusal_of(Twice) == (
        "m t: output Twice has the fields 'version' and 'output_version', which are one column of "
        "a table. Rename one of them."
    )


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (
            create_model("Made", __base__=TaskOutput, value=(bool, ...)),
            AT + "has no description. Say in a sentence what it is.",
        ),
        (
            with_field(OpenPoint),
            "m t: output Made: field 'OpenPoint.x' is a number without bounds. Give it ge= and "
            "le=.",
        ),
        (Numbers, "m t: output Numbers has 0 fields; allowed: 1 to 64."),
        (
            create_model(
                "Wide",
                __base__=TaskOutput,
                **{f"f{number}": (bool, Field(description="It.")) for number in range(65)},
            ),
            "m t: output Wide has 65 fields; allowed: 1 to 64.",
        ),
        (
            with_field(Literal[tuple(f"{'x' * 60}{number}" for number in range(1_100))]),
            "m t: output Made has a JSON Schema of 73,874 characters; allowed: 65,536.",
        ),
        (
            Tree,
            "m t: output Tree refers to itself. Put what repeats into a class of its own, which is "
            "the type of a field of it.",
        ),
        (
            Undefined,
            "m t: output Undefined has no JSON Schema: `Undefined` is not fully defined. Use "
            "numbers, texts, truth values, lists, mappings and records of these.",
        ),
        (
            with_field(AnyFields),
            "m t: output Made takes unknown fields. Declare all of them, and leave its "
            'model_config at extra="forbid".',
        ),
        (
            Computed,
            "m t: output Computed: the field 'twice' is written and not read, or read and not "
            "written. Leave out computed fields and aliases.",
        ),
        (
            Holder,
            "m t: output Holder: the field 'Computed.twice' is written and not read, or read and "
            "not written. Leave out computed fields and aliases.",
        ),
        (
            Renamed,
            "m t: output Renamed: the field 'x' is written and not read, or read and not written. "
            "Leave out computed fields and aliases.",
        ),
        (
            Serialized,
            "m t: output Serialized: the field 'x' is written in another form than it is read. "
            "Leave out serializers, and use types that JSON has.",
        ),
        (
            Label,
            "m t: output Label: its type is 'classification', which is that of another output. "
            "Choose another one.",
        ),
        (
            Classification,
            "m t: output Classification: its type is 'classification', which is that of another "
            "output. Choose another one.",
        ),
        (
            Score(score=1),
            "m t: its output is Score(type='score', score=1.0, truncated=False), which is no "
            "pydantic model. Use one of seqd_schemas, such as Embedding, or a class that derives "
            "from TaskOutput.",
        ),
    ],
)
def test_an_output_that_cannot_be_published_is_refused(output, message):
    assert refusal_of(output) == message


class Loose(BaseModel):
    x: Share = Field(description="Across.")


class Named(TaskOutput):
    custom_id: Word = Field(description="A name.")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (
            str,
            "m t: its input is <class 'str'>, which is no pydantic model. Leave it out for texts, "
            "or use a class that derives from pydantic.BaseModel.",
        ),
        (
            Loose,
            "m t: input Loose takes unknown fields. Give it model_config = "
            'ConfigDict(extra="forbid"), so that a typing mistake is refused.',
        ),
        (
            with_field(Loose),
            "m t: input Made takes unknown fields. Give it model_config = "
            'ConfigDict(extra="forbid"), so that a typing mistake is refused.',
        ),
        (
            with_field(str),
            "m t: input Made: field 'value' is a text without max_length. Give it one.",
        ),
        (Named, "m t: input Named has a field 'custom_id', which names an item. Rename it."),
    ],
)
def test_an_input_that_cannot_be_checked_by_clients_is_refused(record, message):
    assert refusal_of(Score, record) == message


def a_model(**specs: TaskSpec) -> Model:
    class OneModel(Model):
        name = "m"
        summary = "A model of a test."
        tasks: ClassVar = specs

        def load(self, artifact, device):
            raise NotImplementedError

    return OneModel()


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
            {"classify": SCORE},
            "model 'm', task classify: its output is <class 'seqd_schemas.outputs.Score'> and its "
            "input None; allowed: neither, since those of classify are fixed. What one item can "
            "make it write is its `bound`, a seqd_schemas.OutputBound.",
        ),
        (
            {"Score": SCORE},
            "model 'm' has a task with the name 'Score'. A name is 1 to 40 lower case letters, "
            "digits and underscores, begins with a letter, and is none of ingest, run, sweep.",
        ),
    ],
)
def test_a_description_of_tasks_that_no_client_could_name_is_refused(specs, message):
    with pytest.raises(PluginFault) as refused:
        check_model(a_model(**specs))

    assert str(refused.value) == message


def test_a_bound_that_a_plugin_for_version_1_1_gives_as_the_output_is_taken_as_its_bound():
    class Writing(PluginParameters):
        length: int = Field(ge=1, le=100, description="Characters to write.")

    bound = OutputBound(factors=("length",), max_characters=100)

    spec = TaskSpec(Writing, 32, bound)

    check_model(a_model(generate=spec))
    assert (spec.bound, spec.output) == (bound, None)
    assert task_schema(spec).output == bound


def test_the_digest_of_a_task_changes_with_its_fields_and_not_with_their_texts():
    def digest(description: str, most: float) -> str | None:
        field = (float, Field(ge=0, le=most, description=description))
        output = create_model("Made", __base__=TaskOutput, title=field)
        return task_schema(TaskSpec(PluginParameters, output=output)).digest

    assert digest("A share.", 1) == digest("A part of one.", 1) != digest("A share.", 2)


def test_all_that_is_wrong_with_the_fields_of_a_class_is_told_at_once() -> None:
    made = create_model("Made", __base__=TaskOutput, value=(int, ...), word=(str, ...))

    assert refusal_of(made) == (
        "m t: output Made: field 'value' has no description. Say in a sentence what it is. Field "
        "'value' is a number without bounds. Give it ge= and le=. Field 'word' has no description. "
        "Say in a sentence what it is. Field 'word' is a text without max_length. Give it one."
    )


def test_all_that_is_wrong_with_the_parameters_of_a_task_is_told_at_once() -> None:
    class Open(PluginParameters, extra="allow"):
        count: int
        word: str = Field(description="A word.")

    with pytest.raises(PluginFault) as refused:
        check_parameters_class("m t", Open)

    assert str(refused.value) == (
        'm t: Open takes unknown parameters. Leave its model_config at extra="forbid", so that a '
        "typing mistake is refused. Parameter 'count' has no description. Say in a sentence what "
        "it does. Parameter 'count' is a number without bounds. Give it ge= and le=. Parameter "
        "'word' is a text without max_length. Give it one."
    )
