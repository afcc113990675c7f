"""The card of a version: what its training wrote down, and what an evaluation keeps beside it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from cli_builders import here, use_ledger
from seqd.models.store import ModelStore
from seqd_schemas import ModelCard
from worker_fixtures import Cluster

pytestmark = pytest.mark.processes

Capture = pytest.CaptureFixture[str]

LEARNT = [{"text": "fine", "label": "pos"}, {"text": "dull", "label": "neg"}] * 2
HELD_OUT = [{"text": "good", "label": "pos"}, {"text": "so so"}]


@pytest.fixture
def at_the_store(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Settings of a machine that shares the cluster's Redis and its store."""
    use_ledger(monkeypatch, cluster.commands, columns=400, has_store=True)
    return cluster


def a_version(
    cluster: Cluster,
    learnt: Sequence[dict[str, str]] = LEARNT,
    held_out: Sequence[dict[str, str]] | None = HELD_OUT,
) -> int:
    """Train a version of `echo` on records that are uploaded."""
    job = cluster.client().train(learnt, held_out=held_out, model="echo")
    trained = job.wait(timeout_s=120).training
    assert trained is not None
    return trained.version


def a_file(folder: Path, rows: list[dict[str, str]], name: str = "test.jsonl") -> str:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def card_of(capsys: Capture, reference: str) -> ModelCard:
    shown = here(capsys, "models", "show", reference, "--json")
    assert shown.status == 0, shown.err
    record = cast(dict[str, object], shown.json())
    return ModelCard.model_validate_json(json.dumps(record["card"]))


def test_a_training_writes_down_its_data_its_worker_and_what_was_in_service(
    at_the_store: Cluster,
) -> None:
    version = a_version(at_the_store)

    store = ModelStore(at_the_store.settings.store_dir, {})
    manifest = store.open("echo", version).manifest
    assert list(manifest.data.classes.items()) == [("neg", 2), ("pos", 2)]
    assert manifest.held_out is not None
    assert (manifest.held_out.records, manifest.held_out.classes) == (2, {"pos": 1})
    assert manifest.origin is not None
    assert manifest.origin.worker == at_the_store.workers[0].name
    assert manifest.origin.attempts == 1
    assert manifest.origin.in_service == store.labels("echo")["production"]


def test_an_evaluation_is_kept_and_its_card_tells_figures_examples_and_what_is_missing(
    at_the_store: Cluster, tmp_path: Path, capsys: Capture
) -> None:
    reference = f"echo@{a_version(at_the_store)}"
    hostile = "\x1b[2Jgood\u202e"
    rows = [{"text": "good", "label": "good"}] * 3 + [{"text": hostile, "label": "good"}]

    command = ("models", "evaluate", reference, "--data", a_file(tmp_path, rows))
    evaluated = here(capsys, *command, "--min-score", "0.5")
    shown = here(capsys, "models", "show", reference)
    card = card_of(capsys, reference)

    assert evaluated.status == 0, evaluated.err
    assert f"Kept with the version: seqd models show {reference}" in evaluated.out
    (kept,) = card.evaluations
    accuracy = kept.metrics["accuracy"]
    assert (kept.items, accuracy.value, accuracy.method) == (4, 0.75, "wilson")
    assert (accuracy.low, accuracy.high) == pytest.approx((0.3006, 0.9544), abs=1e-4)
    assert [one.text for one in kept.wrong] == [hostile]
    assert kept.data.classes == {"good": 4}
    assert "accuracy           75.00%  (95%: 30.06% to 95.44%)" in shown.out
    assert (kept.min_score, kept.metrics["kept_share"].value) == (0.5, 1.0)
    assert kept.metrics["kept_accuracy"].value == 0.75
    assert "kept accuracy      75.00%" in shown.out
    assert "min score          0.5" in shown.out
    assert "\\x1b[2Jgood\\u202e" in shown.out
    assert "\x1b" not in shown.out
    assert f"Not measured yet: seqd models show {reference} --measure" in shown.out
    assert "  neg 2, pos 2\n" in shown.out
    assert f"Never so far. To change that: seqd models promote {reference}" in shown.out


def test_no_text_of_the_data_is_kept_where_none_shall_be(
    at_the_store: Cluster, tmp_path: Path, capsys: Capture
) -> None:
    reference = f"echo@{a_version(at_the_store)}"
    file = a_file(tmp_path, [{"text": "secret", "label": "secret"}])

    command = ("models", "evaluate", reference, "--data", file, "--no-examples")
    ended = here(capsys, *command, "--set", "note=quiet")

    (kept,) = card_of(capsys, reference).evaluations
    assert kept.parameters == {"note": "quiet"}
    assert (kept.items, kept.right, kept.wrong) == (1, (), ())
    assert "Right with the highest score" not in ended.out


def test_an_evaluation_on_what_a_version_was_trained_on_says_so_though_it_was_uploaded(
    at_the_store: Cluster, tmp_path: Path, capsys: Capture
) -> None:
    rows = [{"text": "good", "label": "good"}]
    reference = f"echo@{a_version(at_the_store, rows, None)}"
    learnt = a_file(tmp_path, rows)

    ended = here(capsys, "models", "evaluate", reference, "--data", learnt)

    assert "The version was trained on these very texts: the figures are better" in ended.out
    assert card_of(capsys, reference).evaluations[0].is_training_data
