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
