"""What the tasks of a model take and give, as tables: parameters, input, output and limits."""

from collections.abc import Sequence

from pydantic import JsonValue

from seqd.cli.ui.params import Parameter, fields_of, input_of, parameters_of
from seqd.cli.ui.screen import Screen
from seqd.cli.ui.tables import Column, print_table, values_line
from seqd.kinds import kind_of_task
from seqd.parameters import Schema
from seqd_schemas import CatalogEntry, TaskSchema


def print_model(screen: Screen, entry: CatalogEntry) -> None:
    """Print one model: what it is, its presets, and what each task takes and gives."""
    screen.say()
    screen.say(entry.model, "bold")
    screen.say(entry.summary)
    if entry.datasets:
        screen.say(f"data sets: {', '.join(entry.datasets)}")
    print_presets(screen, entry)
    for task in entry.all_tasks:
        screen.say()
        print_task(screen, entry, task)


def print_presets(screen: Screen, entry: CatalogEntry) -> None:
    """Print the presets of a model's training, with their values."""
    for name, values in entry.presets.items():
        screen.say(f"preset {name}: {values_line(values)}")


def print_task(screen: Screen, entry: CatalogEntry, task: str) -> None:
    """Print what a task of a model takes and gives."""
    schema = entry.all_tasks[task]
    title = f"{entry.model} {task}"
    if schema.summary:
        screen.say(f"{title}: {schema.summary}", "bold")
    if parameters := parameters_of(schema):
        print_table(screen, _taken("parameter"), parameters, title=title)
    else:
        screen.say(f"{title}: no parameters", "bold")
    if schema.input is not None:
        screen.say()
        print_table(screen, _taken("field"), input_of(schema), title=f"{title}, input: records")
    if fields := _output_fields(task, schema):
        screen.say()
        name = str(_output(task, schema).get("title", "a record"))
        screen.say(f"{title}, output: {name}", "bold")
        if described := " ".join(str((schema.result or {}).get("description", "")).split()):
            screen.say(described)
        print_table(screen, _GIVEN, fields)
    for limit in _limits(entry, task, schema):
        screen.say(limit, "dim")


def contract_of(entry: CatalogEntry) -> dict[str, JsonValue]:
    """Return the same as a program reads it, by task."""
    return {
        task: {
            "parameters": [row.as_json() for row in parameters_of(schema)],
            "input": [row.as_json() for row in input_of(schema)],
            "output": [row.as_json() for row in _output_fields(task, schema)],
            "limits": [*_limits(entry, task, schema)],
        }
        for task, schema in entry.all_tasks.items()
    }


def _taken(name: str) -> list[Column[Parameter]]:
    """Return what tables say of what a task takes; `name` heads the first of them."""
    return [
        Column(name, lambda one: one.name),
        Column("default", lambda one: one.default_shown),
        # The type has no column of its own here.
        Column("what it is", lambda one: _described(one, one.allowed or one.type), wraps=True),
    ]


def _described(one: Parameter, allowed: str) -> str:
    described = " ".join(one.description.split())
    return f"{described} Allowed: {allowed}.".lstrip() if allowed else described


def _given(one: Parameter) -> str:
    return _described(one, "" if one.allowed == one.type else one.allowed)


#: What tables say of what a task gives.
_GIVEN: tuple[Column[Parameter], ...] = (
    Column("field", lambda one: one.name),
    Column("type", lambda one: one.type),
    Column("what it is", _given, wraps=True),
)


def _output(task: str, schema: TaskSchema) -> Schema:
    """Return the JSON Schema of what comes out for an item; empty of a training."""
    named = kind_of_task(task).output
    return named.model_json_schema() if named is not None else schema.result or {}


def _output_fields(task: str, schema: TaskSchema) -> Sequence[Parameter]:
    return [one for one in fields_of(_output(task, schema)) if not one.is_fixed]


def _limits(entry: CatalogEntry, task: str, schema: TaskSchema) -> list[str]:
    """Return what bounds an item and a unit, a sentence each."""
    if not kind_of_task(task).has_items:
        return []
    limits = list[str]()
    if schema.input is None:
        is_empty = schema.allows_empty or kind_of_task(task).allows_empty
        limits.append(f"A text {'may' if is_empty else 'must not'} be empty.")
    bound = schema.output
    if bound is not None:
        most = min(bound.max_characters, entry.max_output_characters or bound.max_characters)
        product = " x ".join([*bound.factors, *(f"values of {name}" for name in bound.lists)])
        limits.append(f"One item writes at most {most:,} characters; its symbols: {product}.")
    limits.append(f"A unit of work has {schema.unit_items:,} items.")
    return limits
