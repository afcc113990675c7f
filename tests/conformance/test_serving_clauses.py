"""Clauses B1, B2, B3, D1 and S1 for classify and generate, on every version of every model."""

import pytest

from conformance.conftest import some_items
from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd_schemas import Classification, Generation, ItemError

pytestmark = pytest.mark.network

OUTCOMES = {"classify": Classification, "generate": Generation}

#: Texts that a model may refuse, but must not stumble over. The last one must be refused by
#: all: a lone surrogate is no character.
ODD_TEXTS = ["", "   ", "\x00", "\U0001f600", "qzx " * 50, "a\n\nb", "e" * 3_000, "\ud800"]

#: Enough items, and characters of each, for several looks at the stop request.
LONG_WORK = {"classify": (1_100, {}), "generate": (20, {"length": 600})}


def close(first, second):
    """True when two outcomes are the same within the rounding of a batched sum."""
    if isinstance(first, Classification) and isinstance(second, Classification):
        return abs(first.score - second.score) <= 1e-5 and first.model_copy(
            update={"score": 0.0}
        ) == second.model_copy(update={"score": 0.0})
    if isinstance(first, Generation) and isinstance(second, Generation):
        return first.prompt == second.prompt and all(
            (a.text, a.temperature) == (b.text, b.temperature)
            for a, b in zip(first.samples, second.samples, strict=True)
        )
    return first == second


def test_b1_there_is_one_outcome_per_item_in_order(subject):
    items = some_items(7)

    for task in subject.serving_tasks:
        outcomes = subject.run(task, items)

        assert len(outcomes) == 7
        assert all(isinstance(outcome, OUTCOMES[task]) for outcome in outcomes)
        if task == "generate":
            assert [outcome.prompt for outcome in outcomes] == [item.text for item in items]
    assert subject.serving_tasks


def test_b1_no_items_give_no_outcomes(subject):
    assert [subject.run(task, []) for task in subject.serving_tasks] == [
        [] for _ in subject.serving_tasks
    ]


def test_b2_odd_items_stand_in_their_place_and_leave_their_neighbours_alone(subject):
    # Given a good item on each side of every odd one
    texts = [text for odd in ODD_TEXTS for text in (some_items(1)[0].text, odd)]
    items = [WorkItem(index=i, text=text) for i, text in enumerate(texts)]
    good = items[::2]

    for task in subject.serving_tasks:
        outcomes = subject.run(task, items)
        undisturbed = subject.run(task, good)

        assert len(outcomes) == len(items)
        assert all(isinstance(outcome, OUTCOMES[task] | ItemError) for outcome in outcomes)
        assert all(map(close, outcomes[::2], undisturbed))
        assert isinstance(outcomes[-1], ItemError)
        assert all(len(o.message) > 20 for o in outcomes if isinstance(o, ItemError))


def test_b3_an_outcome_does_not_depend_on_the_batch(subject):
    items = some_items(9, first=100)

    for task in subject.serving_tasks:
        together = subject.run(task, items)
        alone = [subject.run(task, [item])[0] for item in items]
        backwards = subject.run(task, items[::-1])[::-1]

        assert all(map(close, together, alone))
        assert all(map(close, together, backwards))


def test_d1_the_same_version_loaded_twice_gives_the_same_outcomes(subject):
    items = some_items(5)

    for task in subject.serving_tasks:
        first = subject.run(task, items)
        again = subject.run(task, items, loaded=subject.model.load(subject.artifact, CPU))

        assert first == again


def test_s1_work_that_is_asked_to_stop_before_it_begins_raises_stopped(subject):
    for task in subject.serving_tasks:
        context = MemoryRunContext(stop_after=0)

        with pytest.raises(Stopped):
            subject.run(task, some_items(3), context)

        assert context.stop_questions >= 1


def test_s1_work_that_is_asked_to_stop_half_way_ends_at_once(subject):
    for task in subject.serving_tasks:
        count, more = LONG_WORK[task]
        undisturbed = MemoryRunContext()
        subject.run(task, some_items(count), undisturbed, **more)
        half = undisturbed.stop_questions // 2
        context = MemoryRunContext(stop_after=half)

        with pytest.raises(Stopped):
            subject.run(task, some_items(count), context, **more)

        assert undisturbed.stop_questions >= 2
        assert context.stop_questions <= half + 2


def test_b3_warming_up_changes_no_outcome(subject):
    items = some_items(3)
    fresh = subject.model.load(subject.artifact, CPU)
    before = [subject.run(task, items, loaded=fresh) for task in subject.serving_tasks]

    fresh.warm_up()

    assert [subject.run(task, items, loaded=fresh) for task in subject.serving_tasks] == before
    assert fresh.memory_bytes > 0
    assert all(fresh.cost_tokens(text) >= 1 for text in ("", "a", "a good film " * 1_000))
