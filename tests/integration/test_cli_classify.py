"""The starter model is used, measured, and compared with a version that is trained here."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cli_builders import Ended, Installation, here_in, records_in, running_daemon
from redis_fixtures import PrivateServer
from seqd.cli.demo.sample_data import compose_reviews

pytestmark = pytest.mark.processes

Seqd = Callable[..., Ended]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with running_daemon(folder, "--slots", "cpu:0,train@cpu") as running:
        yield running


@pytest.fixture
def seqd(
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Seqd:
    """Return what runs a command in this process, as another terminal would."""
    return here_in(installation.data_dir, capsys, monkeypatch)


def written(path: Path, *records: object) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


@pytest.mark.slow
@pytest.mark.smoke
def test_a_file_gets_its_results_in_order_and_its_accuracy(seqd: Seqd, tmp_path: Path) -> None:
    reviews = list(compose_reviews(1_500))
    file = tmp_path / "reviews.jsonl.gz"
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(review._asdict()) + "\n" for review in reviews)
    out = tmp_path / "results.jsonl"

    ended = seqd("classify", str(file), "--out", str(out), "--json")

    summary = cast(dict[str, Any], ended.json())
    assert ended.status == 0, ended.err
    assert [one["custom_id"] for one in records_in(out.read_text())] == [
        one.custom_id for one in reviews
    ]
    assert summary["labelled_items"] == 1_500
    assert summary["accuracy"] > 0.7
    assert summary["errors"] is None
    # With its time and pace in between, unless the machine was too fast for them to mean anything.
    assert re.search(r"1,500 classified by imdb_lstm@0( in .+ a second)?: \d+ negative", ended.err)


@pytest.mark.slow
@pytest.mark.smoke
def test_bad_lines_are_errors_in_their_place_and_the_good_ones_are_classified(
    seqd: Seqd, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(
        b'{"id": "good", "text": "Wonderful, superb, I loved it."}\n'
        b"not json\n"
        b'{"id": "empty", "text": ""}\n'
        b'{"id": "latin", "text": "caf\xe9"}\n'
        b'{"id": "emoji", "text": "Awful, a waste of time. \\ud83d\\ude00"}\n'
        b'{"id": "surrogate", "text": "A film \\ud83d"}\n'
        b'{"id": "nul", "text": "A dull \\u0000 film"}\n'
    )

    mixed = seqd("classify", str(file))

    assert {one["custom_id"]: one["status"] for one in records_in(mixed.out)} == {
        "good": "succeeded",
        "line-2": "errored",
        "empty": "errored",
        "line-4": "errored",
        "emoji": "succeeded",
        "surrogate": "errored",
        "nul": "succeeded",
    }
    assert mixed.status == 2
    assert "4 of 7 items have no result, the first ones:" in mixed.err
    assert "line-2  invalid_input: line 2: it is not JSON" in mixed.err

    twice = written(
        tmp_path / "twice.jsonl", {"id": "a", "text": "fine"}, {"id": "a", "text": "good"}
    )
    refused = seqd("classify", twice, "--out", str(tmp_path / "out.jsonl"))

    assert refused.status == 2
    assert refused.err.startswith("error[duplicate_custom_id]: the identifier 'a' is used twice")
    assert not (tmp_path / "out.jsonl").exists()

    texts = ("--text", "Wonderful, superb, I loved it.", "--text", "Awful, a waste of time.")
    typed = seqd("classify", *texts)

    assert [one["output"]["label"] for one in records_in(typed.out)] == ["positive", "negative"]


@pytest.mark.slow
def test_a_version_is_measured_by_figures_that_agree_and_its_picture_drawn(
    seqd: Seqd, tmp_path: Path
) -> None:
    labelled = written(tmp_path / "test.jsonl", *(one._asdict() for one in compose_reviews(400)))
    command = ("models", "evaluate", "imdb_lstm", "--data", labelled)
    picture = tmp_path / "picture.png"

    ended = seqd(*command, "--plot", str(picture))

    assert ended.status == 0, ended.err
    for words in ("imdb_lstm@0", "test.jsonl, 400 labelled items", "calibration error", "recall"):
        assert words in ended.out
    assert picture.read_bytes().startswith(b"\x89PNG")

    report = cast(dict[str, Any], seqd(*command, "--json").json())

    assert report["model"] == "imdb_lstm@0"
    assert report["items"] == 400
    assert report["accuracy"] > 0.7
    # Both classes' probabilities are asked for, so that the loss is of all items.
    assert 0.0 < report["log_loss"] < 1.0
    assert sum(map(sum, report["confusion"])) == 400

    # A picture that cannot be drawn is refused before the work.
    refused = seqd(*command, "--plot", "picture.gif")

    assert (refused.status, refused.err) == (
        2,
        "error[invalid_request]: the picture is to be 'picture.gif'; allowed: a name ending in "
        ".png\n",
    )


@pytest.mark.slow
def test_a_trained_version_is_compared_with_the_starter_by_the_fleet(
    seqd: Seqd, tmp_path: Path
) -> None:
    reviews = [review._asdict() for review in compose_reviews(400)]
    train = written(tmp_path / "train.jsonl", *reviews[:200])
    test = written(tmp_path / "test.jsonl", *reviews[200:])
    trained = seqd("train", "imdb_lstm", "--preset", "fast", "--data", train)
    assert trained.status == 0, trained.err

    versions = ("imdb_lstm@0", "imdb_lstm@1")
    ended = seqd("models", "compare", *versions, "--data", test, "--json")

    found = cast(dict[str, Any], ended.json())
    assert ended.status == 0, ended.err
    assert found["items"] == 200
    assert list(found["metrics"]) == ["accuracy", "f1_macro", "log_loss"]
    assert min(found[side]["size_bytes"] for side in ("first", "second")) > 1_000


@pytest.mark.smoke
def test_a_port_that_is_taken_is_refused(private_server: PrivateServer, tmp_path: Path) -> None:
    port = private_server.port

    ended = Installation(tmp_path).seqd("up", "--redis-port", str(port))

    assert ended.status == 2
    assert ended.err.startswith(f"error[port_taken]: SEQD_REDIS_PORT is {port}, but a Redis server")
