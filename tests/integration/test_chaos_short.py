"""A short run of `make chaos`: a fault of each quick kind, and every item comes out once."""

import os
import subprocess
import sys

import pytest

from readme_blocks import ROOT

pytestmark = pytest.mark.processes

FAULTS = "kill_group=1,kill_child=1,cut_connections=1,kill_redis=1,double_bells=1,delete_bells=1"


def test_whatever_is_killed_every_item_comes_out_once_and_in_its_place():
    script = ROOT / "tests" / "chaos" / "chaos_run.py"
    options = ["--items", "60000", "--unit-ms", "500", "--seed", "7", "--faults", FAULTS]

    ended = subprocess.run(
        [sys.executable, str(script), *options],
        env={name: value for name, value in os.environ.items() if not name.startswith("SEQD_")},
        capture_output=True,
        text=True,
        timeout=110,
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = dict(line.rsplit(maxsplit=1) for line in ended.stdout.splitlines()[-13:])
    assert table["items out"] == "60000"
    assert (table["lost"], table["doubled"], table["out of place"]) == ("0", "0", "0")
    assert table["faults"] == "6"
