"""Labelled items that versions are measured on: what is measured of them, and the jobs for it.

A classifier's true labels, and the true outputs of a plugin's own task, stay here: they may be as
long as a text, so the file is read again beside the results, and one of them is held.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import cast

from seqd.analysis.classification import Classifying
from seqd.analysis.evaluation import Answers, Measure
from seqd.analysis.measures import measure_of, output_type
from seqd.cli.bulk import bulk_view, following
from seqd.cli.handing_in import HandIn
from seqd.cli.sources import Feed, feed_of
from seqd.cli.ui.screen import Screen
from seqd.client import Client, JobHandle
from seqd.client.comparing import asking_for_probabilities, rate_of
from seqd.client.results import OutputReader
from seqd.errors import InvalidData, InvalidRequest
from seqd.hookspecs import LabelledRecord
from seqd.inputs.datasets import FingerprintTaker
from seqd.inputs.items import BadEntry, ItemRules, task_rules
from seqd.inputs.records import Entry
from seqd.inputs.training import label_of
from seqd.kinds import CLASSIFY, kind_of_task
from seqd.validation import did_you_mean, listed, shown
from seqd_schemas import (
    MAX_EXAMPLE_CHARS,
    CatalogEntry,
    Classification,
    DataFingerprint,
    Item,
    ItemSuccess,
    JobRecord,
    ModelManifest,
    ModelReference,
    ParameterValue,
    RefusedItem,
)

#: Items that are answered first, to know the versions' classes, and to have them in memory.
_SAMPLE_ITEMS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """On which data, and how, versions are measured."""

    file: str
    #: `format` and `text_field` of the data.
    fields: Mapping[str, str] = field(
        default_factory=lambda: {"format": "auto", "text_field": "text"}
    )
    #: The field with the true class or output; None: that of what is measured.
    label_field: str | None = None
    #: The task, of a model with several of its plugin's own.
    task: str | None = None
    #: What the model calls the labels of the data that it calls otherwise.
    label_map: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    #: Share of a text to measure, its end; of versions that write text alone.
    last: float | None = None
    #: Whether a version that writes text learns from it while it is measured.
    adapts: bool = False
    #: Score that a classification must have to be counted as kept; None: no such figures.
    min_score: float | None = None

    @property
    def data(self) -> str:
        """The data as people know them."""
        return "standard input" if self.file == "-" else Path(self.file).name


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured of versions: how they classify, or a task that their plugin has named."""

    task: str
    measure: Measure
    #: The field with the true class or output.
    truth_field: str
    rules: ItemRules
    #: Of a plugin's own task, the `type` of its outputs.
    output: str | None = None
    label_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def truth_noun(self) -> str:
        """What a true output is called."""
        return "label" if self.output is None else "true output"

    def truth(self, given: object, where: str) -> object | None:
        """Return the true class or output of a record. Raises InvalidData for what is none."""
        if self.output is None:
            return _class_of(given, self.label_map)
        is_nan = isinstance(given, float) and math.isnan(given)  # how pandas writes a missing one
        if given is None or is_nan or (isinstance(given, str) and not given.strip()):
            return None
        try:
            return self.measure.truth(given)
        except ValueError as error:
            raise InvalidData(
                f"{where}: its {self.truth_field} is {shown(given)}, {error}. Mend it, or name the "
                "field with the true output by --label-field"
            ) from None


def subject_of(entry: CatalogEntry | None, ref: str, asked: Asked) -> Subject:
    """Return what is measured of a model; a classification of one that is not published.

    Then the job says so. Raises InvalidRequest for a task that the model lacks, for no task where
    it has several, and for one whose outputs have no figures.
    """
    task = None if entry is None else task_to_measure(entry, asked.task)
    text_field = asked.fields["text_field"]
    if entry is None or task is None:
        field = asked.label_field or Classifying.truth_field
        rules = ItemRules(text_field=text_field)
        return Subject(CLASSIFY, Classifying(), field, rules, label_map=asked.label_map)
    schema = entry.run_tasks[task]
    measure = measure_of(ref, task, schema)
    rules = task_rules(schema, text_field=text_field)
    field = asked.label_field or measure.truth_field
    if field in (rules.fields or (rules.text_field,)):
        raise InvalidRequest(
            f"the true output is looked for in the field {field!r}, which is a field of the "
            "task's input; name another one by --label-field"
        )
    return Subject(task, measure, field, rules, output_type(schema))


def task_to_measure(entry: CatalogEntry, task: str | None) -> str | None:
    """Return a model's own task: the one that is named, or its only one; else None."""
    if task is None:
        classifies = any(kind_of_task(one).output is Classification for one in entry.tasks)
        if classifies or not entry.run_tasks:
            return None
        if len(entry.run_tasks) == 1:
            return next(iter(entry.run_tasks))
        raise InvalidRequest(
            f"{entry.model} can {listed(entry.run_tasks)}; name one of them by --task"
        )
    if task not in entry.all_tasks:
        raise InvalidRequest(
            f"--task is {task!r}; allowed for {entry.model}: {listed(entry.all_tasks)}."
            f"{did_you_mean(task, entry.all_tasks)}".rstrip(".")
        )
    return task if task in entry.run_tasks else None


def refuse_options(options_of: Mapping[str, object], whose: str, why: str) -> None:
    """Raise InvalidRequest for options that were given and are for classifiers alone."""
    given = [name for name, value in options_of.items() if value]
    if given:
        raise InvalidRequest(
            f"{' and '.join(given)} is for {whose} that classify; {why}, leave it away"
        )


@contextmanager
def measured_items(asked: Asked, subject: Subject) -> "Iterator[MeasuredItems]":
    """Yield the items of a file, which may be standard input."""
    with feed_of(
        asked.file,
        [],
        asked.fields,
        rules=subject.rules,
        beside=(subject.truth_field,),
        is_read_twice=True,
    ) as feed:
        yield MeasuredItems(feed, subject)


class MeasuredItems:
    """The items of a feed, each with its true output; each reading is of the same file.

    The field with the true output is no part of the item.
    """

    def __init__(self, feed: Feed, subject: Subject) -> None:
        self._feed = feed
        self._subject = subject
        self._taker = FingerprintTaker()
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[Item | RefusedItem]:
        self._taker, self._digest = FingerprintTaker(), hashlib.sha256()
        for entry in self._entries():
            item, given = self._item(entry), self._given(entry.value)
            truth = self._subject.truth(given, entry.where)  # what cannot be read ends it
            if isinstance(item, Item) and self._subject.output is None:
                self._taker.add(LabelledRecord(item.text, cast("str | None", truth)))
            elif isinstance(item, Item):
                self._taker.add(LabelledRecord(item.text, None))
                content = json.dumps([item.text, given], sort_keys=True, default=str)
                self._digest.update(content.encode() + b"\n")
            yield item

    def look(self) -> tuple[list[Item], set[object]]:
        """Read the file once, before any work is done; return its first items, and its truths."""
        items = (item for item in self if isinstance(item, Item))
        sample = list(islice(items, _SAMPLE_ITEMS))
        return sample, {truth for truth, _ in self.beside() if truth is not None}

    def beside(self) -> Iterator[tuple[object | None, str]]:
        """Yield the true output of each item, or None, and the beginning of its text.

        Raises InvalidInput where the file was changed since its items were read.
        """
        for entry in self._entries():
            item = self._item(entry)
            text = item.text[:MAX_EXAMPLE_CHARS] if isinstance(item, Item) else ""
            yield self._subject.truth(self._given(entry.value), entry.where), text

    def fingerprint(self, description: str) -> DataFingerprint:
        """Return the fingerprint of the items that were read last.

        Of labelled texts it is that of a training on them.
        """
        found = self._taker.fingerprint(description)
        if self._subject.output is None:
            return found
        return found.model_copy(update={"sha256": self._digest.hexdigest()})

    def _entries(self) -> Iterator[Entry]:
        subject = self._subject
        yield from self._feed.source.entries((subject.truth_field, *(subject.rules.fields or ())))

    def _item(self, entry: Entry) -> Item | RefusedItem:
        value, rules = entry.value, self._subject.rules
        if isinstance(value, Mapping) and rules.fields is not None:
            value = {name: one for name, one in value.items() if name != self._subject.truth_field}
        return rules.entry(value, entry.position, entry.where)

    def _given(self, value: object) -> object:
        return value.get(self._subject.truth_field) if isinstance(value, Mapping) else None


#: Takes an answer with the item's name, its text, and its true output.
Note = Callable[[str, str, object | None, object | None], None]


@dataclass(frozen=True, slots=True)
class Asker:
    """Has versions answer items, by jobs."""

    client: Client
    subject: Subject
    parameters: Mapping[str, ParameterValue]
    screen: Screen

    def answer(
        self, ref: str, items: MeasuredItems, answers: Answers, note: Note = lambda *_: None
    ) -> tuple[JobRecord, float | None]:
        """Keep a version's answers to all items; return its job, and its items a second."""
        read, beside = OutputReader(self.subject.measure.output), items.beside()
        with (
            self._handed_in(ref, items) as handle,
            bulk_view(self.screen, handle.record) as view,
        ):
            with following(handle, view.show):
                for found in handle.results():
                    result, (truth, text) = read(found), next(beside)
                    output = result.output if isinstance(result, ItemSuccess) else None
                    answers.add(truth, output)
                    note(result.custom_id, text, truth, output)
            record = handle.wait()
            view.finish(record)
        return record, None if view.was_paused else rate_of(record)

    def try_out(self, ref: str, sample: list[Item], answers: Answers) -> None:
        """Keep a version's answers to a few items, which show nothing."""
        if not sample:
            return

        read = OutputReader(self.subject.measure.output)
        with self._handed_in(ref, sample) as handle:
            for found in handle.results():
                result = read(found)
                answers.add(None, result.output if isinstance(result, ItemSuccess) else None)

    @contextmanager
    def _handed_in(self, ref: str, items: MeasuredItems | list[Item]) -> Iterator[JobHandle]:
        send = partial(self._send, ref, items)
        with HandIn(client=self.client, screen=self.screen, send=send).waited_for() as begun:
            yield begun.handle

    def _send(self, ref: str, items: MeasuredItems | list[Item], job_id: str) -> JobHandle:
        parameters = dict(self.parameters)
        if self.subject.output is not None:
            return cast(
                "JobHandle",
                self.client.run(
                    items,
                    model=ref,
                    task=self.subject.task,
                    parameters=parameters,
                    job_id=job_id,
                ),
            )
        entry = self.client.catalog().get(ModelReference.parse(ref).name)
        parameters = asking_for_probabilities(entry) | parameters
        return cast(
            "JobHandle",
            self.client.classify(items, model=ref, parameters=parameters, job_id=job_id),
        )


def is_learnt(manifest: ModelManifest, data: DataFingerprint) -> bool:
    """Return True where a version was trained on these very texts."""
    learnt = manifest.data
    return learnt.sha256 == data.sha256 or (
        learnt.text_sha256 is not None and learnt.text_sha256 == data.text_sha256
    )


def _class_of(given: object, label_map: Mapping[str, str]) -> str | None:
    """Return a true class as the model calls it; None of what can be none."""
    try:
        label = label_of(given)
    except BadEntry:
        return None
    return None if label is None else label_map.get(label, label)
