"""Makes records for a task that takes them: by the schema that it publishes, as a client would.

A text field has the text of the item, and all else follows from the fields' own bounds. Where a
class has rules that its schema does not say, its author gives examples that keep to them:
`model_config = ConfigDict(json_schema_extra={"examples": [{...}]})`, or the `records` of
`PluginExamples`; these are taken then.
"""

import base64
from collections.abc import Mapping, Sequence
from math import ceil, prod
from typing import cast

from pydantic import BaseModel, JsonValue, ValidationError

from seqd.hookspecs import WorkItem
from seqd.parameters import Schema, resolved
from seqd_schemas.outputs import FLOAT_BYTES, VECTOR_FORMAT

#: Elements of a list, where its bounds allow so many.
ELEMENTS = 3


def with_record(
    item: WorkItem, record: type[BaseModel], given: Sequence[Schema] = ()
) -> WorkItem | None:
    """Return an item whose text has become a record; None where the worker would refuse that.

    Of the records that are `given`, the one at the item's index is taken.
    """
    schema = record.model_json_schema()
    examples = given or schema.get("examples")
    content = (
        examples[item.index % len(examples)] if examples else _value_of(schema, schema, item.text)
    )
    try:
        made = record.model_validate(content)
        return WorkItem(item.index, made.model_dump_json(), made)
    except (ValidationError, ValueError):  # such as of a lone surrogate
        return None


def _value_of(field: Schema, root: Schema, text: str) -> JsonValue:
    """Return a value that a schema allows, with the text in each place for a text."""
    field = resolved(field, root)
    if "const" in field or "enum" in field:
        choices = cast("list[JsonValue]", field.get("enum", [None]))
        return field.get("const", choices[0])
    if either := cast("list[Schema]", field.get("anyOf") or field.get("oneOf") or []):
        return _value_of(either[0], root, text)
    if field.get("type") == "object":
        fields = cast("Mapping[str, Schema]", field.get("properties", {}))
        return {name: _value_of(part, root, text) for name, part in fields.items()}
    if field.get("type") == "array":
        return _elements_of(field, root, text)
    if field.get("format") == VECTOR_FORMAT:
        numbers = prod(cast("Sequence[int]", field.get("shape", (1,))))
        return base64.b64encode(bytes(FLOAT_BYTES * numbers)).decode()
    if field.get("type") == "string":
        padded = text.ljust(cast("int", field.get("minLength", 0)), ".")
        return padded[: cast("int | None", field.get("maxLength"))]
    return _number_of(field)


def _elements_of(field: Schema, root: Schema, text: str) -> list[JsonValue]:
    if "prefixItems" in field:
        parts = cast("list[Schema]", field["prefixItems"])
        return [_value_of(part, root, text) for part in parts]
    least, most = (cast("int", field.get(name, ELEMENTS)) for name in ("minItems", "maxItems"))
    count = min(max(ELEMENTS, least), most)
    element = cast("Schema", field.get("items", {}))
    return [_value_of(element, root, text[place:]) for place in range(count)]


def _number_of(field: Schema) -> JsonValue:
    if field.get("type") == "boolean":
        return False
    if field.get("type") not in ("integer", "number"):
        return None
    top = field.get("maximum", field.get("exclusiveMaximum"))
    least = 0 if top is None else cast("float", top) - 2
    low = cast("float", field.get("minimum", field.get("exclusiveMinimum", least)))
    high = low + 2 if top is None else cast("float", top)
    middle = low + (min(high, low + 2) - low) / 2
    return ceil(middle) if field["type"] == "integer" else middle
