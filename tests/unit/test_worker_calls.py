"""A claim goes to the plugin in calls of bounded tokens, and what it took is divided again."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from seqd.errors import Stopped
from seqd.hookspecs import LoadedModel, PluginParameters, WorkItem
from seqd.ledger.units import Unit
from seqd.ledger.work import Use
from seqd.testing import MemoryRunContext
from seqd.worker.computing import MAX_CALL_TOKENS, TaskCall, UnitItems, call_of, calls_of, compute
from seqd.worker.faults import ItemFaults
from seqd.worker.items import shares_of, uses_of
from seqd_schemas import Classification, Generation, Item, ItemChunk, ItemFailure, Text

SHORT, LONG = "a great film " * 100, "a great film " * 20_000


def tokens(text: str) -> int:
    """Estimate as `LoadedModel.cost_tokens` does by default."""
    return max(1, len(text) // 5)


def work_of(texts: Sequence[str]) -> list[WorkItem]:
    return [WorkItem(index=at, text=text) for at, text in enumerate(texts)]


def a_unit(texts: Sequence[str]) -> UnitItems:
    items = tuple(Item(custom_id=str(at), text=text) for at, text in enumerate(texts))
    unit = Unit("j", "0", attempt=1, crashes=0, blob=b"", started_job=False)
    return UnitItems(unit, ItemChunk(first_index=0, items=items))


def labels(items: Sequence[WorkItem]) -> list[Classification]:
    return [Classification(label=str(len(items)), score=1.0, truncated=False) for _ in items]


def never() -> bool:
    return False


def no_faults() -> ItemFaults:
    return ItemFaults(lambda: None, never)


def test_usual_texts_and_those_of_which_a_model_reads_little_are_one_call():
    asked: list[str] = []

    def cost_tokens(text: str) -> int:
        asked.append(text)
        return tokens(text)

    calls = list(calls_of(work_of([SHORT] * 512), cost_tokens))
    with_a_long_one = calls_of(work_of([SHORT] * 511 + [LONG]), lambda text: 500)

    assert ([len(call) for call in calls], asked) == ([512], [])
    assert [len(call) for call in with_a_long_one] == [512]


@given(chars=st.lists(st.integers(0, 300_000), max_size=40))
def test_calls_have_all_items_in_order_and_keep_to_the_bound(chars):
    text = "x" * 300_000
    work = work_of([text[:count] for count in chars])

    calls = list(calls_of(work, tokens))

    assert [item for call in calls for item in call] == work
    for call in calls:
        longest = max(tokens(item.text) for item in call)
        assert len(call) == 1 or len(call) * longest <= MAX_CALL_TOKENS


def test_a_stop_is_seen_between_two_calls_of_a_plugin_that_does_not_ask():
    called: list[int] = []

    def call(items: Sequence[WorkItem]) -> list[Classification]:
        called.append(len(items))
        return labels(items)

    unit = a_unit(["x" * MAX_CALL_TOKENS] * 3)

    with pytest.raises(Stopped):
        compute(call, [unit], Classification, no_faults(), len, lambda: len(called) == 2)

    assert called == [1, 1]


class Record(BaseModel):
    """What a task of records takes."""

    name: str = Field(max_length=10, description="A name.")


class Endless(LoadedModel):
    """Gives outcomes without an end, and counts them; the thousandth ends the test."""

    memory_bytes = 1_000

    def __init__(self, outcome: BaseModel) -> None:
        self.outcome, self.drawn = outcome, 0

    def warm_up(self) -> None:
        """Do nothing."""

    def _outcomes(self, *_: object) -> Iterator[BaseModel]:
        while self.drawn < 1_000:
            self.drawn += 1
            yield self.outcome

    classify = generate = run = _outcomes


@pytest.mark.parametrize(
    ("task", "outcome"),
    [
        (TaskCall("classify", Classification), labels(work_of(["a"]))[0]),
        (TaskCall("generate", Generation), Generation(prompt="a", samples=())),
        (TaskCall("shout", Text), Text(text="A")),
        (TaskCall("greet", Text, Record), Text(text="hello")),
    ],
    ids=lambda value: value.task if isinstance(value, TaskCall) else "",
)
def test_of_outcomes_without_an_end_one_more_is_drawn_than_there_are_items(task, outcome):
    model = Endless(outcome)
    call = call_of(model, task, PluginParameters(), MemoryRunContext())
    unit = a_unit(['{"name": "ada"}'] * 3)

    (results,) = compute(call, [unit], task.output, no_faults(), tokens, never)

    assert model.drawn == (3 + 1) + 3 * (1 + 1)  # all together, and then each alone
    for result in results:
        assert isinstance(result, ItemFailure)
        assert result.error.message.startswith(
            "The model plugin raised PluginFault: the plugin gave more than 1 outcomes for 1 items;"
        )


def test_a_text_of_which_no_sound_estimate_comes_counts_by_its_characters():
    def cost_tokens(text: str) -> int:
        raise KeyError(text[:5])

    texts = ["x" * (MAX_CALL_TOKENS // 3 + 1)] * 6

    assert [len(call) for call in calls_of(work_of(texts), cost_tokens)] == [2, 2, 2]


def test_units_get_their_parts_by_the_length_of_their_texts():
    assert uses_of([100, 300], tokens=40, busy_s=2.0) == [Use(10, 500), Use(30, 1_500)]


@given(
    whole=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=1, max_size=30)
)
def test_the_parts_add_up_to_the_whole_and_are_as_large_as_they_should_be(whole, weights):
    shares = shares_of(whole, weights)

    total = sum(weights)
    assert sum(shares) == (whole if total else 0)
    for share, weight in zip(shares, weights, strict=True):
        assert total == 0 or abs(share - whole * weight / total) <= 1
