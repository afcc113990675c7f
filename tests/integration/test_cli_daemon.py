"""The command line against a daemon that runs: `seqd up`, and the other commands beside it.

Trainings are of the chain, which trains in a moment and needs no Keras.
"""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from cli_builders import Ended, Installation, here_in, records_in, running_daemon
from seqd.cli.demo.sample_data import compose_reviews
from worker_fixtures import wait_until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

Seqd = Callable[..., Ended]

TEXT = "the sea lay flat and grey, and the wind had gone round to the west.\n" * 50


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A daemon with one serving and one training slot, and a chain trained on a text."""
    folder = tmp_path_factory.mktemp("installation")
    (folder / "text.txt").write_text(TEXT)
    with running_daemon(folder, "--slots", "cpu:0,train@cpu") as installation:
        trained = installation.seqd("train", "markov", "--data", "text.txt")
        assert trained.status == 0, trained.err
        yield installation


@pytest.fixture
def seqd(
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Seqd:
    """Return what runs a command in this process, as another terminal would."""
    return here_in(installation.data_dir, capsys, monkeypatch)


def prompts(folder: Path, *records: object) -> str:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_up_says_where_it_is_and_another_terminal_finds_it_without_being_told(
    installation: Installation, seqd: Seqd
) -> None:
    log = (installation.data_dir / "up.log").read_text()
    assert "Redis    unix://default:***@/" in log
    assert "Slots    cpu:0, train@cpu" in log
    assert "cpu:0      ready" in log
    assert "Ready after" in log

    def states() -> dict[str, object]:
        workers = cast(dict[str, Any], seqd("status", "--json").json())["workers"]
        return {worker["slot"]: worker["state"] for worker in workers}

    # That a training has ended is known before its worker says so.
    wait_until(lambda: states() == {"cpu:0": "ready", "train@cpu": "ready"}, "both are ready")
    assert cast(dict[str, Any], seqd("status", "--json").json())["open_jobs"] == []

    rows = [line.split() for line in seqd("plugins", "list").out.splitlines()]
    there = rows[rows.index(["plugin", "version", "state", "there", "workers"]) :]
    (markov,) = [row for row in there if row[:1] == ["markov"]]
    assert markov[2:] == ["ready", "all", "2"]


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
