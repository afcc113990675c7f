"""Checks of what a version gives for items: one outcome each, in order, whatever is beside it.

And the same again: loaded twice, in another process, from a store.
"""

import json
import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from time import monotonic
from typing import Final, cast

from pydantic import BaseModel

from seqd.hookspecs import WorkItem
from seqd.kinds import CLASSIFY, GENERATE, SERVED_TASKS
from seqd.models.agreement import brief, close, quoted, with_values
from seqd.models.store import ModelStore
from seqd.models.version_files import MANIFEST_NAME, VersionDraft
from seqd.plugin.running import drawn
from seqd.testing.checks.catalog import Checks
from seqd.testing.checks.examples import author_method, author_object
from seqd.testing.checks.failures import CheckFailed, DoesNotApply, stopped
from seqd.testing.checks.subjects import Version, made_text, small_parameters
from seqd.testing.contexts import CPU, MemoryRunContext
from seqd.worker.outcomes import checked, with_known_label
from seqd_schemas import Generation, ItemError, OutputBound, Task

CHECKS: Checks[Version] = Checks()

#: Texts that a model may refuse, but must not stumble over: blank ones, control characters, those
#: that are written from right to left, signs of several code points, one long word. The last one
#: must be refused by all: a lone surrogate is no character.
ODD_TEXTS: Final = (
    "", "   ", "\x00", "\U0001f600", "qzx " * 50, "a\n\nb", "e" * 3_000, "\t\u2003\u200b",
    "سلام דוד", "\U0001f468\u200d\U0001f469\u200d\U0001f467 e\u0301", "\ufeffa\u202eb", "\ud800",
)  # fmt: skip

#: Characters of the longest word that a check gives.
LONG_WORD_CHARS: Final = 1_000_000

#: Enough items, and characters of each, for several looks at the stop request; other tasks have as
#: many items as those that classify.
LONG_WORK: Final[Mapping[str, tuple[int, Mapping[str, object]]]] = {
    CLASSIFY: (1_100, {}),
    GENERATE: (20, {"length": 600}),
}

#: Parameters of a generation whose product tells what it writes.
BOLD_WORK: Final[Sequence[Mapping[str, object]]] = (
    {"length": 1},
    {"length": 30, "samples": 2, "temperature": (0.5, 1.5)},
)

#: Seeds of the orders that items are given in, and sizes of the batches that they are split into.
SEEDS: Final = (1, 2, 3)
BATCH_SIZES: Final = (1, 2, 4)

#: Seconds after a stop request within which a call has to end.
STOP_LIMIT_S: Final = 5.0

_ONE_EACH = "Return a list with one outcome an item, in the order of the items."


@CHECKS.add("P1", "A first call of each task comes back, without an exception.")
def first_call(version: Version) -> None:
    """Call each task on one item."""
    if not version.tasks:
        raise CheckFailed(
            "the model has no task that uses a version",
            "Give it a task besides train, or nobody can use what it learns.",
            author_object(version.model),
        )
    for task in version.tasks:
        if not version.items(task, 1):
            raise CheckFailed(
                f"no record that {task} takes could be made by its schema",
                "Give the model checks = {'records': {TASK: [{...}]}} with records that it takes.",
                version.model.tasks[task].input,
            )
        drawn(version.outcomes(task, version.items(task, 1)), 1)


@CHECKS.add("B1", "A task returns one outcome per item, of its own type and within its bounds.")
def one_outcome_each(version: Version) -> None:
    """Count the outcomes of seven items and of none, and look at each."""
    for task in version.tasks:
        method = version.method(task)
        for items in (version.items(task, 7), []):
            outcomes = version.outcomes(task, items)
            if not isinstance(outcomes, Sequence):
                raise CheckFailed(
                    f"{task} returns a {type(outcomes).__name__}, which nobody may ever read",
                    f"{_ONE_EACH} A function with `yield` computes nothing until it is read.",
                    method,
                )
            if len(outcomes) != len(items):
                raise CheckFailed(
                    f"{task} returns {len(outcomes)} outcomes for {len(items)} items",
                    f"{_ONE_EACH} Of an item that cannot be worked on, return an ItemError.",
                    method,
                )
            _check_each(version, task, items, outcomes)


def _check_each(
    version: Version, task: Task, items: Sequence[WorkItem], outcomes: Sequence[object]
) -> None:
    """Check that results can hold the outcomes of items that are well."""
    output, method = version.output(task), version.method(task)
    for item, outcome in zip(items, outcomes, strict=True):
        classes = version.loaded.classes
        known = with_known_label(outcome, classes) if classes else outcome
        kept = checked(known, output)
        if isinstance(outcome, output) and isinstance(kept, ItemError):
            cure = (
                f"Return a {output.__name__} within the bounds of its fields."
                if known is outcome
                else "Give one of the classes that the model names, or name this label, too."
            )
            raise CheckFailed(kept.message, cure, method)
        if not isinstance(outcome, output):
            raise CheckFailed(
                f"{task} of {quoted(item.text)} returns {brief(outcome)}",
                f"Return a {output.__name__}. Texts that the task cannot take as examples are "
                "replaced by `checks = {'texts': [...]}` on the model.",
                method,
            )
        if isinstance(outcome, Generation) and outcome.prompt != item.text:
            raise CheckFailed(
                f"the prompt of {quoted(item.text)} comes back as {quoted(outcome.prompt)}",
                "Return the item's text as the prompt, unchanged.",
                method,
            )


@CHECKS.add("D1", "The same version gives the same outcomes again, also loaded a second time.")
def again(version: Version) -> None:
    """Compare five outcomes of each task with those of a second call, and of a second load."""
    for task in version.tasks:
        items = version.items(task, 5)
        first = version.run(task, items)
        for how, loaded in (("called", None), ("loaded", version.load())):
            if version.run(task, items, loaded=loaded) != first:
                raise CheckFailed(
                    f"{task} gives other outcomes when it is {how} a second time",
                    cure_of_chance(version),
                    version.method(task),
                )


def cure_of_chance(version: Version) -> str:
    """Return what to do where outcomes differ from call to call, or from process to process."""
    return (
        f"Take chance from {version.source_of_chance}, or give what draws it a seed (seed= or "
        "random_state=), and let nothing depend on time, addresses or the order of a set."
    )


def must_repeat(version: Version, task: Task) -> None:
    """Raise DoesNotApply where outcomes differ from call to call: D1 tells that cause."""
    items = version.items(task, 5)
    if version.run(task, items) != version.run(task, items):
        raise DoesNotApply("D1 failed")


@CHECKS.add("B4", "Items in another order give the outcomes in that order.")
def order(version: Version) -> None:
    """Shuffle nine items, and compare each outcome with that of its item alone."""
    for task in version.tasks:
        items = version.items(task, 9, first=100)
        alone = {item.index: version.run(task, [item])[0] for item in items}
        for shuffled in (items, items[::-1], *_orders(items)):
            for item, outcome in zip(shuffled, version.run(task, shuffled), strict=True):
                if close(outcome, alone[item.index]):
                    continue
                others = [other for index, other in alone.items() if index != item.index]
                if not any(close(outcome, other) for other in others):
                    continue  # that of no item: it depends on its batch, which B3 tells
                must_repeat(version, task)
                raise CheckFailed(
                    f"{task} returns the outcome of another item in the place of "
                    f"{quoted(item.text)}",
                    f"{_ONE_EACH} Where you sort them to pad less, sort the outcomes back.",
                    version.method(task),
                )


def _orders(items: Sequence[WorkItem]) -> Iterator[list[WorkItem]]:
    for seed in SEEDS:
        yield random.Random(seed).sample(items, len(items))


@CHECKS.add("B3", "An outcome does not depend on how the items were batched.")
def batches(version: Version) -> None:
    """Compare nine items together with the same in smaller batches. Their order is B4's."""
    for task in version.tasks:
        items = version.items(task, 9, first=100)
        together = version.run(task, items)
        for size in BATCH_SIZES:
            parts = (version.run(task, items[at : at + size]) for at in range(0, len(items), size))
            for item, outcome in zip(items, chain.from_iterable(parts), strict=True):
                if not any(close(outcome, other) for other in together):
                    must_repeat(version, task)
                    raise CheckFailed(
                        f"{task} of {quoted(item.text)} gives {brief(outcome)} in a batch of "
                        f"{size}, and {brief(together[items.index(item)])} in one of {len(items)}",
                        "Let an outcome depend on the item's text and `index` only: mask what pads "
                        "a batch, and normalize by nothing that all items share.",
                        version.method(task),
                    )


@CHECKS.add("B2", "A bad item gets an ItemError in its place and leaves its neighbours alone.")
def odd_items(version: Version) -> None:
    """Put a good item on each side of every odd one; of records, those that pass the checks."""
    for task in version.tasks:
        odd = version.work(task, [WorkItem(i, text) for i, text in enumerate(ODD_TEXTS)])
        (good_item, *_) = version.items(task, 1)
        pairs = [(good_item, one) for one in odd]
        items = [replace(item, index=at) for at, item in enumerate(chain.from_iterable(pairs))]
        good = items[::2]

        outcomes = version.run(task, items)
        undisturbed = version.run(task, good)

        for item, outcome in zip(items, outcomes, strict=True):
            _check_odd(version, task, item, outcome)
        for item, first, other in zip(good, outcomes[::2], undisturbed, strict=True):
            if not close(first, other):
                must_repeat(version, task)
                raise CheckFailed(
                    f"{task} of {quoted(item.text)} gives {brief(first)} beside a bad item, and "
                    f"{brief(other)} without",
                    "Take bad items out before the others are computed.",
                    version.method(task),
                )
        _check_surrogate(version, task, items, outcomes)


def _check_odd(version: Version, task: Task, item: WorkItem, outcome: object) -> None:
    output, method = version.output(task), version.method(task)
    if not isinstance(outcome, output | ItemError):
        raise CheckFailed(
            f"{task} of {quoted(item.text)} gives {brief(outcome)}",
            f"Return a {output.__name__} or an ItemError.",
            method,
        )
    if isinstance(outcome, ItemError) and not outcome.message.strip():
        raise CheckFailed(
            f"the error of {quoted(item.text)} says nothing",
            "Say what is wrong with the item.",
            method,
        )


def _check_surrogate(
    version: Version, task: Task, items: Sequence[WorkItem], outcomes: Sequence[object]
) -> None:
    if version.model.tasks[task].input is not None:
        return  # a record with one never reaches the plugin
    if not isinstance(outcomes[-1], ItemError):
        raise CheckFailed(
            f"{task} of a lone surrogate gives {brief(outcomes[-1])}",
            "It is no character: return an ItemError with the code decode_error.",
            version.method(task),
        )


@CHECKS.add("B5", "A word of a megabyte is an item like any other.", limit_factor=2)
def long_word(version: Version) -> None:
    """Give each task that takes texts a word of a million characters, beside a good item."""
    ran = False
    for task in version.tasks:
        if version.model.tasks[task].input is not None:
            continue  # its fields have bounds
        ran = True
        (good, *_) = version.items(task, 1)
        items = [replace(good, index=0), WorkItem(1, "a" * LONG_WORD_CHARS)]
        for item, outcome in zip(items, version.run(task, items), strict=True):
            _check_odd(version, task, item, outcome)
    if not ran:
        raise DoesNotApply("no task takes texts")


@CHECKS.add("W1", "`warm_up` changes no outcome.")
def warming_up(version: Version) -> None:
    """Compare the outcomes of a version before it is warmed up and after."""
    work = {task: version.items(task, 3) for task in version.tasks}
    fresh = version.load()
    before = {task: version.run(task, items, loaded=fresh) for task, items in work.items()}

    fresh.warm_up()
    fresh.warm_up()

    for task, items in work.items():
        if version.run(task, items, loaded=fresh) != before[task]:
            must_repeat(version, task)
            raise CheckFailed(
                f"{task} gives other outcomes once warm_up() was called",
                "Let warm_up() leave nothing behind but speed.",
                type(fresh).warm_up,
            )


@CHECKS.add("T1", "The text deltas of a sample, joined, are its text.")
def deltas(version: Version) -> None:
    """Join what was streamed of each item, and compare it with the text."""
    streamed = False
    for task in version.tasks:
        context, items = MemoryRunContext(), version.items(task, 5, first=100)
        more = {"length": 150} if task == GENERATE else {}
        outcomes = version.run(task, items, context, more=more)
        streamed = streamed or bool(context.deltas)
        if not context.deltas:
            continue
        for item, outcome in zip(items, outcomes, strict=True):
            for sample, text in enumerate(_texts(outcome)):
                _check_delta(version, task, item, context.streamed_text(item.index, sample), text)
        strays = {delta.sample for delta in context.deltas} - {0}
        if strays and task not in SERVED_TASKS:
            raise CheckFailed(
                f"{task} streams the sample {min(strays)}",
                "A task of your own has one sample, 0.",
                version.method(task),
            )
    if not streamed:
        raise DoesNotApply("it streams nothing")


def _texts(outcome: object) -> list[str]:
    if isinstance(outcome, Generation):
        return [sample.text for sample in outcome.samples]
    return [] if isinstance(outcome, ItemError) else [str(getattr(outcome, "text", ""))]


def _check_delta(version: Version, task: Task, item: WorkItem, streamed: str, text: str) -> None:
    if streamed == text or (streamed == "" and task not in SERVED_TASKS):
        return
    raise CheckFailed(
        f"of {quoted(item.text)}, context.stream was handed {quoted(streamed)}; the text is "
        f"{quoted(text)}",
        "Hand over each delta once, in order, and nothing that the text leaves out.",
        version.method(task),
    )


@CHECKS.add("S1", "A task asks whether to stop before the first item, and raises Stopped.")
def stops_at_once(version: Version) -> None:
    """Request a stop before the first item."""
    for task in version.tasks:
        method = version.method(task)
        with stopped(
            f"{task} of 3 items never asks context.stop_requested(), or goes on all the same",
            "Ask before the first item and at least once in a thousand: `if "
            "context.stop_requested(): raise Stopped`.",
            method,
        ):
            version.outcomes(task, version.items(task, 3), MemoryRunContext(stop_after=0))


@CHECKS.add(
    "S2",
    "A stop that is requested half-way ends the call at once.",
    limit_factor=2,
)
def stops_half_way(version: Version) -> None:
    """Request a stop half-way, and count how often the task asks again and how long it takes."""
    for task in version.tasks:
        count, more = LONG_WORK.get(task, LONG_WORK[CLASSIFY])
        items, undisturbed, method = version.items(task, count), TimedStop(), version.method(task)
        version.run(task, items, undisturbed, more=more)
        half = undisturbed.stop_questions // 2
        if undisturbed.stop_questions < 2:
            raise CheckFailed(
                f"{task} of {count:,} items asks context.stop_requested() "
                f"{undisturbed.stop_questions} times",
                "Ask at least twice: before the first item, and then once in a thousand.",
                method,
            )
        context = TimedStop(stop_after=half)
        with stopped(
            f"{task} goes on to its end though a stop is requested half-way",
            "Raise Stopped as soon as context.stop_requested() is true.",
            method,
        ):
            version.outcomes(task, items, context, more=more)
            while context.said_at is None and half > 1:
                # It asks by time, and was quicker now than before.
                half //= 2
                context = TimedStop(stop_after=half)
                version.outcomes(task, items, context, more=more)
        _check_prompt(task, context, half, method)


class TimedStop(MemoryRunContext):
    """A context that knows when it first said that the work should end."""

    said_at: float | None = None

    def stop_requested(self) -> bool:
        """Answer, and note when the answer was yes for the first time."""
        answer = super().stop_requested()
        if answer and self.said_at is None:
            self.said_at = monotonic()
        return answer


def _check_prompt(task: Task, context: TimedStop, half: int, method: object) -> None:
    again, seconds = context.stop_questions - half, monotonic() - (context.said_at or monotonic())
    if again > 2:
        raise CheckFailed(
            f"{task} asks {again} times more once a stop is requested",
            "Raise Stopped at once.",
            method,
        )
    if seconds > STOP_LIMIT_S:
        raise CheckFailed(
            f"{task} takes {seconds:.1f} s to end once a stop is requested",
            f"End within {STOP_LIMIT_S:g} s: ask more often, in smaller steps.",
            method,
        )


@CHECKS.add("O2", "An item writes no more characters than TaskSpec.bound states.")
def bounded_output(version: Version) -> None:
    """Let each bounded task write, and count."""
    bounds = {task: spec.bound for task in version.tasks if (spec := version.model.tasks[task])}
    if not any(bounds.values()):
        raise DoesNotApply("no task has a bound")
    for task, bound in bounds.items():
        if bound is None:
            continue
        for values in BOLD_WORK:
            small = small_parameters(version.model, task, version.examples)
            given = with_values(small, values)
            allowed = _allowed(bound, given.model_dump(mode="json"))
            for outcome in version.run(task, version.items(task, 3), more=values):
                wrote = sum(len(text) for text in _texts(outcome))
                if wrote > allowed:
                    raise CheckFailed(
                        f"{task} writes {wrote:,} characters where TaskSpec.bound states at most "
                        f"{allowed:,}",
                        "Write less, or state a higher bound.",
                        version.method(task),
                    )


def _allowed(bound: OutputBound, given: Mapping[str, object]) -> int:
    factors = prod(cast("int", given[name]) for name in bound.factors)
    values = [given[name] for name in bound.lists]
    lists = prod(len(value) for value in values if isinstance(value, list))
    return min(factors * lists * bound.characters_per_symbol, bound.max_characters)


@CHECKS.add("M1", "A version states the memory it takes, and what a text costs, above 0.")
def stated_memory(version: Version) -> None:
    """Read `memory_bytes`, and `cost_tokens` of texts."""
    loaded = version.loaded
    if loaded.memory_bytes <= 0:
        raise CheckFailed(
            f"memory_bytes is {loaded.memory_bytes}",
            "Set it to the memory that unloading would free, in bytes: the worker's cache of "
            "models counts it.",
            type(loaded),
        )
    for text in ("", "a", made_text(1) * 1_000):
        tokens = loaded.cost_tokens(text)
        if tokens < 1:
            raise CheckFailed(
                f"cost_tokens of {quoted(text)} is {tokens}",
                "Return 1 at least.",
                type(loaded).cost_tokens,
            )


@CHECKS.add("D2", "Another process gives the same outcomes.", limit_factor=2)
def in_another_process(version: Version) -> None:
    """Load the version in a process of its own, whose hashes of texts are others."""
    from seqd.testing.checks.running import outcomes_in_a_child

    assert version.spec is not None, "a child has one"
    here = outcomes_as_json(version)
    there = outcomes_in_a_child(version.spec)
    for task, outcomes in here.items():
        if outcomes == there.get(task):
            continue
        must_repeat(version, task)
        pairs = zip(outcomes, there.get(task, []), strict=False)
        first, other = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
        raise CheckFailed(
            f"{task} gives {first[:120]} in one process and {other[:120]} in another",
            f"{cure_of_chance(version)} Python's own hash() of a text differs from process to "
            "process.",
            version.method(task),
        )


def outcomes_as_json(version: Version) -> dict[str, list[str]]:
    """Return the outcomes of five items of each task, as JSON."""
    return {
        task: [_as_json(outcome) for outcome in version.run(task, version.items(task, 5))]
        for task in version.tasks
    }


def _as_json(outcome: object) -> str:
    if isinstance(outcome, BaseModel):
        return json.dumps(outcome.model_dump(mode="json"), sort_keys=True)
    return repr(outcome)


@CHECKS.add("V1", "A version that went through a model store gives the same outcomes.")
def through_a_store(version: Version) -> None:
    """Publish the version's files into a store, and load them from there."""
    manifest = version.artifact.manifest
    if not (version.artifact.folder / MANIFEST_NAME).is_file():
        raise DoesNotApply("no files")
    store = ModelStore(version.folder / "store", {})
    draft = store.new_folder(manifest.model, "checks")
    for name in manifest.files:
        shutil.copyfile(version.artifact.folder / name, draft / name)
    published = store.publish(draft, VersionDraft.of(manifest))
    loaded = version.model.load(store.open(manifest.model, published.version), CPU)
    for task in version.tasks:
        items = version.items(task, 5)
        if version.run(task, items) != version.run(task, items, loaded=loaded):
            must_repeat(version, task)
            raise CheckFailed(
                f"{task} gives other outcomes once the version was published into a store",
                "Read nothing but artifact.folder and artifact.manifest in load().",
                author_method(version.model, "load"),
            )
