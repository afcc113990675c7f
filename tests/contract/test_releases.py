"""Releases side by side: what one has stored, the other reads, in both directions.

`releases/VERSION` holds what that release stored, written once by `make release-records` and never
changed: records of each kind, the JSON Schemas by which it reads, and a whole ledger. A test that
fails here means that a fleet of two releases would fail.
"""

import json

import jsonschema
import pytest

from ledger_fixtures import Environment
from release_samples import (
    KINDS,
    NEW_RECORDS,
    OPEN_JOBS,
    PREFIX,
    RELEASES,
    build_ledger,
    dump_keys,
    load_keys,
    read_json,
    sample_records,
)
from seqd_schemas import JobState, from_stored, json_schemas, to_stored

VERSIONS = sorted(path.name for path in RELEASES.glob("*"))


def recorded(version: str) -> list[tuple[str, str]]:
    """Return kind and text of each record that a release wrote."""
    rows = read_json(RELEASES / version / "records.json")
    return [(str(row["kind"]), str(row["stored"])) for row in rows]


def test_what_is_new_since_the_last_release_is_written_as_it_stands_in_its_file():
    rows = [(str(row["kind"]), row["stored"]) for row in read_json(NEW_RECORDS)]

    written = [to_stored(from_stored(KINDS[kind], json.dumps(stored))) for kind, stored in rows]

    assert [json.loads(text) for text in written] == [stored for _, stored in rows]


def schemas_of(version: str) -> dict[str, dict[str, object]]:
    """Return the JSON Schemas by which a release reads, by kind of record."""
    (schemas,) = read_json(RELEASES / version / "schemas.json")
    return schemas  # type: ignore[return-value]


def as_a_reader(schema: object) -> object:
    """Return a schema by which unknown fields are ignored, as readers of stored records do."""
    if isinstance(schema, dict):
        return {
            name: as_a_reader(part)
            for name, part in schema.items()
            if not (name == "additionalProperties" and part is False)
        }
    if isinstance(schema, list):
        return [as_a_reader(part) for part in schema]
    return schema


@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_that_a_release_stored_reads_and_says_the_same(version: str):
    schemas = {kind: as_a_reader(json.loads(text)) for kind, text in json_schemas().items()}

    for kind, stored in recorded(version):
        record = from_stored(KINDS[kind], stored)

        assert json.loads(to_stored(record)) == json.loads(stored), f"{kind} of {version}"
        reader = jsonschema.Draft202012Validator(schemas[kind])  # type: ignore[arg-type]
        assert list(reader.iter_errors(json.loads(stored))) == [], f"{kind} of {version}"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_record_that_is_stored_now_reads_by_a_release_or_states_a_higher_version(
    version: str,
):
    schemas = schemas_of(version)
    highest = schemas["worker_status"]["properties"]["schema_version"]["maximum"]  # type: ignore[index]

    assert sample_records().keys() == set(KINDS)
    for kind, records in sample_records().items():
        reader = jsonschema.Draft202012Validator(as_a_reader(schemas[kind]))  # type: ignore[arg-type]
        for record in map(json.loads, map(to_stored, records)):
            if record.get("schema_version", 1) <= highest:
                assert list(reader.iter_errors(record)) == [], (kind, record)


@pytest.mark.parametrize("version", VERSIONS)
def test_no_field_that_a_release_has_is_missing_and_no_new_one_is_required(version: str):
    then, now = schemas_of(version), {k: json.loads(v) for k, v in json_schemas().items()}

    for kind, schema in then.items():
        for place, before in objects_of(schema):
            after = dict(objects_of(now[kind])).get(place)
            assert after is not None, f"{kind}: {place} is gone"
            assert not before["properties"].keys() - after["properties"].keys(), (kind, place)
            # Tags are written by every release, though its schemas need not say so.
            tags = {name for name, field in after["properties"].items() if "const" in field}
            added = set(after.get("required", ())) - set(before.get("required", ())) - tags
            assert not added, f"{kind}: {place} requires {added}, which {version} does not write"


def objects_of(schema: dict[str, object]) -> list[tuple[str, dict]]:  # type: ignore[type-arg]
    """Return the records and parts of a schema, by name."""
    parts = {"": schema, **schema.get("$defs", {})}  # type: ignore[dict-item]
    return [(name, part) for name, part in parts.items() if "properties" in part]


@pytest.fixture
def old_ledger(environment: Environment, request: pytest.FixtureRequest) -> Environment:
    """A ledger as a release left it."""
    keys = read_json(RELEASES / request.param / "ledger.json")
    load_keys(environment.redis, keys, PREFIX, environment.keys.prefix)
    return environment


@pytest.mark.parametrize("old_ledger", VERSIONS, indirect=True)
def test_each_job_of_a_releases_ledger_is_as_it_left_it_and_an_open_one_is_completed(
    old_ledger: Environment,
):
    states = {name: old_ledger.record(name).state for name in ("small", "errors", "training")}

    assert set(states.values()) == {JobState.COMPLETED}
    assert old_ledger.labels("small", 0) == ["like", "like"]
    assert old_ledger.record("errors").counts.errored == 2
    assert old_ledger.record("failed").state is JobState.FAILED
    assert old_ledger.record("failed").failure is not None
    assert old_ledger.record("cancelled").counts.cancelled == 2
    assert old_ledger.record("training").training is not None
    assert [old_ledger.record(name).state for name in OPEN_JOBS] == [
        JobState.QUEUED,
        JobState.RUNNING,
        JobState.PAUSED,
        JobState.QUEUED,
    ]

    old_ledger.ledger.control.resume("paused")
    old_ledger.ledger.work.expire()
    while claim := old_ledger.claim():
        for unit in claim.units:
            old_ledger.commit(unit)

    assert {old_ledger.record(name).state for name in OPEN_JOBS} == {JobState.COMPLETED}
    assert old_ledger.labels("running", 0) == old_ledger.labels("running", 1) == ["like", "like"]


def test_a_ledger_is_recorded_whole(environment: Environment):
    build_ledger(environment)
    prefix = environment.keys.prefix
    keys = dump_keys(environment.redis, prefix)

    copy = environment.with_settings(prefix=f"{prefix}-copy")
    load_keys(copy.redis, keys, prefix, copy.keys.prefix)

    for job in environment.ledger.jobs.newest(20):
        assert copy.record(job.job_id) == job
        assert copy.events(job.job_id) == environment.events(job.job_id)
