"""Compares two versions with a plugin's own task, on items with true outputs.

Both have a job, one after the other; the file is read for each, its true outputs stay here.
"""

from functools import partial
from typing import TYPE_CHECKING

from seqd.admission import find_model, resolve_version
from seqd.analysis.comparison import Comparison
from seqd.analysis.task_comparison import PAIRED, PairedFigures, TaskAnswers, compare_tasks
from seqd.analysis.task_evaluation import Metric, metric_of, output_type
from seqd.cli import options
from seqd.cli.following import following, handed_in
from seqd.cli.models.comparison_options import CompareOptions, version_facts
from seqd.cli.models.evaluated_data import TaskData
from seqd.cli.models.task_evaluations import OwnTask, TruthFile, own_task, refuse_field_of_input
from seqd.cli.sources import feed_of
from seqd.cli.ui.screen import Screen
from seqd.client.comparing import rate_of, refuse_same
from seqd.client.outputs import OutputReader
from seqd.errors import InvalidData, InvalidInput, InvalidRequest
from seqd.inputs.items import task_rules
from seqd_schemas import ItemSuccess, ModelReference, TaskOutput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seqd.client import Client
    from seqd_schemas import CatalogEntry


def compare_own_tasks(
    task: OwnTask, second: str, data: str, given: CompareOptions, screen: Screen
) -> Comparison:
    """Return how the second version does a task beside the first, on the same data.

    Raises InvalidRequest for one version twice, and for what cannot be compared.
    """
    metric = metric_of(task.ref, task.name, task.schema)
    paired = _paired(task, given)
    own_task(second, task.name)  # refuses a model that lacks the task
    file = TruthFile(data, given.fields, given.label_field)
    rules = task_rules(task.schema, text_field=given.fields["text_field"])
    field = file.truth_field or metric.truth_field
    refuse_field_of_input(field, rules)
    read = metric.figures().truth
    answers, rates, read_data = [], [], []
    with (
        feed_of(data, [], given.fields, rules=rules, beside=(field,), is_read_twice=True) as feed,
        options.open_client() as client,
    ):
        refs = _pinned(client.catalog(), task.ref, second)
        for ref in refs:
            items = TaskData(feed, rules, field, read)
            found, rate = _answers(
                client, OwnTask(ref, task.name, task.schema), items, paired, metric, given, screen
            )
            answers.append(found)
            rates.append(rate)
            read_data.append(items.fingerprint(file.shown).sha256)
        facts = version_facts(client, refs, (rates[0], rates[1]))
    if read_data[0] != read_data[1]:
        raise InvalidInput(
            f"{file.shown} changed while it was read, so the two versions were not given the same "
            "items. Compare them again, on a file that nobody writes"
        )
    try:
        metrics = compare_tasks(paired, *answers)
    except ValueError:
        raise InvalidData(
            f"{file.shown} has no item with both a true output and two answers, so there is "
            f"nothing to compare. It is looked for in the field {field!r} (--label-field)"
        ) from None
    return Comparison(
        task=task.name,
        output=output_type(task.schema),
        errored=(answers[0].errored, answers[1].errored),
        data=file.shown,
        items=max(found.items for found in metrics.values()),
        first=facts[0],
        second=facts[1],
        metrics=metrics,
        answers=None,
        changes=(),
    )


def _paired(task: OwnTask, given: CompareOptions) -> PairedFigures:
    """Return the figures of a task's outputs; raise InvalidRequest for what they cannot do."""
    unfit = (("--changed", given.changed), ("--map-label", given.label_map))
    named = [name for name, value in unfit if value]
    if named:
        raise InvalidRequest(
            f"{' and '.join(named)} is for versions that classify; {task.ref!r} is measured by its "
            f"task {task.name!r}, leave it away"
        )
    kind = output_type(task.schema) or ""
    if kind not in PAIRED:
        raise InvalidRequest(
            f"the figures of {task.ref} {task.name} are of all items together, so there is no "
            "difference by item; allowed: versions that give Labels, Score, Spans or Text. `seqd "
            "models evaluate` gives the figures of each"
        )
    if given.metric is not None and given.metric not in PAIRED[kind].figures:
        raise InvalidRequest(
            f"--metric is {given.metric!r}; allowed of outputs of the type {kind}: "
            f"{', '.join(PAIRED[kind].figures)}"
        )
    return PAIRED[kind]


def _pinned(catalog: "Mapping[str, CatalogEntry]", first: str, second: str) -> tuple[str, str]:
    """Return both versions by number, so that no label moves meanwhile."""
    refs = []
    for given in (first, second):
        name, wanted = ModelReference.parse(given)
        refs.append(f"{name}@{resolve_version(find_model(name, catalog), wanted)}")
    refuse_same(refs[0], refs[1], first, second)
    return refs[0], refs[1]


def _answers(
    client: "Client",
    task: OwnTask,
    items: TaskData,
    paired: PairedFigures,
    metric: "Metric[object, TaskOutput]",
    given: CompareOptions,
    screen: Screen,
) -> tuple[TaskAnswers, float | None]:
    """Return a version's answers to all items, and its items a second, where known."""
    from seqd.cli.bulk import bulk_view

    answers, read = TaskAnswers(paired), OutputReader(metric.output)
    parameters = dict(given.parameters)
    send = partial(client.run, items, model=task.ref, task=task.name, parameters=parameters)
    with (
        handed_in(client, send, screen) as handle,
        bulk_view(screen, handle.record) as view,
    ):
        with following(handle, view.show):
            for found in handle.results():
                result = read(found)
                output = result.output if isinstance(result, ItemSuccess) else None
                answers.add(items.next_truth(), output)
        record = handle.wait()
        view.finish(record)
    return answers, None if view.was_paused else rate_of(record)
