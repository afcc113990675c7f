"""Each case of `make bench` once and small: it prints its report and leaves nothing behind.

`make test-all` has that of scripts, and `make test-long` all of them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.daemon import TESTS
from checkout import python_path
from cli_builders import clean_environment
from worker_fixtures import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.processes, pytest.mark.timeout(400)]

LONG = pytest.mark.long
#: Far beyond what any of these takes on a busy machine.
COMMAND_S = 360.0


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a case whose temporary folder is made in `folder`."""
    # A server that nobody runs: a benchmark must not look at it.
    given = {"SEQD_REDIS_URL": "redis://127.0.0.1:1/0", "SEQD_PREFIX": "elsewhere"}
    variables = {"TMPDIR": str(folder), "PYTHONPATH": python_path(TESTS), **given}
    program = subprocess.Popen(
        [sys.executable, "-m", "bench", *arguments],
        env=clean_environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        yield program
    finally:
        program.terminate()
        program.communicate(timeout=COMMAND_S)


def report_of(folder: Path, *arguments: str) -> dict:
    with started(folder, *arguments, "--json") as program:
        out, err = program.communicate(timeout=COMMAND_S)
    assert program.returncode == 0, err
    wait_until_nothing_is_left(folder)
    return json.loads(out)


def wait_until_nothing_is_left(folder: Path) -> None:
    """Wait a moment: what Python starts beside a process ends right after that."""
    left: list[str] = []

    def is_empty() -> bool:
        left[:] = left_in(folder)
        return left == []

    try:
        wait_until(is_empty, "all that was started has ended")
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from None


def left_in(folder: Path) -> list[str]:
    """Name what is left: folders of a benchmark, and processes that were started in one."""
    found = [path.name for path in folder.glob("seqd-bench-*")]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            variables = (process / "environ").read_bytes().decode(errors="replace")
        except OSError:
            continue  # Another user's, or it has ended.
        if str(folder) in variables and int(process.name) != os.getpid():
            found.append(process.name)
    return found


def rows_of(report: dict) -> dict[str, list[float]]:
    return {row["name"]: row["rounds"] for part in report["sections"] for row in part["rows"]}


def facts_of(report: dict) -> dict[str, float]:
    return {fact["name"]: fact["value"] for part in report["sections"] for fact in part["facts"]}


@LONG
def test_workers_are_counted_idle_and_busy(tmp_path: Path) -> None:
    facts = facts_of(report_of(tmp_path, "workers", "--workers", "1", "--seconds", "2"))

    assert facts["connections"] > 0
    assert 0 < facts["commands"] < facts["commands, with those of scripts"]


@LONG
def test_workers_without_a_model_claim_each_unit_of_a_job(tmp_path: Path) -> None:
    pytest.importorskip("gevent", reason="gevent is not installed: pip install 'seqd[bench]'")
    options = ("--workers", "3", "--units", "60", "--seconds", "2")
    facts = facts_of(report_of(tmp_path, "fleet", *options))

    assert facts["connections"] > 0
    assert facts["claims that got units"] == 60


@LONG
@pytest.mark.network
def test_a_large_file_goes_each_way(tmp_path: Path) -> None:
    report = report_of(tmp_path, "sizes", "--reviews", "600", "--rounds", "1")

    rows = rows_of(report)
    assert rows["by reference / through Redis"][0] > 0
    # Ray's own figure, or the line that says what to install.
    assert ("--engine ray" in rows) != any("Ray" in note for note in report["notes"])


@LONG
@pytest.mark.network
def test_classify_runs_the_tutorials_network_beside_keras(tmp_path: Path) -> None:
    report = report_of(tmp_path, "classify", "--reviews", "20", "--large", "40", "--rounds", "1")

    rows, facts = rows_of(report), facts_of(report)
    assert rows["seqd, tutorial network, 40 reviews / Keras model.predict"][0] > 0
    assert 0 < rows["seqd's share of it"][0] < 1
    assert facts["floating-point operations a token"] == 80_000
    assert facts["items a batch, mean"] == 40
    shares = [value for name, value in facts.items() if ":" in name]
    assert len(shares) == 6
    assert 0.9 < sum(shares) < 1.1
    # ONNX Runtime's own figure, or the line that says what to install.
    assert ("ONNX Runtime, padded" in rows) != any("ONNX" in note for note in report["notes"])


@pytest.mark.parametrize(
    ("words", "rows", "latencies", "facts"),
    [
        pytest.param(
            "jobs --light-jobs 40 --review-jobs 20 --texts 200 --tasks 20 --clients 2 --rounds 1",
            *(7, 0, 0),
            marks=LONG,
        ),
        pytest.param("train --reviews 100 --rounds 1", 6, 0, 0, marks=[LONG, pytest.mark.network]),
        pytest.param("interactive --seconds 1 --bulk 200000 --singles 2", 0, 6, 1, marks=LONG),
        pytest.param(
            "console --jobs 200 --workers 3 --failures 5 --epochs 4 --rounds 1",
            *(0, 20, 0),
            marks=LONG,
        ),
        # Without the starts of workers, which compile their kernels.
        pytest.param("startup --rounds 1 --starts 0", 13, 0, 0, marks=LONG),
    ],
    ids=lambda value: str(value).partition(" ")[0],
)
def test_a_case_prints_all_its_figures(
    tmp_path: Path, words: str, rows: int, latencies: int, facts: int
) -> None:
    report = report_of(tmp_path, *words.split())

    found = {
        kind: [one for part in report["sections"] for one in part[kind]]
        for kind in ("rows", "latencies", "facts")
    }
    assert [*map(len, found.values())] == [rows, latencies, facts], found
    assert all(figure > 0 for one in found["rows"] for figure in one["rounds"])
    assert all(one["median"] > 0 for one in found["latencies"])


@LONG
@pytest.mark.network
def test_generate_tells_characters_a_second_of_a_stream_and_a_batch(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("The cat sat on the mat, and the rat sat on the cat. " * 180)
    report = report_of(
        tmp_path, "generate", "markov@0", "--file", "text.txt", "--length", "50", "--batch", "4",
        "--batch-length", "20", "--loop-length", "2", "--rounds", "1", "--slots", "cpu:0,cpu:1",
    )  # fmt: skip

    assert [section["title"] for section in report["sections"]] == [
        "markov: fitting, one core",
        "bits a character, the last tenth of text.txt",
        "markov@0: characters a second",
        "char_lstm@1, the tutorial's network: characters a second",
        "the tutorial's loop: characters a second",
        "how many times the tutorial's loop",
    ]
    rows = rows_of(report)
    assert {"batch of 4, daemon", "batch of 4, in 2 processes"} <= rows.keys()
    assert all(figure > 0 for figures in rows.values() for figure in figures)


def test_scripts_tells_the_longest_call_of_a_script(tmp_path: Path) -> None:
    options = ("--jobs", "200", "--items", "2000", "--repeats", "1", "--only", "checkpoint")
    report = report_of(tmp_path, "scripts", *options)

    times, counts, _ = report["sections"]
    assert [one["name"] for one in times["latencies"]] == ["checkpoint: a training's checkpoints"]
    assert counts["facts"][0]["value"] == 4
    assert report["notes"][0].startswith("longer than 20 ms by the clock: ")
