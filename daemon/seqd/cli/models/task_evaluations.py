"""`seqd models evaluate` of a plugin's own task: its outputs beside true ones, by their type.

As for a classifier the items are those of a bulk job, and the true outputs stay here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from seqd.analysis.task_evaluation import Figures, Metric, metric_of, output_type
from seqd.cli import options
from seqd.cli.exits import MISTAKE, OK
from seqd.cli.following import following, handed_in
from seqd.cli.models.evaluated_data import TaskData, is_learnt
from seqd.cli.models.kept_evaluations import (
    keep_evaluation_here,
    now_ms,
    version_here,
)
from seqd.cli.showing import Found
from seqd.cli.sources import feed_of
from seqd.cli.ui.evaluations import print_evaluation
from seqd.cli.ui.screen import Screen
from seqd.client.outputs import OutputReader
from seqd.errors import InvalidData, InvalidRequest
from seqd.inputs.items import ItemRules, task_rules
from seqd.kinds import kind_of_task
from seqd.local.caller import caller
from seqd.validation import did_you_mean, listed
from seqd_schemas import (
    MAX_LISTED_CLASSES,
    Classification,
    ItemSuccess,
    ModelReference,
    ParameterValue,
    TaskOutput,
    VersionEvaluation,
)

if TYPE_CHECKING:
    from seqd.analysis.task_report import TaskReport
    from seqd.client import JobHandle
    from seqd_schemas import CatalogEntry, DataFingerprint, JsonOutput, TaskSchema


@dataclass(frozen=True, slots=True)
class OwnTask:
    """A task that a model's plugin has named."""

    #: The version, as it was given.
    ref: str
    name: str
    schema: "TaskSchema"


@dataclass(frozen=True, slots=True)
class TruthFile:
    """The file with the items, and where their true outputs are."""

    name: str
    fields: Mapping[str, str]
    #: The field with the true output; None: that of the output's type.
    truth_field: str | None

    @property
    def shown(self) -> str:
        """Return the file as people know it."""
        return "standard input" if self.name == "-" else Path(self.name).name


@dataclass(slots=True)
class _Counted:
    """The items of a job: those in the figures, and those that are not."""

    metric: Metric[object, TaskOutput]
    figures: Figures[object, TaskOutput]
    items: int = 0
    unlabelled: int = 0
    errored: int = 0


def own_task(ref: str, task: str | None) -> OwnTask | None:
    """Return the task to evaluate where it is one of the plugin's own; None of a classification.

    None, too, of a model that is not published: the job says so. Raises InvalidRequest for a task
    that the model lacks, and for no task where it has several.
    """
    with options.open_client() as client:
        entry = client.catalog().get(ModelReference.parse(ref).name)
    if entry is None:
        return None
    name = task_to_measure(entry, task)
    return None if name is None else OwnTask(ref, name, entry.run_tasks[name])


def task_to_measure(entry: "CatalogEntry", task: str | None) -> str | None:
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


def evaluate_task(
    task: OwnTask, data: TruthFile, given: Mapping[str, ParameterValue], screen: Screen
) -> None:
    """Run the task, print the figures and keep them; exit with 2 where an item got an error."""
    metric = metric_of(task.ref, task.name, task.schema)
    field = data.truth_field or metric.truth_field
    rules = task_rules(task.schema, text_field=data.fields["text_field"])
    refuse_field_of_input(field, rules)
    counted = _Counted(metric, metric.figures())
    with (
        feed_of(
            data.name, [], data.fields, rules=rules, beside=(field,), is_read_twice=True
        ) as feed,
        options.open_client() as client,
    ):
        catalog = client.catalog()  # before the work: when it is done Redis may be away
        items = TaskData(feed, rules, field, counted.figures.truth)
        send = partial(client.run, items, model=task.ref, task=task.name, parameters=dict(given))
        with handed_in(client, send, screen) as handle:
            _count(counted, handle, items, screen)
        record = handle.record()
    if not counted.items:
        raise InvalidData(
            f"{data.shown} has no record with both a true output and an answer, so there is "
            f"nothing to evaluate. It is looked for in the field {field!r} (--label-field)"
        )
    report = counted.figures.report()
    here = version_here(catalog.get(record.model), record.version)
    fingerprint = items.fingerprint(data.shown)
    is_known = here is not None and is_learnt(here.manifest, fingerprint)
    evaluation = _evaluation(task, counted, report, fingerprint, given, is_known=is_known)
    model = str(ModelReference(record.model, record.version))
    Found(
        _record_of(evaluation, report, model),
        lambda screen: print_evaluation(screen, evaluation, model=model),
    ).print_on(screen)
    screen.say(keep_evaluation_here(here.manifest if here else None, evaluation), "dim")
    raise typer.Exit(MISTAKE if counted.errored else OK)


def refuse_field_of_input(field: str, rules: ItemRules) -> None:
    """Raise InvalidRequest for a true output that the model would read."""
    if field in (rules.fields or (rules.text_field,)):
        raise InvalidRequest(
            f"the true output is looked for in the field {field!r}, which is a field of the "
            "task's input; name another one by --label-field"
        )


def _count(
    counted: _Counted, handle: "JobHandle[JsonOutput]", items: TaskData, screen: Screen
) -> None:
    """Read the job's results, and count each with the true output of its item."""
    from seqd.cli.bulk import bulk_view

    read = OutputReader(counted.metric.output)
    with bulk_view(screen, handle.record) as view:
        with following(handle, view.show):
            for found in handle.results():
                result = read(found)
                truth = items.next_truth()
                if not isinstance(result, ItemSuccess):
                    counted.errored += 1
                elif truth is None:
                    counted.unlabelled += 1
                else:
                    counted.items += 1
                    counted.figures.add(truth, result.output)
        view.finish(handle.wait())


def _evaluation(
    task: OwnTask,
    counted: _Counted,
    report: "TaskReport",
    data: "DataFingerprint",
    given: Mapping[str, ParameterValue],
    *,
    is_known: bool,
) -> VersionEvaluation:
    """Return the record that is kept; of many labels it has the most frequent."""
    return VersionEvaluation(
        data=data,
        is_training_data=is_known,
        at_ms=now_ms(),
        by=caller(),
        task=task.name,
        output=output_type(task.schema),
        parameters=dict(given),
        items=report.items,
        unlabelled=counted.unlabelled,
        errored=counted.errored,
        beyond_limit=report.beyond_limit,
        metrics=report.metrics,
        classes=report.classes[:MAX_LISTED_CLASSES],
    )


def _record_of(
    evaluation: VersionEvaluation, report: "TaskReport", model: str
) -> dict[str, object]:
    figures = report.metrics.items()
    return (
        {
            "model": model,
            "data": evaluation.data.description,
            "task": evaluation.task,
            "output": evaluation.output,
            "items": evaluation.items,
            "unlabelled": evaluation.unlabelled,
            "errored": evaluation.errored,
            "beyond_limit": evaluation.beyond_limit,
        }
        | {name: one.value for name, one in figures}
        | {
            "intervals": {name: (one.low, one.high) for name, one in figures if one.method},
            "classes": [one.model_dump(exclude={"is_known"}) for one in report.classes],
        }
    )
