"""Compares two versions on labelled data, or on a text: what `seqd models compare` is made of.

`compare_versions` is for any command that has to know whether one version is better than another.
Both versions that classify have a job, one after the other, so that neither slows the other down.
The file is read for each; its labels stay here.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from seqd.analysis.comparison import (
    CLASSIFY_METRICS,
    TEXT_METRICS,
    Answers,
    ChangedItem,
    Comparison,
    LabelCodes,
    MetricId,
    VersionFacts,
    changed_item,
    compare_answers,
    compared_texts,
    prediction_of,
)
from seqd.cli import options
from seqd.cli.label_map import named_labels, suggested_options
from seqd.cli.models.comparison_options import CompareOptions, version_facts
from seqd.cli.models.evaluate import (
    TextModel,
    end_of,
    figures_of,
    open_text_model,
    warn_if_trained_on,
    with_probabilities,
)
from seqd.cli.sources import Feed, dataset_of, feed_of
from seqd.cli.ui.screen import Screen
from seqd.client.comparing import (
    HELD_CHANGES,
    TEXT_CHARS,
    pinned_versions,
    rate_of,
    refuse_same,
)
from seqd.errors import InvalidData, InvalidRequest
from seqd.kinds import CLASSIFY, GENERATE
from seqd_schemas import (
    Item,
    ItemFailure,
    ItemSuccess,
    RefusedItem,
)

if TYPE_CHECKING:
    from seqd.cli.drafts import Outlet
    from seqd.client import Client

#: Items that are classified first, to know both versions' classes, and to have both in memory.
_SAMPLE_ITEMS: Final = 8


def compare_versions(
    first: str, second: str, data: str, given: CompareOptions, screen: Screen
) -> Comparison:
    """Return how the second version does beside the first, on the same data.

    Versions that classify answer through the daemon; those that write text are measured in this
    process. Raises InvalidRequest for one version twice and for versions that do not do the same,
    InvalidData where no label of the data is a class of either, and what jobs raise.
    """
    named = given.task is not None
    one, other = (None if named else open_text_model(ref) for ref in (first, second))
    if one is not None and other is not None:
        refuse_same(one.name, other.name, first, second)
        _refuse_options_of_classifiers(given)
        return _compare_texts(one, other, data, given, screen)
    if one is not None or other is not None:
        writes, does_not = (first, second) if one is not None else (second, first)
        raise InvalidRequest(
            f"{writes!r} writes text and {does_not!r} does not, or its plugin is not on this "
            "machine; allowed: two versions that classify, or two that write text and are here"
        )
    if given.last is not None:
        raise InvalidRequest("--last is for versions that write text, and these are none here")
    from seqd.cli.models.task_evaluations import own_task

    own = own_task(first, given.task)
    if own is not None:
        from seqd.cli.models.task_comparisons import compare_own_tasks

        return compare_own_tasks(own, second, data, given, screen)
    _refuse_metric(given.metric, CLASSIFY_METRICS, CLASSIFY)
    with (
        feed_of(
            data,
            [],
            given.fields,
            label_field=given.class_field,
            label_map=given.label_map,
            is_read_twice=True,
        ) as feed,
        _changes_file(given, data) as outlet,
        options.open_client() as client,
    ):
        refs = pinned_versions(client.catalog(), first, second)
        return _Run(client, screen, data, given, feed).compare(refs, outlet)


class _Run:
    """One comparison of versions that classify."""

    def __init__(
        self, client: "Client", screen: Screen, data: str, given: CompareOptions, feed: Feed
    ) -> None:
        self._client = client
        self._screen = screen
        self._file = data
        self._name = "standard input" if data == "-" else Path(data).name
        self._given = given
        self._feed = feed
        self._codes = LabelCodes()

    def compare(self, refs: tuple[str, str], outlet: "Outlet | None") -> Comparison:
        """Return the comparison, and write each changed item into the outlet."""
        truths, sample = self._look()
        samples = [self._sampled(ref, sample) for ref in refs]
        if all(answers.knows_classes for answers in samples):
            self._refuse_labels(truths, refs, *samples)
        first, second = Answers(self._codes), Answers(self._codes)
        held: list[ChangedItem] = []

        def note(result: ItemSuccess | ItemFailure, text: str) -> None:
            changed = changed_item(first, second, result.custom_id, text)
            if changed is None:
                return
            if len(held) < HELD_CHANGES:
                held.append(changed)
            if outlet is not None:
                _write(outlet, changed, self._given)

        rates = (
            self._answer(refs[0], first, lambda result, text: None),
            self._answer(refs[1], second, note),
        )
        self._refuse_labels(truths, refs, first, second)
        if outlet is not None:
            _place(outlet, self._given)
        return self._comparison(refs, rates, first, second, held)

    def _comparison(
        self,
        refs: tuple[str, str],
        rates: tuple[float | None, float | None],
        first: Answers,
        second: Answers,
        held: list[ChangedItem],
    ) -> Comparison:
        try:
            metrics, answers = compare_answers(first, second, self._codes)
        except ValueError:
            raise InvalidData(
                f"{self._name} has no item with both a label and two answers: "
                f"{refs[0]} gave {first.errored:,} errors and {refs[1]} {second.errored:,}, so "
                "there is nothing to compare. `seqd classify` on the file shows them."
            ) from None
        facts = version_facts(self._client, refs, rates)
        return Comparison(
            task=CLASSIFY,
            data=self._name,
            items=metrics["accuracy"].items,
            first=facts[0],
            second=facts[1],
            metrics=metrics,
            answers=answers,
            changes=tuple(held),
        )

    def _look(self) -> tuple[set[str], list[Item]]:
        """Read the file once; return its labels and its first items, before any work is done."""
        sample: list[Item] = []
        feed = self._again()
        for entry in feed:
            if isinstance(entry, Item) and len(sample) < _SAMPLE_ITEMS:
                sample.append(entry)
        truths = {label for label in feed.labels if label is not None}
        if not truths:
            raise InvalidData(
                f"{self._name} has no label, so nothing can be right or wrong. The label is looked "
                f"for in the field {self._given.class_field!r} (--label-field)."
            )
        return truths, sample

    def _again(self) -> Feed:
        given = self._given
        return Feed(self._feed.source, given.class_field, label_map=given.label_map)

    def _sampled(self, ref: str, sample: list[Item]) -> Answers:
        """Return a version's answers to a few items, which tell its classes."""
        answers = Answers(LabelCodes())
        if not sample:
            return answers
        with self._job(ref, sample) as (_, results):
            for result in results:
                answers.add(None, prediction_of(result))
        return answers

    def _answer(
        self, ref: str, answers: Answers, note: "Callable[[ItemSuccess | ItemFailure, str], None]"
    ) -> float | None:
        """Collect a version's answers to all items; return its items a second, where known."""
        feed = self._again()
        texts: deque[str] = deque()
        with self._job(ref, _texts_kept(feed, texts), is_shown=True) as (rate, results):
            for result in results:
                answers.add(feed.labels.popleft(), prediction_of(result))
                note(result, texts.popleft())
        return rate[0] if rate else None

    @contextmanager
    def _job(
        self,
        ref: str,
        items: Iterable[Item | RefusedItem],
        *,
        is_shown: bool = False,
    ) -> "Iterator[tuple[list[float], Iterable[ItemSuccess | ItemFailure]]]":
        """Run a job; yield its results, and a list that has its rate after them, where known.

        Its progress is shown where that is asked for.
        """
        from seqd.cli.bulk import bulk_view
        from seqd.cli.following import following, handed_in

        parameters = with_probabilities(self._client, ref, dict(self._given.parameters))
        send = partial(self._client.classify, items, model=ref, parameters=parameters)
        rate: list[float] = []
        with handed_in(self._client, send, self._screen) as handle:
            if not is_shown:
                yield rate, handle.results()
                return
            with bulk_view(self._screen, handle.record) as view:
                with following(handle, view.show):
                    yield rate, handle.results()
                record = handle.wait()
                view.finish(record)
            found = None if view.was_paused else rate_of(record)
            rate += [] if found is None else [found]

    def _refuse_labels(
        self, truths: set[str], refs: tuple[str, str], first: Answers, second: Answers
    ) -> None:
        """Raise InvalidData where no version has a label of the file, so that none can be right."""
        one, other = first.classes, second.classes
        knows_all = first.knows_classes and second.knows_classes
        if truths & (one | other) or not one | other:
            return
        verb = "has" if knows_all else "gave"
        theirs = (
            f"both versions {'have' if knows_all else 'gave'} {named_labels(one)}"
            if one == other
            else f"{refs[0]} {verb} {named_labels(one)}, {refs[1]} {verb} {named_labels(other)}"
        )
        found = suggested_options(truths, one | other)
        hint = found or "--map-label LABEL=CLASS"
        raise InvalidData(
            f"no label of {self._name} is a class of either version, so none could be right. The "
            f"file has {named_labels(truths)}; {theirs}. Map them: {hint}. Or name another field "
            f"than {self._given.class_field!r} by --label-field."
        )


def _texts_kept(feed: Feed, texts: "deque[str]") -> Iterator[Item | RefusedItem]:
    """Yield the items, and keep the beginning of each text for its result."""
    for entry in feed:
        texts.append(entry.text[:TEXT_CHARS] if isinstance(entry, Item) else "")
        yield entry


def _refuse_metric(metric: MetricId | None, known: Iterable[MetricId], does: str) -> None:
    if metric is not None and metric not in known:
        raise InvalidRequest(
            f"--metric is {metric!r}; allowed of versions that {does}: {', '.join(known)}"
        )


def _refuse_options_of_classifiers(given: CompareOptions) -> None:
    options_of = (
        ("--changed", given.changed),
        ("--set", given.parameters),
        ("--map-label", given.label_map),
    )
    named = [name for name, value in options_of if value]
    if named:
        raise InvalidRequest(
            f"{' and '.join(named)} is for versions that classify; these write text, leave it away"
        )
    _refuse_metric(given.metric, TEXT_METRICS, "write text")


def _compare_texts(
    first: TextModel, second: TextModel, file: str, given: CompareOptions, screen: Screen
) -> Comparison:
    """Measure both versions on the same text, one after the other."""
    with dataset_of(file, **given.fields) as data:
        whole, fingerprint = data.text(), data.fingerprint()
    text = end_of(whole, given.last)
    found = []
    for one in (first, second):
        warn_if_trained_on(screen, one.artifact.manifest, fingerprint, given.last)
        found.append(figures_of(one, text, screen)["bits_per_char"])
    facts = [
        VersionFacts(
            ref=one.name, items_per_s=None, size_bytes=one.artifact.manifest.size_bytes or None
        )
        for one in (first, second)
    ]
    return Comparison(
        task=GENERATE,
        data="standard input" if file == "-" else Path(file).name,
        items=len(text),
        first=facts[0],
        second=facts[1],
        metrics=compared_texts(found[0], found[1], len(text)),
        answers=None,
        changes=(),
    )


@contextmanager
def _changes_file(given: CompareOptions, data: str) -> "Iterator[Outlet | None]":
    """Open the file of `--changed` before the work; what was not placed goes in the end."""
    from seqd.cli.drafts import open_outlet, refuse_to_replace
    from seqd.cli.output_forms import Form, target_of

    path = given.changed
    if path is None:
        yield None
        return
    target = target_of(path, None, "--changed")
    if target.form is not Form.JSONL:
        raise InvalidRequest(
            f"--changed is {str(path)!r}; allowed: a name ending in .jsonl, also with .gz or .zst"
        )
    if not target.is_stream:
        if data != "-" and path.exists() and path.samefile(data):
            raise InvalidRequest(
                f"--changed is {str(path)!r}, which is the input itself; name another file"
            )
        if not given.replaces:
            refuse_to_replace(path, "--changed")
    outlet = open_outlet(target, "--changed")
    try:
        yield outlet
    finally:
        outlet.discard()


def _write(outlet: "Outlet", changed: ChangedItem, given: CompareOptions) -> None:
    from seqd.cli.drafts import unwritable

    line = json.dumps(changed.model_dump(), ensure_ascii=False) + "\n"
    try:
        outlet.file.write(line.encode("utf-8", "backslashreplace"))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(given.changed or Path("-"), error, "--changed") from None


def _place(outlet: "Outlet", given: CompareOptions) -> None:
    from seqd.cli.drafts import unwritable

    try:
        outlet.seal()
        outlet.place(replaces=given.replaces)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(given.changed or Path("-"), error, "--changed") from None
