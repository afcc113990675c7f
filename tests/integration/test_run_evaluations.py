"""Given items with true outputs, when a plugin's own task is evaluated, then its figures are kept.

What the models of the plugin give is plain to compute by hand; see `seqd_tasks`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from cli_builders import Ended, here, use_ledger
from task_fixtures import TaskCluster

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]
Row = Mapping[str, object]


@pytest.fixture(autouse=True)
def environment(task_cluster: TaskCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that shares the cluster's Redis and its store."""
    use_ledger(monkeypatch, task_cluster.commands, has_store=True)
    yield
    for kept in task_cluster.settings.store_dir.glob("*/evaluations/*.json"):
        kept.unlink()


def evaluate(
    capsys: Capture, folder: Path, model: str, rows: Sequence[Row], *options: str
) -> Ended:
    file = folder / "truth.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return here(capsys, "models", "evaluate", model, "--data", str(file), *options)


def figures_of(ended: Ended) -> dict[str, Any]:
    assert ended.status == 0, ended.err
    found = ended.json()
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("model", "rows", "due"),
    [
        # It gives {red, blue}, {red}, {red} and {}.
        (
            "topics",
            [
                {"text": "red blue", "labels": ["red", "green"]},
                {"text": "red", "labels": ["red"]},
                {"text": "red", "labels": "blue|red"},
                {"text": "a", "labels": []},
            ],
            {"f1_micro": 2 * 3 / 9, "precision_micro": 3 / 4, "recall_micro": 3 / 5}
            # red 1, green and blue 0
            | {"f1_macro": 1 / 3, "exact_match": 0.5, "output": "labels", "task": "tag"},
        ),
        (
            "vectors",
            [{"text": text, "label": label} for text, label in zip("aabbc", "xxyyx", strict=True)],
            {"neighbour_accuracy": None, "items": 5},
        ),
    ],
)
def test_figures_are_those_of_the_type_of_output_and_are_kept_with_the_version(
    tmp_path: Path, capsys: Capture, model: str, rows: Sequence[Row], due: dict[str, object]
) -> None:
    found = figures_of(evaluate(capsys, tmp_path, model, rows, "--json"))

    for name, figure in due.items():
        if figure is not None:
            assert found[name] == (pytest.approx(figure) if isinstance(figure, float) else figure)
    card = figures_of(here(capsys, "models", "show", f"{model}@1", "--json"))["card"]
    (kept,) = card["evaluations"]
    assert kept["output"] == found["output"]
    for name, figure in kept["metrics"].items():
        assert figure["value"] == found[name]
    shown = here(capsys, "models", "show", f"{model}@1")
    assert "Evaluated on truth.jsonl" in shown.out
    assert found["task"] in shown.out


def test_nearest_neighbours_are_those_of_the_vectors(tmp_path: Path, capsys: Capture) -> None:
    rows = [{"text": text, "label": "same"} for text in "aabb"] + [{"text": "c", "label": "one"}]

    found = figures_of(evaluate(capsys, tmp_path, "vectors", rows, "--json"))

    assert found["neighbour_accuracy"] == 4 / 5  # the class of one item has no other
    assert [one["label"] for one in found["classes"]] == ["same", "one"]


def test_figures_are_printed_with_their_intervals_and_what_was_left_out(
    tmp_path: Path, capsys: Capture
) -> None:
    rows = [
        *({"text": "red blue", "labels": ["red"]} for _ in range(8)),
        {"text": "red"},
        {"text": "refuse", "labels": ["red"]},
    ]

    ended = evaluate(capsys, tmp_path, "topics", rows, "--no-examples")

    assert ended.status == 2  # an item got an error
    for words in (
        "tag",
        "truth.jsonl, 8 labelled items",
        "micro F1         0.6667",
        "exact match      0.00%",
        "blue",
        "1 item without a label left out.",
        "1 item left out, as the model gave an error: `seqd run MODEL tag` on the file shows",
        "Kept with the version: seqd models show topics@1",
    ):
        assert words in ended.out, ended.out


@pytest.mark.parametrize(
    ("model", "row", "options", "message"),
    [
        (
            "stars",
            {"text": "a", "score": "much"},
            (),
            "error[invalid_data]: line 1: its score is 'much', allowed: a finite number, such as "
            "3.5. Mend it, or name the field with the true output by --label-field",
        ),
        (
            "places",
            {"text": "Anna", "spans": [{"start": 4, "end": 1, "label": "NAME"}]},
            (),
            "error[invalid_data]: line 1: its spans is [{'start': 4, 'end': 1, 'label': 'NAME'}], "
            "end: it is not behind start, which is 4. Mend it, or name the field with the true "
            "output by --label-field",
        ),
        (
            "stars",
            {"text": "a"},
            ("--label-field", "stars"),
            "error[invalid_data]: truth.jsonl has no record with both a true output and an answer, "
            "so there is nothing to evaluate. The true output is looked for in the field 'stars' "
            "(--label-field).",
        ),
        (
            "stars",
            {"text": "a", "score": 1},
            ("--label-field", "text"),
            "error[invalid_request]: the true output is looked for in the field 'text', which is a "
            "field of the task's input; name another one by --label-field",
        ),
        (
            "stars",
            {"text": "a", "score": 1},
            ("--task", "scor"),
            "error[invalid_request]: --task is 'scor'; allowed for stars: score. Did you mean "
            "'score'?",
        ),
        (
            "pairs",
            {"left": "a", "right": "b", "truth": 1},
            ("--label-field", "truth"),
            "error[invalid_request]: the outputs of pairs compare are Comparison, for which there "
            "are no figures; allowed: Labels, Score, Spans, Text, Embedding, and classes that "
            "derive from them",
        ),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_what_is_allowed(
    tmp_path: Path, capsys: Capture, model: str, row: Row, options: tuple[str, ...], message: str
) -> None:
    ended = evaluate(capsys, tmp_path, model, [row], *options)

    assert (ended.status, ended.err.strip().splitlines()[-1]) == (2, message)
