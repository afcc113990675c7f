"""The plugin guide's own plugin works: its test passes, and the daemon finds it.

That it keeps the contract's clauses is shown in `tests/conformance`, where it is one of the models.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from checkout import python_path
from guide_plugin import GUIDE, write_plugin
from readme_blocks import blocks_of


@pytest.fixture
def guide_folder(tmp_path: Path) -> Path:
    """The guide's files, as they are where they are installed."""
    write_plugin(tmp_path)
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    variables = {"PYTHONPATH": python_path(folder), "SEQD_DATA_DIR": str(folder / "data")}
    environment = os.environ | variables
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
def test_the_guides_tests_pass(guide_folder: Path):
    files = {"test_seqd_length.py": 1, "test_seqd_walk.py": 30, "test_seqd_letters.py": 2}

    ended = run(["-m", "pytest", "-q", *files], guide_folder)

    assert ended.returncode == 0, ended.stdout
    assert f"{sum(files.values())} passed" in ended.stdout


def test_the_description_of_the_guides_tasks_is_taken(guide_folder: Path):
    program = (
        "from seqd.models.descriptions import check_model\n"
        "from seqd_letters import Letters\n"
        "check_model(Letters())"
    )

    ended = run(["-c", program], guide_folder)

    assert ended.returncode == 0, ended.stderr


def test_the_guides_plugin_is_found_and_ready(guide_folder: Path):
    commands = blocks_of(GUIDE, "sh")[0].text.splitlines()
    assert commands == ["seqd plugins list", "seqd plugins show length"]

    ends = [run(["-m", *command.split()], guide_folder) for command in commands]

    assert [ended.returncode for ended in ends] == [0, 0], ends[0].stderr + ends[1].stderr
    assert "length" in ends[0].stdout
    assert "ready" in ends[0].stdout
    assert "min_texts" in ends[1].stdout
