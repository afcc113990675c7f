"""The plugin guide's own plugin works: its test passes, and the daemon finds it."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from readme_blocks import ROOT, blocks_of

GUIDE = ROOT / "plugins" / "README.md"


@pytest.fixture
def guide_folder(tmp_path: Path) -> Path:
    """The guide's files, with the metadata that installing them would write."""
    for language in ("python", "toml"):
        for block in blocks_of(GUIDE, language):
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    project = tomllib.loads((tmp_path / "pyproject.toml").read_text())["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(
        "".join(
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
            for group, points in project["entry-points"].items()
        )
    )
    return tmp_path


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(folder), "SEQD_DATA_DIR": str(folder / "data")}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_the_guides_own_test_passes(guide_folder: Path):
    ended = run(["-m", "pytest", "-q", "test_seqd_length.py"], guide_folder)

    assert ended.returncode == 0, ended.stdout
    assert "1 passed" in ended.stdout


def test_the_guides_training_goes_on_after_each_step(guide_folder: Path):
    ended = run(["-m", "pytest", "-q", "test_seqd_walk.py"], guide_folder)

    assert ended.returncode == 0, ended.stdout
    assert "30 passed" in ended.stdout


def test_the_guides_plugin_is_found_and_ready(guide_folder: Path):
    commands = blocks_of(GUIDE, "sh")[0].text.splitlines()
    assert commands == ["seqd plugins list", "seqd plugins show length"]

    ends = [run(["-m", *command.split()], guide_folder) for command in commands]

    assert [ended.returncode for ended in ends] == [0, 0], ends[0].stderr + ends[1].stderr
    assert "length" in ends[0].stdout
    assert "ready" in ends[0].stdout
    assert "min_texts" in ends[1].stdout
