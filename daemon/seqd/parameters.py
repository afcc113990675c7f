"""The one place that checks a request's parameters against a model's published JSON Schema.

Used on both sides, by the client before it sends and by the worker that takes a job from the
inbox; needs no plugin. Light to import: jsonschema is loaded by the first check.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias, cast

from pydantic import BaseModel, JsonValue

from seqd.errors import InvalidParameters
from seqd.validation import did_you_mean, listed
from seqd_schemas import ParameterValue

if TYPE_CHECKING:
    from jsonschema import ValidationError

Schema: TypeAlias = Mapping[str, JsonValue]

#: Faults that one message names; the rest are counted.
MAX_FAULTS = 5

#: Keywords of a schema by which an object without any field can break no rule.
_OF_FIELDS = {"$defs", "additionalProperties", "description", "properties", "title", "type"}


@lru_cache(maxsize=256)
def schema_of(parameters: type[BaseModel]) -> Schema:
    """Return the JSON Schema of a class of parameters, made once: checks ask for it four times."""
    return parameters.model_json_schema()


def check_parameters(
    schema: Schema, values: Mapping[str, ParameterValue], *, model: str, task: str
) -> None:
    """Check `values` against the JSON Schema of a task's parameters.

    Raises InvalidParameters, which names each field, its value and what is allowed.
    """
    found = [*_not_finite(schema, values), *_violations(schema, values)]
    faults = list(dict.fromkeys(found))
    if not faults:
        return
    sentences = [fault[0].upper() + fault[1:] for fault in faults[:MAX_FAULTS]]
    sentences[0] = faults[0]
    if len(faults) > MAX_FAULTS:
        sentences.append(f"{len(faults) - MAX_FAULTS} more are wrong.")
    if any("is unknown" in fault for fault in faults):
        sentences.append(f"Known parameters: {listed(fields_of(schema))}.")
    raise InvalidParameters(f"{model} {task}: {' '.join(sentences)}")


def read_value(text: str) -> ParameterValue | dict[str, JsonValue]:
    """Return a value as it is typed: JSON, or else a text."""
    try:
        value: ParameterValue | dict[str, JsonValue] = json.loads(text)
    except ValueError:
        return text
    return value


def written_value(value: object) -> str:
    """Return a value such that `read_value` returns it."""
    if isinstance(value, str) and read_value(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def resolved(field: Schema, root: Schema) -> Schema:
    """Return a field's schema, which may stand among the definitions of its record's, `root`."""
    while "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        field = cast("Mapping[str, Schema]", root["$defs"])[name]
    return field


def allowed(schema: Schema, root: Schema | None = None) -> str:
    """Say in words what a field's schema allows, such as `1 to 100`."""
    root = schema if root is None else root
    schema = resolved(schema, root)
    if "anyOf" in schema:
        return " or ".join(
            allowed(part, root) for part in cast("Sequence[Schema]", schema["anyOf"])
        )
    if "enum" in schema:
        return ", ".join(_shown(value) for value in cast("Sequence[JsonValue]", schema["enum"]))
    if "const" in schema:
        return _shown(schema["const"])
    return _allowed_of_type(schema, root)


def _allowed_of_type(schema: Schema, root: Schema) -> str:
    kind = schema.get("type")
    if kind == "integer":
        return _range(schema) or "a whole number"
    if kind == "number":
        return _range(schema) or "a number"
    if kind == "string":
        pattern = f" that matches {schema['pattern']}" if "pattern" in schema else ""
        return f"a text of {_count(schema, 'Length')} characters{pattern}"
    if kind == "array":
        items = cast("Schema", schema.get("items", {}))
        return f"a list of {_count(schema, 'Items')}, each {allowed(items, root)}"
    if "properties" in schema:
        return f"a record of {', '.join(cast('Mapping[str, Schema]', schema['properties']))}"
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "any value")


def _range(schema: Schema) -> str:
    step = f"a multiple of {_shown(schema['multipleOf'])}" if "multipleOf" in schema else ""
    return ", ".join(filter(None, [_bounds(schema), step]))


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    is_inclusive = not schema.keys() & {"exclusiveMinimum", "exclusiveMaximum"}
    if is_inclusive and low is not None and high is not None:
        return f"{_shown(low)} to {_shown(high)}"
    limits = {
        "exclusiveMinimum": "more than",
        "minimum": "at least",
        "exclusiveMaximum": "less than",
        "maximum": "at most",
    }
    return ", ".join(
        f"{said} {_shown(schema[key])}" for key, said in limits.items() if key in schema
    )


def _count(schema: Schema, unit: str) -> str:
    low, high = schema.get(f"min{unit}", 0), schema.get(f"max{unit}")
    return f"at least {low}" if high is None else f"{low} to {high}"


def _not_finite(schema: Schema, values: Mapping[str, ParameterValue]) -> Iterator[str]:
    """Find NaN and infinity, which compare as within any bounds and are no JSON."""
    for name, value in values.items():
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
            field = fields_of(schema).get(name, {})
            yield _fault(name, value, allowed(field, schema))


def _violations(schema: Schema, values: Mapping[str, ParameterValue]) -> Iterator[str]:
    if not values and schema.keys() <= _OF_FIELDS:
        return  # As in most jobs: the import alone would take 50 ms of a client's start.
    from jsonschema import Draft202012Validator  # not at import: it would slow every client

    errors = Draft202012Validator(dict(schema)).iter_errors(dict(values))
    for error in sorted(errors, key=lambda error: [str(part) for part in error.absolute_path]):
        yield from _faults_of(error, schema)


def _faults_of(error: "ValidationError", root: Schema) -> Iterator[str]:
    known = fields_of(root)
    present = _names(error.instance)
    if error.absolute_path:
        path = _path(error.absolute_path)
        words = allowed(cast("Schema", error.schema), root)
        yield _fault(path, error.instance, _kind_in_front(error) + words)
    elif error.validator == "additionalProperties":
        for name in sorted(present - set(known)):
            yield f"parameter {name!r} is unknown.{did_you_mean(name, known)}"
    elif error.validator == "required":
        # One error for each missing name, which stands in its message only: name all, drop doubles
        for name in sorted(set(known) & _names(error.validator_value) - present):
            yield f"parameter {name!r} is missing; allowed: {allowed(known[name], root)}."
    else:
        yield f"{error.message}."


def fields_of(schema: Schema) -> Mapping[str, Schema]:
    """Return the schemas of an object's fields, by name."""
    return cast("Mapping[str, Schema]", schema.get("properties", {}))


def _names(value: object) -> set[str]:
    return {str(name) for name in value} if isinstance(value, Iterable) else set()


def _kind_in_front(error: "ValidationError") -> str:
    """Return which numbers a range is of, for a value that is none; '' where `allowed` says it."""
    schema = cast("Schema", error.schema)
    if error.validator == "type" and _range(schema):
        return _NUMBERS.get(str(schema.get("type")), "")
    if error.validator == "anyOf" and all(part.validator == "type" for part in error.context):
        return next(filter(None, map(_kind_in_front, error.context)), "")
    return ""


_NUMBERS = {"integer": "a whole number, ", "number": "a number, "}


def _path(parts: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else part for part in parts)


def _fault(name: str, value: object, range_in_words: str) -> str:
    return f"parameter {name!r} is {_shown(value)}; allowed: {range_in_words}."


def _shown(value: object) -> str:
    """Show a value as JSON, cut short, in characters that any terminal takes."""
    text = json.dumps(value, ensure_ascii=False)
    text = text if len(text) <= 60 else f"{text[:57]}..."
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
