"""Checks of a model's parameter classes, and of any schema that it publishes: all is bounded."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from seqd.errors import InvalidParameters, PluginFault, all_told
from seqd.hookspecs import PluginParameters
from seqd.kinds import TRAIN
from seqd.parameters import check_parameters, fields_of, schema_of
from seqd_schemas import Parameters, ParameterValue

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
        faults += missing_bounds(at, parts_of(field, schema), missing_bound)
    refuse_all(where, [*faults, *_wrong_defaults(parameters)])


def missing_bounds(at: str, parts: Iterable[Schema], missing: Callable[[Schema], str]) -> list[str]:
    """Return what the parts of a field leave open, each once."""
    return [f"{at} {said}" for said in dict.fromkeys(map(missing, parts)) if said]


def refuse_all(where: str, faults: Sequence[str]) -> None:
    """Raise PluginFault with all that is wrong with one class, so that it is mended at once."""
    if faults:
        raise PluginFault(f"{where}: {all_told(faults)}")


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
    except (InvalidParameters, ValidationError) as error:
        raise PluginFault(f"preset {preset!r} of {_first_fault(model, error)}") from None


def _first_fault(model: str, error: InvalidParameters | ValidationError) -> str:
    if isinstance(error, InvalidParameters):
        return str(error)
    first = error.errors()[0]
    return f"{model} train: {'.'.join(map(str, first['loc']))}: {first['msg']}"


def parts_of(field: Schema, root: Schema, seen: frozenset[str] = frozenset()) -> Iterator[Schema]:
    """Yield every schema that a value of the field may have to meet.

    Those of a list's elements and of a mapping's values too; of a record that a `$ref` names, the
    record and not its fields. `seen` has the names that led here, which may lead back.
    """
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        definitions = cast("Mapping[str, Schema]", root.get("$defs", {}))
        if name not in seen:
            yield from parts_of(definitions[name], root, seen | {name})
        return
    choices = cast("list[Schema]", field.get("anyOf") or field.get("oneOf") or [])
    for choice in choices:
        yield from parts_of(choice, root, seen)
    if not choices:
        yield field
    for element in _elements(field):
        yield from parts_of(element, root, seen)


def _elements(field: Schema) -> Iterator[Schema]:
    """Yield the schemas of a list's elements, or of a mapping's values."""
    for one in (field.get("items"), field.get("additionalProperties")):
        if isinstance(one, Mapping):
            yield cast("Schema", one)
    yield from cast("list[Schema]", field.get("prefixItems", []))
    yield from cast("Mapping[str, Schema]", field.get("patternProperties", {})).values()


def missing_bound(part: Schema) -> str:
    """Say what a schema leaves open, as the end of a sentence; nothing when it is bounded."""
    if "enum" in part or "const" in part:
        return ""
    kind = part.get("type")
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
    if kind in ("boolean", "null"):
        return ""
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


def _wrong_defaults(parameters: type[PluginParameters]) -> list[str]:
    """Return the defaults outside their own bounds, which pydantic does not check."""
    fields = parameters.model_fields.items()
    defaults = {
        name: field.get_default(call_default_factory=True, validated_data={})
        for name, field in fields
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
