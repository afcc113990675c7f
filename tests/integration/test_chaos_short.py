"""Short runs of `make chaos`: a fault of each quick kind, and every item comes out once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from readme_blocks import ROOT

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SCRIPT = ROOT / "tests" / "chaos" / "chaos_run.py"
QUICK_FAULTS = (
    "kill_group=1,kill_child=1,cut_connections=1,kill_redis=1,double_wakeups=1,delete_wakeups=1,"
    "read_only=1,take_store=1"
)


def outcome_of(folder: Path, *options: str) -> dict[str, object]:
    """Run `chaos_run.py`, which must end well; returns its figures."""
    figures = folder / "outcome.json"
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--seed", "7", "--outcome", str(figures), *options],
        env={name: value for name, value in os.environ.items() if not name.startswith("SEQD_")},
        capture_output=True,
        text=True,
        timeout=115,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    outcome = json.loads(figures.read_text())
    assert isinstance(outcome, dict)
    return outcome


def test_whatever_is_killed_every_item_comes_out_once_and_in_its_place(tmp_path: Path):
    light = ("--items", "20000", "--unit-ms", "500", "--jobs-at-most", "20", "--pause-s", "1")

    outcome = outcome_of(tmp_path, *light, "--faults", QUICK_FAULTS)

    assert outcome["faults"] == 8
    assert outcome["items_out"] == outcome["items_in"] == 20_000 * int(str(outcome["jobs"]))
    assert (outcome["lost"], outcome["doubled"], outcome["misplaced"]) == (0, 0, 0)


@pytest.mark.long
def test_reviews_get_the_labels_of_an_undisturbed_job_whatever_is_killed(tmp_path: Path):
    faults = "kill_group=1,kill_child=1,cut_connections=1,kill_redis=1"

    outcome = outcome_of(tmp_path, "--composed-reviews", "5000", "--faults", faults)

    assert outcome["faults"] == 4
    assert outcome["items_out"] == outcome["judged"] == 5_000 * int(str(outcome["jobs"]))
    assert (outcome["lost"], outcome["doubled"], outcome["misplaced"]) == (0, 0, 0)
    assert outcome["wrong"] == 0
