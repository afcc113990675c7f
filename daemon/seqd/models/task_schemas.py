"""What workers publish of a plugin's model: its description, and the schemas of its tasks."""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel, JsonValue, ValidationError

from seqd.errors import PluginFault
from seqd.hookspecs import Model, TaskSpec
from seqd.kinds import kind_of_task
from seqd.parameters import schema_of
from seqd.validation import fault_sentence, faults_of
from seqd_schemas import CatalogEntry, PluginState, PluginStatus, TaskSchema

#: What names in a description are, by the field that has them.
_NAMES: Final = {
    "datasets": "A data set's name has two parts, such as 'keras:imdb'.",
    "presets": "A preset's name is 1 to 40 lower case letters, digits, underscores and dashes, and "
    "begins with a letter.",
}

#: Keywords of a JSON Schema that are for people: changing them changes no output.
_FOR_PEOPLE: Final = frozenset({"title", "description", "examples", "default"})


def described(model: Model, status: PluginStatus, now_ms: int) -> dict[str, object]:
    """Return what an entry says of a plugin's model, whatever is in the store."""
    tasks = {task: task_schema(spec) for task, spec in model.tasks.items()}
    return {
        "model": model.name,
        "made_with": model.name,
        "summary": model.summary,
        "plugin": status.name,
        "plugin_version": status.version,
        "tasks": {task: one for task, one in tasks.items() if kind_of_task(task).task is not None},
        "run_tasks": {task: one for task, one in tasks.items() if kind_of_task(task).task is None},
        "presets": {name: dict(values) for name, values in model.presets.items()},
        "datasets": tuple(model.datasets),
        "versions": (),
        "labels": {},
        "published_at_ms": now_ms,
    }


def check_publishable(model: Model) -> None:
    """Check that the wire takes a model's description. Raises PluginFault.

    Found at load, so that no worker stumbles when it publishes.
    """
    plugin = PluginStatus(name="", distribution="", version="", state=PluginState.READY)
    try:
        CatalogEntry.model_validate(described(model, plugin, now_ms=0))
    except ValidationError as error:
        fault = faults_of(error)[0]
        where = fault.field.partition(".")[0]
        if where in _NAMES and fault.rule in ("string_pattern_mismatch", "string_type"):
            raise PluginFault(
                f"model {model.name!r} names {fault.value} in its {where}. {_NAMES[where]}"
            ) from None
        raise PluginFault(
            f"model {model.name!r} cannot be published: {fault_sentence(error)}."
        ) from None


def task_schema(spec: TaskSpec) -> TaskSchema:
    """Return what is published of a task."""
    given = None if spec.input is None else input_schema(spec.input)
    made = None if spec.output is None else output_schema(spec.output)
    digest = None
    if made is not None:  # of both schemas without what is for people
        content = json.dumps([bare(given), bare(made)], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
    return TaskSchema(
        parameters=dict(schema_of(spec.parameters)),
        unit_items=spec.unit_items,
        output=spec.bound,
        summary=spec.summary,
        input=given,
        result=made,
        allows_empty=spec.allows_empty,
        digest=digest,
    )


def input_schema(record: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the JSON Schema of a record that a task takes."""
    return record.model_json_schema()


def output_schema(output: type[BaseModel]) -> dict[str, JsonValue]:
    """Return the JSON Schema of what a task gives."""
    return output.model_json_schema(mode="serialization")


def bare(schema: object, *, names_fields: bool = False) -> object:
    """Return a schema without what is for people; a field may be called `title`."""
    if isinstance(schema, list | tuple):
        return [bare(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        name: bare(part, names_fields=name in ("properties", "$defs") and not names_fields)
        for name, part in schema.items()
        if names_fields or name not in _FOR_PEOPLE
    }
