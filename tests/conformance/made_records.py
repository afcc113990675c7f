"""Makes records for a task that takes them: by the schema that it publishes, as a client would.

A text field has the text of the item, and all else follows from the fields' own bounds. Where a
class has rules that its schema does not say, its author gives examples that keep to them:
`model_config = ConfigDict(json_schema_extra={"examples": [{...}]})`; these are taken then.
"""

from collections.abc import Mapping
from math import ceil

from pydantic import BaseModel, ValidationError

from seqd.hookspecs import WorkItem

#: Elements of a list, where its bounds allow so many.
ELEMENTS = 3


def with_record(item: WorkItem, record: type[BaseModel]) -> WorkItem | None:
    """Return an item whose text has become a record; None where the worker would refuse that."""
    schema = record.model_json_schema()
    examples = schema.get("examples")
    content = (
        examples[item.index % len(examples)] if examples else value_of(schema, schema, item.text)
    )
    try:
        made = record.model_validate(content)
        return WorkItem(item.index, made.model_dump_json(), made)
    except (ValidationError, ValueError):  # such as of a lone surrogate
        return None


def value_of(field: Mapping, root: Mapping, text: str) -> object:
    """Return a value that a schema allows, with the text in each place for a text."""
    if "$ref" in field:
        return value_of(root["$defs"][field["$ref"].rpartition("/")[2]], root, text)
    if "const" in field or "enum" in field:
        return field.get("const", next(iter(field.get("enum", [None]))))
    if choices := field.get("anyOf") or field.get("oneOf"):
        return value_of(choices[0], root, text)
    if field.get("type") == "object":
        fields = field.get("properties", {})
        return {name: value_of(part, root, text) for name, part in fields.items()}
    if field.get("type") == "array":
        return _elements_of(field, root, text)
    if field.get("type") == "string":
        return text[: field.get("maxLength")]
    return _number_of(field)


def _elements_of(field: Mapping, root: Mapping, text: str) -> list[object]:
    if "prefixItems" in field:
        return [value_of(part, root, text) for part in field["prefixItems"]]
    count = min(max(ELEMENTS, field.get("minItems", 0)), field.get("maxItems", ELEMENTS))
    return [value_of(field["items"], root, text[place:]) for place in range(count)]


def _number_of(field: Mapping) -> object:
    if field.get("type") == "boolean":
        return False
    if field.get("type") == "null":
        return None
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum", field.get("exclusiveMaximum"))
    middle = (low + high) / 2
    return ceil(middle) if field["type"] == "integer" else middle
