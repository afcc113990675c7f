"""`seqd run`: a task that a model's plugin has named, such as `embed`, with each text or record.

What a task takes and gives is in the catalog: the input is read, and results are shown, by that.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seqd.admission import admit, fields_of, find_model
from seqd.cli import completion, options, readers
from seqd.cli.bulk import Result, print_line
from seqd.cli.job_options import TypedItems, takes_job_options
from seqd.cli.output_options import OutputOptions, takes_output_options
from seqd.cli.showing import shown
from seqd.cli.sources import Feed, refuse_text_as_file
from seqd.cli.submitting import Submission
from seqd.cli.ui.screen import Screen, data_goes_to_a_terminal
from seqd.cli.ui.texts import GenerationPrinter, LiveTexts
from seqd.client import Client, JobHandle
from seqd.client.requests import ItemOptions, items_job
from seqd.errors import InvalidRequest, UnknownModel
from seqd.inputs.items import ItemRules, task_rules
from seqd.kinds import TRAIN
from seqd.serving import starting_told
from seqd.validation import listed
from seqd_schemas import CatalogEntry, FileSource, TaskSchema

if TYPE_CHECKING:
    from seqd.client.tables import OutputField

_Parameters = Annotated[list[str] | None, options.parameters("task", "-p")]
_Texts = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="TEXT",
        help="A text, in place of a file; repeatable. For a task that takes records: a record as "
        "JSON.",
    ),
]
_Stream = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Of a task that writes a text: print it while it is written, and publish it for "
        "whoever reads the job's stream; or print each when it is whole.",
    ),
]


@takes_job_options(TypedItems)
@takes_output_options
@shown
def run(
    model: options.ModelArgument,
    task: Annotated[
        str | None,
        typer.Argument(
            help="A task of the model; `seqd models params MODEL` lists them.",
            autocompletion=completion.run_tasks,
        ),
    ] = None,
    file: options.Items = None,
    text: _Texts = None,
    param: _Parameters = None,
    format_name: options.InputFormatName = "auto",
    id_field: options.IdField = "custom_id",
    text_field: options.TextField = "text",
    stream: _Stream = None,
    detach: options.Detach = False,
    *,
    screen: Screen,
    given: ItemOptions,
    output: OutputOptions,
) -> None:
    """Do a task that the model's plugin has named, such as `embed`, with each text or record.

    Results keep the input's order. Exit status 2 when an item got an error instead.
    """
    from seqd.client.tables import fields_of

    given["parameters"] = readers.parameters(param)
    output = output.for_command(waits=not detach)
    task, texts = task or "", text or []
    with options.open_client() as client:
        schema = _checked_task(client, model, task, given, streams=bool(stream))
        rules = task_rules(schema, id_field, text_field)
        typed = _typed_items(texts, f"{model} {task}", schema)
        refuse_text_as_file(file)
        fields = fields_of(schema.result)
        is_for_people = not (screen.is_beside_json or detach)
        is_live = bool(texts) and is_for_people and output.is_plain and _is_live(stream, schema)

        def send(client: Client, feed: Feed | FileSource) -> JobHandle[Any]:
            streams = is_live or bool(stream)
            return client.run(feed, model=model, task=task, stream=streams, **given)

        submission = Submission(
            kind="run",
            file=file,
            texts=typed,
            fields={"format": format_name, "id_field": id_field, "text_field": text_field},
            output=output,
            screen=screen,
            detach=detach,
            given=given,
            send=send,
            printer=partial(_printer, screen, texts, schema, is_live=is_live),
            live=_live_results if is_live else None,
            rules=rules,
            output_fields=fields,
            beside=_columns_beside(output, fields, rules),
        )
        status = submission.run(client)
    raise typer.Exit(status)


def _columns_beside(
    output: OutputOptions, fields: "Sequence[OutputField]", rules: ItemRules
) -> tuple[str, ...]:
    """Return the columns of the input that go to the output and are no fields of a record.

    Raises InvalidRequest for all of them: which are no fields is not known before they are read.
    """
    from seqd.cli.result_columns import ALL, INPUT_PREFIX

    kept = output.wanted().beside(fields).of_input("run")
    of_record = rules.fields
    if of_record is None:
        return kept
    if ALL in kept:
        raise InvalidRequest(
            f"--keep is {ALL!r}; allowed for a task that takes records: the names of columns, such "
            "as --keep stars"
        )
    return tuple(name if name in of_record else name.removeprefix(INPUT_PREFIX) for name in kept)


def _checked_task(
    client: Client, model: str, task: str, given: ItemOptions, *, streams: bool
) -> TaskSchema:
    """Return the task's schema, after checking all that is known before the input is read.

    `task` is empty where none was typed. Raises what `seqd.admission.admit` does.
    """
    catalog = client.catalog()
    try:
        entry = find_model(model.partition("@")[0], catalog)
        _check_task_is_typed(entry, model, task)
        admit(items_job("run", (), model, given, task=task, stream=streams), catalog)
    except UnknownModel as error:
        raise UnknownModel(f"{error}{starting_told(client.workers())}") from None
    return entry.run_tasks[task]


def _check_task_is_typed(entry: CatalogEntry, model: str, task: str) -> None:
    """Raise InvalidRequest where no task was typed, or a file in its place."""
    tasks = entry.run_tasks
    is_file = task == "-" or os.path.isfile(task)  # noqa: PTH113 - too long a name raises there
    if task in entry.all_tasks or (task and not is_file):
        return
    where = f"{task!r} is a file, and a task is due in front of it" if task else "no task is given"
    if not tasks:
        raise InvalidRequest(
            f"{where}; {entry.model} has none that its plugin has named. It can: "
            f"{listed(entry.all_tasks)}, each a command of its own, such as `seqd "
            f"{next(iter(entry.all_tasks), TRAIN)}`"
        )
    example = f"seqd run {model} {next(iter(tasks))} {task or 'FILE'}"
    raise InvalidRequest(f"{where}; {entry.model} can: {listed(tasks)}. Such as: {example}")


def _typed_items(
    texts: list[str], what: str, schema: TaskSchema
) -> list[str | Mapping[str, object]]:
    """Return the texts of the command line, those of a task that takes records as records.

    `what` are model and task. Raises InvalidRequest for a text that is no record.
    """
    if schema.input is not None:
        return [_record(text, what, schema) for text in texts]
    for text in filter(os.path.isfile, texts):
        Screen(to_stderr=True).say(
            f"{text!r} was taken as a text. For those in the file: seqd run {what} {text}",
            "yellow",
        )
    return [*texts]


def _record(text: str, what: str, schema: TaskSchema) -> Mapping[str, object]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    raise InvalidRequest(
        f"--text is {text[:40]!r}; allowed for {what}: a record as JSON, with the fields "
        f"{fields_of(schema)}"
    )


def _live_results(client: Client, handle: JobHandle[Any], feed: Feed) -> Iterator[Result]:
    """Yield the results of typed texts; what they say is printed before, as it comes."""
    names = [entry.custom_id for entry in feed.source.items(lambda value: None)]
    printer = GenerationPrinter(Screen(), is_apart=False)
    return LiveTexts(printer, dict.fromkeys(names, "")).results_of(handle)


def _is_live(stream: bool | None, schema: TaskSchema) -> bool:
    """Return True where texts are printed as they come: as asked, or where a person reads them."""
    if stream is not None:
        return stream
    from seqd.cli.ui.outputs import is_text_alone

    return data_goes_to_a_terminal() and is_text_alone(schema)


def _printer(
    screen: Screen, texts: list[str], schema: TaskSchema, feed: Feed, *, is_live: bool
) -> Callable[[Result], None]:
    """Return what prints a result: words for a person, else lines of JSON."""
    if is_live:
        return lambda result: None  # printed by then
    if screen.is_beside_json or not data_goes_to_a_terminal():
        return print_line
    from seqd.cli.input_rows import InputRows
    from seqd.cli.ui.outputs import OutputPrinter, has_spans

    if getattr(feed.source, "state", None) is None or not has_spans(schema):
        return OutputPrinter(Screen(), schema, texts).show
    rows = InputRows(feed.source, (feed.text_field,))
    text_of = lambda custom_id: str(rows.of(custom_id).get(feed.text_field, ""))  # noqa: E731
    return OutputPrinter(Screen(), schema, [], text_of).show
