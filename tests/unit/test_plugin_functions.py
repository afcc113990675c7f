"""Functions as plugins: what each form gives for texts, streams, records, and bad items."""

import re
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Literal

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from decorated_builders import items_of, loaded, made, model_of, models_of, outcomes_of
from seqd.errors import PluginFault, Stopped
from seqd.hookspecs import WorkItem
from seqd.plugin import (
    BadItem,
    Device,
    Label,
    Needs,
    OutputBound,
    Random,
    RunContext,
    Score,
    Text,
    classifier,
    generator,
    task,
)
from seqd.testing import MemoryRunContext
from seqd_schemas import Generation, ItemError


class Pair(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    left: str = Field(max_length=100, description="One text.")
    right: str = Field(max_length=100, description="The other one.")


@classifier("one", summary="Counts letters.", max_chars=5)
def one(text: str, least: int = 3) -> Label:
    """Return whether a text is long.

    least: Letters of a long text.
    """
    if text == "bad":
        raise BadItem("this text is bad")
    return Label("long" if len(text) >= least else "short", np.float32(0.5), {"long": 0.5})


@classifier("several", batch_items=3)
def several(texts: list[str]) -> list[Label | BadItem]:
    """Count letters of several texts."""
    return [BadItem("bad") if text == "bad" else Label(str(len(text))) for text in texts]


@classifier("raising", batch_items=4)
def raising(texts: list[str]) -> list[str]:
    """Raise for a list that has a bad text."""
    if "bad" in texts:
        raise BadItem("there is a bad one")
    return [text.upper() or "EMPTY" for text in texts]


@generator("counting")
def counting(prompt: str, length: int = 30) -> Iterator[str]:
    """Count on.

    length: Characters.
    """
    number = 0
    while True:
        number += 1
        yield f"{number} "


@generator("throwing")
def throwing(prompt: str, stream: Random, throws: int = 3) -> str:
    """Throw dice.

    throws: Dice.
    """
    return " ".join(str(face) for face in stream.integers(1, 1_000_000, size=throws))


@generator("echoing")
def echoing(prompts: list[str], length: int = 3) -> list[str]:
    """Say prompts again.

    length: Characters.
    """
    return [prompt * 2 for prompt in prompts]


@task("compare", model="comparing")
def compare(pair: Pair) -> Score:
    """Compare two texts."""
    return Score(score=float(pair.left == pair.right))


@task("translate", model="translating", allows_empty=True)
def translate(text: str) -> Iterator[str]:
    """Yield the words backwards."""
    yield from (f"{word} " for word in reversed(text.split()))


@task("count", model="scoring")
def scoring(texts: list[str], context: RunContext, device: Device) -> list[Score]:
    """Count letters."""
    assert context.device is device
    return [Score(score=len(text)) for text in texts]


TEXTS = ["a", "abcdef", "bad", "", "ab"]


def test_a_function_of_one_text_gives_an_outcome_for_each_in_order():
    outcomes = outcomes_of(one, "classify", [*TEXTS, "half \ud83d"])

    labels = [getattr(outcome, "label", None) for outcome in outcomes]
    assert labels == ["short", "long", None, "short", "short", None]
    assert outcomes[2] == ItemError(code="invalid_input", message="this text is bad")
    assert [outcome.truncated for outcome in outcomes[:2]] == [False, True]
    assert type(outcomes[0].score) is float
    assert outcomes[0].probabilities == {"long": 0.5}
    assert outcomes[5] == ItemError(
        code="decode_error",
        message="Character 5 of the text is a lone surrogate, which is no character. Send valid "
        "text.",
    )
    assert outcomes_of(one, "classify", ["ab"], least=2)[0].label == "long"


def test_a_function_of_a_list_is_called_with_batches_and_a_bad_item_stands_in_its_place():
    texts = ["a", "bb", "bad", "ccc", "\ud83d", ""]

    given = outcomes_of(several, "classify", texts)
    raised = outcomes_of(raising, "classify", texts)

    assert [getattr(one, "label", None) for one in given] == ["1", "2", None, "3", None, "0"]
    assert [getattr(one, "label", None) for one in raised] == [
        "A",
        "BB",
        None,
        "CCC",
        None,
        "EMPTY",
    ]
    assert given[2] == ItemError(code="invalid_input", message="bad")
    assert raised[2] == ItemError(code="invalid_input", message="there is a bad one")
    assert given[4].code == raised[4].code == "decode_error"
    assert outcomes_of(several, "classify", []) == []


def test_items_in_another_order_or_batch_give_the_same_outcomes():
    items = items_of(["a", "bad", "cc", "\ud800", "ddd", "", "eeee", "f"])

    for decorated, name in ((one, "classify"), (several, "classify"), (throwing, "generate")):
        whole = outcomes_of(decorated, name, items)
        turned = [outcomes_of(decorated, name, items[at::-2]) for at in (7, 6)]

        assert [*turned[0][::-1], *turned[1][::-1]] == [*whole[1::2], *whole[::2]]


@pytest.mark.parametrize("decorated", [one, several, echoing])
@pytest.mark.parametrize("after", range(3))
def test_a_stop_is_asked_for_before_the_first_item_and_within_the_work(decorated, after):
    name = next(iter(model_of(decorated).tasks))

    with pytest.raises(Stopped):
        outcomes_of(decorated, name, ["x"] * 40, MemoryRunContext(stop_after=after))


def test_a_slow_function_is_asked_to_stop_before_each_text_and_each_sample():
    @classifier("slow")
    def slow(text: str) -> str:
        """Take its time."""
        time.sleep(0.02)
        return "x"

    @generator("sampling")
    def sampling(prompt: str, stream: Random) -> str:
        """Write."""
        return "x"

    texts, samples = MemoryRunContext(), MemoryRunContext()
    outcomes_of(slow, "classify", ["a"] * 4, texts)
    outcomes_of(sampling, "generate", ["a"], samples, samples=4)

    assert (texts.stop_questions, samples.stop_questions) == (4, 4)


def test_a_text_that_is_yielded_is_streamed_cut_and_returned():
    context = MemoryRunContext()

    (outcome,) = outcomes_of(counting, "generate", [WorkItem(7, "x")], context, length=9)

    assert isinstance(outcome, Generation)
    (sample,) = outcome.samples
    assert (outcome.prompt, sample.text, sample.finish_reason) == ("x", "1 2 3 4 5", "length")
    assert context.streamed_text(7) == "1 2 3 4 5"
    assert [one.delta for one in context.deltas] == ["1 ", "2 ", "3 ", "4 ", "5"]


def test_chance_has_a_seed_and_samples_and_is_the_same_again():
    first = outcomes_of(throwing, "generate", ["x", "x"], samples=3, seed=5)
    again = outcomes_of(throwing, "generate", [WorkItem(1, "x")], samples=3, seed=5)
    other = outcomes_of(throwing, "generate", ["x"], samples=3, seed=6)

    texts = {sample.text for outcome in (*first, *other) for sample in outcome.samples}
    assert len(texts) == 9
    assert again == first[1:]
    assert {sample.seed for sample in first[0].samples} == {5}


def test_length_and_samples_bound_what_is_written():
    @generator("both")
    def both(prompt: str, stream: Random, length: int = 5) -> str:
        """Write.

        length: Characters.
        """
        return "x"

    assert model_of(both).tasks["generate"].bound == OutputBound(
        factors=("length", "samples"), max_characters=1_048_576
    )
    assert model_of(throwing).tasks["generate"].bound is None


def test_a_task_takes_records_or_texts_streams_and_gets_what_it_asks_for():
    record = Pair(left="a", right="a")
    context = MemoryRunContext()

    compared = outcomes_of(compare, "compare", [WorkItem(0, record.model_dump_json(), record)])
    translated = outcomes_of(translate, "translate", ["a b", ""], context)

    assert compared == [Score(score=1.0)]
    assert model_of(compare).tasks["compare"].input is Pair
    assert translated == [Text(text="b a "), Text(text="")]
    assert context.streamed_text(0) == "b a "
    assert outcomes_of(scoring, "count", ["abc"]) == [Score(score=3.0)]


def test_labels_of_a_literal_are_the_classes():
    @classifier("literal")
    def literal(text: str) -> Literal["yes", "no"]:
        """Say yes."""
        return "yes"

    assert loaded(literal).classes == ("yes", "no")
    assert outcomes_of(literal, "classify", ["a"])[0].label == "yes"


def test_an_example_is_run_when_the_model_warms_up():
    seen = []

    @classifier("warm", example="an example", memory_bytes=5_000_000, needs=Needs(device="cpu"))
    def warm(text: str) -> Label:
        """Note."""
        seen.append(text)
        return Label("x")

    loaded(warm).warm_up()

    assert seen == ["an example"]
    assert loaded(warm).memory_bytes == 5_000_000
    assert model_of(warm).needs == Needs(device="cpu")


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (("",), "the label is ''; allowed: a text of 1 to 256 characters"),
        (("a", float("nan")), "'score' of the label is nan; allowed: 0.0 to 1.0"),
        (("a", 1.0, {"b": 1.5}), "'b' of the label is 1.5; allowed: 0.0 to 1.0"),
    ],
)
def test_what_cannot_be_a_label_is_refused_where_it_is_made(label, said):
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        Label(*label)


LIST = "It takes a list, and gives one."


@pytest.mark.parametrize(
    ("takes", "given", "said"),
    [
        ("text: str", "3", "gave 3. A classifier gives a Label, or a str."),
        (
            "text: str",
            "''",
            "gave a label that none can be: the label is ''; allowed: a text of 1 to 256 "
            "characters.",
        ),
        (
            "text: str",
            "'\\ud800'",
            "gave a label that none can be: the label is '\\ud800', which has a lone surrogate.",
        ),
        (
            "texts: list[str]",
            "[Label('a')]",
            "gave 1 outcomes for 2 texts. Give one for each, in their order; a BadItem stands for "
            "a text that has none.",
        ),
        ("texts: list[str]", "{'a'}", f"gave {{'a'}}. {LIST}"),
        ("texts: list[str]", "'ab'", f"gave 'ab'. {LIST}"),
        ("texts: list[str]", "None", f"gave None. {LIST}"),
        ("prompt: str", "None", "gave None. It gives a str, or yields parts of one."),
        (
            "prompt: str",
            "'x' * 2_000_000",
            "wrote 2,000,000 characters; allowed: 1,048,576. Give it a parameter `length`, which a "
            "text is cut to.",
        ),
        (
            "prompt: str",
            "('x' * 2**18 for _ in iter(int, 1))",
            "wrote 1,310,720 characters; allowed: 1,048,576. Give it a parameter `length`, which a "
            "text is cut to.",
        ),
    ],
)
def test_what_a_function_gives_against_its_word_is_told(takes, given, said):
    name, gives = ("generate", "str") if "prompt" in takes else ("classify", "Label")
    gives = f"list[{gives}]" if "list" in takes else "Iterator[str]" if "for" in given else gives
    decorate = generator if name == "generate" else classifier
    wrong = decorate("f", summary="F.")(made(f"def f({takes}) -> {gives}: return {given}"))

    with pytest.raises(PluginFault) as fault:
        outcomes_of(wrong, name, ["a", "b"], MemoryRunContext(stop_after=50))

    assert str(fault.value) == f"mine.f {said}"


def test_a_second_decorator_and_one_without_a_name_are_refused():
    def bare(text: str) -> Label:
        return Label("x")

    with pytest.raises(PluginFault) as twice:
        classifier("again")(one)
    with pytest.raises(PluginFault) as nameless:
        classifier(bare)

    assert str(twice.value) == (
        f"{__name__}.one is decorated twice. Write a function for each model; a class has several "
        "tasks."
    )
    assert str(nameless.value) == (
        f'@classifier stands above {bare.__qualname__} without a name. Write @classifier("bare").'
    )


def test_a_module_hands_over_what_it_has_decorated_once_and_no_others():
    module = ModuleType(__name__)
    module.first, module.again, module.other = one, one, several
    foreign, package = ModuleType("elsewhere"), ModuleType(__name__.partition(".")[0])
    foreign.one = package.one = one

    assert sorted(models_of(module)) == ["one", "several"]
    assert models_of(package) == ["one"]
    assert models_of(foreign) == []


def test_of_a_list_without_an_end_one_more_is_drawn_than_there_are_texts():
    drawn = []

    @classifier("endless")
    def endless(texts: list[str]) -> list[Label]:
        """Give labels without an end; the thousandth ends the test."""
        return (drawn.append(number) or Label("a") for number in range(1_000))

    with pytest.raises(PluginFault, match=r"gave more than 2 outcomes for 2 texts\. Give one for"):
        outcomes_of(endless, "classify", ["a", "b"])

    assert len(drawn) == 3
