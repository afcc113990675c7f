"""Signatures as parameters: what clients see of each form, and what is told of a fault."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from annotated_types import Gt, Interval, Lt
from pydantic import Field

import seqd.plugin
from decorated_builders import model_of, outcomes_of, refusal_of
from seqd.errors import PluginFault
from seqd.plugin import Label, Random, classifier, generator, model
from seqd_schemas import Classification


class Case(StrEnum):
    EXACT = "exact"
    FOLDED = "folded"


SEEN: dict[str, object] = {}


@classifier("all_kinds")
def all_kinds(
    text: str,
    needed: int,
    flag: bool = False,
    share: float = 0.5,
    word: str = "a",
    side: Literal["start", "end"] = "end",
    case: Case = Case.EXACT,
    maybe: str | None = None,
    words: list[str] = ["x"],  # noqa: B006
    bounded: Annotated[list[int], Field(max_length=2)] = [],  # noqa: B006
    optional: list[str] | None = None,
    nested: list[list[int]] = [],  # noqa: B006
    row: Sequence[str] = (),
    digits: Annotated[int, Field(ge=1, le=9, description="From the annotation.")] = 1,
    both: Annotated[float, Field(gt=0, lt=5, description="Both.")] = 1.0,
    plain: Annotated[float, Gt(0), Lt(5), Field(description="Plain.")] = 1.0,
    low: Annotated[int, Field(gt=0, description="Low.")] = 1,
    group: Annotated[int, Interval(gt=1, le=9), Field(description="Group.")] = 2,
    decay: Annotated[float | None, Field(ge=0, lt=1, description="Decay.")] = None,
) -> Label:
    """Take all kinds.

    Args:
        needed: Has no default.
        flag: A flag.
        share (float): A share
            in two lines.
        word: A word.
        side: A side.
        case: A case.
        maybe: A word or none.
        words: Words.
        bounded: Two numbers.
        optional: Words or none.
        nested: Lists of lists.
        row: A row.

    Returns:
        A label.
    """
    SEEN.update(words=words, bounded=bounded, optional=optional, nested=nested, row=row)
    return Label("x")


def schema_of(decorated: object, name: str = "classify") -> dict[str, dict[str, object]]:
    return model_of(decorated).tasks[name].parameters.model_json_schema()["properties"]


def test_each_kind_of_parameter_is_published_with_bounds_and_description():
    fields = schema_of(all_kinds)

    assert fields["needed"]["maximum"] == 2**31 - 1
    assert "default" not in fields["needed"]
    assert fields["share"] == {
        "default": 0.5, "description": "A share in two lines.", "maximum": 1e9, "minimum": -1e9,
        "title": "Share", "type": "number",
    }  # fmt: skip
    assert fields["word"]["maxLength"] == 1_000
    assert fields["words"]["maxItems"] == 100
    assert fields["bounded"]["maxItems"] == 2
    assert (fields["digits"]["minimum"], fields["digits"]["maximum"]) == (1, 9)
    assert fields["digits"]["description"] == "From the annotation."
    assert fields["row"]["description"] == "A row."


def test_a_bound_that_the_author_states_stands_alone_on_its_side():
    fields = schema_of(all_kinds)

    said = {
        name: {word: bound for word, bound in fields[name].items() if "imum" in word}
        for name in ("both", "plain", "low", "group")
    }
    assert said == {
        "both": {"exclusiveMinimum": 0, "exclusiveMaximum": 5},
        "plain": {"exclusiveMinimum": 0, "exclusiveMaximum": 5},
        "low": {"exclusiveMinimum": 0, "maximum": 2**31 - 1},
        "group": {"exclusiveMinimum": 1, "maximum": 9},
    }
    number, nothing = fields["decay"]["anyOf"]
    assert number == {"type": "number", "minimum": 0, "exclusiveMaximum": 1}
    assert nothing == {"type": "null"}


def test_a_sphinx_line_describes_a_parameter_and_length_and_chance_have_bounds_of_their_own():
    @generator("own")
    def own(prompt: str, stream: Random, length: int = 9) -> str:
        """Write.

        :param length: Characters.
        :return: A text.
        """
        return "x"

    fields = schema_of(own, "generate")

    assert fields["length"]["description"] == "Characters."
    assert (fields["length"]["minimum"], fields["length"]["maximum"]) == (1, 100_000)
    assert sorted(fields) == ["length", "samples", "seed"]
    assert (fields["samples"]["minimum"], fields["samples"]["maximum"]) == (1, 16)


def test_a_seed_and_samples_that_the_function_declares_are_its_own_within_its_bounds_or_the_usual():
    @generator("own")
    def own(
        prompt: str,
        stream: Random,
        seed: int = 7,
        samples: Annotated[int, Field(ge=1, le=4)] = 2,
    ) -> str:
        """Write.

        seed: A seed.
        samples: How many.
        """
        return str(seed)

    fields = schema_of(own, "generate")

    assert (fields["seed"]["minimum"], fields["seed"]["maximum"]) == (0, 2**32 - 1)
    assert (fields["samples"]["minimum"], fields["samples"]["maximum"]) == (1, 4)
    assert (fields["seed"]["default"], fields["samples"]["default"]) == (7, 2)
    (made,) = outcomes_of(own, "generate", ["a"], seed=4)
    assert [sample.text for sample in made.samples] == ["4", "4"]


@pytest.mark.parametrize("seed", [-5, 2**70])
def test_a_seed_has_a_stream_whatever_bounds_the_function_gives_it(seed):
    @classifier("own")
    def own(text: str, stream: Random, seed: Annotated[int, Field(ge=-5, le=2**70)] = 0) -> Label:
        """Label.

        seed: A seed.
        """
        return Label(str(stream.integers(2**62)))

    first, again = outcomes_of(own, "classify", ["a", "a"], seed=seed)
    (other,) = outcomes_of(own, "classify", ["a"], seed=5)

    assert isinstance(first, Classification)
    assert first != other
    assert outcomes_of(own, "classify", ["a", "a"], seed=seed) == [first, again]


ALLOWED = "allowed: bool, int, float, str, Literal, and lists of these"
NAMES = "allowed: letters, digits and underscores, a letter in front, and no method of a pydantic"
BY_PLACE = "It is what the function works on, and given by its place: def f(text: str)."

#: What is decorated as a classifier, and what is told.
FAULTS = {
    "def f() -> Label: ...": " takes nothing. Its first parameter is what it works on.",
    "def f(text: str, *words: str) -> Label: ...": (
        " takes *words. Declare each parameter by its name: clients see what there is."
    ),
    "def f(*, text: str) -> Label: ...": (
        f": its first parameter 'text' is keyword-only. {BY_PLACE}"
    ),
    "def f(text: str, word: str = '', /) -> Label: ...": (
        ": parameter 'word' is given by name. Take the `/` away."
    ),
    "def f(text: str, _word: str = '') -> Label: ...": (
        f": no parameter can be called '_word'. Choose another name; {NAMES} model."
    ),
    "def f(text, word='a') -> Label: ...": (
        f": parameter 'word' is not annotated. Write `word: str`; {ALLOWED}."
    ),
    # All that is wrong with the parameters is told at once.
    '''def f(
        text: str,
        epochs: Annotated[int, Field(ge=1)] = 0,
        code: Annotated[str, Field(pattern="[a-", description="In front.")] = "a",
        word=3,
        rate: Annotated[float, Field(le=1, description="A rate.")] = 2.0,
    ) -> Label: """Do it."""''': (
        ": parameter 'epochs' has no description. Put a line into the docstring: `epochs: What it "
        "does.` The default of parameter 'epochs' is 0: Input should be greater than or equal to "
        "1. Parameter 'code': its pattern '[a-' cannot be used: unclosed character class. "
        f"Parameter 'word' is not annotated. Write `word: int`; {ALLOWED}. The default of "
        "parameter 'rate' is 2.0: Input should be less than or equal to 1."
    ),
    "def f(text: str, words: dict[str, int] = {}) -> Label: ...": (
        ": parameter 'words' is annotated dict[str, int], which no parameter can be. Allowed: "
        "bool, int, float, str, Literal, and lists of these; a record of several values is the "
        "first parameter."
    ),
    "def f(text: str, pair: tuple[int, int] = (1, 2)) -> Label: 'pair: A pair.'": (
        ": parameter 'pair' is annotated tuple[int, int], a tuple of so many. Write `list[int]`, "
        "or a parameter for each."
    ),
    "def f(text: str, number: int = Field(3, ge=1)) -> Label: 'number: A number.'": (
        ": the default of parameter 'number' is a Field. Bounds go to the type: `number: "
        "Annotated[int, Field(...)] = ...`."
    ),
    "def f(numbers: list[int]) -> list[Label]: ...": (
        ": its first parameter 'numbers' is annotated list[int]. Allowed: str, a pydantic model, "
        "or a list of one of them. Write `numbers: str`."
    ),
    "def f(text: str) -> int: ...": " gives int. A classifier of str gives Label.",
    "def f(text: list[str]) -> Label: ...": (
        " gives Label. A classifier of list[str] gives list[Label]."
    ),
    "def f(text: str): ...": " gives nothing. A classifier of str gives Label.",
    "def f(texts: list[str], stream: Random) -> list[Label]: ...": (
        " takes a list and a Random. An outcome must not depend on what else is in the list, so a "
        "function with a Random takes one text: str."
    ),
    "async def f(text: str) -> Label: ...": (
        " is `async`. A plugin's functions are called one by one: `def`."
    ),
    "def f(record: Embedding) -> Label: ...": (
        " takes Embedding. A classifier takes a text: str, or list[str]. A record is what a task "
        "of its own takes: `@task(...)`."
    ),
    "def f(text: str) -> 'OnlyChecked': ...": (
        ": its annotations cannot be read: name 'OnlyChecked' is not defined. Have the name at the "
        "top of the module, and not in a function or under `if TYPE_CHECKING:`."
    ),
}


@pytest.mark.parametrize(("source", "said"), FAULTS.items())
def test_a_classifier_of_another_form_is_refused_with_what_to_change(source, said):
    assert refusal_of(classifier("faulty", summary="Faulty."), source) == f"mine.f{said}"


@pytest.mark.parametrize(
    ("decorator", "source", "said"),
    [
        (
            "generator",
            "def f(prompt: str) -> int: ...",
            " gives int. A generator of str gives str, or yields: Iterator[str].",
        ),
        (
            "generator",
            "def f(prompts: list[str]) -> str: ...",
            " gives str. A generator of list[str] gives list[str].",
        ),
        (
            "generator",
            "def f(prompt: str) -> str: yield 'x'",
            " has a `yield`, and gives str. Parts of a text are yielded by `-> Iterator[str]`; "
            "else write `return`.",
        ),
        (
            "generator",
            "def f(prompt: str, stream: Random, seed: str = 'a') -> str: 'seed: A seed.'",
            ": parameter 'seed' is annotated str. Beside a Random it is an int: write `seed: "
            "int`, or another name.",
        ),
        (
            "task",
            "def f(text: str) -> dict[str, float]: ...",
            " gives dict[str, float]. A task of str gives a pydantic model, such as "
            "seqd.plugin.Embedding, or str.",
        ),
    ],
)
def test_generators_and_tasks_of_another_form_are_refused(decorator, source, said):
    more = {"model": "faulty"} if decorator == "task" else {}
    decorate = getattr(seqd.plugin, decorator)("faulty", summary="Faulty.", **more)

    assert refusal_of(decorate, source) == f"mine.f{said}"


class Callable:
    def __repr__(self) -> str:
        return "Callable()"

    def __call__(self, prompt: str) -> str:
        return "x"


@pytest.mark.parametrize("what", [Callable, Callable()])
def test_what_is_no_function_is_told_to_be_one(what):
    with pytest.raises(PluginFault) as fault:
        generator("faulty", summary="Faulty.")(what)

    assert str(fault.value).removeprefix(f"{__name__}.").replace("()", "") == (
        "Callable is decorated as a function, and is none. Write `def`; above a class: @model."
    )


def test_what_is_no_class_is_no_model():
    said = refusal_of(model("faulty", summary="Faulty."), "def f(text: str) -> Label: ...")

    assert said.startswith("@model stands above <function f")
    assert said.endswith(", which is no class. Above a function: @classifier, @generator or @task.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_items": 0}, "`batch_items` is 0; allowed: 1 and more."),
        ({"max_chars": 0}, "`max_chars` is 0; allowed: 1 and more."),
        ({"memory_bytes": -1}, "`memory_bytes` is -1; allowed: 0 and more."),
        ({"example": 3}, "`example` is 3; allowed: a text."),
        ({"classes": "yes"}, "`classes` is 'yes'. Write a list: [\"yes\"]."),
    ],
)
def test_an_option_with_which_nothing_can_be_called_is_refused(options, said):
    source = "def f(text: str) -> Label: ..."

    assert refusal_of(lambda one: classifier("f", summary="F.", **options)(one), source) == said
