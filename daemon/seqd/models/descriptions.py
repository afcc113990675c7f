"""Checks of a model's description, made without loading the model.

The classes of its parameters, outputs and inputs (O3) are published as JSON Schemas, so that
clients without the plugin can check by them. So what a check reads is the schema, and what the
schema does not say, such as a bound that a validator knows, does not count. What the wire alone
refuses, such as a name of a data set, `task_schemas.check_publishable` tells.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias, cast

from pydantic import BaseModel, JsonValue, PydanticUserError, TypeAdapter, ValidationError

from seqd import __version__
from seqd.errors import InvalidParameters, PluginFault, all_told
from seqd.hookspecs import PLUGIN_API_VERSION, Model, Needs, PluginParameters, TaskSpec
from seqd.kinds import KINDS, TRAIN, kind_of_task
from seqd.models.task_schemas import bare, input_schema, output_schema
from seqd.parameters import check_parameters, fields_of, schema_of
from seqd.validation import MODEL_NAME, did_you_mean, fault_sentence, listed
from seqd_schemas import (
    ERROR_COLUMNS,
    ITEM_COLUMNS,
    MAX_RECORD_FIELDS,
    MAX_RUN_TASKS,
    NAMED_OUTPUTS,
    RESERVED_TASKS,
    ItemError,
    OutputBound,
    Parameters,
    ParameterValue,
)

Schema: TypeAlias = Mapping[str, JsonValue]

#: Characters that one schema may have as JSON.
MAX_SCHEMA_CHARS: Final = 65_536

#: Formats of a text that bound its length.
_SHORT_FORMATS: Final = frozenset({"date", "date-time", "time", "uuid"})

#: Fields that name an item, and so are none of its record.
_NAMES_OF_ITEMS: Final = ("custom_id", "id")

#: What parameters are on the wire; turns a tuple into the list that JSON has.
_PARAMETERS: TypeAdapter[dict[str, ParameterValue]] = TypeAdapter(Parameters)


def check_parameters_class(where: str, parameters: object) -> None:
    """Check one task's parameter class (clause O1). Raises PluginFault."""
    if not (isinstance(parameters, type) and issubclass(parameters, PluginParameters)):
        raise PluginFault(
            f"{where}: its parameters are {parameters!r:.80}. "
            "Use a subclass of seqd.hookspecs.PluginParameters."
        )
    faults: list[str] = []
    if parameters.model_config.get("extra") != "forbid":
        faults.append(
            f"{parameters.__name__} takes unknown parameters. Leave its model_config "
            'at extra="forbid", so that a typing mistake is refused.'
        )
    schema = schema_of(parameters)
    for name, field in fields_of(schema).items():
        at = f"parameter {name!r}"
        if not field.get("description"):
            faults.append(f"{at} has no description. Say in a sentence what it does.")
        faults += _open_parts(at, field, schema, is_record=False)
    _refuse_all(where, [*faults, *_wrong_defaults(parameters)])


def _wrong_defaults(parameters: type[PluginParameters]) -> list[str]:
    """Return the defaults outside their own bounds, which pydantic does not check."""
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in parameters.model_fields.items()
        if not field.is_required()
    }
    try:
        parameters.model_validate(defaults)
    except ValidationError as error:
        return [
            f"the default of parameter {next(iter(fault['loc']), '?')!r} is "
            f"{fault['input']!r:.80}: {fault['msg']}."
            for fault in error.errors()
            if fault["type"] != "missing"
        ]
    return []


def check_preset(
    model: str,
    preset: str,
    values: Mapping[str, ParameterValue],
    parameters: type[PluginParameters],
) -> None:
    """Check that a preset is a valid set of training parameters. Raises PluginFault."""
    try:
        sent = _PARAMETERS.validate_python(dict(values))
        check_parameters(schema_of(parameters), sent, model=model, task=TRAIN)
        parameters.model_validate(sent)
    except InvalidParameters as error:
        raise PluginFault(f"preset {preset!r} of {error}") from None
    except ValidationError as error:
        fault = fault_sentence(error, whole="the whole", shows_value=False)
        raise PluginFault(f"preset {preset!r} of {model} train: {fault}") from None


def check_run_task(where: str, spec: TaskSpec) -> None:
    """Check the output and the input of a task of the plugin's own. Raises PluginFault."""
    if not _is_record(spec.output):
        raise PluginFault(
            f"{where}: its output is {spec.output!r:.80}, which is no pydantic model. Use one of "
            "seqd_schemas, such as Embedding, or a class that derives from TaskOutput."
        )
    output = cast("type[BaseModel]", spec.output)
    if issubclass(output, ItemError):
        raise PluginFault(
            f"{where}: its output is ItemError, which an item has that has no output."
        )
    _check_output(f"{where}: output {output.__name__}", output)
    if spec.input is None:
        return
    if not _is_record(spec.input):
        raise PluginFault(
            f"{where}: its input is {spec.input!r:.80}, which is no pydantic model. Leave it out "
            "for texts, or use a class that derives from pydantic.BaseModel."
        )
    _check_input(f"{where}: input {spec.input.__name__}", spec.input)


def _is_record(given: object) -> bool:
    return isinstance(given, type) and issubclass(given, BaseModel)


def _check_output(where: str, output: type[BaseModel]) -> None:
    written = _checked_schema(where, output, is_output=True)
    if any(record.get("additionalProperties") for record in _records(written)):
        raise PluginFault(
            f"{where} takes unknown fields. Declare all of them, and leave its model_config at "
            'extra="forbid".'
        )
    _check_round_trip(where, written, output)
    names = _parts(written, "properties")
    kind = names.get("type", {})
    for value in (
        kind.get("const"),
        kind.get("default"),
        *cast("list[object]", kind.get("enum", [])),
    ):
        if value in NAMED_OUTPUTS:  # by which a reader would take it for that one
            raise PluginFault(
                f"{where}: its type is {value!r}, which is that of another output. Choose another "
                "one."
            )
    for name in (*ITEM_COLUMNS, *ERROR_COLUMNS):
        if name in names and f"output_{name}" in names:
            raise PluginFault(
                f"{where} has the fields {name!r} and 'output_{name}', which are one column of a "
                "table. Rename one of them."
            )


def _check_input(where: str, record: type[BaseModel]) -> None:
    schema = _checked_schema(where, record, is_output=False)
    if any(part.get("additionalProperties") is not False for part in _records(schema)):
        raise PluginFault(
            f'{where} takes unknown fields. Give it model_config = ConfigDict(extra="forbid"), so '
            "that a typing mistake is refused."
        )
    for name in _NAMES_OF_ITEMS:
        if name in _parts(schema, "properties"):
            raise PluginFault(f"{where} has a field {name!r}, which names an item. Rename it.")


def _checked_schema(where: str, given: type[BaseModel], *, is_output: bool) -> Schema:
    """Return the schema of a class, all of whose fields are described and bounded."""
    try:
        schema = output_schema(given) if is_output else input_schema(given)
    except (PydanticUserError, TypeError, ValueError) as error:  # such as of any Python object
        first_line = str(error).splitlines()[0].partition(";")[0].rstrip(".")
        raise PluginFault(
            f"{where} has no JSON Schema: {first_line}. Use numbers, texts, truth values, lists, "
            "mappings and records of these."
        ) from None
    if "$ref" in schema:
        raise PluginFault(
            f"{where} refers to itself. Put what repeats into a class of its own, which is the "
            "type of a field of it."
        )
    size = len(json.dumps(schema))
    if size > MAX_SCHEMA_CHARS:
        raise PluginFault(
            f"{where} has a JSON Schema of {size:,} characters; allowed: {MAX_SCHEMA_CHARS:,}."
        )
    count = len(_parts(schema, "properties"))
    if not 1 <= count <= MAX_RECORD_FIELDS:
        raise PluginFault(f"{where} has {count} fields; allowed: 1 to {MAX_RECORD_FIELDS}.")
    faults: list[str] = []
    for name, field in _all_fields(schema).items():
        at = f"field {name!r}"
        if not field.get("description") and "$ref" not in field and "const" not in field:
            faults.append(f"{at} has no description. Say in a sentence what it is.")
        faults += _open_parts(at, field, schema, is_record=True)
    _refuse_all(where, faults)
    return schema


def _check_round_trip(where: str, written: Schema, output: type[BaseModel]) -> None:
    """Refuse what is not read as it is written: computed fields, aliases, serializers."""
    to_write, to_read = _all_fields(written), _all_fields(input_schema(output))
    names = set(output.model_fields) - {*to_write}
    if differing := sorted((to_write.keys() ^ to_read.keys()) | names):
        raise PluginFault(
            f"{where}: the field {differing[0]!r} is written and not read, or read and not "
            "written. Leave out computed fields and aliases."
        )
    for name, field in to_write.items():
        if bare(field) != bare(to_read[name]):
            raise PluginFault(
                f"{where}: the field {name!r} is written in another form than it is read. Leave "
                "out serializers, and use types that JSON has."
            )


def _refuse_all(where: str, faults: Sequence[str]) -> None:
    """Raise PluginFault with all that is wrong with one class, so that it is mended at once."""
    if faults:
        raise PluginFault(f"{where}: {all_told(faults)}")


def _parts(schema: Schema, name: str) -> Mapping[str, Schema]:
    return cast("Mapping[str, Schema]", schema.get(name, {}))


def _records(schema: Schema) -> list[Schema]:
    """Return a record, and the records in it."""
    return [schema, *(part for part in _parts(schema, "$defs").values() if "properties" in part)]


def _all_fields(schema: Schema) -> dict[str, Schema]:
    """Return the fields of a record and of the records in it, those as `Span.start`."""
    inner = {
        f"{name}.{field}": content
        for name, part in _parts(schema, "$defs").items()
        for field, content in _parts(part, "properties").items()
    }
    return {**_parts(schema, "properties"), **inner}


def _open_parts(at: str, field: Schema, root: Schema, *, is_record: bool) -> list[str]:
    """Return what the parts of a field leave open, each once."""
    missing = _missing_of_record if is_record else _missing_bound
    said = dict.fromkeys(map(missing, _parts_of(field, root)))
    return [f"{at} {one}" for one in said if one]


def _parts_of(field: Schema, root: Schema, seen: frozenset[str] = frozenset()) -> Iterator[Schema]:
    """Yield every schema that a value of the field may have to meet.

    Those of a list's elements and of a mapping's values too; of a record that a `$ref` names, the
    record and not its fields. `seen` has the names that led here, which may lead back.
    """
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        if name not in seen:
            yield from _parts_of(_parts(root, "$defs")[name], root, seen | {name})
        return
    inner = cast("list[Schema]", field.get("anyOf") or field.get("oneOf") or [])
    if not inner:
        yield field
    elements = [
        field.get("items"),
        field.get("additionalProperties"),
        *cast("list[Schema]", field.get("prefixItems", [])),
        *_parts(field, "patternProperties").values(),
    ]
    for part in [*inner, *elements]:
        if isinstance(part, Mapping):
            yield from _parts_of(part, root, seen)


def _missing_of_record(part: Schema) -> str:
    """Say what a part of a record leaves open, as the end of a sentence; nothing if bounded."""
    kind = part.get("type")
    if part.get("uniqueItems"):
        return "is a set, which has no order. Use a tuple."
    if kind == "object" and not part.get("properties"):
        return _missing_of_mapping(part)
    if kind == "object" or (kind == "array" and "prefixItems" in part and "maxItems" in part):
        return ""  # its fields, or its places, are looked at one by one
    if kind == "string" and part.get("format") in _SHORT_FORMATS:
        return ""
    return _missing_bound(part)


def _missing_of_mapping(part: Schema) -> str:
    keys = _parts(part, "propertyNames")
    if "enum" in keys or "const" in keys:
        return ""
    if "maxProperties" not in part:
        return "is a mapping without max_length. Give it one, or use a record of declared fields."
    if "maxLength" not in keys:
        return (
            "is a mapping whose keys have no max_length. Give them one, such as "
            "Annotated[str, Field(max_length=64)]."
        )
    return ""


def _missing_bound(part: Schema) -> str:
    """Say what a schema leaves open, as the end of a sentence; nothing when it is bounded."""
    kind = part.get("type")
    if "enum" in part or "const" in part or kind in ("boolean", "null"):
        return ""
    if kind in ("integer", "number"):
        low = "minimum" in part or "exclusiveMinimum" in part
        high = "maximum" in part or "exclusiveMaximum" in part
        return "" if low and high else "is a number without bounds. Give it ge= and le=."
    if kind == "string" and not _is_known_pattern(part.get("pattern")):
        return (
            f"has the pattern {part['pattern']!r}, which other languages and Python's `re` read "
            "otherwise than pydantic. Use a plainer one."
        )
    if kind == "string":
        return "" if "maxLength" in part else "is a text without max_length. Give it one."
    if kind == "array":
        bounded = "maxItems" in part and "items" in part
        return "" if bounded else "is a list without max_length. Give it one."
    return "is neither a number, a text, a truth value nor a list of these, as the wire needs."


def _is_known_pattern(pattern: object) -> bool:
    """Return True for a pattern that Python's `re` takes without a doubt: clients check by that."""
    if not isinstance(pattern, str):
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern)
    except (re.error, FutureWarning, DeprecationWarning, OverflowError):
        return False
    return True


def check_model(model: object) -> None:
    """Check one description that `seqd_register_models` handed over.

    Raises PluginFault at the first thing that is wrong.
    """
    _check_type(model)
    assert isinstance(model, Model)
    _check_name(model)
    _check_api(model)
    _check_texts(model)
    _check_tasks(model)
    _check_presets(model)


def _check_type(model: object) -> None:
    if isinstance(model, type) and issubclass(model, Model):
        raise PluginFault(
            f"seqd_register_models handed over the class {model.__name__}. "
            f"Hand over an instance: {model.__name__}()."
        )
    if not isinstance(model, Model):
        raise PluginFault(
            f"seqd_register_models handed over {model!r:.80}, of type {type(model).__name__}. "
            "A model is an instance of a subclass of seqd.hookspecs.Model."
        )


def _check_name(model: Model) -> None:
    name = getattr(model, "name", None)
    if not isinstance(name, str) or not MODEL_NAME.fullmatch(name):
        raise PluginFault(
            f"the model {type(model).__name__} has the name {name!r:.80}. A name is 1 to 40 lower "
            "case letters, digits and underscores, and begins with a letter."
        )


def _check_api(model: Model) -> None:
    major, minor = PLUGIN_API_VERSION
    if model.api_major == major:
        return
    is_newer = isinstance(model.api_major, int) and model.api_major > major
    other = "an older" if is_newer else "a newer"
    raise PluginFault(
        f"model {model.name!r} is written for version {model.api_major!r} of the plugin API; "
        f"seqd {__version__} offers {major}.{minor}. Install {other} version of the plugin, or the "
        "seqd that it was written for."
    )


def _check_texts(model: Model) -> None:
    summary = getattr(model, "summary", None)
    if not isinstance(summary, str) or not 1 <= len(summary.strip()) <= 4_096:
        raise PluginFault(
            f"model {model.name!r} has the summary {summary!r:.80}. Say in a sentence what it is."
        )
    if not isinstance(model.needs, Needs):
        raise PluginFault(
            f"model {model.name!r} has the needs {model.needs!r:.80}. Use seqd.hookspecs.Needs."
        )


def _check_tasks(model: Model) -> None:
    tasks = getattr(model, "tasks", None)
    if not isinstance(tasks, Mapping) or not tasks:
        raise PluginFault(
            f"model {model.name!r} has no tasks. Give it at least one of {_named_tasks()}, or one "
            "of its own."
        )
    own = [task for task in tasks if not _has_kind(task)]
    if len(own) > MAX_RUN_TASKS:
        raise PluginFault(
            f"model {model.name!r} has {len(own)} tasks of its own; allowed: {MAX_RUN_TASKS}."
        )
    for task, spec in tasks.items():
        _check_task_name(model.name, task)
        _check_task(f"model {model.name!r}, task {task}", spec)
        if task in own:
            _check_own_task(model.name, task, spec)
        elif spec.output is not None or spec.input is not None:
            raise PluginFault(
                f"model {model.name!r}, task {task}: its output is {spec.output!r:.80} and its "
                f"input {spec.input!r:.80}; allowed: neither, since those of {task} are fixed. "
                "What one item can make it write is its `bound`, a seqd_schemas.OutputBound."
            )
    if TRAIN in tasks and type(model).train is Model.train:
        raise PluginFault(f"model {model.name!r} has the task train but no method train().")


def _named_tasks() -> str:
    return listed({kind.task for kind in KINDS.values() if kind.task is not None})


def _has_kind(task: object) -> bool:
    return isinstance(task, str) and kind_of_task(task).task is not None


def _check_task_name(model: str, task: object) -> None:
    if not isinstance(task, str) or not MODEL_NAME.fullmatch(task) or task in RESERVED_TASKS:
        raise PluginFault(
            f"model {model!r} has a task with the name {task!r:.80}. A name is 1 to 40 lower case "
            f"letters, digits and underscores, begins with a letter, and is none of "
            f"{listed(RESERVED_TASKS)}."
        )


def _check_own_task(model: str, task: str, spec: TaskSpec) -> None:
    if spec.output is None:
        meant = did_you_mean(task, {kind.task for kind in KINDS.values() if kind.task})
        raise PluginFault(
            f"model {model!r} has the task {task!r:.80}, which states no output.{meant} Tasks with "
            f"an output of their own: {_named_tasks()}. Any other states one: TaskSpec(output=...)."
        )
    if not isinstance(spec.summary, str) or len(spec.summary) > 4_096:
        raise PluginFault(
            f"model {model!r}, task {task}: its summary is {spec.summary!r:.80}. Say in a sentence "
            "what it does."
        )
    check_run_task(f"model {model!r}, task {task}", spec)


def _check_task(where: str, spec: object) -> None:
    if not isinstance(spec, TaskSpec):
        raise PluginFault(f"{where} is {spec!r:.80}. Use seqd.hookspecs.TaskSpec.")
    if not isinstance(spec.unit_items, int) or not 1 <= spec.unit_items <= 65_536:
        raise PluginFault(f"{where}: unit_items is {spec.unit_items!r:.80}; allowed: 1 to 65536.")
    check_parameters_class(where, spec.parameters)
    if spec.bound is not None:
        _check_bound(where, spec.bound, spec.parameters)


def _check_bound(where: str, output: object, parameters: type[PluginParameters]) -> None:
    """Check that what bounds a task's output are parameters of it (clause O2)."""
    if not isinstance(output, OutputBound):
        raise PluginFault(f"{where}: its bound is {output!r:.80}. Use seqd_schemas.OutputBound.")
    fields = fields_of(schema_of(parameters))
    for name in (*output.factors, *output.lists):
        if name not in fields:
            raise PluginFault(
                f"{where}: its bound names {name!r}, which is no parameter. "
                f"Parameters: {listed(fields)}."
            )
    for name in output.factors:
        if fields[name].get("type") != "integer":
            raise PluginFault(
                f"{where}: its bound multiplies parameter {name!r}, which is no whole number."
            )


def _check_presets(model: Model) -> None:
    if not model.presets:
        return
    if TRAIN not in model.tasks:
        raise PluginFault(
            f"model {model.name!r} has presets but no task train. Presets are for training."
        )
    for preset, values in model.presets.items():
        check_preset(model.name, preset, values, model.tasks[TRAIN].parameters)
