"""Sample requests for a task of a model, for each client: made from what the fleet publishes of it.

A record has a value for each field that it must have, and a parameter that has no default one that
its bounds allow. All else is left to the defaults.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Final, cast

from pydantic import JsonValue

from seqd.kinds import CLASSIFY, GENERATE, TRAIN, kind_of_task
from seqd.models.made_records import value_of
from seqd.parameters import Schema
from seqd_schemas import CatalogEntry, TaskSchema

#: Text of an item, and of the records that a training learns from.
_TEXT: Final = "A text."
_LABELLED: Final = (
    ("A fine day and a good book.", "good"),
    ("A grey day and a bad cold.", "bad"),
    ("What a good idea.", "good"),
    ("What a bad joke.", "bad"),
)
#: The file of a training, where the sample names one.
TRAINING_FILE: Final = "train.jsonl"


def python_sample(entry: CatalogEntry, task: str) -> str:
    """Return a program that does a task with one item, or trains, and prints what comes out."""
    fixed = {"model": entry.model}
    if kind_of_task(task).task is None:
        fixed["task"] = task
    parameters = _parameters(entry.all_tasks[task])
    options = "".join(f", {name}={_code(value)}" for name, value in fixed.items())
    options += f", parameters={_code(parameters)}" if parameters else ""
    items = _training_records(entry) if task == TRAIN else [_item(entry.all_tasks[task])]
    lines = [f"    {_code(item)}," for item in items]
    end = (
        "    print(job.trained_version())"
        if task == TRAIN
        else "    for result in job.results():\n        print(result)"
    )
    return "\n".join(
        [
            "from seqd.client import Client",
            "",
            "items = [",
            *lines,
            "]",
            "with Client() as client:",
            f"    job = client.{kind_of_task(task).task or 'run'}(items{options})",
            end,
            "",
        ]
    )


def shell_sample(entry: CatalogEntry, task: str) -> str:
    """Return the command that does a task with one item, or trains on a file that it writes."""
    parameters = _parameters(entry.all_tasks[task])
    options = "".join(
        f" --set {shlex.quote(f'{name}={_typed(value)}')}" for name, value in parameters.items()
    )
    if task == TRAIN:
        records = [json.dumps(record) for record in _training_records(entry)]
        written = "\n".join([f"cat > {TRAINING_FILE} <<'END'", *records, "END"])
        return f"{written}\nseqd {TRAIN} {entry.model} --data {TRAINING_FILE}{options}\n"
    item = _item(entry.all_tasks[task])
    text = shlex.quote(item if isinstance(item, str) else json.dumps(item, ensure_ascii=False))
    if task == CLASSIFY:
        return f"seqd {task} --model {entry.model} --text {text}{options}\n"
    if task == GENERATE:
        return f"seqd {task} {entry.model} --prompt {text}{options}\n"
    return f"seqd run {entry.model} {task} --text {text}{options}\n"


def inbox_sample(entry: CatalogEntry, task: str) -> str:
    """Return a job as JSON, as the field `job` of an entry of the inbox has it.

    A training's names the file `TRAINING_FILE` in a folder that workers read, SEQD_INPUT_ROOTS.
    """
    kind = kind_of_task(task).task
    job: dict[str, JsonValue] = {"kind": kind or "run", "model": entry.model}
    if kind is None:
        job["task"] = task
    parameters = _parameters(entry.all_tasks[task])
    if parameters:
        job["parameters"] = parameters
    item = None if task == TRAIN else _item(entry.all_tasks[task])
    if item is None:
        job["source"] = {"type": "file", "path": f"/data/{TRAINING_FILE}"}
    elif isinstance(item, str):
        job["source"] = {"type": "inline", "items": [{"custom_id": "1", "text": item}]}
    else:
        job["source"] = {"type": "records", "items": [{"custom_id": "1", "input": item}]}
    return json.dumps(job, indent=2, ensure_ascii=False) + "\n"


#: Samples by the name of the client.
SAMPLES: Final = {"python": python_sample, "shell": shell_sample, "inbox": inbox_sample}


def _item(task: TaskSchema) -> str | dict[str, JsonValue]:
    return _TEXT if task.input is None else _record(task.input, task.input)


def _training_records(entry: CatalogEntry) -> list[dict[str, str]]:
    """Return what to learn from, with labels for a model that classifies."""
    if CLASSIFY not in entry.tasks:
        return [{"text": text} for text, _ in _LABELLED]
    return [{"text": text, "label": label} for text, label in _LABELLED]


def _parameters(task: TaskSchema) -> dict[str, JsonValue]:
    """Return a value for each parameter that has no default."""
    required = {*cast("Sequence[str]", task.parameters.get("required", ()))}
    fields = cast("Mapping[str, Schema]", task.parameters.get("properties", {}))
    return {
        name: _value(field, task.parameters) for name, field in fields.items() if name in required
    }


def _record(schema: Schema, root: Schema) -> dict[str, JsonValue]:
    """Return the first of a schema's own examples, or the fields that a record must have."""
    examples = cast("Sequence[dict[str, JsonValue]]", schema.get("examples", ()))
    if examples:
        return dict(examples[0])
    fields = cast("Mapping[str, Schema]", schema.get("properties", {}))
    required = cast("Sequence[str]", schema.get("required", ()))
    names = [name for name in fields if name in required] or list(fields)[:1]
    return {name: _value(fields[name], root) for name in names}


def _value(field: Schema, root: Schema) -> JsonValue:
    """Return a value that a field's schema allows: one that it names, else by its bounds."""
    examples = cast("Sequence[JsonValue]", field.get("examples", ()))
    return examples[0] if examples else value_of(field, root, _TEXT)


def _code(value: object) -> str:
    """Return a value as Python has it, texts in the quotes of JSON."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        parts = (f"{_code(name)}: {_code(part)}" for name, part in value.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_code, value))}]"
    return repr(value)


def _typed(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
