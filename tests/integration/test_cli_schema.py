"""`seqd schema --model`: what a model can do as JSON Schemas, from the catalog."""

import json

import pytest
from jsonschema import Draft202012Validator

from builders import a_catalog_entry
from cli_builders import Ended, here, use_ledger
from seqd_schemas import TaskSchema, task_schemas

pytestmark = pytest.mark.processes


def first_error_line(ended: Ended) -> str:
    return ended.err.splitlines()[0]


@pytest.fixture
def seqd(task_cluster, monkeypatch, capsys):
    """Run a command on the ledger of the tests' workers."""
    use_ledger(monkeypatch, task_cluster.commands)
    return lambda *arguments: here(capsys, *arguments)


def test_the_schemas_of_a_models_tasks_are_written_one_a_file(seqd, tmp_path):
    ended = seqd("schema", "--model", "pairs", "--out", str(tmp_path))

    assert ended.out == f"4 schemas in {tmp_path}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"pairs.compare.{what}.schema.json" for what in ("input", "output", "parameters", "result")
    ]


def test_the_schema_of_a_result_takes_the_results_of_the_task_and_no_others(seqd, task_cluster):
    schemas = seqd("schema", "--model", "places").json()
    results = task_cluster.client().run(["Anna met Bert"], model="places", task="find").results()
    (result,) = (json.loads(result.model_dump_json()) for result in results)

    schema = schemas["places.find.result"]

    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert list(validator.iter_errors(result)) == []
    assert list(validator.iter_errors(result | {"output": {"type": "score", "score": 1.0}})) != []
    assert schema["title"] == "ItemResult"
    assert schema["$defs"]["OutputSpan"]["title"] == "OutputSpan"
    assert "title" not in schema["$defs"]["OutputSpan"]["properties"]["start"]


def test_without_a_model_a_folder_is_due(seqd):
    ended = seqd("schema")

    assert ended.status == 2
    assert first_error_line(ended) == (
        "error[invalid_request]: --out is missing, the folder to write the schemas to. Name one, "
        "or a model: --model NAME prints the schemas of its tasks"
    )


def test_a_field_may_be_called_title_and_those_of_types_stay():
    fields = {"title": {"type": "string", "title": "Title", "default": {"title": "kept"}}}
    stated = {"type": "object", "title": "Named", "properties": fields}
    task = TaskSchema(parameters=stated, unit_items=1)

    written = json.loads(
        task_schemas(a_catalog_entry(tasks={"train": task}))["imdb_lstm.train.parameters"]
    )

    assert written["title"] == "Named"
    assert written["properties"] == {"title": {"type": "string", "default": {"title": "kept"}}}
