"""Clauses B1-B3, D1, M1, O2, S1, T1 for classify and generate, on every version of every model.

A failure is read by plugin authors: each message names the clause and says what to do.
"""

from contextlib import contextmanager
from math import prod

import pytest

from conformance.conftest import small_parameters, some_items
from seqd.errors import Stopped
from seqd.hookspecs import WorkItem
from seqd.testing import CPU, MemoryRunContext
from seqd.worker.outcomes import checked
from seqd_schemas import Classification, Generation, ItemError

pytestmark = [pytest.mark.network, pytest.mark.smoke]

OUTCOMES = {"classify": Classification, "generate": Generation}

#: Texts that a model may refuse, but must not stumble over. The last one must be refused by
#: all: a lone surrogate is no character.
ODD_TEXTS = ["", "   ", "\x00", "\U0001f600", "qzx " * 50, "a\n\nb", "e" * 3_000, "\ud800"]

#: Enough items, and characters of each, for several looks at the stop request.
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
    return first == second


@contextmanager
def stopped(otherwise):
    """Expect Stopped; `otherwise` says what is wrong where it is not raised."""
    try:
        yield
    except Stopped:
        return
    pytest.fail(otherwise)


def test_b1_there_is_one_outcome_per_item_in_order(subject):
    items = some_items(7)

    for task in subject.serving_tasks:
        outcomes = subject.run(task, items)

        assert len(outcomes) == 7, f"B1: {task} gives {len(outcomes)} outcomes for 7 items"
        strays = [outcome for outcome in outcomes if not isinstance(outcome, OUTCOMES[task])]
        assert not strays, f"B1: {task} must give a {OUTCOMES[task].__name__} each; got {strays}"
        kept = [checked(outcome, OUTCOMES[task]) for outcome in outcomes]
        assert kept == outcomes, f"B1: no result can hold what {task} gives: {kept}"
        if task == "generate":
            prompts = [outcome.prompt for outcome in outcomes]
            assert prompts == [item.text for item in items], "B1: keep the order of the items"
    assert subject.serving_tasks, "a model that is trained must classify or generate"


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
    # Given a good item on each side of every odd one
    texts = [text for odd in ODD_TEXTS for text in (some_items(1)[0].text, odd)]
    items = [WorkItem(index=i, text=text) for i, text in enumerate(texts)]
    good = items[::2]

    for task in subject.serving_tasks:
        outcomes = subject.run(task, items)
        undisturbed = subject.run(task, good)

        assert len(outcomes) == len(items), f"B1: {len(outcomes)} outcomes, {len(items)} items"
        for item, outcome in zip(items, outcomes, strict=True):
            assert isinstance(outcome, OUTCOMES[task] | ItemError), (
                f"B2: {task} of {item.text!r:.40} gives {outcome!r}; give a "
                f"{OUTCOMES[task].__name__} or an ItemError"
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
        assert isinstance(outcomes[-1], ItemError), (
            f"B2: {task} of a lone surrogate gives {outcomes[-1]!r}; it is no character, so give "
            "an ItemError with the code decode_error"
        )


def test_b3_an_outcome_does_not_depend_on_the_batch(subject):
    items = some_items(9, first=100)

    for task in subject.serving_tasks:
        together = subject.run(task, items)
        alone = [subject.run(task, [item])[0] for item in items]
        backwards = subject.run(task, items[::-1])[::-1]

        for item, first, *others in zip(items, together, alone, backwards, strict=True):
            assert all(close(first, other) for other in others), (
                f"B3: {task} of {item.text!r} gives {first} among nine items, but alone and in "
                f"another order {others}; let an outcome depend on the item's text and `index` only"
            )


def test_d1_the_same_version_loaded_twice_gives_the_same_outcomes(subject):
    items = some_items(5)

    for task in subject.serving_tasks:
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


def test_s1_work_that_is_asked_to_stop_before_it_begins_raises_stopped(subject):
    for task in subject.serving_tasks:
        with stopped(f"S1: {task} of 3 items never asks context.stop_requested(), or goes on"):
            subject.run(task, some_items(3), MemoryRunContext(stop_after=0))


def test_s1_work_that_is_asked_to_stop_half_way_ends_at_once(subject):
    for task in subject.serving_tasks:
        count, more = LONG_WORK[task]
        undisturbed = MemoryRunContext()
        subject.run(task, some_items(count), undisturbed, **more)
        half = undisturbed.stop_questions // 2
        context = MemoryRunContext(stop_after=half)

        assert undisturbed.stop_questions >= 2, (
            f"S1: {task} of {count:,} items{f' with {more}' if more else ''} asks "
            f"context.stop_requested() {undisturbed.stop_questions} times; ask at least twice"
        )
        with stopped(f"S1: {task} goes on to its end though a stop is requested half-way"):
            subject.run(task, some_items(count), context, **more)

        assert context.stop_questions <= half + 2, (
            f"S1: {task} asks {context.stop_questions - half} times more once a stop is requested; "
            "raise Stopped at once"
        )


def test_o2_an_item_writes_no_more_than_its_task_states(subject):
    for task in subject.serving_tasks:
        bound = subject.model.tasks[task].output
        if bound is None:
            continue
        for values in BOLD_WORK:
            parameters = small_parameters(subject.model, task).model_copy(update=values)
            given = parameters.model_dump(mode="json")
            allowed = prod(given[name] for name in bound.factors) * bound.characters_per_symbol
            for name in bound.lists:
                allowed *= len(given[name]) if isinstance(given[name], list) else 1
            for outcome in subject.run(task, some_items(3), **values):
                wrote = sum(len(sample.text) for sample in outcome.samples)
                assert wrote <= min(allowed, bound.max_characters), (
                    f"O2: {task} writes {wrote} characters where TaskSpec.output states at most "
                    f"{allowed} for {given}"
                )


def test_b3_warming_up_changes_no_outcome(subject):
    items = some_items(3)
    fresh = subject.model.load(subject.artifact, CPU)
    before = [subject.run(task, items, loaded=fresh) for task in subject.serving_tasks]

    fresh.warm_up()

    after = [subject.run(task, items, loaded=fresh) for task in subject.serving_tasks]
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
