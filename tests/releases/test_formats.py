"""What one release stores, the other reads: the JSON Schemas of both, held against each other."""

import json

import pytest

from previous_release import Release
from seqd_schemas import json_schemas

Schema = dict[str, object]

# It waits for the previous release to be built.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def objects_of(schema: Schema) -> dict[str, dict]:  # type: ignore[type-arg]
    """Return the records and parts of a schema that have fields, by name; '' is the whole."""
    parts = {"": schema, **schema.get("$defs", {})}  # type: ignore[dict-item]
    return {name: part for name, part in parts.items() if "properties" in part}


def test_no_field_of_the_previous_release_is_missing_and_no_new_one_is_required(
    previous: Release,
) -> None:
    now = {kind: objects_of(json.loads(text)) for kind, text in json_schemas().items()}
    then = {
        file.name.removesuffix(".schema.json"): objects_of(json.loads(file.read_text()))
        for file in previous.schemas.iterdir()
    }

    assert then
    for kind, place, before in (
        (k, p, part) for k, parts in then.items() for p, part in parts.items()
    ):
        after = now.get(kind, {}).get(place)
        assert after is not None, f"{kind}: {place} is gone"
        assert before["properties"].keys() <= after["properties"].keys(), (kind, place)
        added = set(after.get("required", ())) - set(before.get("required", ()))
        assert not added, f"{kind}: {place} requires {added}, which {previous.version} leaves out"
