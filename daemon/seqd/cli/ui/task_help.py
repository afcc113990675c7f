"""Help of a model's own tasks, from the schemas that its workers publish."""

from collections.abc import Mapping

from seqd.cli.ui.params import field_columns, input_of, output_of, parameters_of
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import print_table
from seqd_schemas import CatalogEntry, TaskSchema


def print_tasks(
    screen: Screen, entry: CatalogEntry, model: str, tasks: Mapping[str, TaskSchema]
) -> None:
    """Print what tasks of a model do, take and give; `model` is as it was typed."""
    if not tasks:
        screen.say(
            f"{entry.model} has no task for `seqd run`. It can: {', '.join(entry.all_tasks)}; "
            f"their parameters: seqd models params {entry.model}"
        )
        return
    for name, task in tasks.items():
        _print_task(screen, model, name, task)
    screen.say("Options that all tasks have: seqd run --help", "dim")


def _print_task(screen: Screen, model: str, name: str, task: TaskSchema) -> None:
    screen.say(f"{model} {name}" + (f": {task.summary}" if task.summary else ""), "bold")
    screen.say(f"  seqd run {model} {name} FILE")
    screen.say(f"  seqd run {model} {name} --text {_example(task)}")
    screen.say()
    parameters = parameters_of(task)
    if parameters:
        print_table(screen, field_columns("parameter"), parameters)
    else:
        screen.say("It has no parameters.")
    screen.say()
    if task.input is None:
        may = "may" if task.allows_empty else "must not"
        screen.say(f"Its input is a text, which {may} be empty.")
    else:
        screen.say("Its input is a record; columns of a CSV or Parquet file are called so:")
        print_table(screen, field_columns("field"), input_of(task))
    screen.say()
    _print_output(screen, task)


def _print_output(screen: Screen, task: TaskSchema) -> None:
    result = task.result or {}
    title = str(result.get("title", "a record"))
    what = " ".join(str(result.get("description", "")).split())
    screen.say(f"Its output is {title}" + (f": {what}" if what else "."))
    print_table(screen, field_columns("field", is_output=True), output_of(task))
    screen.say()


def _example(task: TaskSchema) -> str:
    """Return what may stand behind `--text`."""
    if task.input is None:
        return '"..."'
    required = [one.name for one in input_of(task) if one.is_required and "." not in one.name]
    fields = ", ".join(f'"{name}": …' for name in required)
    return f"'{{{fields}}}'"
