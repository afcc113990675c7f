"""The plugin guide's own plugin works: its test passes, and the daemon finds it.

That it keeps the contract's clauses is shown in `tests/conformance`, where it is one of the models.
"""

import json
import os
import subprocess
import sys
import zipfile
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
def test_the_guides_own_test_passes(guide_folder: Path):
    ended = run(["-m", "pytest", "-q", "test_seqd_length.py"], guide_folder)

    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


@pytest.mark.slow
def test_the_guides_training_goes_on_after_each_step(guide_folder: Path):
    ended = run(["-m", "pytest", "-q", "test_seqd_walk.py"], guide_folder)

    assert ended.returncode == 0, ended.stdout
    assert "30 passed" in ended.stdout


@pytest.mark.slow
def test_the_guides_tasks_of_its_own_give_what_its_test_says(guide_folder: Path):
    ended = run(["-m", "pytest", "-q", "test_seqd_letters.py"], guide_folder)

    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


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


@pytest.mark.slow
def test_the_guides_starter_is_made_in_three_ways_and_ships_with_the_wheel(guide_folder: Path):
    move, make = [block.text for block in blocks_of(GUIDE, "sh")[1:3]]
    _write_texts_and_weights(guide_folder)
    shell(move, guide_folder)
    shell("seqd models add stored --plugin length --no-load", guide_folder)

    made = shell(make, guide_folder)

    starter = guide_folder / "src" / "seqd_length" / "starter"
    assert made.count(f"bytes in {starter.relative_to(guide_folder)}\n") == 3
    assert "version    length@0\n" in made
    assert "from a folder stored; imported, elsewhere it is length@1\n" in made
    assert json.loads((starter / "lengths.json").read_text()) == {"long": 50, "short": 3}
    assert {"seqd_length/starter/lengths.json", "seqd_length/starter/manifest.json"} <= set(
        _names_in_wheel(guide_folder)
    )


def _write_texts_and_weights(folder: Path) -> None:
    labelled = [("tiny", "short"), ("a" * 90, "long")] * 100
    lines = [json.dumps({"text": text, "label": label}) for text, label in labelled]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    for name, long in (("weights", 40), ("stored", 50)):
        (folder / name).mkdir()
        (folder / name / "lengths.json").write_text(json.dumps({"long": long, "short": 3}))


def _names_in_wheel(folder: Path) -> list[str]:
    """Build the guide's distribution as installing it would; return the names of its files."""
    text = (folder / "pyproject.toml").read_text().partition("[tool.setuptools]")[0]
    changed = (folder / "pyproject-with-starter.toml").read_text()
    (folder / "pyproject.toml").write_text(text + changed)
    ended = run(["-c", "from setuptools import build_meta; build_meta.build_wheel('.')"], folder)
    assert ended.returncode == 0, ended.stderr
    return zipfile.ZipFile(folder / "seqd_length-1.0-py3-none-any.whl").namelist()


def shell(script: str, folder: Path) -> str:
    """Run commands with `python` and `seqd` being these; return what they print."""
    names = f'python() {{ "{sys.executable}" "$@"; }}\nseqd() {{ python -m seqd "$@"; }}\n'
    variables = {
        "PYTHONPATH": python_path(folder, folder / "src"),
        "SEQD_DATA_DIR": str(folder / "data"),
        "SEQD_ENABLED_PLUGINS": "length",
    }
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", names + script],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    return ended.stdout
