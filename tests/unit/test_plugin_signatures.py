"""Signatures as parameters: what clients see of each form, and what is told of a fault."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from annotated_types import Gt, Interval, Lt
from pydantic import BaseModel, Field

from decorated_builders import model_of, outcomes_of
from seqd.errors import PluginFault
from seqd.parameters import allowed
from seqd.plugin import (
    Embedding,
    Label,
    Random,
    RunContext,
    Score,
    classifier,
    generator,
    model,
    task,
)


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


def test_a_bound_that_the_author_states_stands_alone_on_its_side():
    @classifier("bounds")
    def bounds(
        text: str,
        both: Annotated[float, Field(gt=0, lt=5)] = 1.0,
        plain: Annotated[float, Gt(0), Lt(5)] = 1.0,
        low: Annotated[int, Field(gt=0)] = 1,
        group: Annotated[int, Interval(gt=1, le=9)] = 2,
        maybe: Annotated[float | None, Field(ge=0, lt=1)] = None,
    ) -> Label:
        """Classify.

        both: Both.
        plain: Plain.
        low: Low.
        group: Group.
        maybe: Maybe.
        """
        return Label("x")

    fields = schema_of(bounds)

    said = {name: allowed(field) for name, field in fields.items()}
    assert said == {
        "both": "more than 0, less than 5",
        "plain": "more than 0, less than 5",
        "low": "more than 0, at most 2147483647",
        "group": "more than 1, at most 9",
        "maybe": "at least 0, less than 1 or null",
    }


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


def test_a_list_reaches_the_function_as_a_list_wherever_it_stands():
    outcomes_of(
        all_kinds, "classify", ["a"],
        needed=1, words=["a"], bounded=[1], optional=["b"], nested=[[1], [2, 3]], row=["c"],
    )  # fmt: skip

    assert SEEN == {
        "words": ["a"], "bounded": [1], "optional": ["b"], "nested": [[1], [2, 3]], "row": ("c",),
    }  # fmt: skip


def test_a_sphinx_line_describes_a_parameter_too():
    @classifier("sphinx")
    def sphinx(text: str, word: str = "a") -> Label:
        """Do it.

        :param word: A word.
        :return: A label.
        """
        return Label("x")

    assert schema_of(sphinx)["word"]["description"] == "A word."


def test_length_has_bounds_of_its_own_and_chance_its_parameters():
    @generator("own")
    def own(prompt: str, stream: Random, length: int = 9) -> str:
        """Write.

        length: Characters.
        """
        return "x"

    fields = schema_of(own, "generate")

    assert (fields["length"]["minimum"], fields["length"]["maximum"]) == (1, 100_000)
    assert sorted(fields) == ["length", "samples", "seed"]


def test_a_seed_that_the_function_declares_is_its_own():
    @classifier("seeded")
    def seeded(text: str, stream: Random, seed: Annotated[int, Field(ge=0, le=9)] = 3) -> Label:
        """Label.

        seed: A seed.
        """
        assert seed == 4
        return Label("x")

    assert schema_of(seeded)["seed"]["maximum"] == 9
    assert outcomes_of(seeded, "classify", ["a"], seed=4)[0].label == "x"


def nothing() -> Label:
    return Label("x")


def star(text: str, *words: str) -> Label:
    return Label("x")


def stars(text: str, **words: str) -> Label:
    return Label("x")


def many(*texts: str) -> Label:
    return Label("x")


def by_name(*, text: str) -> Label:
    return Label("x")


def by_place(text: str, word: str = "", /) -> Label:
    return Label("x")


def hidden(text: str, _word: str = "") -> Label:
    return Label("x")


def copies(text: str, copy: bool = False) -> Label:
    return Label("x")


def unannotated(text, word="a") -> Label:
    return Label("x")


def untyped(text: str, word="a") -> Label:
    return Label("x")


def undescribed(text: str, word: str = "a") -> Label:
    """Do it."""
    return Label("x")


def wrong_throughout(
    text: str,
    epochs: Annotated[int, Field(ge=1)] = 0,
    code: Annotated[str, Field(pattern="[a-")] = "a",
    word: str = "a",
    rate: Annotated[float, Field(le=1, description="A rate.")] = 2.0,
) -> Label:
    """Do it.

    code: What stands in front.
    """
    return Label("x")


def mapped(text: str, words: dict[str, int] = {}) -> Label:  # noqa: B006
    return Label("x")


def valued(text: str, number: int = Field(3, ge=1)) -> Label:
    """Do it.

    number: A number.
    """
    return Label("x")


def numbers(numbers: list[int]) -> list[Label]:
    return []


def number(text: str) -> int:
    return 1


def single(texts: list[str]) -> Label:
    return Label("x")


def silent(text: str):
    return Label("x")


def dice(texts: list[str], stream: Random) -> list[Label]:
    return []


async def later(text: str) -> Label:
    return Label("x")


def record(record: Embedding) -> Label:
    return Label("x")


def written(text: str) -> list[str]:
    return []


def plain(text: str) -> dict[str, float]:
    return {}


def union(text: str) -> Score | Embedding:
    return Score(score=1.0)


ALLOWED = "allowed: bool, int, float, str, Literal, and lists of these"

FAULTS = [
    (nothing, "takes nothing. Its first parameter is what it works on."),
    (star, "takes *words. Declare each parameter by its name: clients see what there is."),
    (stars, "takes **words. Declare each parameter by its name: clients see what there is."),
    (
        many,
        ": its first parameter 'texts' is variadic positional. It is what the function works on, "
        "and given by its place: def many(text: str).",
    ),
    (
        by_name,
        ": its first parameter 'text' is keyword-only. It is what the function works on, and given "
        "by its place: def by_name(text: str).",
    ),
    (by_place, ": parameter 'word' is given by name. Take the `/` away."),
    (
        hidden,
        ": no parameter can be called '_word'. Choose another name; allowed: letters, digits and "
        "underscores, a letter in front, and no method of a pydantic model.",
    ),
    (
        copies,
        ": no parameter can be called 'copy'. Choose another name; allowed: letters, digits and "
        "underscores, a letter in front, and no method of a pydantic model.",
    ),
    (untyped, f": parameter 'word' is not annotated. Write `word: str`; {ALLOWED}."),
    (unannotated, f": parameter 'word' is not annotated. Write `word: str`; {ALLOWED}."),
    (
        undescribed,
        ": parameter 'word' has no description. Put a line into the docstring: `word: What it "
        "does.`",
    ),
    (
        wrong_throughout,
        ": parameter 'epochs' has no description. Put a line into the docstring: `epochs: What it "
        "does.` The default of parameter 'epochs' is 0: Input should be greater than or equal to "
        "1. Parameter 'code': its pattern '[a-' cannot be used: unclosed character "
        "class. Parameter 'word' has no description. Put a line into the docstring: `word: What it "
        "does.` The default of parameter 'rate' is 2.0: Input should be less than or equal to 1.",
    ),
    (
        mapped,
        ": parameter 'words' is annotated dict[str, int], which no parameter can be. Allowed: "
        "bool, int, float, str, Literal, and lists of these; a record of several values is the "
        "first parameter.",
    ),
    (
        valued,
        ": the default of parameter 'number' is a Field. Bounds go to the type: `number: "
        "Annotated[int, Field(...)] = ...`.",
    ),
    (
        numbers,
        ": its first parameter 'numbers' is annotated list[int]. Allowed: str, a pydantic model, "
        "or a list of one of them. Write `numbers: str`.",
    ),
    (number, " gives int. A classifier of str gives Label."),
    (single, " gives Label. A classifier of list[str] gives list[Label]."),
    (silent, " gives nothing. A classifier of str gives Label."),
    (
        dice,
        " takes a list and a Random. An outcome must not depend on what else is in the list, so a "
        "function with a Random takes one text: str.",
    ),
    (later, " is `async`. A plugin's functions are called one by one: `def`."),
    (
        record,
        " takes Embedding. A classifier takes a text: str, or list[str]. A record is what a task "
        "of its own takes: `@task(...)`.",
    ),
]


@pytest.mark.parametrize(("function", "said"), FAULTS, ids=lambda one: getattr(one, "__name__", ""))
def test_a_classifier_of_another_form_is_refused_with_what_to_change(function, said):
    with pytest.raises(PluginFault) as fault:
        classifier("faulty", summary="Faulty.")(function)

    where = f"{__name__}.{function.__qualname__}"
    assert str(fault.value) == (f"{where}{said}" if said[0] in ": " else f"{where} {said}")


@pytest.mark.parametrize(
    ("decorator", "function", "said"),
    [
        (generator, number, "gives int. A generator of str gives str, or yields: Iterator[str]."),
        (generator, written, None),
        (
            generator,
            single,
            "gives Label. A generator of list[str] gives list[str].",
        ),
        (
            task,
            plain,
            "gives dict[str, float]. A task of str gives a pydantic model, such as "
            "seqd.plugin.Embedding, or str.",
        ),
        (
            task,
            union,
            "gives Score | Embedding. A task of str gives a pydantic model, such as "
            "seqd.plugin.Embedding, or str.",
        ),
    ],
)
def test_generators_and_tasks_of_another_form_are_refused(decorator, function, said):
    more = {"model": "faulty"} if decorator is task else {}
    if said is None:
        # A list of the parts of a text is as good as an iterator of them.
        assert decorator("parts", summary="Parts.", **more)(function) is function
        return

    with pytest.raises(PluginFault) as fault:
        decorator("faulty", summary="Faulty.", **more)(function)

    assert str(fault.value) == f"{__name__}.{function.__qualname__} {said}"


def returning(prompt: str) -> str:
    yield "x"  # type: ignore[misc]


def worded(prompt: str, stream: Random, seed: str = "a") -> str:
    """seed: A seed."""
    return seed


def sided(prompt: str, stream: Random, samples: Literal["x"] = "x") -> str:
    """samples: Samples."""
    return samples


def paired(prompt: str, pair: tuple[int, int] = (1, 2)) -> str:
    """pair: A pair."""
    return "x"


class Callable:
    def __repr__(self) -> str:
        return "Callable()"

    def __call__(self, prompt: str) -> str:
        return "x"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (
            returning,
            ".returning has a `yield`, and gives str. Parts of a text are yielded by `-> "
            "Iterator[str]`; else write `return`.",
        ),
        (
            worded,
            ".worded: parameter 'seed' is annotated str. Beside a Random it is an int: write "
            "`seed: int`, or another name.",
        ),
        (
            sided,
            ".sided: parameter 'samples' is annotated Literal['x']. Beside a Random it is an int: "
            "write `samples: int`, or another name.",
        ),
        (
            paired,
            ".paired: parameter 'pair' is annotated tuple[int, int], a tuple of so many. Write "
            "`list[int]`, or a parameter for each.",
        ),
        (
            Callable(),
            "Callable() is decorated as a function, and is none. Write `def`; above a class: "
            "@model.",
        ),
        (
            Callable,
            "Callable is decorated as a function, and is none. Write `def`; above a class: @model.",
        ),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_what_would_fail_at_its_first_text_is_told_when_the_module_is_loaded(function, said):
    with pytest.raises(PluginFault) as fault:
        generator("faulty", summary="Faulty.")(function)

    assert str(fault.value) == (f"{__name__}{said}" if said[0] == "." else said)


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
    def sound(text: str) -> Label:
        return Label("x")

    with pytest.raises(PluginFault) as fault:
        classifier("sound", summary="Sound.", **options)(sound)

    assert str(fault.value) == said


def test_a_seed_and_samples_of_the_author_have_the_bounds_of_the_usual_ones():
    @generator("own")
    def own(prompt: str, stream: Random, seed: int = 7, samples: int = 2) -> str:
        """Write.

        seed: A seed.
        samples: How many.
        """
        return "x"

    fields = schema_of(own, "generate")

    assert (fields["seed"]["minimum"], fields["seed"]["maximum"]) == (0, 2**32 - 1)
    assert (fields["samples"]["minimum"], fields["samples"]["maximum"]) == (1, 16)
    assert (fields["seed"]["default"], fields["samples"]["default"]) == (7, 2)


def test_a_context_that_may_be_none_is_given_all_the_same():
    @classifier("asking")
    def asking(text: str, context: RunContext | None = None) -> Label:
        """Ask for a context, and do without one in tests."""
        return Label("given" if context else "none")

    assert asking("x").label == "none"
    assert outcomes_of(asking, "classify", ["x"])[0].label == "given"


def test_a_name_that_only_a_type_checker_sees_is_told():
    def late(text: str) -> "OnlyChecked":  # type: ignore[name-defined]  # noqa: F821
        return Label("x")

    with pytest.raises(PluginFault) as fault:
        classifier("late", summary="Late.")(late)

    assert str(fault.value) == (
        f"{__name__}.{late.__qualname__}: its annotations cannot be read: name 'OnlyChecked' is "
        "not defined. Have the name at the top of the module, and not in a function or under `if "
        "TYPE_CHECKING:`."
    )


def test_a_generator_may_yield_under_each_annotation():
    @generator("yields")
    def yields(prompt: str) -> Iterator[str]:
        """Yield."""
        yield "a"
        yield "b"

    assert outcomes_of(yields, "generate", ["x"])[0].samples[0].text == "ab"


def test_what_is_no_class_is_no_model():
    with pytest.raises(PluginFault) as fault:
        model("faulty", summary="Faulty.")(number)

    assert str(fault.value).startswith("@model stands above <function number")
    assert str(fault.value).endswith(
        ", which is no class. Above a function: @classifier, @generator or @task."
    )


def test_a_record_class_is_a_first_parameter_and_no_other():
    class Options(BaseModel):
        """Options."""

    def takes(text: str, options: Options) -> Label:
        return Label("x")

    with pytest.raises(PluginFault, match="'options' is annotated Options, which no parameter"):
        takes.__annotations__["options"] = Options
        classifier("faulty", summary="Faulty.")(takes)


def test_all_that_is_wrong_with_the_parameters_of_a_function_is_told_at_once():
    with pytest.raises(PluginFault) as refused:

        @classifier("wrong")
        def wrong(text: str, least: int, word=3) -> str:
            """Return a label."""
            return "x"

    where = f"{__name__}.test_all_that_is_wrong_with_the_parameters_of_a_function_is_told_at_once"
    assert str(refused.value).startswith(f"{where}.<locals>.wrong: parameter 'least' has no desc")
    assert " Parameter 'word' is not annotated. Write `word: int`; allowed: " in str(refused.value)
