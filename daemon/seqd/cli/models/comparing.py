"""Compares two versions on labelled data, or on a text: what `seqd models compare` is made of.

`compare_versions` is for any command that has to know whether one version is better than another.
Both versions have a job, one after the other, so that neither slows the other down.
"""

import json
import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from seqd.analysis.classification import ClassPair
from seqd.analysis.comparison import (
    METRICS,
    TEXT_METRICS,
    ChangedItem,
    Comparison,
    MetricId,
    Verdict,
    VersionFacts,
    difference_of,
    verdict_of,
)
from seqd.cli import options
from seqd.cli.drafts import placed
from seqd.cli.label_map import named_labels, suggested_options
from seqd.cli.models.measured_items import (
    Asked,
    Asker,
    Subject,
    measured_items,
    refuse_options,
    subject_of,
    task_to_measure,
)
from seqd.cli.models.text_models import TextModel, measure_text, open_text_model
from seqd.cli.output_forms import Form, target_of
from seqd.cli.ui.screen import Screen
from seqd.client import Client
from seqd.client.comparing import HELD_CHANGES, pinned_versions, refuse_same
from seqd.errors import InvalidData, InvalidRequest
from seqd.kinds import GENERATE
from seqd_schemas import ModelReference


@dataclass(frozen=True, slots=True)
class Changed:
    """A file for the items to which the two versions give different labels."""

    path: Path | None = None
    #: Whether it may replace another.
    replaces: bool = False


def compare_versions(
    first: str,
    second: str,
    asked: Asked,
    screen: Screen,
    metric: MetricId | None = None,
    changed: Changed = Changed(),
) -> Comparison:
    """Return how the second version does beside the first, on the same data.

    `metric` is the figure that is to decide, which is checked before the work. Versions answer
    through the daemon; those that write text are measured in this process. Raises InvalidRequest
    for one version twice and for versions that do not do the same, InvalidData where no label of
    the data is a class of either, and what jobs raise.
    """
    one, other = (None if asked.task else open_text_model(ref) for ref in (first, second))
    if one is not None and other is not None:
        refuse_same(one.name, other.name, first, second)
        given = {
            "--changed": changed.path,
            "--param": asked.parameters,
            "--map-label": asked.label_map,
        }
        refuse_options(given, "versions", "these write text")
        _refuse_metric(metric, TEXT_METRICS, "versions that write text")
        return _compare_texts(one, other, asked, screen)
    if one is not None or other is not None:
        writes, does_not = (first, second) if one is not None else (second, first)
        raise InvalidRequest(
            f"{writes!r} writes text and {does_not!r} does not, or its plugin is not on this "
            "machine; allowed: two versions that classify, or two that write text and are here"
        )
    if asked.last is not None:
        raise InvalidRequest("--last is for versions that write text, and these are none here")
    with options.open_client() as client:
        catalog = client.catalog()
        subject = subject_of(catalog.get(ModelReference.parse(first).name), first, asked)
        _refuse_what_does_not_fit(subject, first, metric, changed, asked)
        refs = pinned_versions(catalog, first, second, own_task=subject.output is not None)
        for ref in refs if subject.output is not None else ():
            task_to_measure(catalog[ModelReference.parse(ref).name], subject.task)
        asker = Asker(client, subject, asked.parameters, screen)
        return _Run(asker, asked, refs, changed).compare()


def judged_on(
    first: str, second: str, asked: Asked, metric: MetricId | None, by: float, screen: Screen
) -> tuple[Verdict, dict[str, float]]:
    """Return whether the second version is better, and the figures of both that are finite.

    Without a `metric` the first figure decides that the versions have: accuracy, of a text bits per
    character, of a plugin's own task micro F1, chrF or the mean absolute error. Raises what
    `compare_versions` does.
    """
    comparison = compare_versions(first, second, asked, screen, metric)
    there = (one for one in METRICS if one in comparison.metrics)
    decides = next(there) if metric is None else metric
    found = comparison.metrics[decides]
    figures = {f"{decides}_before": found.first, f"{decides}_after": found.second}
    # A text that a version cannot write at all has infinite bits per character.
    finite = {name: figure for name, figure in figures.items() if math.isfinite(figure)}
    return verdict_of(comparison, decides, by), {**finite, "items": float(comparison.items)}


@dataclass(frozen=True, slots=True)
class _Run:
    """One comparison of versions that answer items."""

    asker: Asker
    asked: Asked
    refs: tuple[str, str]
    changed: Changed

    def compare(self) -> Comparison:
        """Return the comparison, and write each changed item into the file for them."""
        pair = self.asker.subject.measure.pair()
        held: list[ChangedItem] = []
        with (
            measured_items(self.asked, self.asker.subject) as items,
            _changes_file(self.changed, self.asked.file) as file,
        ):
            sample, truths = items.look()
            self._refuse_unlabelled(truths)
            tried = self.asker.subject.measure.pair()
            for ref, answers in zip(self.refs, (tried.first, tried.second), strict=True):
                self.asker.try_out(ref, sample, answers)
            if isinstance(tried, ClassPair) and tried.knows_classes:
                self._refuse_labels(truths, tried)

            def note(custom_id: str, text: str, *_: object) -> None:
                found = None
                if isinstance(pair, ClassPair):
                    found = pair.changed_item(custom_id, text)
                if found is None:
                    return
                if len(held) < HELD_CHANGES:
                    held.append(found)
                if file is not None:
                    line = json.dumps(found.model_dump(), ensure_ascii=False) + "\n"
                    file.write(line.encode("utf-8", "backslashreplace"))

            _, first_rate = self.asker.answer(self.refs[0], items, pair.first)
            _, second_rate = self.asker.answer(self.refs[1], items, pair.second, note)
            if isinstance(pair, ClassPair):
                self._refuse_labels(truths, pair)
        subject, errored = self.asker.subject, (pair.first.errored, pair.second.errored)
        try:
            metrics, answers_compared = pair.compare()
        except ValueError:
            raise InvalidData(
                f"{self.asked.data} has no item with both a {subject.truth_noun} and two answers: "
                f"{self.refs[0]} gave {errored[0]:,} errors and {self.refs[1]} {errored[1]:,}, so "
                "there is nothing to compare. `seqd classify` or `seqd run` on the file shows them."
            ) from None
        facts = _facts(self.asker.client, self.refs, (first_rate, second_rate))
        return Comparison(
            task=subject.task,
            output=subject.output,
            errored=None if subject.output is None else errored,
            data=self.asked.data,
            items=max(found.items for found in metrics.values()),
            first=facts[0],
            second=facts[1],
            metrics=metrics,
            answers=answers_compared,
            changes=tuple(held),
        )

    def _refuse_unlabelled(self, truths: set[object]) -> None:
        if not truths:
            noun, field = self.asker.subject.truth_noun, self.asker.subject.truth_field
            raise InvalidData(
                f"{self.asked.data} has no {noun}, so nothing can be right or wrong. The {noun} is "
                f"looked for in the field {field!r} (--label-field)."
            )

    def _refuse_labels(self, truths: set[object], pair: ClassPair) -> None:
        """Raise InvalidData where no version has a label of the file, so that none can be right."""
        one, other = pair.first.classes, pair.second.classes
        if truths & (one | other) or not one | other:
            return
        has = ("has", "have") if pair.knows_classes else ("gave", "gave")
        theirs = (
            f"both versions {has[1]} {named_labels(one)}"
            if one == other
            else f"{self.refs[0]} {has[0]} {named_labels(one)}, {self.refs[1]} {has[0]} "
            f"{named_labels(other)}"
        )
        labels = {str(truth) for truth in truths}
        hint = suggested_options(labels, one | other) or "--map-label LABEL=CLASS"
        raise InvalidData(
            f"no label of {self.asked.data} is a class of either version, so none could be right. "
            f"The file has {named_labels(labels)}; {theirs}. Map them: {hint}. Or name another "
            f"field than {self.asker.subject.truth_field!r} by --label-field."
        )


def _refuse_what_does_not_fit(
    subject: Subject, ref: str, metric: MetricId | None, changed: Changed, asked: Asked
) -> None:
    """Raise InvalidRequest for options and a metric that are not for what is measured."""
    if subject.output is None:
        _refuse_metric(metric, subject.measure.metrics, "versions that classify")
        return
    given = {"--changed": changed.path, "--map-label": asked.label_map}
    refuse_options(given, "versions", f"{ref!r} is measured by its task {subject.task!r}")
    if not subject.measure.metrics:
        raise InvalidRequest(
            f"the figures of {ref} {subject.task} are of all items together, so there is no "
            "difference by item; allowed: versions that give Labels, Score, Spans or Text. `seqd "
            "models evaluate` gives the figures of each"
        )
    _refuse_metric(metric, subject.measure.metrics, f"outputs of the type {subject.output}")


def _refuse_metric(metric: MetricId | None, known: Collection[MetricId], of: str) -> None:
    if metric is not None and metric not in known:
        raise InvalidRequest(f"--metric is {metric!r}; allowed of {of}: {', '.join(known)}")


def _compare_texts(first: TextModel, second: TextModel, asked: Asked, screen: Screen) -> Comparison:
    """Measure both versions on the same text, one after the other.

    A text is one item: the difference of bits a character has no interval.
    """
    measured = [measure_text(one, asked, screen) for one in (first, second)]
    characters = len(measured[0].text)
    one, other = (found.figures["bits_per_char"] for found in measured)
    facts = [
        VersionFacts(
            ref=one.name, items_per_s=None, size_bytes=one.artifact.manifest.size_bytes or None
        )
        for one in (first, second)
    ]
    return Comparison(
        task=GENERATE,
        data=asked.data,
        items=characters,
        first=facts[0],
        second=facts[1],
        metrics={"bits_per_char": difference_of(one, other, None, None, characters)},
        answers=None,
        changes=(),
    )


def _facts(
    client: Client, refs: tuple[str, str], rates: tuple[float | None, float | None]
) -> list[VersionFacts]:
    """Return what is known of two versions whose jobs had these rates.

    The size where its version is published; the memory is the most that a worker says.
    """
    catalog, workers = client.catalog(), client.workers()
    facts = []
    for ref, rate in zip(refs, rates, strict=True):
        name, number = ModelReference.parse(ref)
        published = catalog[name].versions if name in catalog else ()
        sizes = (one.size_bytes for one in published if one.version == number)
        loaded = [one.loaded_bytes[ref] for one in workers if ref in one.loaded_bytes]
        facts.append(
            VersionFacts(
                ref=ref,
                items_per_s=rate,
                size_bytes=next(sizes, None),
                memory_bytes=max(loaded, default=None),
            )
        )
    return facts


@contextmanager
def _changes_file(changed: Changed, data: str) -> Iterator[BinaryIO | None]:
    """Open the file of `--changed` before the work; it gets its name behind it."""
    path = changed.path
    if path is None:
        yield None
        return
    target = target_of(path, None, "--changed")
    if target.form is not Form.JSONL:
        raise InvalidRequest(
            f"--changed is {str(path)!r}; allowed: a name ending in .jsonl, also with .gz or .zst"
        )
    if not target.is_stream and data != "-" and path.exists() and path.samefile(data):
        raise InvalidRequest(
            f"--changed is {str(path)!r}, which is the input itself; name another file"
        )
    with placed(target, "--changed", replaces=changed.replaces) as file:
        yield file
