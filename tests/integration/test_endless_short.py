"""Short runs of the endless program: faults of each kind, and eleven kinds of work side by side."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from checkout import ROOT, python_path
from cli_builders import clean_environment
from endless.work import KINDS

pytestmark = [pytest.mark.processes, pytest.mark.slow]

QUICK_FAULTS = (
    "kill_group=1,kill_child=1,cut_connections=1,kill_redis=1,double_wakeups=1,delete_wakeups=1,"
    "read_only=1,take_store=1,drain=1"
)


def run(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """Run it; return its status and its figures."""
    figures = folder / "figures.json"
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "endless", "--every-s", "1", "--figures", figures, *options],
        env=clean_environment(PYTHONPATH=python_path(ROOT / "tests")),
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert figures.exists(), ended.stdout + ended.stderr
    print(ended.stdout, ended.stderr)
    return ended.returncode, json.loads(figures.read_text())


@pytest.mark.timeout(600)
def test_whatever_is_killed_every_item_comes_out_once_and_in_its_place(tmp_path: Path):
    pace = ("--on", "pace", "--items", "20000", "--unit-ms", "500", "--pause-s", "1")

    status, figures = run(tmp_path, *pace, "--seed", "7", "--faults", QUICK_FAULTS)

    assert (status, figures["faults"]) == (0, [])
    assert figures["faults done"] == 9
    assert figures["items"] >= 20_000
    counts = [figures[name] for name in ("lost", "doubled", "misplaced", "failed")]
    assert counts == [0, 0, 0, 0]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_reviews_get_the_labels_of_an_undisturbed_job_whatever_is_killed(tmp_path: Path):
    reviews = ("--on", "reviews", "--count", "5000", "--pause-s", "1")
    faults = "kill_group=1,kill_child=1,cut_connections=1,kill_redis=1"

    status, figures = run(tmp_path, *reviews, "--seed", "7", "--faults", faults)

    assert (status, figures["faults"], figures["faults done"]) == (0, [], 4)
    assert figures["items"] >= 5_000


@pytest.mark.long
@pytest.mark.timeout(600)
def test_half_a_minute_of_mixed_work_comes_out_as_it_must_and_has_its_curves(tmp_path: Path):
    # Within half a minute all is still warming up, so curves rise: its status says nothing here.
    times = ("--minutes", "0.5", "--warm-up-minutes", "0")
    _, figures = run(tmp_path, *times)

    assert figures["faults"] == []
    done = {kind for kind, items in figures["items_of"].items() if items}
    assert done == set(KINDS["mixed"])
    of_child = figures["curves"]["first cpu:0 child, MB"]["values"]
    assert len(of_child) == len(figures["seconds"]) >= 10
    assert all(value > 10 for value in of_child)
