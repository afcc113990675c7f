"""What the tasks of a model take and give, as tables: parameters, input, output and limits."""

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from seqd.cli.ui.params import Parameter, field_columns, fields_of, input_of, parameters_of
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
    for name, values in entry.presets.items():
        screen.say(f"preset {name}: {values_line(values)}")
    print_tasks(screen, entry)


def print_tasks(screen: Screen, entry: CatalogEntry) -> None:
    """Print what each task of a model takes and gives."""
    for task, schema in entry.all_tasks.items():
        _print_task(screen, entry, task, schema)


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


def _print_task(screen: Screen, entry: CatalogEntry, task: str, schema: TaskSchema) -> None:
    title = f"{entry.model} {task}"
    screen.say()
    parameters = parameters_of(schema)
    if parameters:
        print_table(screen, _columns("parameter"), parameters, title=title)
    else:
        screen.say(f"{title}: no parameters", "bold")
    if schema.input is not None:
        screen.say()
        records = f"{title}, input: records"
        print_table(screen, _columns("field"), input_of(schema), title=records)
    fields = _output_fields(task, schema)
    if fields:
        screen.say()
        name = str(_output(task, schema).get("title", "a record"))
        columns = [one for one in field_columns("field", is_output=True) if one.name != "allowed"]
        print_table(screen, columns, fields, title=f"{title}, output: {name}")
    for limit in _limits(entry, task, schema):
        screen.say(limit, "dim")


def _columns(name: str) -> list[Column[Parameter]]:
    """Return fewer columns than `seqd models params` has: what is allowed is in the last one."""
    return [
        Column(name, lambda one: one.name),
        Column("default", lambda one: one.default_shown),
        Column("what it is", _what_it_is, wraps=True),
    ]


def _what_it_is(one: Parameter) -> str:
    allowed = f" Allowed: {one.allowed}." if one.allowed else ""
    return f"{' '.join(one.description.split())}{allowed}".lstrip()


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


def schemas_of(entries: Sequence[CatalogEntry]) -> Mapping[str, JsonValue]:
    """Return the JSON Schemas of what models can do, by `MODEL.TASK.WHAT`."""
    import json

    from seqd_schemas import task_schemas

    return {
        name: json.loads(text) for entry in entries for name, text in task_schemas(entry).items()
    }
