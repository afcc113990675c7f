"""The data of an evaluation of a plugin's own task: items, and the true outputs beside them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from seqd.cli.models.evaluated_data import TaskData
from seqd.cli.sources import Feed, local_input
from seqd.errors import InvalidData, InvalidInput
from seqd.inputs.items import ItemRules
from seqd_schemas import Item, RefusedItem

PAIR = {"left": True, "right": True, "weight": False}


def task_data(folder: Path, rows: Sequence[object], **rules: object) -> TaskData:
    file = folder / "truth.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def number(value: object) -> float:
        if not isinstance(value, int | float):
            raise ValueError("allowed: a number")
        return float(value)

    feed = Feed(local_input(file))
    return TaskData(feed, ItemRules(**rules), "truth", number)  # type: ignore[arg-type]


def test_the_true_output_is_no_part_of_a_record(tmp_path: Path) -> None:
    pair = {"left": "a", "right": "b"}
    rows: list[Mapping[str, object]] = [
        {"custom_id": "one", **pair, "truth": 1},
        {"input": pair, "truth": 0.5},
        {**pair, "other": 1, "truth": 2},
    ]
    data = task_data(tmp_path, rows, fields=PAIR)

    one, nested, refused = data

    assert isinstance(one, Item) and isinstance(nested, Item) and isinstance(refused, RefusedItem)
    assert one.custom_id == "one"
    assert json.loads(one.text) == json.loads(nested.text) == pair
    assert "it has a field 'other' that the task does not take" in refused.refused.message
    assert [data.next_truth() for _ in range(3)] == [1.0, 0.5, 2.0]


@pytest.mark.parametrize("value", [None, "", "  ", float("nan")])
def test_what_is_empty_is_no_true_output(tmp_path: Path, value: object) -> None:
    data = task_data(tmp_path, [{"text": "a", "truth": value}, {"text": "b"}, "c"])

    assert [entry.custom_id for entry in data] == ["line-1", "line-2", "line-3"]
    assert [data.next_truth() for _ in range(3)] == [None, None, None]


def test_a_true_output_that_cannot_be_read_is_said_with_its_line(tmp_path: Path) -> None:
    data = task_data(tmp_path, [{"text": "a", "truth": 1}, {"text": "b", "truth": "x"}])

    with pytest.raises(InvalidData) as raised:
        list(data)

    assert str(raised.value) == (
        "line 2: its truth is 'x', allowed: a number. Mend it, or name the field with the true "
        "output by --label-field"
    )


def test_other_true_outputs_are_other_data_with_the_same_texts(tmp_path: Path) -> None:
    prints = []
    for truth in (1, 1, 2):
        data = task_data(tmp_path, [{"text": "a", "truth": truth}])
        list(data)
        prints.append(data.fingerprint("truth.jsonl"))

    assert prints[0] == prints[1]
    assert prints[0].sha256 != prints[2].sha256
    assert prints[0].text_sha256 == prints[2].text_sha256


def test_a_file_that_changes_between_items_and_truths_is_refused(tmp_path: Path) -> None:
    data = task_data(tmp_path, [{"text": "a", "truth": 1}, {"text": "b", "truth": 2}])
    list(data)
    (tmp_path / "truth.jsonl").write_text('{"text": "a", "truth": 1}\n')

    with pytest.raises(InvalidInput, match="was changed while it was read: it had 52 bytes and"):
        data.next_truth()
