"""Outputs that are read as dictionaries keep to the schema; those that do not are named."""

import json

import pytest
import seqd_tasks
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from cli_builders import a_failure
from seqd.client.outputs import OutputReader
from seqd.client.schema_checks import quick_check
from seqd.errors import OutputMismatch
from seqd.ledger.digests import InputDigest
from seqd.models.task_schemas import output_schema
from seqd_schemas import (
    Classification,
    ItemSuccess,
    RecordItem,
    RecordsSource,
    RunJob,
    Score,
    Spans,
    Text,
    UploadSource,
)

SPANS = {"type": "spans", "spans": [{"start": 0, "end": 4, "label": "NAME", "score": None}]}


def read(output: dict[str, object], kind: type[BaseModel] = Score) -> object:
    result = ItemSuccess[object].model_construct(custom_id="row-7", output=output)
    return OutputReader[object](None, output_schema(kind))(result).unwrap()


@pytest.mark.parametrize(
    ("output", "kind", "fault"),
    [
        ({"score": "much"}, Score, "score is 'much'; allowed: -1e+30 to 1e+30"),
        ({"truncated": False}, Score, "'score' is a required property"),
        (
            {"score": 1.0, "more": 1},
            Score,
            "Additional properties are not allowed ('more' was unexpected)",
        ),
        (
            {"spans": [{"start": 0, "end": 4, "label": ""}]},
            Spans,
            "spans.0.label is ''; allowed: a text of 1 to 256 characters",
        ),
        (
            {"vector": "AACAPw=="},
            seqd_tasks.Embedding256,
            "vector is 'AACAPw=='; allowed: a text of 1368 to 1368 characters",
        ),
    ],
)
def test_an_output_that_breaks_its_schema_is_named_with_its_field(output, kind, fault):
    with pytest.raises(OutputMismatch) as mismatch:
        read(output, kind)

    assert str(mismatch.value) == (
        f"The output of item 'row-7' does not keep to the schema of its job: {fault}. Somebody has "
        "changed it in Redis: hand the item in again."
    )


def test_without_a_schema_an_output_is_read_as_it_is():
    result = ItemSuccess[object].model_construct(custom_id="row-7", output={"score": "much"})

    assert OutputReader[object](None)(result).unwrap() == {"score": "much"}


@pytest.mark.parametrize(
    "output",
    [
        seqd_tasks.embed("a"),
        seqd_tasks.score("a"),
        seqd_tasks.label("one two three"),
        seqd_tasks.find("Anna met Bert"),
        seqd_tasks.compare(seqd_tasks.Pair(left="a b", right="b")),
        Text(text=""),
    ],
    ids=lambda output: type(output).__name__,
)
def test_the_quick_check_knows_all_outputs_that_tasks_share(output):
    check = quick_check(output_schema(type(output)))

    assert check is not None and check(json.loads(output.model_dump_json()))


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        ({"type": "integer", "minimum": 0}, [0, -1, 1.5, True, "a", None]),
        ({"enum": ["a", "b"]}, ["a", "c", 1, None]),
        ({"anyOf": [{"type": "string", "maxLength": 2}, {"type": "null"}]}, ["ab", "abc", None, 1]),
        ({"type": "array", "items": {"type": "number"}, "minItems": 1}, [[1], [], ["a"], {}]),
        ({"type": "string", "pattern": "^[a-z]+$"}, ["ab", "AB", 1]),
        (
            {"type": "object", "additionalProperties": {"type": "number"}, "maxProperties": 1},
            [{}, {"a": 1}, {"a": "b"}, {"a": 1, "b": 2}, []],
        ),
        (
            {
                "$ref": "#/$defs/Tree",
                "$defs": {
                    "Tree": {
                        "type": "object",
                        "properties": {
                            "below": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}
                        },
                        "additionalProperties": False,
                    }
                },
            },
            [{}, {"below": [{"below": []}]}, {"below": [{"above": 1}]}],
        ),
    ],
)
def test_the_quick_check_says_of_these_what_jsonschema_says(schema, values):
    check, validator = quick_check(schema), Draft202012Validator(schema)

    assert check is not None
    assert [check(value) for value in values] == [validator.is_valid(value) for value in values]


@pytest.mark.parametrize(
    "schema", [{"oneOf": [{}, {}]}, {"enum": [1]}, {"$ref": "elsewhere"}, {"pattern": "("}]
)
def test_a_schema_with_more_than_the_quick_check_knows_is_left_to_jsonschema(schema):
    assert quick_check(schema) is None


def test_a_result_is_read_as_a_class_and_an_error_stays_one():
    result = ItemSuccess[object].model_construct(custom_id="row-7", output={"score": 1.0})

    assert OutputReader(Score)(result).unwrap() == Score(score=1.0)
    assert OutputReader(Score)(a_failure()) == a_failure()


def test_an_output_of_another_kind_of_job_is_not_read_as_the_class_that_is_asked_for():
    label = Classification(label="a", score=1.0, truncated=False)
    result = ItemSuccess(custom_id="row-1", output=label)

    with pytest.raises(OutputMismatch) as refused:
        OutputReader(Score)(result)

    assert str(refused.value) == (
        "The output of item 'row-1' is a Classification and no Score. Read the job without "
        "`output`."
    )


def test_records_in_a_request_and_in_an_upload_are_one_request():
    record = RecordItem(custom_id="a", input={"left": "x", "right": "y"})
    inline = RunJob(model="pairs", task="compare", source=RecordsSource(items=(record,)))
    upload = RunJob(model="pairs", task="compare", source=UploadSource())

    assert InputDigest(inline).hex() == InputDigest(upload).hex()
