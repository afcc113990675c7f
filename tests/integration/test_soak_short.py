"""A short run of `make soak`: all kinds of work come out well, and the figures are there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from readme_blocks import ROOT

pytestmark = [pytest.mark.processes, pytest.mark.slow]

SCRIPT = ROOT / "tests" / "soak" / "soak_run.py"
KINDS = {
    *("bulk", "cancels", "dying_children", "failing_items", "file", "inbox", "new_clients"),
    *("small_jobs", "streams", "trainings"),
}


def test_half_a_minute_of_mixed_work_comes_out_as_it_must_and_draws_its_curves(tmp_path: Path):
    figures, picture = tmp_path / "soak.json", tmp_path / "soak.png"
    times = ("--minutes", "0.5", "--warm-up-minutes", "0", "--every-s", "1")
    files = ("--figures", str(figures), "--picture", str(picture))

    ended = subprocess.run(
        [sys.executable, "-P", str(SCRIPT), *times, *files],
        env={name: value for name, value in os.environ.items() if not name.startswith("SEQD_")},
        capture_output=True,
        text=True,
        timeout=115,
    )

    # Within half a minute all is still warming up, so curves rise: its status says nothing here.
    assert figures.exists(), ended.stdout + ended.stderr
    soak = json.loads(figures.read_text())
    assert soak["faults"] == []
    assert {kind for kind, items in soak["items"].items() if items} == KINDS
    of_child = soak["curves"]["first cpu:0 child, MB"]["values"]
    assert len(of_child) == len(soak["seconds"]) >= 10
    assert all(value > 10 for value in of_child)
    assert picture.read_bytes().startswith(b"\x89PNG")
