"""The wire contract: every field described and bounded, every change of the format seen."""

import inspect
import json

from pydantic import BaseModel

import seqd_schemas
from seqd_schemas import Keys, WireModel, json_schemas

MODELS = {
    name: value
    for name, value in vars(seqd_schemas).items()
    if isinstance(value, type) and issubclass(value, BaseModel)
}
#: Without the bases of others, which have no fields.
RECORDS = sorted(MODELS.keys() - {"TaskOutput", "WireModel"})
REGENERATE = (
    "The wire format has changed. If that is meant, and older readers can live with it, write the "
    "snapshot anew with `seqd schema --out schemas/json`, and say so in CHANGELOG.md; if they "
    "cannot, FORMAT has to grow."
)


def parts(schema, definitions):
    """Yield all schemas that a value may have to meet, references followed, once each."""
    if "$ref" in schema:
        return
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from parts(choice, definitions)
    if "anyOf" not in schema and "oneOf" not in schema:
        yield schema
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(schema.get(key), dict):
            yield from parts(schema[key], definitions)


def what_is_open(part):
    """Say what a schema leaves without a bound; nothing when it is bounded."""
    kind = part.get("type")
    if "enum" in part or "const" in part:
        return ""
    if kind == "string" and not {"maxLength", "pattern"} & part.keys():
        return "a text without max_length or pattern"
    if kind == "integer" and not {"minimum", "exclusiveMinimum"} & part.keys():
        return "a whole number without ge"
    if kind == "array" and "maxItems" not in part:
        return "a list without max_length"
    if kind == "object" and "maxProperties" not in part:
        return "a dictionary without max_length"
    return ""


def test_every_field_is_described_and_bounded_and_a_record_is_frozen_and_closed():
    for name in RECORDS:
        model = MODELS[name]
        schema = model.model_json_schema()
        silent = [
            field
            for field, info in model.model_fields.items()
            if not (info.description or schema["properties"][field].get("description"))
        ]
        open_fields = {
            field: said
            for field, content in schema["properties"].items()
            for part in parts(content, schema.get("$defs", {}))
            # Parameters hold plugin values, whose own schema bounds the numbers.
            if (said := what_is_open(part)) and not (field in PLUGIN_VALUES and "number" in said)
        }

        assert model.model_fields, name
        assert not silent, f"{name}: say what these fields are: {silent}"
        assert not open_fields, f"{name}: {open_fields}"
        assert (model.model_config["frozen"], model.model_config["extra"]) == (True, "forbid"), name
        assert issubclass(model, WireModel), name


#: Fields whose values have a plugin's schema of their own, or are such a schema.
PLUGIN_VALUES = {"parameters", "presets", "grid"}


def test_the_snapshot_of_the_wire_format_is_current(root):
    folder = root / "schemas" / "json"
    suffix = ".schema.json"

    written = {
        path.name.removesuffix(suffix): path.read_text(encoding="utf-8")
        for path in folder.glob(f"*{suffix}")
    }

    current = json_schemas()
    changed = sorted(
        name for name in written.keys() | current.keys() if written.get(name) != current.get(name)
    )
    assert not changed, f"{REGENERATE} Changed: {changed}"


def test_keys_of_two_prefixes_never_meet():
    def keys(prefix):
        names = [name for name, value in vars(Keys).items() if inspect.isfunction(value)]
        methods = [getattr(Keys(prefix), name) for name in names if not name.startswith("_")]
        return [method(*inspect.signature(method).parameters) for method in methods]

    ours, theirs = keys("seqd"), keys("other")
    assert len(set(ours)) == len(ours) > 15
    assert not set(ours) & set(theirs)


def test_the_schemas_name_each_record_part_and_union_and_nothing_else() -> None:
    """A generator makes a type of each title, and of each reference with something beside it."""
    for name, text in json_schemas().items():
        schema = json.loads(text)
        named = [schema, *schema.get("$defs", {}).values()]

        assert all("title" in part or part == {} for part in named), name
        fields = [field for part in named for field in part.get("properties", {}).values()]
        assert [field for field in fields if "title" in field] == []
        assert [field for field in fields if "$ref" in field and len(field) > 1] == []


def test_what_tells_the_members_of_a_union_apart_is_required_in_each() -> None:
    for name in ("event", "item_result", "job"):
        schema = json.loads(json_schemas()[name])
        tag = schema["discriminator"]["propertyName"]
        members = [schema["$defs"][part["$ref"].rpartition("/")[2]] for part in schema["oneOf"]]

        assert [member["title"] for member in members if tag not in member["required"]] == []
