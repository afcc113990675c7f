"""`seqd classify` with the starter model: order, accuracy, and what a bad line gets."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from cli_builders import Installation, running_daemon
from redis_fixtures import PrivateServer
from seqd.cli.demo.sample_data import compose_reviews

pytestmark = [pytest.mark.processes, pytest.mark.smoke]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with running_daemon(tmp_path_factory.mktemp("installation"), "--slots", "cpu:0") as running:
        yield running


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_up_says_that_no_slot_trains_and_which_would(installation: Installation) -> None:
    log = (installation.data_dir / "up.log").read_text()

    assert "No slot here trains: `--slots cpu:0,train@cpu` has one that does.\n" in log


@pytest.mark.slow
def test_a_file_gets_its_results_in_order_and_its_accuracy(
    installation: Installation, tmp_path: Path
) -> None:
    reviews = list(compose_reviews(1_500))
    file = tmp_path / "reviews.jsonl.gz"
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(review._asdict()) + "\n" for review in reviews)
    out = tmp_path / "results.jsonl"

    ended = installation.seqd("classify", str(file), "--out", str(out), "--json")

    summary = cast(dict[str, object], ended.json())
    assert ended.status == 0, ended.err
    assert [line["custom_id"] for line in lines_of(out)] == [one.custom_id for one in reviews]
    assert summary["labelled_items"] == 1_500
    assert cast(float, summary["accuracy"]) > 0.7
    assert summary["errors"] is None
    # With its time and pace in between, unless the machine was too fast for them to mean anything.
    assert re.search(r"1,500 classified by imdb_lstm@0( in .+ a second)?: \d+ negative", ended.err)


@pytest.mark.slow
def test_bad_lines_are_errors_in_their_place_and_the_good_ones_are_classified(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(
        b'{"id": "good", "text": "A wonderful film."}\n'
        b"not json\n"
        b'{"id": "empty", "text": ""}\n'
        b'{"id": "latin", "text": "caf\xe9"}\n'
        b'{"id": "emoji", "text": "A great film \\ud83d\\ude00"}\n'
        b'{"id": "surrogate", "text": "A film \\ud83d"}\n'
        b'{"id": "nul", "text": "A dull \\u0000 film"}\n'
    )

    ended = installation.seqd("classify", str(file))

    statuses = {
        line["custom_id"]: line["status"] for line in map(json.loads, ended.out.splitlines())
    }
    assert statuses == {
        "good": "succeeded",
        "line-2": "errored",
        "empty": "errored",
        "line-4": "errored",
        "emoji": "succeeded",
        "surrogate": "errored",
        "nul": "succeeded",
    }
    assert ended.status == 2
    assert "4 of 7 items have no result, the first ones:" in ended.err
    assert "line-2  invalid_input: line 2: it is not JSON" in ended.err


@pytest.mark.slow
def test_identifiers_used_twice_are_refused_before_there_is_a_job(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "twice.jsonl"
    file.write_text('{"id": "a", "text": "fine"}\n{"id": "a", "text": "good"}\n')

    ended = installation.seqd("classify", str(file), "--out", str(tmp_path / "out.jsonl"))

    assert ended.status == 2
    assert ended.err.startswith("error[duplicate_custom_id]: the identifier 'a' is used twice")
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.slow
def test_texts_come_from_the_command_line(installation: Installation) -> None:
    ended = installation.seqd(
        "classify", "--text", "Wonderful, superb, I loved it.", "--text", "Awful, a waste of time."
    )

    labels = [json.loads(line)["output"]["label"] for line in ended.out.splitlines()]
    assert labels == ["positive", "negative"]


@pytest.mark.slow
def test_a_reader_that_has_had_enough_ends_the_job(
    installation: Installation, tmp_path: Path
) -> None:
    file = tmp_path / "many.txt"
    file.write_text("".join(f"{one.text}\n" for one in compose_reviews(60_000)))
    program = installation.start("classify", str(file))
    assert program.stdout is not None

    program.stdout.readline()
    program.stdout.close()
    program.wait(timeout=60)

    assert program.stderr is not None
    assert "Traceback" not in program.stderr.read()
    program.stderr.close()
    assert program.stdin is not None
    program.stdin.close()
    newest = cast(list[dict[str, object]], installation.seqd("jobs", "list", "--json").json())[0]
    assert newest["state"] == "cancelled"


def test_a_port_that_is_taken_is_refused(private_server: PrivateServer, tmp_path: Path) -> None:
    port = private_server.port

    ended = Installation(tmp_path).seqd("up", "--redis-port", str(port))

    assert ended.status == 2
    assert ended.err.startswith(f"error[port_taken]: SEQD_REDIS_PORT is {port}, but a Redis server")
