"""`seqd models evaluate` with the starter model: tables, JSON, a picture, and odd sets."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from cli_builders import Installation, running_daemon
from seqd.cli.demo.sample_data import compose_reviews

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_daemon(tmp_path_factory.mktemp("installation"), "--slots", "cpu:0") as running:
        yield running


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(one._asdict()) + "\n" for one in compose_reviews(400)))
    return file


@pytest.mark.slow
def test_a_version_is_measured_and_its_picture_drawn(
    installation: Installation, labelled: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "picture.png"

    ended = installation.seqd(
        "models", "evaluate", "imdb_lstm", "--data", str(labelled), "--plot", str(picture)
    )

    assert ended.status == 0, ended.err
    for words in ("imdb_lstm@0", "test.jsonl, 400 labelled items", "calibration error", "recall"):
        assert words in ended.out
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_as_json_the_figures_are_consistent(installation: Installation, labelled: Path) -> None:
    ended = installation.seqd("models", "evaluate", "imdb_lstm", "--data", str(labelled), "--json")

    report = cast(dict[str, object], ended.json())
    assert report["model"] == "imdb_lstm@0"
    assert report["items"] == 400
    assert cast(float, report["accuracy"]) > 0.7
    # Both classes' probabilities are asked for, so that the loss is of all items.
    assert 0.0 < cast(float, report["log_loss"]) < 1.0
    confusion = cast(list[list[int]], report["confusion"])
    assert sum(map(sum, confusion)) == 400


@pytest.mark.slow
def test_a_label_that_the_model_does_not_know_is_said_and_counts_as_wrong(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "three.jsonl"
    file.write_text(
        '{"text": "Wonderful, superb, I loved it.", "label": "positive"}\n'
        '{"text": "Awful, a waste of time.", "label": "negative"}\n'
        '{"text": "It was a film.", "label": "neutral"}\n'
        '{"text": "It was a film."}\n'
    )

    ended = installation.seqd("models", "evaluate", "imdb_lstm", "--data", str(file))

    assert ended.status == 0, ended.err
    assert "66.67%" in ended.out
    assert (
        "1 item of classes that the model does not know ('neutral') counted as wrong" in ended.out
    )
    assert "1 item without a label left out." in ended.out


@pytest.mark.slow
def test_where_no_label_is_a_class_the_mapping_is_suggested_and_works(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "short.jsonl"
    file.write_text(
        '{"text": "Wonderful, superb, I loved it.", "label": "pos"}\n'
        '{"text": "Awful, a waste of time.", "label": "neg"}\n'
    )
    command = ("models", "evaluate", "imdb_lstm", "--data", str(file))

    refused = installation.seqd(*command)
    mapped = installation.seqd(
        *command, "--map-label", "neg=negative", "--map-label", "pos=positive"
    )

    assert refused.status == 2
    assert refused.err.splitlines()[-1] == (
        "error[invalid_data]: no label of short.jsonl is a class of the model, so no answer could "
        "be right. The file has 'neg', 'pos'; the model gave 'negative', 'positive'. Map them: "
        "--map-label neg=negative --map-label pos=positive."
    )
    assert mapped.status == 0, mapped.err
    assert "100.00%" in mapped.out


@pytest.mark.slow
def test_a_set_without_labels_is_refused_with_the_field_that_was_looked_for(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "bare.jsonl"
    file.write_text('{"text": "A fine film."}\n')

    ended = installation.seqd(
        "models", "evaluate", "imdb_lstm", "--data", str(file), "--label-field", "stars"
    )

    assert ended.status == 2
    assert ended.err.splitlines()[-1] == (
        "error[invalid_data]: bare.jsonl has no record with both a label and an answer, so there "
        "is nothing to evaluate. The label is looked for in the field 'stars' (--label-field)."
    )


@pytest.mark.slow
def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(
    installation: Installation, labelled: Path
) -> None:
    ended = installation.seqd(
        "models", "evaluate", "imdb_lstm", "--data", str(labelled), "--plot", "picture.gif"
    )

    assert ended.status == 2
    assert ended.err == (
        "error[invalid_request]: the picture is to be 'picture.gif'; allowed: a name ending in "
        ".png\n"
    )
