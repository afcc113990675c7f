"""Clauses B1-B3, D1, M1, O2, O3, S1, T1 for all tasks but train, on every version of every model.

A failure is read by plugin authors: each message names the clause and says what to do.
"""

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from math import isclose, prod

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from conformance.conftest import small_parameters, some_items
from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.models.task_schemas import output_schema
from seqd.testing import CPU, MemoryRunContext
from seqd.worker.outcomes import checked
from seqd_schemas import Classification, Generation, ItemError, TaskOutput

pytestmark = [pytest.mark.network, pytest.mark.smoke]

#: Texts that a model may refuse, but must not stumble over. The last one must be refused by
#: all: a lone surrogate is no character.
ODD_TEXTS = ["", "   ", "\x00", "\U0001f600", "qzx " * 50, "a\n\nb", "e" * 3_000, "\ud800"]

#: Enough items, and characters of each, for several looks at the stop request; other tasks have as
#: many items as `classify`.
LONG_WORK = {"classify": (1_100, {}), "generate": (20, {"length": 600})}


#: Parameters of a generation whose product tells what it writes.
BOLD_WORK = [{"length": 1}, {"length": 30, "samples": 2, "temperature": (0.5, 1.5)}]


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
    if isinstance(first, TaskOutput) and type(first) is type(second):
        return close_values(first, second)
    return first == second


def close_values(first, second):
    """True when two values, or parts of outputs, are the same within the rounding of a sum."""
    if isinstance(first, BaseModel):
        return close_values(dict(first), dict(second))
    if isinstance(first, float):
        return isclose(first, second, rel_tol=1e-5, abs_tol=1e-5)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            close_values(part, second[name]) for name, part in first.items()
        )
    if isinstance(first, Sequence) and not isinstance(first, str):
        return len(first) == len(second) and all(map(close_values, first, second))
    return first == second


def items_of(texts):
    """Return an item of each text."""
    return [WorkItem(index=i, text=text) for i, text in enumerate(texts)]


@contextmanager
def stopped(otherwise):
    """Expect Stopped; `otherwise` says what is wrong where it is not raised."""
    try:
        yield
    except Stopped:
        return
    pytest.fail(otherwise)


def test_b1_there_is_one_outcome_per_item_in_order(subject):
    for task in subject.serving_tasks:
        output, items = subject.output(task), subject.work(task, some_items(7))

        outcomes = subject.run(task, items)

        assert len(outcomes) == 7, f"B1: {task} gives {len(outcomes)} outcomes for 7 items"
        strays = [outcome for outcome in outcomes if not isinstance(outcome, output)]
        assert not strays, f"B1: {task} must give a {output.__name__} each; got {strays}"
        lost = [kept for one in outcomes if isinstance(kept := checked(one, output), ItemError)]
        assert not lost, f"B1: no result can hold what {task} gives: {lost}"
        if task == "generate":
            prompts = [outcome.prompt for outcome in outcomes]
            assert prompts == [item.text for item in items], "B1: keep the order of the items"
    assert subject.serving_tasks, "a model that is trained must have a task that uses it"


def test_b1_a_label_is_one_of_the_classes_where_the_model_names_them(subject):
    if "classify" not in subject.serving_tasks or not subject.loaded.classes:
        return

    outcomes = subject.run("classify", some_items(7))

    others = {one.label for one in outcomes} - set(subject.loaded.classes)
    assert not others, f"B1: classes has not the labels {others}: a job could not rename them"


def test_b1_no_items_give_no_outcomes(subject):
    for task in subject.serving_tasks:
        assert subject.run(task, []) == [], f"B1: {task} of no items must give no outcomes"


def test_b2_odd_items_stand_in_their_place_and_leave_their_neighbours_alone(subject):
    for task in subject.serving_tasks:
        # Given a good item on each side of every odd one; of records, those that pass the checks
        output, odd_items = subject.output(task), subject.work(task, items_of(ODD_TEXTS))
        (good_item,) = subject.work(task, some_items(1))
        pairs = [(good_item, odd) for odd in odd_items]
        items = [replace(item, index=at) for at, item in enumerate(chain.from_iterable(pairs))]
        good = items[::2]

        outcomes = subject.run(task, items)
        undisturbed = subject.run(task, good)

        assert len(outcomes) == len(items), f"B1: {len(outcomes)} outcomes, {len(items)} items"
        for item, outcome in zip(items, outcomes, strict=True):
            assert isinstance(outcome, output | ItemError), (
                f"B2: {task} of {item.text!r:.40} gives {outcome!r}; give a {output.__name__} or "
                "an ItemError"
            )
            assert not isinstance(outcome, ItemError) or len(outcome.message) > 20, (
                f"B2: the error of {item.text!r:.40} is {outcome.message!r}; say what arrived and "
                "what to do"
            )
        disturbed = [
            good[place].text
            for place, pair in enumerate(zip(outcomes[::2], undisturbed, strict=True))
            if not close(*pair)
        ]
        assert not disturbed, f"B2: {task} gives another outcome beside a bad item: {disturbed}"
        assert isinstance(outcomes[-1], ItemError) or subject.model.tasks[task].input, (
            f"B2: {task} of a lone surrogate gives {outcomes[-1]!r}; it is no character, so give "
            "an ItemError with the code decode_error"
        )


def test_b3_an_outcome_does_not_depend_on_the_batch(subject):
    for task in subject.serving_tasks:
        items = subject.work(task, some_items(9, first=100))

        together = subject.run(task, items)
        alone = [subject.run(task, [item])[0] for item in items]
        backwards = subject.run(task, items[::-1])[::-1]

        for item, first, *others in zip(items, together, alone, backwards, strict=True):
            assert all(close(first, other) for other in others), (
                f"B3: {task} of {item.text!r:.80} gives {first} among nine items, but alone and in "
                f"another order {others}; let an outcome depend on the item's text and `index` only"
            )


def test_d1_the_same_version_loaded_twice_gives_the_same_outcomes(subject):
    for task in subject.serving_tasks:
        items = subject.work(task, some_items(5))

        first = subject.run(task, items)
        again = subject.run(task, items, loaded=subject.model.load(subject.artifact, CPU))

        assert first == again, (
            f"D1: {task} gives another outcome when the version is loaded a second time; take "
            "chance from seqd.hookspecs.random_stream(seed, item.index, sample)"
        )


def test_t1_the_deltas_of_a_text_put_together_are_the_text(subject):
    if "generate" not in subject.serving_tasks:
        pytest.skip("it writes no texts")
    items, context = some_items(5, first=100), MemoryRunContext()

    outcomes = subject.run("generate", items, context, length=150)

    if not context.deltas:
        pytest.skip("it streams nothing, which is allowed")
    for item, outcome in zip(items, outcomes, strict=True):
        samples = outcome.samples if isinstance(outcome, Generation) else ()
        for place, sample in enumerate(samples):
            streamed = context.streamed_text(item.index, place)
            assert streamed == sample.text, (
                f"T1: of sample {place} of {item.text!r:.40}, context.stream was handed "
                f"{streamed!r:.80}; the text is {sample.text!r:.80}. Hand over each delta once, in "
                "order, and nothing that the text leaves out"
            )


def test_t1_the_deltas_of_a_task_with_a_text_put_together_are_its_text(subject):
    for task in subject.own_tasks:
        context, items = MemoryRunContext(), subject.work(task, some_items(5, first=100))

        outcomes = subject.run(task, items, context)

        for item, outcome in zip(items, outcomes, strict=True):
            streamed, text = context.streamed_text(item.index), getattr(outcome, "text", "")
            assert streamed in ("", text), (
                f"T1: of {item.text!r:.40}, context.stream was handed {streamed!r:.80}; the text "
                f"of {task} is {text!r:.80}. Hand over each delta once, in order, and nothing that "
                "the text leaves out"
            )
        assert {delta.sample for delta in context.deltas} <= {0}, (
            f"T1: {task} streams another sample than 0; a task of a plugin's own has that one"
        )


def test_s1_work_that_is_asked_to_stop_before_it_begins_raises_stopped(subject):
    for task in subject.serving_tasks:
        with stopped(f"S1: {task} of 3 items never asks context.stop_requested(), or goes on"):
            items = subject.work(task, some_items(3))
            subject.run(task, items, MemoryRunContext(stop_after=0))


def test_s1_work_that_is_asked_to_stop_half_way_ends_at_once(subject):
    for task in subject.serving_tasks:
        count, more = LONG_WORK.get(task, LONG_WORK["classify"])
        items, undisturbed = subject.work(task, some_items(count)), MemoryRunContext()
        subject.run(task, items, undisturbed, **more)
        half = undisturbed.stop_questions // 2
        context = MemoryRunContext(stop_after=half)

        assert undisturbed.stop_questions >= 2, (
            f"S1: {task} of {count:,} items{f' with {more}' if more else ''} asks "
            f"context.stop_requested() {undisturbed.stop_questions} times; ask at least twice"
        )
        with stopped(f"S1: {task} goes on to its end though a stop is requested half-way"):
            subject.run(task, items, context, **more)

        assert context.stop_questions <= half + 2, (
            f"S1: {task} asks {context.stop_questions - half} times more once a stop is requested; "
            "raise Stopped at once"
        )


def test_o2_an_item_writes_no_more_than_its_task_states(subject):
    for task in subject.serving_tasks:
        bound = subject.model.tasks[task].bound
        if bound is None:
            continue
        for values in BOLD_WORK:
            parameters = small_parameters(subject.model, task).model_copy(update=values)
            given = parameters.model_dump(mode="json")
            allowed = prod(given[name] for name in bound.factors) * bound.characters_per_symbol
            for name in bound.lists:
                allowed *= len(given[name]) if isinstance(given[name], list) else 1
            for outcome in subject.run(task, subject.work(task, some_items(3)), **values):
                written = outcome.samples if isinstance(outcome, Generation) else [outcome]
                wrote = sum(len(sample.text) for sample in written)
                assert wrote <= min(allowed, bound.max_characters), (
                    f"O2: {task} writes {wrote} characters where TaskSpec.bound states at most "
                    f"{allowed} for {given}"
                )


def test_o3_an_output_is_as_the_schema_that_is_published_of_it(subject):
    for task in subject.own_tasks:
        output, items = subject.output(task), subject.work(task, some_items(5))
        schema = Draft202012Validator(output_schema(output))

        for made in subject.run(task, items):
            faults = [fault.message for fault in schema.iter_errors(checked(made, output))]
            assert not faults, f"O3: {task} gives what its schema does not allow: {faults}"


def test_b3_warming_up_changes_no_outcome(subject):
    work = {task: subject.work(task, some_items(3)) for task in subject.serving_tasks}
    fresh = subject.model.load(subject.artifact, CPU)
    before = [subject.run(task, items, loaded=fresh) for task, items in work.items()]

    fresh.warm_up()

    after = [subject.run(task, items, loaded=fresh) for task, items in work.items()]
    assert after == before, "B3: warm_up() changes outcomes; it may leave nothing behind but speed"


def test_m1_a_loaded_model_says_what_it_takes_and_what_a_text_costs(subject):
    taken_bytes = subject.loaded.memory_bytes
    assert taken_bytes > 0, (
        f"M1: memory_bytes is {taken_bytes}; set it to the memory that unloading would free, in "
        "bytes: the worker's cache of models counts it"
    )
    for text in ("", "a", "a good film " * 1_000):
        tokens = subject.loaded.cost_tokens(text)
        assert tokens >= 1, f"M1: cost_tokens of {text!r:.20} is {tokens}; give 1 at least"
