"""The command line against a daemon that runs: `seqd up`, and the other commands beside it.

With the chain, which trains in a moment and needs no Keras.
"""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from cli_builders import Installation, running_daemon
from worker_fixtures import wait_until

pytestmark = pytest.mark.processes

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


def results_in(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def prompts(folder: Path, *records: object) -> str:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def test_up_says_where_it_is_and_when_it_is_ready(installation: Installation) -> None:
    log = (installation.data_dir / "up.log").read_text()

    assert "Redis    unix://default:***@/" in log
    assert "Slots    cpu:0, train@cpu" in log
    assert "cpu:0      ready" in log
    assert "Ready after" in log


def test_another_terminal_finds_the_daemon_without_being_told(installation: Installation) -> None:
    def status() -> dict[str, list[dict[str, object]]]:
        said = installation.seqd("status", "--json").json()
        return cast(dict[str, list[dict[str, object]]], said)

    def states() -> dict[str, object]:
        return {str(worker["slot"]): worker["state"] for worker in status()["workers"]}

    # That a training has ended is known before its worker says so.
    wait_until(lambda: states() == {"cpu:0": "ready", "train@cpu": "ready"}, "both are ready")
    assert status()["open_jobs"] == []


def test_the_plugins_of_the_workers_are_listed_with_their_state(
    installation: Installation,
) -> None:
    ended = installation.seqd("plugins", "list")

    rows = [line.split() for line in ended.out.splitlines()]
    there = rows[rows.index(["plugin", "version", "state", "there", "workers"]) :]
    (markov,) = [row for row in there if row[:1] == ["markov"]]
    assert markov[2:] == ["ready", "all", "2"]


def test_a_training_tells_its_version_and_what_to_try(installation: Installation) -> None:
    ended = installation.seqd("train", "markov", "--data", "text.txt", "--preset", "tutorial")

    assert ended.status == 0, ended.err
    assert " is trained and not in service, after" in ended.out
    assert "markov means markov@0. To change that: seqd models promote markov@" in ended.out
    assert "Try it: seqd generate markov@" in ended.out


@pytest.mark.slow
def test_a_training_as_json_is_its_record(installation: Installation) -> None:
    ended = installation.seqd(
        "train", "markov", "--data", "text.txt", "--labels", "production", "--upload", "--json"
    )

    result = cast(dict[str, object], ended.json())
    assert result["model"] == "markov"
    show = ("models", "show", "markov@production", "--local", "--json")
    shown = installation.seqd(*show).json()
    manifest = cast(dict[str, dict[str, object]], shown)["manifest"]
    assert manifest["version"] == result["version"]


@pytest.mark.slow
def test_a_training_uploads_held_out_data_too(installation: Installation) -> None:
    held_out = ("--held-out", "text.txt")

    ended = installation.seqd(
        "train", "markov", "--data", "text.txt", *held_out, "--upload", "--detach"
    )

    shown = installation.seqd("jobs", "show", ended.out.strip(), "--json").json()
    request = cast(dict[str, dict[str, object]], shown)["job"]
    assert request["source"] == request["held_out"] == {"type": "upload", "expected_items": None}
    assert installation.seqd("jobs", "watch", ended.out.strip()).status == 0


def test_transition_probabilities_of_a_state_are_printed(installation: Installation) -> None:
    ended = installation.seqd("models", "show", "markov@latest", "--state", "w")

    # "was" does not occur; "west" and "wind" once each in a line.
    rows = [line.split() for line in ended.out.splitlines()]
    probabilities = {row[0]: row[2] for row in rows if len(row) > 2}
    assert ended.status == 0
    assert probabilities["'e'"] == probabilities["'i'"] == "0.5000"


def test_generated_text_goes_to_stdout_and_nothing_else_does(installation: Installation) -> None:
    first = installation.seqd("generate", "markov", "the ", "--length", "40", "--seed", "1")
    again = installation.seqd("generate", "markov", "the ", "--length", "40", "--seed", "1")

    assert first.status == 0, first.err
    assert first.out == again.out
    assert first.out.startswith("the ")
    assert len(first.out.removesuffix("\n")) == len("the ") + 40


def test_results_are_written_in_input_order_with_the_errors_beside_them(
    installation: Installation, tmp_path: Path
) -> None:
    file = prompts(tmp_path, {"id": "a", "text": "the "}, {"id": "b"}, {"id": "c", "text": "and "})
    out = tmp_path / "out.jsonl"

    ended = installation.seqd(
        "generate", "markov", "--prompts", file, "--length", "5", "--out", str(out)
    )

    assert [result["custom_id"] for result in results_in(out)] == ["a", "c"]
    errors = results_in(tmp_path / "out.errors.jsonl")
    assert [error["custom_id"] for error in errors] == ["b"]
    assert ended.status == 2
    assert "1 of 3 items has no result:" in ended.out
    assert "b  invalid_input: line 2: it has no field 'text'" in ended.out


def test_results_without_a_file_are_json_lines_in_input_order(
    installation: Installation, tmp_path: Path
) -> None:
    texts = [{"id": f"p{number}", "text": "the "} for number in range(300)]

    ended = installation.seqd(
        "generate", "markov", "--prompts", prompts(tmp_path, *texts), "--length", "3", "--json"
    )

    ids = [json.loads(line)["custom_id"] for line in ended.out.splitlines()]
    assert ids == [f"p{number}" for number in range(300)]


def test_prompts_come_from_a_pipe(installation: Installation) -> None:
    ended = installation.seqd(
        "generate", "markov", "--prompts", "-", "--length", "3", "--json", stdin="the \nand \n"
    )

    samples = [json.loads(line)["output"]["prompt"] for line in ended.out.splitlines()]
    assert samples == ["the ", "and "]


def test_a_detached_job_is_watched_and_fetched_later(
    installation: Installation, tmp_path: Path
) -> None:
    handed_in = installation.seqd(
        "generate", "markov", "the ", "--length", "5", "--detach", "--samples", "2"
    )
    job = handed_in.out.strip()

    watched = installation.seqd("jobs", "watch", job)
    fetched = installation.seqd("jobs", "results", job, "--out", str(tmp_path / "out.jsonl"))
    shown = installation.seqd("jobs", "show", job, "--json").json()

    assert handed_in.status == watched.status == fetched.status == 0
    assert f"seqd jobs results {job}" in watched.out
    assert len(results_in(tmp_path / "out.jsonl")) == 1
    assert cast(dict[str, object], shown)["state"] == "completed"
    listed = cast(list[dict[str, object]], installation.seqd("jobs", "list", "--json").json())
    assert job in [record["job_id"] for record in listed]


def test_events_are_json_lines_up_to_the_last(installation: Installation) -> None:
    job = installation.seqd("train", "markov", "--data", "text.txt", "--detach").out.strip()

    ended = installation.seqd("jobs", "watch", job, "--json")

    events = [json.loads(line)["event"] for line in ended.out.splitlines()]
    assert events[0] == "queued"
    assert events[-1] == "completed"


@pytest.mark.slow
def test_the_result_of_a_training_is_its_version(installation: Installation) -> None:
    job = installation.seqd("train", "markov", "--data", "text.txt", "--detach").out.strip()
    installation.seqd("jobs", "watch", job)

    result = cast(dict[str, object], installation.seqd("jobs", "results", job).json())

    assert result["model"] == "markov"
    assert cast(int, result["version"]) >= 1


def test_ctrl_c_cancels_the_job_and_leaves_no_half_a_file(
    installation: Installation, tmp_path: Path
) -> None:
    texts = [{"id": f"p{number}", "text": "the "} for number in range(5_000)]
    program = installation.start(
        *("generate", "markov", "--prompts", prompts(tmp_path, *texts), "--length", "20000"),
        *("--out", str(tmp_path / "out.jsonl"), "--priority", "bulk"),
    )
    job = newest_running_job(installation)

    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=60)

    assert program.returncode == 130, err
    assert f"Cancelled job {job}" in out
    assert "Traceback" not in err
    # What `--resume` goes on with, and no part of a file.
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.jsonl.job", "prompts.jsonl"]
    shown = installation.seqd("jobs", "show", job, "--json").json()
    assert cast(dict[str, object], shown)["state"] == "cancelled"


@pytest.mark.slow
def test_a_job_that_had_ended_is_not_cancelled_any_more(installation: Installation) -> None:
    job = installation.seqd("generate", "markov", "the ", "--length", "5", "--detach").out.strip()
    installation.seqd("jobs", "watch", job)

    ended = installation.seqd("jobs", "cancel", job)

    assert ended.status == 0
    assert ended.out == f"Job {job} had ended before, as completed; nothing was changed.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate", "markov", "x", "--length", "0"), "parameter 'length' is 0; allowed: 1 to "),
        (("classify", "missing.jsonl"), "missing.jsonl does not exist. Check the path"),
        *(
            pytest.param(arguments, message, marks=pytest.mark.slow)
            for arguments, message in [
                (
                    ("classify", "--text", "x", "--model", "imbd_lstm"),
                    "Did you mean 'imdb_lstm'?",
                ),
                (
                    ("generate", "markov@77", "x"),
                    "error[unknown_model]: model 'markov' has no version 77.",
                ),
                (("generate", "markov", "x", "--param", "foo=1"), "parameter 'foo' is unknown."),
                (("train", "markov", "--data", "no:set"), "knows no data set named 'no:set'"),
                (("jobs", "show", "nobody"), "error[unknown_job]: No job 'nobody'."),
            ]
        ),
    ],
)
def test_a_mistake_exits_with_2_and_makes_no_job(
    installation: Installation, arguments: tuple[str, ...], message: str
) -> None:
    jobs_before = len(cast(list[object], installation.seqd("jobs", "list", "--json").json()))

    ended = installation.seqd(*arguments)

    assert ended.status == 2
    assert message in ended.err
    assert "Traceback" not in ended.err
    jobs = cast(list[object], installation.seqd("jobs", "list", "--json").json())
    assert len(jobs) == jobs_before


def test_data_that_nothing_can_be_learnt_from_exits_with_2(installation: Installation) -> None:
    (installation.data_dir / "one.txt").write_text("x")

    ended = installation.seqd("train", "markov", "--data", "one.txt")

    assert ended.status == 2
    assert ended.err.startswith("error[invalid_data]: job ")


def test_a_second_daemon_on_the_same_folder_is_refused(installation: Installation) -> None:
    ended = installation.seqd("up")

    assert ended.status == 2
    assert "runs a Redis server on" in ended.err


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_said_so(installation: Installation) -> None:
    log = installation.data_dir / "up.log"
    started = next(
        line for line in log.read_text().splitlines() if line.startswith("cpu:0      started")
    )

    os.killpg(int(started.split()[-1]), signal.SIGKILL)

    wait_for_line(log, "cpu:0      died     ", "killed by SIGKILL; starts again in 1 s (log: ")
    wait_for_line(log, "cpu:0      started  ", ", start 2")
    assert installation.seqd("generate", "markov", "the ", "--length", "5").status == 0


def wait_for_line(log: Path, beginning: str, part: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(
            line.startswith(beginning) and part in line for line in log.read_text().splitlines()
        ):
            return
        time.sleep(0.05)
    raise AssertionError(f"no line {beginning}...{part} in:\n{log.read_text()}")


def newest_running_job(installation: Installation) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        listed = cast(list[dict[str, object]], installation.seqd("jobs", "list", "--json").json())
        if listed and listed[0]["state"] == "running":
            return str(listed[0]["job_id"])
    raise AssertionError("no job was running within 30 s")
