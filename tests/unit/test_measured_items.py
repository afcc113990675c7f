"""The items that versions are measured on: the true outputs beside them, and which task it is."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from builders import a_catalog_entry
from seqd.cli.models.measured_items import Asked, MeasuredItems, measured_items, subject_of
from seqd.errors import InvalidRequest
from seqd_schemas import CatalogEntry, Item, RefusedItem, Score, TaskSchema

PAIR = {"properties": {"left": {}, "right": {}, "weight": {}}, "required": ["left", "right"]}
SCORE = TaskSchema(parameters={}, unit_items=1, result=Score.model_json_schema())


def a_model(*tasks: str, **own: TaskSchema) -> CatalogEntry:
    return a_catalog_entry(model="m", tasks=dict.fromkeys(tasks, SCORE), run_tasks=own)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "truth.jsonl"


def items_of(
    file: Path, rows: Sequence[object], entry: CatalogEntry | None = None
) -> MeasuredItems:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = Asked(file=str(file), label_field="truth", label_map={"neg": "negative"})
    with measured_items(asked, subject_of(entry or a_model(rate=SCORE), "m", asked)) as items:
        return items


def truths(items: MeasuredItems) -> list[object]:
    return [truth for truth, _ in items.beside()]


def test_the_true_output_is_no_part_of_a_record(file):
    pair = {"left": "a", "right": "b"}
    rows: list[Mapping[str, object]] = [
        {"custom_id": "one", **pair, "truth": 1},
        {"input": pair, "truth": 0.5},
        {**pair, "other": 1, "truth": 2},
    ]
    items = items_of(file, rows, a_model(rate=SCORE.model_copy(update={"input": PAIR})))

    one, nested, refused = items

    assert isinstance(one, Item) and isinstance(nested, Item) and isinstance(refused, RefusedItem)
    assert one.custom_id == "one"
    assert json.loads(one.text) == json.loads(nested.text) == pair
    assert "it has a field 'other' that the task does not take" in refused.refused.message
    assert truths(items) == [1.0, 0.5, 2.0]


def test_a_true_label_is_what_the_model_calls_it_with_the_beginning_of_the_text(file):
    rows = [{"text": "x" * 900, "truth": "neg"}, {"text": "b", "truth": 7}, "c"]

    items = items_of(file, rows, a_model("classify"))

    assert [text for _, text in items.beside()] == ["x" * 200, "b", "c"]
    assert truths(items) == ["negative", "7", None]


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_what_is_empty_is_no_true_output(file, value):
    items = items_of(file, [{"text": "a", "truth": value}, {"text": "b"}, "c"])

    assert [entry.custom_id for entry in items] == ["line-1", "line-2", "line-3"]
    assert truths(items) == [None, None, None]


def test_other_true_outputs_are_other_data_with_the_same_texts(file):
    prints = []
    for truth in (1, 1, 2):
        items = items_of(file, [{"text": "a", "truth": truth}])
        list(items)
        prints.append(items.fingerprint("truth.jsonl"))

    assert prints[0] == prints[1]
    assert prints[0].sha256 != prints[2].sha256
    assert prints[0].text_sha256 == prints[2].text_sha256


@pytest.mark.parametrize(
    ("entry", "task", "due"),
    [
        (None, None, "classify"),
        (a_model("classify", embed=SCORE), None, "classify"),
        (a_model("classify", embed=SCORE), "embed", "embed"),
        (a_model("classify", embed=SCORE), "classify", "classify"),
        (a_model("train", embed=SCORE), None, "embed"),
        (a_model("generate"), None, "classify"),
    ],
)
def test_a_model_that_classifies_is_measured_by_that_and_others_by_their_one_task(entry, task, due):
    assert subject_of(entry, "m", Asked(file="a.jsonl", task=task)).task == due


def test_of_several_tasks_one_has_to_be_named():
    with pytest.raises(InvalidRequest) as refused:
        subject_of(a_model("train", embed=SCORE, score=SCORE), "m", Asked(file="a.jsonl"))

    assert str(refused.value) == "m can embed, score; name one of them by --task"
