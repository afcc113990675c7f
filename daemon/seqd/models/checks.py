"""Checks of a model's description and of its parameter classes, made without loading the model."""

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias, cast, get_args

from pydantic import JsonValue, TypeAdapter, ValidationError

from seqd import __version__
from seqd.errors import InvalidParameters, PluginFault
from seqd.hookspecs import PLUGIN_API_VERSION, Model, Needs, PluginParameters, TaskSpec
from seqd.parameters import check_parameters
from seqd.validation import listed
from seqd_schemas import OutputBound, Parameters, ParameterValue, Task

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_DATASET = re.compile(r"[a-z][a-z0-9_]{0,39}:[a-z0-9_]{1,40}")


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
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PluginFault(
            f"the model {type(model).__name__} has the name {name!r:.80}. A name is 1 to 40 lower "
            "case letters, digits and underscores, and begins with a letter."
        )


def _check_api(model: Model) -> None:
    major, minor = PLUGIN_API_VERSION
    if model.api_major == major:
        return
    older_or_newer = "an older" if _is_newer(model.api_major) else "a newer"
    raise PluginFault(
        f"model {model.name!r} is written for version {model.api_major!r} of the plugin API; "
        f"seqd {__version__} offers {major}.{minor}. Install {older_or_newer} version of the "
        "plugin, or the seqd that it was written for."
    )


def _is_newer(api_major: object) -> bool:
    return isinstance(api_major, int) and api_major > PLUGIN_API_VERSION[0]


def _check_texts(model: Model) -> None:
    summary = getattr(model, "summary", None)
    if not isinstance(summary, str) or not 1 <= len(summary.strip()) <= 4_096:
        raise PluginFault(
            f"model {model.name!r} has the summary {summary!r:.80}. Say in a sentence what it is."
        )
    for name in model.datasets:
        if not isinstance(name, str) or not _DATASET.fullmatch(name):
            raise PluginFault(
                f"model {model.name!r} names the data set {name!r:.80}. A data set's name has two "
                "parts, such as 'keras:imdb'."
            )
    if not isinstance(model.needs, Needs):
        raise PluginFault(
            f"model {model.name!r} has the needs {model.needs!r:.80}. Use seqd.hookspecs.Needs."
        )


def _check_tasks(model: Model) -> None:
    tasks = getattr(model, "tasks", None)
    if not isinstance(tasks, Mapping) or not tasks:
        raise PluginFault(
            f"model {model.name!r} has no tasks. Give it at least one of {listed(get_args(Task))}."
        )
    for task, spec in tasks.items():
        if task not in get_args(Task):
            raise PluginFault(
                f"model {model.name!r} has the unknown task {task!r:.80}. "
                f"Tasks: {listed(get_args(Task))}."
            )
        _check_task(f"model {model.name!r}, task {task}", spec)
    if "train" in tasks and type(model).train is Model.train:
        raise PluginFault(f"model {model.name!r} has the task train but no method train().")


def _check_task(where: str, spec: object) -> None:
    if not isinstance(spec, TaskSpec):
        raise PluginFault(f"{where} is {spec!r:.80}. Use seqd.hookspecs.TaskSpec.")
    if not isinstance(spec.unit_items, int) or not 1 <= spec.unit_items <= 65_536:
        raise PluginFault(f"{where}: unit_items is {spec.unit_items!r:.80}; allowed: 1 to 65536.")
    check_parameters_class(where, spec.parameters)
    if spec.output is not None:
        _check_output(where, spec.output, spec.parameters)


def _check_output(where: str, output: object, parameters: type[PluginParameters]) -> None:
    """Check that what bounds a task's output are parameters of it (clause O2)."""
    if not isinstance(output, OutputBound):
        raise PluginFault(f"{where}: its output is {output!r:.80}. Use seqd_schemas.OutputBound.")
    fields = parameters.model_json_schema().get("properties", {})
    for name in (*output.factors, *output.lists):
        if name not in fields:
            raise PluginFault(
                f"{where}: its output names {name!r}, which is no parameter. "
                f"Parameters: {listed(fields)}."
            )
    for name in output.factors:
        if fields[name].get("type") != "integer":
            raise PluginFault(
                f"{where}: its output multiplies parameter {name!r}, which is no whole number."
            )


def _check_presets(model: Model) -> None:
    if not model.presets:
        return
    if "train" not in model.tasks:
        raise PluginFault(
            f"model {model.name!r} has presets but no task train. Presets are for training."
        )
    for preset, values in model.presets.items():
        if not isinstance(preset, str) or not _LABEL.fullmatch(preset):
            raise PluginFault(
                f"model {model.name!r} names a preset {preset!r:.80}. A preset's name is 1 to 40 "
                "lower case letters, digits, underscores and dashes, and begins with a letter."
            )
        check_preset(model.name, preset, values, model.tasks["train"].parameters)


Schema: TypeAlias = Mapping[str, JsonValue]

#: What parameters are on the wire; turns a tuple into the list that JSON has.
_PARAMETERS: TypeAdapter[dict[str, ParameterValue]] = TypeAdapter(Parameters)


def check_parameters_class(where: str, parameters: object) -> None:
    """Check one task's parameter class (clause O1). Raises PluginFault."""
    if not (isinstance(parameters, type) and issubclass(parameters, PluginParameters)):
        raise PluginFault(
            f"{where}: its parameters are {parameters!r:.80}. "
            "Use a subclass of seqd.hookspecs.PluginParameters."
        )
    if parameters.model_config.get("extra") != "forbid":
        raise PluginFault(
            f"{where}: {parameters.__name__} takes unknown parameters. Leave its model_config "
            'at extra="forbid", so that a typing mistake is refused.'
        )
    schema = parameters.model_json_schema()
    for name, field in schema.get("properties", {}).items():
        _check_field(f"{where}: parameter {name!r}", field, schema)
    _check_defaults(where, parameters)


def check_preset(
    model: str,
    preset: str,
    values: Mapping[str, ParameterValue],
    parameters: type[PluginParameters],
) -> None:
    """Check that a preset is a valid set of training parameters. Raises PluginFault."""
    try:
        sent = _PARAMETERS.validate_python(dict(values))
        check_parameters(parameters.model_json_schema(), sent, model=model, task="train")
        parameters.model_validate(sent)
    except (InvalidParameters, ValidationError) as error:
        raise PluginFault(f"preset {preset!r} of {_first_fault(model, error)}") from None


def _first_fault(model: str, error: InvalidParameters | ValidationError) -> str:
    if isinstance(error, InvalidParameters):
        return str(error)
    first = error.errors()[0]
    return f"{model} train: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def _check_field(where: str, field: Schema, root: Schema) -> None:
    if not field.get("description"):
        raise PluginFault(f"{where} has no description. Say in a sentence what it does.")
    for part in _parts(field, root):
        missing = _missing_bound(part)
        if missing:
            raise PluginFault(f"{where} {missing}")


def _parts(field: Schema, root: Schema) -> Iterator[Schema]:
    """Yield every schema that a value of the field may have to meet, list elements included."""
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        definitions = cast("Mapping[str, Schema]", root.get("$defs", {}))
        yield from _parts(definitions[name], root)
        return
    choices = cast("list[Schema]", field.get("anyOf") or field.get("oneOf") or [])
    for choice in choices:
        yield from _parts(choice, root)
    if not choices:
        yield field
    if isinstance(field.get("items"), Mapping):
        yield from _parts(cast("Schema", field["items"]), root)


def _missing_bound(part: Schema) -> str:
    """Say what a schema leaves open, as the end of a sentence; nothing when it is bounded."""
    if "enum" in part or "const" in part:
        return ""
    kind = part.get("type")
    if kind in ("integer", "number"):
        low = "minimum" in part or "exclusiveMinimum" in part
        high = "maximum" in part or "exclusiveMaximum" in part
        return "" if low and high else "is a number without bounds. Give it ge= and le=."
    if kind == "string":
        return "" if "maxLength" in part else "is a text without max_length. Give it one."
    if kind == "array":
        bounded = "maxItems" in part and "items" in part
        return "" if bounded else "is a list without max_length. Give it one."
    if kind in ("boolean", "null"):
        return ""
    return "is neither a number, a text, a truth value nor a list of these, as the wire needs."


def _check_defaults(where: str, parameters: type[PluginParameters]) -> None:
    """Refuse a default outside its own bounds, which pydantic does not check."""
    fields = parameters.model_fields.items()
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in fields
        if not field.is_required()
    }
    try:
        parameters.model_validate(defaults)
    except ValidationError as error:
        wrong = [fault for fault in error.errors() if fault["type"] != "missing"]
        if wrong:
            name = wrong[0]["loc"][0] if wrong[0]["loc"] else "?"
            raise PluginFault(
                f"{where}: the default of parameter {name!r} is {wrong[0]['input']!r:.80}: "
                f"{wrong[0]['msg']}."
            ) from None
